//! Opening and wiring: configuration, journal and store are opened, what they hold is brought back, then links, doors
//! and the line start. Nothing is accepted before all of it stands.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use carriers::{Probe, Role};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::batches::Batches;
use super::desk::Desk;
use super::entrance::Entrance;
use super::metrics::{Meters, Scrape};
use super::pressure::Pressure;
use super::reload::{Latest, Reloads};
use super::seek::Seeker;
use super::service::Service;
use super::{Arrival, Line, Rerouting, Waiting, keys, orders, patrol};
use crate::accept::{self, Door, Idempotency};
use crate::admit::Tables;
use crate::callback::{BoxError, Courier, Office};
use crate::clock::{Clock, Time};
use crate::config::plan::{Channel, Names, OnFailed, Plan, Tier};
use crate::config::{self, Problem};
use crate::control;
use crate::descriptors;
use crate::fleet::Fleet;
use crate::ids::{Ids, MessageId};
use crate::journal::bodies::{Bodies, Reader};
use crate::journal::record::Record;
use crate::journal::store::{Store, StoreError, StoreSettings};
use crate::journal::{Journal, OpenError, Priority, Recovery, Settings as JournalSettings, Usage, free_space};
use crate::listen;
use crate::observe::Metrics;
use crate::report::Report;
use crate::report::again;
use crate::report::recover::{Found as Recovered, Note, Notes, Replay};
use crate::report::uplink;
use crate::route::owner::Owners;
use crate::switch::{self, Event, Switch};
use crate::vital::Vital;

/// The journal's mark for ids that have ended.
const END_KIND: u8 = 15;
/// Batches of link events that may wait for the line; beyond, links keep theirs.
const LINK_BATCHES: usize = 1024;
/// Orders to reload that may wait for the one under way.
const RELOADS: usize = 16;
/// How long another process may hold the journal's lock at start.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// The span over which a channel's contract holds.
const CONTRACT_SECOND: Duration = Duration::from_secs(1);

