//! The life of one dialled TCP link: dial, converse, report, wait, dial again.
//!
//! | state | entered by | submit | settle, probe | `Unbind` | left by |
//! |---|---|---|---|---|---|
//! | waiting | `Down` with `retry_in` | unsent, freed | ignored | closed | the wait is over, and every event handed over → dialling |
//! | dialling | the start; the wait is over | unsent, freed | ignored | closed | connected → opened; no address accepted: `Down` → waiting |
//! | opened | connected: the generation counts up | unsent, freed (no room) | to the session | ending | `Bound`: `Up` → bound; loss or fault: `Down` → waiting |
//! | bound | the session said `Bound` | to the session while it has room | to the session | ending | loss or fault: every ticket unanswered, `Down` → waiting |
//! | ending | `Unbind` while connected | unsent, freed (no room) | to the session | ignored | the session ends or the connection does: `Down` without `retry_in` → closed |
//! | closed | the end of ending; `Unbind` while not connected | unsent, freed | ignored | ignored | `Closed` is the last event |
//!
//! On demand ([`carriers::Life::OnDemand`]) there is one state more, and parts wait with the [`crate::porter`] while the
//! link is up:
//!
//! | state | entered by | submit | settle, probe | `Unbind` | left by |
//! |---|---|---|---|---|---|
//! | resting | bound, and the connection ended with nothing open, by the session or the far side: `Parted`, no `Down` | kept | ignored | closed | a part is kept → dialling |
//! | dialling from there | | kept | ignored | closed | as above; no connection or login: what was kept comes back unsent, `Down` → waiting |
//!
//! `Up` is not said again after a rest. From waiting it is dialled like any other link: only a login shows that the
//! carrier is there.
//!
//! A settle counts for the session only when it names this connection's generation.
//!
//! One wake-up is: at most one read, all commands, the session's deadline; then one write of everything the session wants
//! sent; then one batch of everything it had to say. A read that was full is followed by another, twice as large, after
//! whoever hears that batch had a turn and what came of it is sent; where receipts and messages come, the first is large
//! already. Doubt is judged after the write, so that what is called unsent has indeed not been written. While octets are
//! written and not acknowledged, the kernel is asked for their age ten times a second (`unacked`).

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::{Buf, BytesMut};
use carriers::{
    AttemptRef, Doubt, Event, Fault, Inbound, Input, Life, Now, NumberSet, Output, Part, PathId, Payload, Refusal,
    Session, Settle, Ticket, Verdict,
};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep};

use crate::dial::{Dialled, dial};
use crate::door::Guest;
use crate::doubt::Progress;
use crate::outbox::Outbox;
use crate::porter::Porter;
use crate::reconnect::{Backoff, Outcome};
use crate::unacked::{Look, Unacked};
use crate::{Batch, Down, FromLink, OUT_LIMIT, READ_BUFFER, Spec, ToLink, tcp_info};

/// A stream has this path only.
const STREAM: PathId = PathId(0);
/// A session reads so many octets at a time, so that what it says of them is little, and near.
const SIP: usize = 2048;
/// A read takes no more than so many octets, one that follows a full one twice as many as that: what the first answers
/// make room for leaves before the last of them are read.
const FIRST_READ: usize = 1024;
/// The same where receipts and messages come, which make room for nothing: they are longer, and each piece of them may
/// cost a sync of its own.
const FIRST_READ_INBOUND: usize = 16 * 1024;
/// Reads after a failed write, at most: answers that were already here spare their tickets the doubt.
const SALVAGE_READS: usize = 64;

/// One link, from [`crate::spawn`] to its end.
pub(crate) struct Link {
    spec: Spec,
    target: String,
    inbox: mpsc::UnboundedReceiver<Vec<ToLink>>,
    outbox: Outbox,
    backoff: Backoff,
    seeds: fastrand::Rng,
    buffer: Box<[u8]>,
    /// Told to unbind: the present connection is the last.
    ending: bool,
    /// Keeps parts while there is no connection, on demand.
    porter: Option<Porter>,
    /// Who dialled us, until its login is accepted or refused.
    guest: Option<Guest>,
    /// The far side dialled: whoever hosts it says what the link is.
    hosted: bool,
    /// A part was left without an answer when the connection ended.
    lost: bool,
}

