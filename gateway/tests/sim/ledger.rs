//! What the world saw the switch do, and the promises this must keep.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use carriers::{AttemptRef, Doubt, Ticket, Verdict};
use gateway::clock::Time;
use gateway::config::plan::{AppId, ChannelId, GroupId, InDoubt, Strategy};
use gateway::ids::MessageId;
use gateway::switch::health;
use gateway::switch::{Answer, ChannelRule, Command, End, GroupRule, Message, Reason, Recovered, Settings};
use link::LinkId;

use crate::reached::Reached;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Flying(AttemptRef),
    Done,
}

#[derive(Debug)]
struct Fate {
    message: Message,
    state: State,
    concluded: bool,
    submitted: bool,
    /// For messages of one part: how often the carrier may have got it, and how often the switch said so.
    reached: u32,
    resubmitted: u32,
    refused: u32,
    rejected: bool,
    /// The worst of its last attempt.
    doubt: Option<Doubt>,
    excluded: HashSet<ChannelId>,
    /// Refused at least one part; excluded if nothing worse happened to the others.
    refusing: HashSet<ChannelId>,
    /// Nothing may start before this.
    not_before: Time,
    first_start: Option<Time>,
    /// When its last attempt ended.
    landed: Time,
    /// When the attempt began that was left behind last.
    left: Time,
    hedged: bool,
    /// A link was gone before its parts were handed over to it: what became of them was known too late.
    outrun: bool,
}

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) message: MessageId,
    pub(crate) link: LinkId,
    taken: Time,
    /// Reserved or handed over in this run.
    run: u64,
    open: u64,
    slots: u64,
    submitted: u64,
    started: bool,
    refused: bool,
    /// Its message goes on without it.
    superseded: bool,
    /// Its message goes on by a receipt that came before the answer.
    abandoned: bool,
}

impl Run {
    /// Whether the carrier has nothing of it yet.
    pub(crate) fn is_new(&self) -> bool {
        self.submitted == 0
    }
}

#[derive(Debug, Default)]
struct Pace {
    log: VecDeque<(Time, u32)>,
    /// Highest limit of the last second, by when it ends.
    limits: VecDeque<(Time, u32)>,
}

#[derive(Default)]
pub(crate) struct Ledger {
    fates: BTreeMap<MessageId, Fate>,
    /// First tier, not ended.
    otps: BTreeSet<MessageId>,
    open: usize,
    pub(crate) runs: HashMap<AttemptRef, Run>,
    tickets: HashSet<Ticket>,
    last_attempt: u64,
    pub(crate) windows: HashMap<LinkId, usize>,
    used: HashMap<LinkId, usize>,
    paces: HashMap<ChannelId, Pace>,
    /// What apps with a rate of their own have sent of late.
    rated: HashMap<AppId, VecDeque<(Time, u32)>>,
    /// When parts of such apps were given back that never went, and how much of the rate had come meanwhile.
    returned: VecDeque<(AppId, Time, f64)>,
    settings: Settings,
    /// Told to end: nothing may start there.
    pub(crate) closing: HashSet<LinkId>,
    pub(crate) held: HashSet<ChannelId>,
    paused: HashMap<ChannelId, Time>,
    /// Nothing could happen before this: the gateway stood still.
    pub(crate) excused: Time,
    lower_starts: Vec<(ChannelId, u8, u8)>,
    states: HashMap<ChannelId, health::State>,
    /// Links that died with a message in flight, and whether it was alone on the last.
    deaths: HashMap<MessageId, (u32, bool)>,
    quarantined: HashSet<MessageId>,
    /// First attempts of the first tier, and hedges, of the last seconds.
    firsts: VecDeque<(Time, ChannelId)>,
    hedges: VecDeque<(Time, ChannelId)>,
    /// Left behind where nothing is known to be wrong: hedges that must be counted.
    unexplained: Vec<MessageId>,
    pub(crate) reached: Reached,
}