/// The gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has these problems.
    #[error("the configuration has problems:\n{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Config(Vec<Problem>),
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The letters to applications cannot be opened.
    #[error(transparent)]
    Letters(#[from] BoxError),
    /// A listener cannot be opened.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The system refuses something.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs the gateway on the configuration in `dir` until it is told to stop.
pub async fn serve(dir: &Path) -> Result<(), StartError> {
    // First of all: until somebody listens, a signal ends the process as it stands.
    let hangup = signal(SignalKind::hangup())?;
    let stops = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let descriptors = descriptors::raise();
    let clock = Clock::start();
    let (outcome, seen) = config::load_seen(dir, Names::default());
    let (mut plan, warnings) = outcome.map_err(StartError::Config)?;
    for warning in warnings {
        warn!(problem = %warning, "configuration");
    }
    let (wanted, most) = (plan.node.http_max_connections, descriptors::for_clients());
    if most < wanted {
        warn!(limit = descriptors, wanted, most, "[http] max_connections is more than the limit of open files leaves");
    }
    let (arrivals, inbox) = mpsc::unbounded_channel();
    let idempotency = Idempotency::new(keys::IN_MEMORY);
    let (mut report, mut names) = (Report::new(plan.node.receipt_wait), plan.names.clone());
    // What the records lead to depends on which channels send receipts.
    report.plan(&names, plan.channels.iter().map(|c| (c.id, c.receipts)), uplink_rules(&plan));
    report.follow(further(&plan));
    let (journal, store, recovery, found, opens, batches) =
        recover(&plan, &mut names, clock, &idempotency, &mut report, &arrivals)?;
    let patrol_app = names.patrol();
    plan.names = names;
    let plan = Arc::new(plan);
    let tables = Arc::new(ArcSwap::from_pointee(Tables::new(plan.clone())));
    let metrics = Metrics::new();
    let meters = Meters::new(&metrics);
    let pressure = Arc::new(Pressure::default());
    let highest = recovery.highest_id.max(found.highest_attempt);
    let ids = Arc::new(Ids::above(highest));

    let told = arrivals.clone();
    let courier = Courier::spawn(
        &plan.node.data_dir.join("callbacks"),
        tables.clone(),
        // Letters wait for hours: a jump of the wall clock must neither kill them nor keep them waiting.
        clock.steady(),
        meters.shared(),
        // The line outlives the courier; once it is gone, nobody needs to know.
        move |events| drop(told.send(Arrival::Told(events))),
    )?;
    let courier = Arc::new(courier);
    let brought = arrivals.clone();
    let reader = Reader::spawn(journal.clone(), move |bodies| drop(brought.send(Arrival::Bodies(bodies))))?;
    let sought = arrivals.clone();
    let seeker = Seeker::spawn(store.clone(), move |found| drop(sought.send(Arrival::Sought(found))))?;
    let (link_events, heard) = mpsc::channel(LINK_BATCHES);
    let (orders, damaged) = orders::load(&plan.node.data_dir, &plan.names, clock.now().wall)?;
    if let Some(file) = damaged {
        let held = orders.len();
        error!(
            file,
            held,
            "operators' orders were damaged: whatever the file still names is held until it is released; orders whose \
             names it lost are lost: hold again what must not come back"
        );
    }
    let fleet = Fleet::new(metrics.clone(), link_events, link::Settings::default());

    let http = listen(plan.node.http_listen).await?;
    let admin = listen(plan.node.admin_listen).await?;
    let token = control::token(&plan.node)?;
    let (reload, reloads) = mpsc::channel(RELOADS);
    let latest = Arc::<ArcSwap<Latest>>::default();
    let reloader = (reload, latest.clone());
    let desk = Arc::new(Desk::new(arrivals.clone(), store.clone(), tables.clone(), reloader, pressure.clone(), clock));
    // It ends with the door.
    drop(keys::learn(&idempotency, &store, clock)?);
    let entrance = Entrance::new(journal.clone());
    let entering = tokio::spawn(entrance.clone().run());
    let door = Arc::new(Door {
        tables: tables.clone(),
        clock,
        ids: ids.clone(),
        commit: Arc::new(entrance),
        gate: pressure.clone(),
        idempotency,
        remembered: desk.clone(),
        inquiry: desk.clone(),
        batches: accept::batch::Places::default(),
        meter: meters.shared(),
    });
    let scrape = Scrape::new(metrics.clone());
    let (stop, stopped) = watch::channel(false);
    let (http_address, admin_address) = (http.local_addr()?, admin.local_addr()?);
    let door = tokio::spawn(async move {
        let _vital = Vital("the door");
        accept::serve(http, door, stopped).await;
    });
    let callbacks = Arc::new(Office::new(courier.clone(), store.clone()));
    let page = control::Admin { desk, callbacks, token, metrics_token: plan.node.metrics_token.clone(), scrape };
    let admin = tokio::spawn(async move {
        let _vital = Vital("the admin door");
        control::serve(admin, page).await;
    });
    let (dir, line) = (dir.to_owned(), arrivals.clone());
    let reloading =
        Reloads { dir, seen, tables: tables.clone(), line, metrics: metrics.clone(), clock, latest, doubt: None };
    let reloading = tokio::spawn(reloading.run(reloads, hangup));
    tokio::spawn(signals(stops, arrivals.clone(), stop, pressure.clone()));

    let service = Service::new(orders, plan.node.data_dir.clone(), arrivals);
    let began = clock.now();
    let quality = patrol::learned(began, &plan.node.data_dir, &plan.names);
    let draft = journal.draft();
    let mut line = Line {
        clock,
        tables,
        plan,
        rerouting: Rerouting::default(),
        ids,
        switch: Switch::new(highest).opening(opens),
        report,
        journal,
        store,
        courier,
        fleet,
        bodies: Bodies::default(),
        sheet: Default::default(),
        reader,
        seeker,
        metrics,
        meters,
        pressure,
        service,
        states: Default::default(),
        alarms: Default::default(),
        quality,
        kept_at: began.time,
        health: Default::default(),
        rounds: Default::default(),
        patrol: patrol_app,
        commands: Vec::new(),
        effects: Vec::new(),
        outgoing: Vec::new(),
        released: Vec::new(),
        draft,
        unwritten: false,
        untold: Default::default(),
        errands: Default::default(),
        batches,
        endings: Default::default(),
        lateness: Default::default(),
        jumps: Default::default(),
        stopping: None,
    };
    line.recall_health(began);
    line.apply(clock.now(), true);
    line.recovered(found);
    info!(
        http = %http_address,
        admin = %admin_address,
        messages = line.report.len(),
        records = recovery.records,
        segments = recovery.segments,
        "ready"
    );
    line.run(inbox, heard, door).await;
    reloading.abort();
    entering.abort();
    admin.abort();
    Ok(())
}

/// Journal and store as they were opened, and what they held.
type BroughtBack = (Journal<Waiting>, Store, Recovery, Recovered, Time, Batches);

/// Opens journal and store and brings back what they hold.
fn recover(
    plan: &Plan,
    names: &mut Names,
    clock: Clock,
    idempotency: &Idempotency,
    report: &mut Report,
    arrivals: &mpsc::UnboundedSender<Arrival>,
) -> Result<BroughtBack, StartError> {
    let settings = JournalSettings {
        dir: plan.node.data_dir.join("journal"),
        segment_bytes: plan.node.segment_bytes,
        max_bytes: plan.node.journal_max_bytes,
        end_kind: END_KIND,
    };
    let now = clock.now();
    let mut replay = Replay::new(report, names, now);
    let mut unreadable = 0u64;
    let (mut keys, mut flocks) = (VecDeque::new(), BTreeMap::new());
    let mut remember = |key| {
        if keys.len() >= keys::IN_MEMORY {
            keys.pop_front();
        }
        keys.push_back(key);
    };
    let mut show = |replayed: crate::journal::Replayed<'_>| {
        let id = MessageId(replayed.id);
        if replayed.kind == END_KIND {
            flocks.remove(&id);
            return replay.ended(id);
        }
        match Record::read(replayed.kind, replayed.body) {
            Ok(Record::Batch(batch)) => {
                keys::of_batch(id, &batch, now.wall).into_iter().for_each(&mut remember);
                flocks.insert(id, Bytes::copy_from_slice(replayed.body));
            }
            Ok(record) => {
                if let Record::Accepted(accepted) = &record {
                    keys::of_message(id, accepted, now.wall).into_iter().for_each(&mut remember);
                }
                replay.record(id, &record, replayed.at);
            }
            Err(_) => unreadable += 1,
        }
    };
    let (journal, recovery, opens) = open_journal(&settings, clock, &mut show, arrivals)?;
    warn_of_a_small_disk(plan, journal.usage());
    let (found, notes) = replay.finish(
        |id, at| journal.read(id.0, at).ok().map(Vec::from),
        |channel, attempt, part| plan.channels.iter().find(|c| c.id == channel)?.profile.early_id(attempt, part),
    );
    write_notes(&journal, notes);
    tell_damage(&recovery, unreadable, found.strays);

    let persisted = arrivals.clone();
    let store = StoreSettings { dir: plan.node.data_dir.join("store"), history: plan.node.history };
    let store = Store::open(
        &store,
        move || clock.now().wall,
        move |ids: &[u64]| drop(persisted.send(Arrival::Persisted(ids.to_vec()))),
    )?;
    let mut batches = Batches::default();
    for (id, record) in flocks {
        batches.keep(id, record, &store);
    }
    keys::store(&store, &keys, now.wall);
    for (app, key, found) in keys {
        idempotency.recall(&app, &key, found);
    }
    Ok((journal, store, recovery, found, opens, batches))
}