impl Link {
    /// A link to `target` (`host:port`) that has done nothing yet.
    pub(crate) fn new(
        spec: Spec,
        target: String,
        life: Life,
        inbox: mpsc::UnboundedReceiver<Vec<ToLink>>,
        events: mpsc::Sender<Batch>,
    ) -> Self {
        let mut seeds = fastrand::Rng::with_seed(spec.seed);
        Link {
            outbox: Outbox::new(spec.id, events),
            backoff: Backoff::new(&spec.settings, seeds.u64(..)),
            buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            seeds,
            spec,
            target,
            inbox,
            ending: false,
            porter: (life == Life::OnDemand).then(Porter::default),
            guest: None,
            hosted: false,
            lost: false,
        }
    }

    /// One connection of a far side that dialled us, the link's `generation`th.
    pub(crate) fn hosting(
        spec: Spec,
        seed: u64,
        generation: u64,
        inbox: mpsc::UnboundedReceiver<Vec<ToLink>>,
        events: mpsc::Sender<Batch>,
        guest: Guest,
    ) -> Self {
        let outbox = Outbox::before(spec.id, generation, events.clone());
        let link = Link::new(Spec { seed, ..spec }, String::new(), Life::Held, inbox, events);
        Link { outbox, guest: Some(guest), hosted: true, ..link }
    }

    /// The whole of that connection, which began with those octets. Says why it ended.
    pub(crate) async fn host(mut self, dialled: Dialled, first: &[u8]) -> Down {
        // Held to the end: it is the account's place.
        let guest = self.guest.take();
        let (why, _) = self.converse(dialled, first, guest.as_ref()).await;
        if let (Down::Fault(Fault::BindRefused { .. }), Some(guest)) = (&why, &guest) {
            guest.wrong();
        }
        self.part(FromLink::Parted).await;
        why
    }

    /// Runs until unbound, or until nobody listens any more.
    pub(crate) async fn run(mut self) {
        let mut wait = Duration::ZERO;
        while let Some(dialled) =
            self.meanwhile(dial_after(wait, self.target.clone(), self.spec.settings.clone())).await
        {
            let (why, outcome) = match dialled {
                Ok(dialled) => self.converse(dialled, &[], None).await,
                Err(why) => (why, Outcome::Failed),
            };
            if self.may_rest(&why, outcome) {
                self.outbox.push(FromLink::Parted);
                self.lost = false;
                wait = Duration::ZERO;
                match self.rest().await {
                    true => continue,
                    false => break,
                }
            }
            self.give_back();
            let retry_in = (!self.ending).then(|| self.backoff.after(outcome));
            self.report_down(why, retry_in);
            match retry_in {
                Some(pause) => wait = pause,
                None => break,
            }
        }
        self.close().await;
    }