impl Ledger {
    pub(crate) fn plan(&mut self, now: Time, settings: &Settings) {
        for channel in &self.settings.channels {
            let pace = self.paces.entry(channel.id).or_default();
            pace.limits.push_back((now.after(Duration::from_secs(1)), limit(channel.rate, channel.burst)));
        }
        self.settings = settings.clone();
    }

    fn channel(&self, id: ChannelId) -> Option<&ChannelRule> {
        self.settings.channels.iter().find(|channel| channel.id == id)
    }

    fn group(&self, id: GroupId) -> Option<&GroupRule> {
        self.settings.groups.iter().find(|group| group.id == id)
    }

    /// Whether the rules have any channel for the message.
    fn is_home(&self, message: &Message) -> bool {
        let admits = |id: &ChannelId| self.channel(*id).is_some_and(|channel| channel.tiers.contains(&message.tier));
        self.group(message.group).is_some_and(|group| group.channels.iter().any(admits))
    }

    pub(crate) fn message(&self, id: MessageId) -> &Message {
        &self.fates[&id].message
    }

    /// Messages that have not ended and that the rules have no channel for.
    pub(crate) fn homeless(&self) -> Vec<MessageId> {
        let open = self.fates.values().filter(|fate| fate.state != State::Done && !fate.concluded);
        open.filter(|fate| !self.is_home(&fate.message)).map(|fate| fate.message.id).collect()
    }

    pub(crate) fn moved(&mut self, id: MessageId, group: GroupId) {
        let fate = self.fates.get_mut(&id).unwrap();
        self.reached.moved_waiting += u64::from(fate.state == State::Waiting);
        fate.message.group = group;
    }

    pub(crate) fn link_closing(&mut self, link: LinkId) {
        self.reached.closed_busy += u64::from(!self.on_wire(link).is_empty());
        self.closing.insert(link);
    }

    pub(crate) fn accept(&mut self, message: Message) {
        let fate = Fate {
            message,
            state: State::Waiting,
            concluded: false,
            submitted: false,
            reached: 0,
            resubmitted: 0,
            refused: 0,
            rejected: false,
            doubt: None,
            excluded: HashSet::new(),
            refusing: HashSet::new(),
            not_before: Time(0),
            first_start: None,
            landed: Time(0),
            left: Time(0),
            hedged: false,
            outrun: false,
        };
        assert!(self.fates.insert(message.id, fate).is_none());
        if message.tier.0 == 0 {
            self.otps.insert(message.id);
        }
        self.open += 1;
    }

    /// A message of an earlier life.
    pub(crate) fn recover(&mut self, recovered: &Recovered) {
        self.accept(recovered.message);
        let Some(fate) = self.fates.get_mut(&recovered.message.id) else { return };
        fate.refused = u32::from(recovered.refused);
        fate.excluded.extend(&recovered.excluded);
        if recovered.in_doubt.is_some() {
            fate.refused += 1;
            fate.reached += 1;
            fate.doubt = Some(Doubt::Acked);
        }
    }

    pub(crate) fn accepted(&self) -> usize {
        self.fates.len()
    }

    pub(crate) fn submitted(&self) -> usize {
        self.fates.values().filter(|fate| fate.submitted).count()
    }