/// The budget is a promise about the disk: one that the disk cannot keep is told at start, not when it is full.
fn warn_of_a_small_disk(plan: &Plan, usage: Usage) {
    let Some(free) = free_space(&plan.node.data_dir) else { return };
    if usage.within(free).budget < usage.budget {
        let budget = usage.budget;
        warn!(
            free,
            budget,
            "the file system has less than twice [journal] max_bytes: messages are shed earlier; free space, or lower the budget"
        );
    }
}

/// Opens the journal. A predecessor that was just killed may hold its lock for a moment yet. With it, when a second will
/// be over since that one may last have sent anything.
fn open_journal(
    settings: &JournalSettings,
    clock: Clock,
    show: &mut dyn FnMut(crate::journal::Replayed<'_>),
    arrivals: &mpsc::UnboundedSender<Arrival>,
) -> Result<(Journal<Waiting>, Recovery, Time), OpenError> {
    let began = std::time::Instant::now();
    let mut alone = true;
    loop {
        let quiet = if alone { quiet(&settings.dir) } else { Duration::ZERO };
        let opens = clock.now().time.after(CONTRACT_SECOND.saturating_sub(quiet));
        let committed = arrivals.clone();
        let deliver = move |records| drop(committed.send(Arrival::Committed(records)));
        match Journal::open(settings.clone(), show, deliver) {
            Err(OpenError::Locked { .. }) if began.elapsed() < LOCK_WAIT => {
                alone = false;
                std::thread::sleep(LOCK_WAIT / 50);
            }
            opened => return opened.map(|(journal, recovery)| (journal, recovery, opens)),
        }
    }
}

/// For how long nobody has written to the journal: whoever sends writes an attempt there before. Zero where that cannot
/// be said, as after a clock that was set back.
fn quiet(journal: &Path) -> Duration {
    let Ok(files) = std::fs::read_dir(journal) else {
        // No journal, nobody before us.
        return if journal.exists() { Duration::ZERO } else { CONTRACT_SECOND };
    };
    let age = |file: std::io::Result<std::fs::DirEntry>| file?.metadata()?.modified().map(|at| at.elapsed());
    files.map(|file| age(file).ok().and_then(Result::ok).unwrap_or_default()).min().unwrap_or(CONTRACT_SECOND)
}

fn write_notes(journal: &Journal<Waiting>, notes: Notes) {
    for (id, note) in notes {
        match note {
            Note::Note(kind, octets) => drop(journal.append(kind, id.0, &octets)),
            Note::Commit(kind, octets, ack) => {
                journal.append_synced(Priority::Reserved, kind, id.0, &octets, Waiting::Report(ack));
            }
            Note::End => journal.end(id.0),
        }
    }
}

fn tell_damage(recovery: &Recovery, unreadable: u64, strays: u64) {
    for damage in &recovery.damaged {
        let (file, kept) = (damage.file.display(), damage.kept.as_ref().map(|p| p.display().to_string()));
        let what = if damage.torn { "a write cut short was set aside" } else { "damaged records were set aside" };
        warn!(%file, offset = damage.offset, octets = damage.octets, kept, "journal: {what}");
    }
    if unreadable > 0 || strays > 0 {
        error!(unreadable, strays, "journal: records that do not read, or whose message is gone, were passed over");
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    listen::listen(address, listen::UNREAD_LIMIT).await.map_err(|e| StartError::Listen(address, e))
}

impl Line {
    /// What the journal held waits again. Routes may be others than when it was accepted.
    fn recovered(&mut self, found: Recovered) {
        let now = self.clock.now();
        let plan = self.plan.clone();
        for message in found.fresh {
            self.tell_switch(now, Event::Accepted(on_known_tier(message, &plan.tiers)));
        }
        for recovered in found.begun {
            let message = on_known_tier(recovered.message, &plan.tiers);
            self.tell_switch(now, Event::Recovered(switch::Recovered { message, ..recovered }));
        }
        self.look_again(now);
    }
}

/// SIGTERM and SIGINT drain, also one that came while the gateway was starting; a second one stops at once, as a kill
/// would: the journal holds everything.
async fn signals(
    (mut terminate, mut interrupt): (Signal, Signal),
    arrivals: mpsc::UnboundedSender<Arrival>,
    stop: watch::Sender<bool>,
    pressure: Arc<Pressure>,
) {
    let mut asked = false;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if asked {
            warn!("stopped at once on a second signal");
            std::process::exit(1);
        }
        asked = true;
        info!("draining");
        pressure.drain();
        // Both live as long as the gateway.
        let _ = stop.send(true);
        let _ = arrivals.send(Arrival::Drain);
    }
}

/// The switch's share of the plan.
pub(super) fn rules(plan: &Plan) -> switch::Settings {
    switch::Settings {
        tiers: plan
            .tiers
            .iter()
            .map(|t| switch::TierRule {
                id: t.id,
                attempts: t.attempts,
                backoff: t.backoff.clone(),
                unacked: t.unacked,
                acked: t.acked,
                service: t.service,
            })
            .collect(),
        channels: plan
            .channels
            .iter()
            .map(|c| switch::ChannelRule {
                id: c.id,
                rate: c.rate,
                burst: c.burst,
                tiers: c.tiers.clone(),
                cost: c.cost,
                carrier: plan.channels.iter().position(|other| other.carrier == c.carrier).unwrap_or(0) as u32,
                probes: c.profile.legs().iter().any(|leg| leg.role != Role::Receive && leg.probe == Probe::Pdu),
                health: c.health.clone(),
            })
            .collect(),
        groups: plan
            .groups
            .iter()
            .map(|g| switch::GroupRule {
                id: g.id,
                channels: g.channels.clone(),
                spill_after: g.spill_after,
                strategy: g.strategy.clone(),
                internal: false,
            })
            .chain(plan.channels.iter().filter_map(patrol_group))
            .collect(),
        health: Box::new(plan.health.clone()),
        apps: plan
            .apps
            .iter()
            .filter_map(|a| Some(switch::AppRule { id: a.id, rate: f64::from(a.send_rate?) }))
            .collect(),
    }
}

/// The report's share of the plan: when messages that carriers have had go on to another channel.
pub(super) fn further(plan: &Plan) -> Vec<again::Rule> {
    let rule = |tier: &Tier| again::Rule {
        tier: tier.id,
        attempts: tier.attempts,
        on_failed: tier.on_failed == OnFailed::Next,
        receipt_within: tier.receipt_within,
    };
    plan.tiers.iter().map(rule).collect()
}

/// The group of a channel's test messages: nothing else is in it, and they go nowhere else.
fn patrol_group(channel: &Channel) -> Option<switch::GroupRule> {
    let test = channel.test.as_ref()?;
    Some(switch::GroupRule {
        id: test.group,
        channels: vec![channel.id],
        internal: true,
        ..switch::GroupRule::default()
    })
}

/// The report's share of the plan, as far as messages from handsets go.
pub(super) fn uplink_rules(plan: &Plan) -> uplink::Rules {
    let (join_wait, window) = (plan.node.uplink_join_wait, plan.node.uplink_duplicate_window);
    uplink::Rules { owners: Owners::new(&plan.apps), join_wait, window }
}

/// A message of a tier that is configured no more goes on with the lowest one.
fn on_known_tier(mut message: switch::Message, tiers: &[Tier]) -> switch::Message {
    let known = tiers.iter().any(|t| t.id == message.tier);
    if let Some(lowest) = tiers.last().filter(|_| !known) {
        message.tier = lowest.id;
    }
    message
}