    /// Does `work` while there is no connection, turning away what comes. `work` rests while events wait for a full
    /// channel, so that no connection begins before the last one's events are handed over. `None` at the link's end.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            while let Poll::Ready(commands) = self.inbox.poll_recv(cx) {
                match commands {
                    Some(commands) => self.turn_away(commands),
                    None => return Poll::Ready(None),
                }
            }
            if self.ending {
                return Poll::Ready(None);
            }
            self.outbox.hand_over();
            std::task::ready!(self.outbox.poll(cx));
            if self.outbox.gone() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// Whether a link dialled on demand may do without a connection, now that this one ended so.
    fn may_rest(&self, why: &Down, outcome: Outcome) -> bool {
        let orderly = match why {
            Down::Fault(Fault::Closed) => true,
            // What was kept meanwhile might meet the same end again at once.
            Down::Ended | Down::Broken(_) | Down::Fault(Fault::Unbound) => {
                self.porter.as_ref().is_some_and(|porter| !porter.is_called())
            }
            _ => false,
        };
        self.porter.is_some() && !self.ending && !self.lost && orderly && matches!(outcome, Outcome::Bound(_))
    }

    /// Waits for a part to send; false at the link's end.
    async fn rest(&mut self) -> bool {
        poll_fn(|cx| {
            while let Poll::Ready(commands) = self.inbox.poll_recv(cx) {
                match commands {
                    Some(commands) => self.turn_away(commands),
                    None => return Poll::Ready(false),
                }
            }
            self.outbox.hand_over();
            let _ = self.outbox.poll(cx);
            if self.ending || self.outbox.gone() {
                return Poll::Ready(false);
            }
            match self.porter.as_ref().is_some_and(Porter::is_called) {
                true => Poll::Ready(true),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// There is no connection to be had: what was kept comes back.
    fn give_back(&mut self) {
        let kept: Vec<Ticket> = self.porter.as_mut().map(|porter| porter.shut().collect()).unwrap_or_default();
        kept.into_iter().for_each(|ticket| self.unsent(ticket));
    }

    fn unsent(&mut self, ticket: Ticket) {
        self.outbox.push(FromLink::Unanswered(ticket, Doubt::Unsent));
        self.outbox.push(FromLink::Event(Event::Freed(ticket)));
    }

    fn turn_away(&mut self, commands: Vec<ToLink>) {
        for command in commands {
            match command {
                ToLink::Submit(ticket, attempt, part) => {
                    let kept = match &mut self.porter {
                        Some(porter) => porter.keep((ticket, attempt, part)),
                        None => Err(ticket),
                    };
                    if let Err(ticket) = kept {
                        self.unsent(ticket);
                    }
                }
                ToLink::Unbind => self.ending = true,
                ToLink::Settle(..) | ToLink::Probe => {}
            }
        }
    }

    /// One connection, from the first octet to the last; the far side's were those, where it dialled.
    async fn converse(&mut self, dialled: Dialled, first: &[u8], guest: Option<&Guest>) -> (Down, Outcome) {
        self.outbox.next_generation();
        let session = self.spec.profile.open(self.spec.leg, self.seeds.u64(..));
        let mut talk = Conversation::new(session, dialled);
        let mut commands = Vec::new();
        talk.quiet = self.hosted || self.porter.as_ref().is_some_and(Porter::is_open);
        talk.input(now(), Input::Opened);
        if !first.is_empty() {
            talk.input(now(), Input::Octets(STREAM, Payload::octets(first)));
        }
        let mut welcomed = false;
        loop {
            talk.write(&mut self.buffer);
            talk.tell(&mut self.outbox);
            self.lost |= talk.lost;
            if let Some(window) = talk.window.filter(|_| !welcomed) {
                welcomed = true;
                let (channel, link, address) = (&*self.spec.name, self.spec.id.link, talk.address);
                tracing::debug!(channel, link, %address, window, "link up");
                guest.into_iter().for_each(Guest::welcome);
                if let Some(porter) = &mut self.porter {
                    porter.open(window);
                    let rest = porter.first_only();
                    let served = talk.serve(now(), porter);
                    talk.collect_submits(now());
                    rest.into_iter().for_each(|ticket| self.unsent(ticket));
                    if served > 0 {
                        self.outbox.push(FromLink::Late(served));
                        continue;
                    }
                }
            }
            if let Some(why) = talk.over.take() {
                let outcome = talk.outcome(&why);
                return (why, outcome);
            }
            self.outbox.hand_over();
            if self.outbox.gone() || self.inbox.is_closed() {
                self.ending = true;
                return (Down::Fault(Fault::Closed), Outcome::Failed);
            }
            if talk.full {
                // Whoever hears of this piece has a turn.
                yield_now().await;
            }
            talk.arm(self.outbox.waiting());
            let woken =
                poll_fn(|cx| talk.poll_wake(cx, &mut self.buffer, &mut self.inbox, &mut commands, &mut self.outbox));
            let read = woken.await;
            let now = now();
            talk.take_read(now, read, &self.buffer);
            talk.take_time(now);
            talk.look(now, &mut self.outbox);
            // What comes with this wake-up is not late.
            let kept = self.porter.as_ref().map_or(0, Porter::waiting);
            for commands in commands.drain(..) {
                self.ending |= commands.iter().any(|command| matches!(command, ToLink::Unbind));
                let generation = self.outbox.generation();
                match &mut self.porter {
                    // They are looked at where they stand: a part is large.
                    None => commands.iter().for_each(|command| talk.take_command(now, command, generation)),
                    Some(porter) => commands.into_iter().for_each(|command| match command {
                        ToLink::Submit(ticket, attempt, part) => {
                            if let Err(ticket) = porter.keep((ticket, attempt, part)) {
                                talk.turn_away(ticket);
                            }
                        }
                        other => talk.take_command(now, &other, generation),
                    }),
                }
            }
            if let Some(porter) = self.porter.as_mut().filter(|_| welcomed) {
                let late = talk.serve(now, porter).min(kept);
                if late > 0 {
                    self.outbox.push(FromLink::Late(late));
                }
            }
            talk.collect_submits(now);
        }
    }

    fn report_down(&mut self, why: Down, retry_in: Option<Duration>) {
        let (channel, link) = (&*self.spec.name, self.spec.id.link);
        // Whoever owns the link says it to operators, and knows how often that may be.
        tracing::debug!(channel, link, reason = %why, ?retry_in, "link down");
        self.outbox.push(FromLink::Down { why, retry_in });
    }

    /// The link's end.
    async fn close(mut self) {
        self.give_back();
        self.part(FromLink::Closed).await;
    }

    /// Turns away what crossed with the end, says so, and waits until it is heard.
    async fn part(&mut self, word: FromLink) {
        self.inbox.close();
        while let Ok(commands) = self.inbox.try_recv() {
            self.turn_away(commands);
        }
        self.outbox.push(word);
        self.outbox.hand_over();
        poll_fn(|cx| self.outbox.poll(cx)).await;
    }
}

/// One connection and its session.
struct Conversation {
    session: Box<dyn Session>,
    stream: TcpStream,
    address: SocketAddr,
    /// See [`Dialled::baseline`].
    baseline: Option<u64>,
    /// What the session wants sent and the socket has not taken yet.
    out: BytesMut,
    /// Octets the socket took.
    written: u64,
    /// How long octets wait to be acknowledged.
    unacked: Unacked,
    /// What the session said since the last batch.
    said: Vec<FromLink>,
    /// Places in `said` of parts that got no answer, with their offsets: how far each got is known after the write.
    unsure: Vec<(usize, u64)>,
    /// Tickets the session has not ended yet; only a session that broke its promises leaves any at its end.
    open: NumberSet<Ticket>,
    /// Those it was given since it was drained: nothing of them has left it.
    fresh: Vec<Ticket>,
    bound_at: Option<Instant>,
    /// The session's window, once it is bound.
    window: Option<usize>,
    /// A login is nothing new.
    quiet: bool,
    /// A part was left without an answer when the session ended.
    lost: bool,
    timer: Pin<Box<Sleep>>,
    armed: bool,
    /// So much is read next, and after a read that was not full.
    reach: usize,
    first_reach: usize,
    /// Answers in the read taken last, and receipts and messages.
    brought: (usize, usize),
    /// The last read was full, and what came of it goes before the next.
    full: bool,
    /// The session asked for the connection to be closed.
    closing: bool,
    /// The socket takes nothing more.
    broken: bool,
    /// Set once the session has ended: nothing goes into it any more.
    over: Option<Down>,
}

impl Conversation {
    fn new(session: Box<dyn Session>, dialled: Dialled) -> Self {
        Conversation {
            session,
            stream: dialled.stream,
            address: dialled.address,
            baseline: dialled.baseline,
            out: BytesMut::new(),
            written: 0,
            unacked: Unacked::default(),
            said: Vec::new(),
            unsure: Vec::new(),
            open: NumberSet::default(),
            fresh: Vec::new(),
            bound_at: None,
            window: None,
            quiet: false,
            lost: false,
            timer: Box::pin(sleep(Duration::from_secs(60))),
            armed: false,
            reach: FIRST_READ,
            first_reach: FIRST_READ,
            brought: (0, 0),
            full: false,
            closing: false,
            broken: false,
            over: None,
        }
    }

    /// Gives the session an input and takes everything it wants done.
    fn input(&mut self, now: Now, input: Input<'_>) {
        if self.over.is_none() {
            let outcome = self.call(|session| session.input(now, input));
            self.follow(now, outcome);
        }
    }

    fn follow(&mut self, now: Now, outcome: Result<(), Down>) {
        match outcome {
            Err(why) => self.finish(why),
            Ok(()) if self.closing => self.end(now, Down::Fault(Fault::Closed)),
            Ok(()) => {}
        }
    }

    /// The connection is gone: nothing more can be written.
    fn lose(&mut self, now: Now, why: Down) {
        self.broken = true;
        self.end(now, why);
    }

    /// Makes a session that has not ended by itself report what is open.
    fn end(&mut self, now: Now, why: Down) {
        if self.over.is_some() {
            return;
        }
        // Its answer is `Closed` by contract; what happened is known better here.
        let why = match self.call(|session| session.input(now, Input::Lost)) {
            Err(Down::Panicked) => Down::Panicked,
            _ => why,
        };
        self.finish(why);
    }

    /// Nothing goes into the session any more. It has reported every ticket, or does so here: a session that panicked
    /// may have lost some. Of these what was not drained has not left; what else is not known counts as acknowledged.
    fn finish(&mut self, why: Down) {
        self.over = Some(why);
        for ticket in std::mem::take(&mut self.fresh) {
            if self.open.remove(&ticket) {
                self.unanswered(ticket, u64::MAX);
            }
        }
        for ticket in std::mem::take(&mut self.open) {
            self.unanswered(ticket, 0);
        }
    }

    /// One input, or several, and then all their outputs.
    fn call(&mut self, inputs: impl FnOnce(&mut dyn Session) -> Result<(), Fault>) -> Result<(), Down> {
        let outcome = self.give(inputs);
        match outcome {
            Err(Down::Panicked) => outcome,
            _ => self.collect().and(outcome),
        }
    }

    /// A panic in a session costs this connection, not the task.
    fn give(&mut self, inputs: impl FnOnce(&mut dyn Session) -> Result<(), Fault>) -> Result<(), Down> {
        match catch_unwind(AssertUnwindSafe(|| inputs(&mut *self.session))) {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Down::Panicked),
        }
    }

    /// What the session wants done.
    fn collect(&mut self) -> Result<(), Down> {
        catch_unwind(AssertUnwindSafe(|| self.drain())).map_err(|_| Down::Panicked)
    }

    /// The same for the parts that it was given.
    fn collect_submits(&mut self, now: Now) {
        if !self.fresh.is_empty() && self.over.is_none() {
            let outcome = self.collect();
            self.follow(now, outcome);
        }
    }

    fn drain(&mut self) {
        let Conversation { session, out, said, unsure, open, fresh, closing, bound_at, window, quiet, address, .. } =
            self;
        let (answers, inbound) = &mut self.brought;
        fresh.clear();
        session.drain(out, &mut |output| match output {
            Output::Close(STREAM) => *closing = true,
            Output::Event(event) => said.push(match event {
                Event::Bound(room) => {
                    (*bound_at, *window) = (Some(Instant::now()), Some(room));
                    if *quiet {
                        return;
                    }
                    FromLink::Up { window: room, address: *address }
                }
                Event::Unanswered(ticket, offset) => {
                    open.remove(&ticket);
                    unsure.push((said.len(), offset));
                    FromLink::Unanswered(ticket, Doubt::Acked)
                }
                Event::Submitted(ticket, _) | Event::Refused(ticket, _) => {
                    *answers += 1;
                    open.remove(&ticket);
                    FromLink::Event(event)
                }
                Event::Receipt(..) | Event::Mo(..) => {
                    *inbound += 1;
                    FromLink::Event(event)
                }
                other => FromLink::Event(other),
            }),
            // A stream has no further paths.
            Output::Transmit(..) | Output::Open(..) | Output::Close(_) => {}
        });
    }

    /// A part gets no answer; the offset as in [`Event::Unanswered`].
    fn unanswered(&mut self, ticket: Ticket, offset: u64) {
        self.unsure.push((self.said.len(), offset));
        self.said.push(FromLink::Unanswered(ticket, Doubt::Acked));
        self.said.push(FromLink::Event(Event::Freed(ticket)));
    }

    fn take_read(&mut self, now: Now, read: Option<io::Result<usize>>, buffer: &[u8]) {
        match read {
            None => {}
            Some(Ok(0)) => self.lose(now, Down::Ended),
            Some(Ok(length)) => {
                self.brought = (0, 0);
                self.take_octets(now, &buffer[..length]);
                let (answers, inbound) = self.brought;
                // A link test or the end of a PDU tells nothing.
                if answers + inbound > 0 {
                    self.first_reach = if inbound > answers / 2 { FIRST_READ_INBOUND } else { FIRST_READ };
                }
                if !self.full {
                    self.reach = self.first_reach;
                }
            }
            Some(Err(error)) => self.lose(now, Down::Broken(error.to_string())),
        }
    }

    fn take_octets(&mut self, now: Now, octets: &[u8]) {
        for sip in octets.chunks(SIP) {
            self.input(now, Input::Octets(STREAM, Payload::octets(sip)));
        }
    }

    fn take_time(&mut self, now: Now) {
        if self.session.deadline().is_some_and(|deadline| deadline <= now.mono) {
            self.input(now, Input::Tick);
        }
    }

    fn take_command(&mut self, now: Now, command: &ToLink, generation: u64) {
        match command {
            ToLink::Submit(ticket, attempt, part) if self.over.is_none() && self.session.room() > 0 => {
                self.submit(now, *ticket, *attempt, part);
            }
            ToLink::Submit(ticket, ..) => self.turn_away(*ticket),
            ToLink::Settle(of, inbounds, word) if *of == generation => self.settle(now, inbounds, word),
            ToLink::Settle(..) => {}
            ToLink::Probe => self.input(now, Input::Probe),
            ToLink::Unbind => self.input(now, Input::Unbind),
        }
    }

    fn settle(&mut self, now: Now, inbounds: &[Inbound], word: &Settle) {
        if self.over.is_none() {
            let mut each = inbounds.iter().map(|inbound| Input::Settle(*inbound, word.clone()));
            let outcome = self.call(|session| each.try_for_each(|input| session.input(now, input)));
            self.follow(now, outcome);
        }
    }

    /// Only while the session lives and has room; what it says is collected with that of others. A part on which it
    /// panics is at fault, and has not been sent, nor have those before it.
    fn submit(&mut self, now: Now, ticket: Ticket, attempt: AttemptRef, part: &Part) {
        self.open.insert(ticket);
        let outcome = self.give(|session| session.input(now, Input::Submit(ticket, attempt, part)));
        match outcome {
            Ok(()) => self.fresh.push(ticket),
            Err(Down::Panicked) => {
                self.open.remove(&ticket);
                let refusal = Refusal { verdict: Verdict::Reroute, code: "internal error on this part".to_owned() };
                self.said.push(FromLink::Event(Event::Refused(ticket, refusal)));
                self.said.push(FromLink::Event(Event::Freed(ticket)));
                self.finish(Down::Panicked);
            }
            Err(why) => {
                let collected = self.collect();
                self.follow(now, collected.and(Err(why)));
            }
        }
    }

    /// Sends what waits, as far as the session has room; how much that was.
    fn serve(&mut self, now: Now, porter: &mut Porter) -> u32 {
        let mut served = 0;
        while self.over.is_none() && self.session.room() > 0 {
            let Some((ticket, attempt, part)) = porter.next() else { break };
            self.submit(now, ticket, attempt, &part);
            served += 1;
        }
        served
    }

    fn turn_away(&mut self, ticket: Ticket) {
        self.unanswered(ticket, u64::MAX);
    }

    /// One write of all there is; the rest waits for the socket. After the session's end this is its goodbye, sent as
    /// far as the socket takes it.
    fn write(&mut self, buffer: &mut [u8]) {
        if self.out.is_empty() || self.broken {
            return;
        }
        match self.stream.try_write(&self.out) {
            Ok(taken) => {
                self.written += taken as u64;
                self.out.advance(taken);
                self.unacked.wrote(Instant::now);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                self.salvage(buffer);
                self.lose(now(), Down::Broken(error.to_string()));
            }
        }
    }

    /// Reads what had already arrived when a write failed.
    fn salvage(&mut self, buffer: &mut [u8]) {
        for _ in 0..SALVAGE_READS {
            match self.stream.try_read(buffer) {
                Ok(length @ 1..) => self.take_octets(now(), &buffer[..length]),
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Puts what the session said into the outbox, judging doubt by what is written and acknowledged now.
    fn tell(&mut self, outbox: &mut Outbox) {
        if !self.unsure.is_empty() {
            self.lost |= self.over.is_some();
            let progress = self.progress();
            for (at, offset) in self.unsure.drain(..) {
                if let Some(FromLink::Unanswered(_, doubt)) = self.said.get_mut(at) {
                    *doubt = progress.doubt(offset);
                }
            }
        }
        outbox.append(&mut self.said);
    }

    /// Tells how long octets have waited to be acknowledged, where that is due. Not while events wait for a full
    /// channel, where ages would pile up.
    fn look(&mut self, now: Now, outbox: &mut Outbox) {
        let now = Instant::from_std(now.mono);
        if self.bound_at.is_none() || outbox.waiting() || self.unacked.look_at().is_none_or(|at| at > now) {
            return;
        }
        match (tcp_info::look(&self.stream), self.baseline) {
            (Ok(seen), Some(baseline)) => {
                let seen = Look { acked: seen.acked.saturating_sub(baseline), ..seen };
                if let Some(age) = self.unacked.look(now, self.written, seen) {
                    outbox.push(FromLink::Unacked(age));
                }
            }
            _ => self.unacked.blind(),
        }
    }

    fn progress(&self) -> Progress {
        let acked = tcp_info::bytes_acked(&self.stream).ok();
        let acked = acked.zip(self.baseline).map(|(acked, baseline)| acked.saturating_sub(baseline));
        Progress { written: self.written, acked, over: self.over.is_some() }
    }

    fn outcome(&self, why: &Down) -> Outcome {
        match (why, self.bound_at) {
            (Down::Fault(Fault::BindRefused { permanent: true, .. }), _) => Outcome::Barred,
            (_, Some(since)) => Outcome::Bound(since.elapsed()),
            (_, None) => Outcome::Failed,
        }
    }

    /// Sees to it that the timer rings at the session's deadline, or when acknowledgements are to be looked at. It is not moved when the deadline
    /// moves away, as it does with every answer: ringing early now and then is cheaper.
    fn arm(&mut self, waiting: bool) {
        // Before the login is accepted, and while events wait for a full channel, nothing would come of a look.
        let look = self.unacked.look_at().filter(|_| self.bound_at.is_some() && !waiting);
        let deadline = self.session.deadline().map(Instant::from_std).into_iter().chain(look).min();
        self.armed = deadline.is_some();
        if let Some(deadline) = deadline
            && (self.timer.is_elapsed() || deadline < self.timer.deadline())
        {
            self.timer.as_mut().reset(deadline);
        }
    }

    /// Ready as soon as there is anything to do; takes all commands, and at most one read.
    fn poll_wake(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        inbox: &mut mpsc::UnboundedReceiver<Vec<ToLink>>,
        commands: &mut Vec<Vec<ToLink>>,
        outbox: &mut Outbox,
    ) -> Poll<Option<io::Result<usize>>> {
        let mut read = None;
        let mut awake = inbox.poll_recv_many(cx, commands, usize::MAX).is_ready();
        // What is here already is no late answer.
        let due = self.session.deadline().is_some_and(|deadline| deadline <= Instant::now().into_std());
        let first = awake && std::mem::take(&mut self.full) && !due;
        if !first && self.out.len() <= OUT_LIMIT && !outbox.backlogged() {
            let reach = if due { buffer.len() } else { self.reach.min(buffer.len()) };
            let mut buffer = ReadBuf::new(&mut buffer[..reach]);
            if let Poll::Ready(outcome) = Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                read = Some(outcome.map(|()| buffer.filled().len()));
            }
            self.full = read.is_some() && buffer.remaining() == 0;
            self.reach = if self.full { (2 * reach).min(READ_BUFFER) } else { self.first_reach };
        }
        awake |= read.is_some();
        awake |= !self.out.is_empty() && self.stream.poll_write_ready(cx).is_ready();
        awake |= self.armed && self.timer.as_mut().poll(cx).is_ready();
        awake |= outbox.waiting() && outbox.poll(cx).is_ready();
        if awake { Poll::Ready(read) } else { Poll::Pending }
    }
}

async fn dial_after(wait: Duration, target: String, settings: crate::Settings) -> Result<Dialled, Down> {
    if !wait.is_zero() {
        sleep(wait).await;
    }
    dial(target, settings).await
}

fn now() -> Now {
    // Tokio's clock is the monotonic one, and the tests' clock in the tests.
    Now { mono: Instant::now().into_std(), wall: SystemTime::now() }
}