    /// Conservation: accepted = owned by the switch + submitted + exhausted + concluded.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    pub(crate) fn longest_otp_wait(&self) -> Duration {
        let otp = self.fates.values().filter(|fate| fate.message.tier.0 == 0);
        let waits = otp.map(|fate| fate.first_start.unwrap_or(Time::NEVER).since(fate.message.accepted));
        waits.max().unwrap_or_default()
    }

    pub(crate) fn used(&self, channel: ChannelId) -> usize {
        let of = |link: &LinkId| link.channel == channel.0 && self.windows.contains_key(link);
        self.used.iter().filter(|(link, _)| of(link)).map(|(_, used)| used).sum()
    }

    fn done(&mut self, id: MessageId) {
        let fate = self.fates.get_mut(&id).unwrap();
        assert_ne!(fate.state, State::Done, "{id} ends twice");
        fate.state = State::Done;
        self.otps.remove(&id);
        self.open -= 1;
    }

    pub(crate) fn conclude(&mut self, id: MessageId) {
        // The switch is not told again of what had come to its end before a restart.
        let Some(fate) = self.fates.get_mut(&id) else { return };
        match fate.state {
            State::Waiting => {
                self.reached.concluded_waiting += 1;
                self.done(id);
            }
            State::Flying(_) => {
                self.reached.concluded_in_flight += 1;
                fate.concluded = true;
            }
            State::Done => {}
        }
    }

    pub(crate) fn command(&mut self, now: Time, command: &Command) {
        match command {
            Command::Start { attempt, message, link, parts, only, expires, why } => {
                self.start(now, *attempt, *message, *link, *parts, *only);
                if why.reason == Reason::Alone {
                    // A link was emptied for it, which nobody else may use meanwhile.
                    self.lower_starts.pop();
                }
                assert_eq!(*expires, self.fates[message].message.expires);
            }
            Command::Exhausted(id, end) => self.exhausted(now, *id, *end),
            Command::InDoubt(id, _, doubt) => {
                self.reached.in_doubt += 1;
                self.left_behind(now, *id, *doubt);
            }
            Command::Resubmitted(id, _) => {
                self.reached.resubmitted += 1;
                self.fates.get_mut(id).unwrap().resubmitted += 1;
            }
            Command::Transition(channel, transition) => drop(self.states.insert(*channel, transition.to)),
            Command::Hedged(id, channel) => self.hedged(now, *id, *channel),
            Command::Deferred(channel) => {
                self.reached.deferred += 1;
                assert!(self.channel(*channel).is_some());
            }
            Command::Quarantined(id, _) => {
                let (deaths, alone) = self.deaths.get(id).copied().unwrap_or_default();
                assert!(deaths >= 3 && alone, "{id} is convicted by {deaths} deaths, alone {alone}");
                self.quarantined.insert(*id);
            }
            Command::Throttled(channel, until) => {
                self.reached.throttled += 1;
                assert!(*until > now);
                self.paused.insert(*channel, *until);
            }
            _ => {}
        }
    }

    /// Where parts of its attempt are open still, the switch does not wait for them any more.
    fn left_behind(&mut self, now: Time, id: MessageId, doubt: Doubt) {
        let fate = self.fates.get_mut(&id).unwrap();
        let State::Flying(attempt) = fate.state else { return };
        let run = self.runs.get_mut(&attempt).unwrap();
        if run.open == 0 || run.superseded {
            return;
        }
        self.reached.superseded += 1;
        run.superseded = true;
        let (channel, otp) = (ChannelId(run.link.channel), fate.message.tier.0 == 0);
        let state = self.states.get(&channel).copied().unwrap_or(health::State::Down);
        let links = self.windows.keys().filter(|link| link.channel == channel.0).count();
        assert!(otp || state == health::State::Down, "{id} is left behind on {channel:?}, which is {state:?}");
        if otp && links == 1 && matches!(state, health::State::Healthy | health::State::Probation) {
            self.unexplained.push(id);
        }
        fate.left = run.taken;
        let tier = &self.settings.tiers[usize::from(fate.message.tier.0)];
        fate.refused += u32::from(!std::mem::replace(&mut run.refused, true));
        fate.not_before = match if doubt == Doubt::Acked { tier.acked } else { tier.unacked } {
            InDoubt::Resend(wait) => now.after(wait),
            InDoubt::Wait => Time::NEVER,
        };
        fate.reached += 1;
        self.landed(now, id);
    }

    /// One more attempt because the first takes long: of the first tier, once, late enough, and few of them.
    fn hedged(&mut self, now: Time, id: MessageId, channel: ChannelId) {
        self.reached.hedged += 1;
        self.unexplained.retain(|other| *other != id);
        let fate = self.fates.get_mut(&id).unwrap();
        assert!(fate.message.tier.0 == 0, "{id} is hedged and not of the first tier");
        assert!(!std::mem::replace(&mut fate.hedged, true), "{id} is hedged twice");
        assert!(now.since(fate.left) >= Duration::from_millis(1_200), "{id} is hedged too early");
        self.hedges.push_back((now, channel));
        let within = |list: &VecDeque<(Time, ChannelId)>, seconds| {
            list.iter().filter(|(at, on)| *on == channel && now.since(*at) < Duration::from_secs(seconds)).count()
        };
        let (hedges, firsts) = (within(&self.hedges, 9), within(&self.firsts, 11));
        assert!(hedges <= 3.max(firsts / 50), "{hedges} hedges of {firsts} on {channel:?}");
    }

    fn exhausted(&mut self, now: Time, id: MessageId, end: End) {
        let fate = &self.fates[&id];
        assert_eq!(fate.state, State::Waiting, "{id} ends while it flies: {end:?}");
        let tier = &self.settings.tiers[usize::from(fate.message.tier.0)];
        match end {
            End::Expired => {
                self.reached.expired += 1;
                assert!(now <= fate.message.expires.max(fate.landed).max(self.excused), "{id} expires late");
                let margin = fate.message.expires.since(now);
                assert!(margin <= Duration::from_secs(5), "{id} expires with {margin:?} left");
            }
            End::Rejected => {
                self.reached.rejected += 1;
                assert!(fate.rejected, "{id}");
            }
            End::Attempts => {
                self.reached.attempts += 1;
                assert!(fate.refused >= u32::from(tier.attempts), "{id} had {} attempts", fate.refused);
            }
            End::NoChannel => {
                self.reached.no_channel += 1;
                assert!(self.is_home(&fate.message), "{id} fails for want of rules");
                let group = self.group(fate.message.group).unwrap();
                let open = group.channels.iter().filter(|c| {
                    let refused = fate.excluded.contains(c) || fate.refusing.contains(c);
                    let admits = self.channel(**c).is_some_and(|rule| rule.tiers.contains(&fate.message.tier));
                    !refused && admits && fate.message.parts <= 4
                });
                assert_eq!(open.count(), 0, "{id} could go elsewhere");
            }
            End::BodyLost => self.reached.body_lost += 1,
            End::Poison => assert!(self.quarantined.contains(&id), "{id} is poison and not counted"),
            End::Operator => panic!("{id} was ended by nobody's order"),
            End::InDoubt => {
                assert!(fate.reached > 0 || fate.message.parts > 1, "{id} was never in doubt");
                let policy = if fate.doubt == Some(Doubt::Acked) { tier.acked } else { tier.unacked };
                let spent = policy == InDoubt::Wait || fate.refused >= u32::from(tier.attempts);
                assert!(spent, "{id} stays in doubt after {} attempts, and its tier sends again", fate.refused);
            }
        }
        self.done(id);
    }

    fn start(&mut self, now: Time, attempt: AttemptRef, id: MessageId, link: LinkId, parts: u8, only: u64) {
        let channel = ChannelId(link.channel);
        let of_group = self.group(self.fates[&id].message.group).is_some_and(|group| group.channels.contains(&channel));
        assert!(of_group, "{id} starts on a channel that is none of its group");
        assert!(!self.closing.contains(&link), "{id} starts on a link that is about to end");
        let admits = self.channel(channel).is_some_and(|rule| rule.tiers.contains(&self.fates[&id].message.tier));
        let fate = self.fates.get_mut(&id).unwrap();
        assert_eq!(fate.state, State::Waiting, "{id} starts again");
        let validity = fate.message.expires.since(fate.message.accepted);
        let margin = Duration::from_secs(5).min(validity / 4);
        assert!(now.after(margin) < fate.message.expires, "{id} starts after its end, or too close to it");
        assert!(now >= fate.not_before, "{id} starts {:?} too early", fate.not_before.since(now));
        assert!(!fate.excluded.contains(&channel), "{id} starts on a channel that cannot carry it");
        assert!(admits && !self.held.contains(&channel));
        assert!(self.paused.get(&channel).is_none_or(|until| *until <= now), "starts on a paused channel");
        let state = self.states.get(&channel);
        assert!(state.is_none_or(|state| *state != health::State::Down), "{id} starts on a channel that is down");
        if fate.message.tier.0 == 0 && fate.first_start.is_none() {
            self.firsts.push_back((now, channel));
            self.firsts.retain(|(at, _)| now.since(*at) < Duration::from_secs(11));
        }
        fate.state = State::Flying(attempt);
        fate.first_start.get_or_insert(now);
        fate.doubt = None;
        self.lower_starts.push((channel, fate.message.tier.0, parts));
        let run = if only == u64::MAX {
            assert!(attempt.0 > self.last_attempt && attempt.0 < 1 << 56, "attempts grow");
            self.last_attempt = attempt.0;
            (1u64 << parts) - 1
        } else {
            self.reached.continued += 1;
            let before = &self.runs[&attempt];
            assert_eq!((before.message, before.link.channel), (id, link.channel));
            assert_eq!(before.submitted & only, 0, "a part the carrier has goes again");
            assert_eq!(before.submitted | only, before.submitted | before.run, "all that is missing goes");
            only
        };
        assert_eq!(run.count_ones(), u32::from(parts));
        let before = self.runs.remove(&attempt);
        assert!(before.as_ref().is_none_or(|b| b.open == 0 && b.slots == 0));
        let submitted = before.map_or(0, |b| b.submitted);
        let (open, slots, started, refused, message, taken) = (run, run, false, false, id, now);
        self.runs.insert(
            attempt,
            Run {
                message,
                link,
                taken,
                run,
                open,
                slots,
                submitted,
                started,
                refused,
                superseded: false,
                abandoned: false,
            },
        );
        let used = self.used.entry(link).or_default();
        *used += usize::from(parts);
        let window = self.windows.get(&link).copied();
        assert!(window.is_some_and(|window| *used <= window), "{used} slots of {window:?} on {link:?}");
        self.pace(now, channel, u32::from(parts));
        let app = self.fates[&id].message.app;
        self.app_pace(now, app, u32::from(parts));
    }

    /// Of an app with a rate of its own no interval carries more than that and a burst, or what its last message is
    /// longer than one. Parts given back come with what the rate brought while they were out.
    fn app_pace(&mut self, now: Time, app: AppId, parts: u32) {
        let Some(rule) = self.settings.apps.iter().find(|rule| rule.id == app) else { return };
        let log = self.rated.entry(app).or_default();
        log.push_back((now, parts));
        log.retain(|(at, _)| now.since(*at) < Duration::from_secs(20));
        let burst = (rule.rate / 50.0).floor().max(1.0);
        let saved = burst.max(f64::from(parts)) + 1e-3;
        let mut sum = 0;
        for (at, parts) in log.iter().rev() {
            sum += parts;
            let back = self.returned.iter().filter(|(of, when, _)| *of == app && when >= at);
            let back: f64 = back.map(|(_, _, back)| back).sum();
            let allowed = saved + back + rule.rate * now.since(*at).as_secs_f64();
            assert!(f64::from(sum) <= allowed, "{sum} parts of {app:?} since {at:?}, at most {allowed}");
        }
    }

    fn pace(&mut self, now: Time, channel: ChannelId, parts: u32) {
        let rule = self.channel(channel).unwrap();
        let now_allowed = limit(rule.rate, rule.burst);
        let pace = self.paces.entry(channel).or_default();
        pace.log.push_back((now, parts));
        pace.log.retain(|(at, _)| now.since(*at) < Duration::from_secs(1));
        pace.limits.retain(|(until, _)| now < *until);
        let limit = pace.limits.iter().map(|(_, l)| *l).chain([now_allowed]).max().unwrap();
        let sum: u32 = pace.log.iter().map(|(_, n)| n).sum();
        let messages = pace.log.iter().filter(|(_, n)| *n > 0).count();
        assert!(sum <= limit || messages == 1, "{sum} parts in one second of at most {limit}");
    }

    fn give_back(&mut self, attempt: AttemptRef, parts: u64) {
        let run = self.runs.get_mut(&attempt).unwrap();
        let parts = parts & run.slots;
        run.slots &= !parts;
        if self.windows.contains_key(&run.link) {
            *self.used.get_mut(&run.link).unwrap() -= parts.count_ones() as usize;
        }
    }

    fn give_back_pace(&mut self, now: Time, attempt: AttemptRef, parts: u32) {
        let run = &self.runs[&attempt];
        let pace = self.paces.get_mut(&ChannelId(run.link.channel)).unwrap();
        return_parts(&mut pace.log, run.taken, parts);
        let app = self.fates[&run.message].message.app;
        if let Some(rule) = self.settings.apps.iter().find(|rule| rule.id == app).filter(|_| parts > 0) {
            let meanwhile = rule.rate * now.since(run.taken).as_secs_f64();
            self.returned.retain(|(_, at, _)| now.since(*at) < Duration::from_secs(20));
            self.returned.push_back((app, now, meanwhile.min(f64::from(parts))));
            return_parts(self.rated.entry(app).or_default(), run.taken, parts);
        }
    }

    /// Handed over as the lowest `parts` parts; the tickets that are on the wire now.
    pub(crate) fn started(&mut self, now: Time, attempt: AttemptRef, parts: u8) -> Vec<Ticket> {
        let run = self.runs.get_mut(&attempt).unwrap();
        run.started = true;
        let mut keep = 0;
        for bit in (0..64).filter(|b| run.run >> b & 1 == 1).take(usize::from(parts)) {
            keep |= 1 << bit;
        }
        let unneeded = run.run & !keep;
        let tickets: Vec<Ticket> = (0..64u8).filter(|b| keep >> b & 1 == 1).map(|b| Ticket::new(attempt, b)).collect();
        run.run = keep;
        run.open &= keep;
        self.give_back(attempt, unneeded);
        self.give_back_pace(now, attempt, unneeded.count_ones());
        for ticket in &tickets {
            assert!(self.tickets.insert(*ticket), "a ticket is open twice");
        }
        tickets
    }

    pub(crate) fn not_started(&mut self, now: Time, attempt: AttemptRef) {
        let run = &self.runs[&attempt];
        let (all, message) = (run.run, run.message);
        self.give_back(attempt, all);
        self.give_back_pace(now, attempt, all.count_ones());
        self.runs.get_mut(&attempt).unwrap().open = 0;
        self.landed(now, message);
    }

    pub(crate) fn unsendable(&mut self, attempt: AttemptRef) {
        let run = &self.runs[&attempt];
        self.fates.get_mut(&run.message).unwrap().excluded.insert(ChannelId(run.link.channel));
    }

    fn landed(&mut self, now: Time, message: MessageId) {
        let fate = self.fates.get_mut(&message).unwrap();
        fate.state = State::Waiting;
        fate.landed = now;
        if fate.concluded {
            self.done(message);
        }
    }

    pub(crate) fn parts_needed(&mut self, message: MessageId, parts: u8) {
        self.fates.get_mut(&message).unwrap().message.parts = parts;
    }

    pub(crate) fn answer(&mut self, now: Time, ticket: Ticket, answer: &Answer) {
        let bit = 1u64 << ticket.part();
        let run = self.runs.get_mut(&ticket.attempt()).unwrap();
        assert!(run.open & bit != 0);
        run.open &= !bit;
        let fate = self.fates.get_mut(&run.message).unwrap();
        let tier = &self.settings.tiers[usize::from(fate.message.tier.0)];
        let single = run.run == 1 && run.submitted == 0 && !run.superseded && !run.abandoned;
        let follows = !run.superseded && !run.abandoned;
        match answer {
            Answer::Submitted => {
                run.submitted |= bit;
                fate.reached += u32::from(follows);
            }
            Answer::Unanswered(Doubt::Unsent) => {}
            Answer::Unanswered(doubt) => {
                fate.reached += u32::from(follows);
                fate.doubt = fate.doubt.max(Some(*doubt));
                if !run.refused {
                    fate.refused += 1;
                    run.refused = true;
                }
                let policy = if *doubt == Doubt::Acked { tier.acked } else { tier.unacked };
                if single {
                    fate.not_before = match policy {
                        InDoubt::Resend(wait) => now.after(wait),
                        InDoubt::Wait => Time::NEVER,
                    };
                }
            }
            Answer::Refused(Verdict::Retry) => {
                if !run.refused {
                    fate.refused += 1;
                    run.refused = true;
                }
                let nth = (fate.refused as usize - 1).min(tier.backoff.len().saturating_sub(1));
                if single && fate.message.parts == 1 {
                    fate.not_before = now.after(tier.backoff.get(nth).copied().unwrap_or_default() / 2);
                }
            }
            Answer::Refused(Verdict::Rejected) => fate.rejected = true,
            Answer::Refused(Verdict::Reroute | Verdict::LinkFault) => {
                let channel = ChannelId(run.link.channel);
                fate.refusing.insert(channel);
                if single {
                    fate.excluded.insert(channel);
                }
            }
            Answer::Refused(Verdict::Throttled) => {}
        }
        if single && fate.message.parts == 1 {
            assert!(fate.reached <= 1 + fate.resubmitted, "{} went twice uncounted", run.message);
        }
    }

    /// After the answer's slot came back: is the attempt over, and its message submitted?
    pub(crate) fn freed(&mut self, ticket: Ticket) {
        self.tickets.remove(&ticket);
        self.give_back(ticket.attempt(), 1 << ticket.part());
    }

    /// Looks whether an attempt has ended; called when the switch has taken its last event.
    pub(crate) fn review(&mut self, now: Time, attempt: AttemptRef) {
        let Some(run) = self.runs.get(&attempt) else { return };
        let message = run.message;
        let all = run.submitted & run.run == run.run;
        if run.abandoned {
            return;
        }
        if run.superseded && run.open == 0 && all {
            return self.taken_late(message);
        }
        if run.superseded && run.open == 0 {
            // It is not there, or will not be known to be: what waited for its answer need not.
            self.fates.get_mut(&message).unwrap().not_before = Time(0);
        }
        if !run.started || run.open != 0 || self.fates[&message].state != State::Flying(attempt) {
            return;
        }
        if all {
            self.fates.get_mut(&message).unwrap().submitted = true;
            self.done(message);
        } else {
            self.landed(now, message);
        }
    }

    /// An attempt left behind was answered after all: the carrier has the message, and nothing more may follow.
    fn taken_late(&mut self, id: MessageId) {
        self.reached.late += 1;
        let fate = self.fates.get_mut(&id).unwrap();
        match fate.state {
            State::Waiting => {
                fate.submitted = true;
                self.done(id);
            }
            State::Flying(_) => fate.concluded = true,
            State::Done => {}
        }
    }

    pub(crate) fn link_up(&mut self, link: LinkId, window: usize) {
        self.windows.insert(link, window);
        self.used.insert(link, 0);
    }

    /// What was handed over and has no answer yet counts as in doubt; its answer, if one comes, changes nothing.
    pub(crate) fn link_down(&mut self, link: LinkId) {
        self.windows.remove(&link);
        self.closing.remove(&link);
        for run in self.runs.values_mut().filter(|run| run.link == link) {
            run.slots = 0;
        }
    }

    /// A link has ended: what it has not answered it never will.
    pub(crate) fn link_gone(&mut self, now: Time, link: LinkId) {
        for ticket in self.on_wire(link) {
            self.tickets.remove(&ticket);
            let message = self.runs[&ticket.attempt()].message;
            self.fates.get_mut(&message).unwrap().outrun = true;
            self.answer(now, ticket, &Answer::Unanswered(Doubt::Acked));
            self.review(now, ticket.attempt());
        }
    }

    /// Whether the part was handed over and has not ended.
    pub(crate) fn is_open(&self, ticket: Ticket) -> bool {
        self.tickets.contains(&ticket)
    }

    /// A link dies: which messages may it have died of?
    pub(crate) fn died(&mut self, link: LinkId) {
        let open: BTreeSet<MessageId> =
            self.on_wire(link).iter().map(|ticket| self.runs[&ticket.attempt()].message).collect();
        for id in &open {
            let (deaths, alone) = self.deaths.entry(*id).or_default();
            (*deaths, *alone) = (*deaths + 1, open.len() == 1);
        }
    }

    /// A message that a carrier has had goes to other channels.
    pub(crate) fn again(&mut self, recovered: &Recovered) {
        let id = recovered.message.id;
        let Some(fate) = self.fates.get_mut(&id) else { return self.recover(recovered) };
        // Nothing that earlier attempts may still hear decides about this one.
        for run in self.runs.values_mut().filter(|run| run.message == id && run.superseded) {
            run.abandoned = true;
        }
        match fate.state {
            State::Waiting => assert!(fate.outrun, "{id} goes on, and waits already"),
            State::Done => {
                fate.state = State::Waiting;
                self.open += 1;
            }
            State::Flying(attempt) => {
                let run = self.runs.get_mut(&attempt).unwrap();
                if run.started {
                    run.abandoned = true;
                    fate.state = State::Waiting;
                }
            }
        }
        fate.message = recovered.message;
        (fate.concluded, fate.submitted, fate.rejected, fate.doubt) = (false, false, false, None);
        (fate.reached, fate.resubmitted) = (u32::from(recovered.doubtful), 0);
        fate.refused = u32::from(recovered.refused);
        fate.excluded = recovered.excluded.iter().copied().collect();
        fate.refusing.clear();
        (fate.not_before, fate.landed) = (Time(0), Time(0));
        if fate.message.tier.0 == 0 {
            self.otps.insert(id);
        }
    }

    /// Tickets on the wire of a link.
    pub(crate) fn on_wire(&self, link: LinkId) -> Vec<Ticket> {
        let mut all: Vec<Ticket> =
            self.tickets.iter().copied().filter(|t| self.runs[&t.attempt()].link == link).collect();
        all.sort();
        all
    }

    /// No lower tier started on a channel while a fresh otp waited that would have taken that channel. `weight`: what a
    /// channel that is healthy counts for.
    pub(crate) fn tier_order(&mut self, now: Time, weight: impl Fn(ChannelId) -> Option<f64>) {
        assert!(self.unexplained.is_empty(), "left behind and not counted: {:?}", self.unexplained);
        let lower: Vec<_> =
            std::mem::take(&mut self.lower_starts).into_iter().filter(|(_, tier, _)| *tier > 0).collect();
        if lower.is_empty() {
            return;
        }
        for fate in self.otps.iter().map(|id| &self.fates[id]).filter(|f| f.state == State::Waiting) {
            let fresh = fate.refused == 0 && fate.excluded.is_empty() && fate.first_start.is_none();
            let Some(group) = self.group(fate.message.group) else { continue };
            let left = fate.message.expires.since(now);
            // Which channel an otp waits for is plain only where the list says it.
            let listed = group.strategy == Strategy::Preference;
            let rated = self.settings.apps.iter().any(|rule| rule.id == fate.message.app);
            if !listed || rated || !fresh || fate.message.parts > 1 || left <= Duration::from_secs(5) {
                continue;
            }
            let usable = |c: &&ChannelId| {
                let up = self.windows.keys().any(|link| link.channel == c.0 && !self.closing.contains(link));
                let admits = self.channel(**c).is_some_and(|rule| rule.tiers.contains(&fate.message.tier));
                let paused = self.paused.get(c).is_some_and(|until| now < *until);
                up && admits && !paused && !self.held.contains(c)
            };
            // For one that counts for less, an otp may wait, or pass it over.
            let healthy = group.channels.iter().filter(usable).find_map(|c| Some((c, weight(*c)?)));
            let best = healthy.filter(|(_, weight)| *weight >= 1.0).map(|(channel, _)| channel);
            let jumped = lower.iter().find(|(channel, ..)| Some(channel) == best);
            assert!(jumped.is_none(), "{jumped:?} went before the otp {}", fate.message.id);
        }
    }
}

/// Parts taken then never went.
fn return_parts(log: &mut VecDeque<(Time, u32)>, taken: Time, mut parts: u32) {
    for (_, n) in log.iter_mut().filter(|(at, _)| *at == taken) {
        let back = parts.min(*n);
        *n -= back;
        parts -= back;
    }
}

fn limit(rate: f64, burst: u32) -> u32 {
    rate.max(f64::from(burst)) as u32
}
