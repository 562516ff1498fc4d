//! One endpoint's queue: which events form a batch, when a batch goes out again, when the endpoint rests. No clock, no
//! I/O, no randomness: time and jitter are arguments.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::clock::{Time, Wall};
use crate::ids::MessageId;

/// How events are delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Most calls at once to one endpoint.
    pub in_flight: usize,
    /// Most events in a batch.
    pub batch_events: usize,
    /// Most octets of a batch.
    pub batch_octets: usize,
    /// How long an event may wait for company while another call is under way.
    pub linger: Duration,
    /// Connecting may take this long.
    pub connect: Duration,
    /// The whole call may take this long.
    pub total: Duration,
    /// Wait before the n-th repetition; the last repeats.
    pub schedule: Vec<Duration>,
    /// From a batch's first call; beyond, it is given up.
    pub give_up_after: Duration,
    /// Failures in a row that open the circuit.
    pub trip_after: u32,
    /// How often an open circuit lets one call through.
    pub trial_every: Duration,
    /// Most events waiting per endpoint; beyond, the oldest are given up.
    pub most_events: usize,
    /// Most octets of events waiting per endpoint.
    pub most_octets: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = [5, 30, 120, 600, 1_800, 3_600];
        Settings {
            in_flight: 16,
            batch_events: 100,
            batch_octets: 256 * 1024,
            linger: Duration::from_millis(20),
            connect: Duration::from_secs(3),
            total: Duration::from_secs(10),
            schedule: seconds.map(Duration::from_secs).to_vec(),
            give_up_after: Duration::from_secs(24 * 3600),
            trip_after: 10,
            trial_every: Duration::from_secs(30),
            most_events: 200_000,
            most_octets: 128 * 1024 * 1024,
        }
    }
}

/// Which event; `Display` is its id in the body, the same over repetitions and restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRef {
    /// Its message.
    pub id: MessageId,
    /// Its number within the message.
    pub seq: u32,
    /// When it happened.
    pub at: Wall,
}

impl fmt::Display for EventRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.id, self.seq)
    }
}

/// An event, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which.
    pub which: EventRef,
    /// Its JSON object.
    pub json: Bytes,
}

/// Events that go out together. Once formed it never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// `webhook-id`.
    pub id: String,
    /// The request's body.
    pub body: Bytes,
    /// What is in it.
    pub events: Vec<EventRef>,
    tries: u32,
    since: Time,
    due: Time,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// 2xx.
    Taken,
    /// Anything else, with the wait the endpoint asked for.
    Failed(Option<Duration>),
}

/// What follows from a call.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ends {
    /// The endpoint has these.
    pub delivered: Vec<EventRef>,
    /// These have been tried for long enough.
    pub given_up: Vec<EventRef>,
    /// This many go out again.
    pub again: usize,
    /// The circuit opened with this call.
    pub tripped: bool,
}

/// The queue of one endpoint.
#[derive(Debug)]
pub struct Queue {
    settings: Settings,
    /// Events not yet in a batch, each with its arrival.
    waiting: VecDeque<(Time, Event)>,
    waiting_octets: usize,
    /// Batches to be sent again. Few: an endpoint that only fails rests, and one that fails now and then takes the rest.
    again: Vec<Batch>,
    again_octets: usize,
    in_flight: usize,
    failures: u32,
    /// No call before this time, set while the circuit is open.
    rests_until: Option<Time>,
}

/// Octets around the events of a body.
const ENVELOPE: usize = "{\"events\":[]}".len();

impl Queue {
    /// An empty queue.
    pub fn new(settings: Settings) -> Self {
        Queue {
            settings,
            waiting: VecDeque::new(),
            waiting_octets: 0,
            again: Vec::new(),
            again_octets: 0,
            in_flight: 0,
            failures: 0,
            rests_until: None,
        }
    }

    /// Adds an event; gives back those that no longer have room: what was tried longest, then what waited longest.
    pub fn push(&mut self, now: Time, event: Event) -> Vec<EventRef> {
        self.waiting_octets += event.json.len();
        self.waiting.push_back((now, event));
        let mut dropped = Vec::new();
        while self.backlog() > self.settings.most_events
            || self.waiting_octets + self.again_octets > self.settings.most_octets
        {
            match self.again.iter().enumerate().min_by_key(|(_, b)| b.since) {
                Some((oldest, _)) => dropped.extend(self.take_again(oldest).events),
                None => dropped.extend(self.take_waiting().map(|e| e.which)),
            }
        }
        dropped
    }

    /// Events that wait, for their first call or another.
    pub fn backlog(&self) -> usize {
        self.waiting.len() + self.again.iter().map(|b| b.events.len()).sum::<usize>()
    }

    /// Nothing waits and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.again.is_empty() && self.in_flight == 0
    }

    /// The next batch to send now, to be answered through [`Queue::answered`].
    pub fn next(&mut self, now: Time) -> Option<Batch> {
        if !self.may_call(now) {
            return None;
        }
        let batch = self.due_again(now).or_else(|| self.form(now))?;
        self.in_flight += 1;
        Some(batch)
    }

    /// When [`Queue::next`] may have something it has not now, without a further event or answer.
    pub fn deadline(&self) -> Option<Time> {
        if self.in_flight >= self.settings.in_flight || self.on_trial() {
            return None;
        }
        let again = self.again.iter().map(|b| b.due).min();
        let fresh = self.waiting.front().map(|(since, _)| since.after(self.settings.linger));
        let due = [again, fresh].into_iter().flatten().min()?;
        Some(self.rests_until.map_or(due, |until| until.max(due)))
    }

    /// Takes the end of a call. `jitter` in 0..1 spreads the next one by a fifth either way.
    pub fn answered(&mut self, now: Time, mut batch: Batch, called: Called, jitter: f64) -> Ends {
        self.in_flight = self.in_flight.saturating_sub(1);
        let asked = match called {
            Called::Taken => {
                self.failures = 0;
                self.rests_until = None;
                return Ends { delivered: batch.events, ..Ends::default() };
            }
            Called::Failed(asked) => asked.unwrap_or_default(),
        };
        self.failures = self.failures.saturating_add(1);
        let mut ends = Ends::default();
        if self.failures >= self.settings.trip_after {
            ends.tripped = self.rests_until.is_none();
            self.rests_until = Some(now.after(self.settings.trial_every));
        }
        let schedule = &self.settings.schedule;
        let step = schedule.get(batch.tries as usize).or(schedule.last()).copied().unwrap_or_default();
        batch.tries += 1;
        batch.due = now.after(step.mul_f64(0.8 + 0.4 * jitter).max(asked));
        if batch.due.since(batch.since) > self.settings.give_up_after {
            ends.given_up = batch.events;
        } else {
            ends.again = batch.events.len();
            self.again_octets += batch.body.len();
            self.again.push(batch);
        }
        // Events that waited a day for a dead endpoint need no calls of their own.
        while self.waiting.front().is_some_and(|(since, _)| now.since(*since) > self.settings.give_up_after) {
            ends.given_up.extend(self.take_waiting().map(|e| e.which));
        }
        ends
    }

    /// Everything that waits, for an endpoint that is gone. What is in flight still comes back.
    pub fn clear(&mut self) -> Vec<EventRef> {
        (self.waiting_octets, self.again_octets) = (0, 0);
        let again = self.again.drain(..).flat_map(|b| b.events);
        again.chain(self.waiting.drain(..).map(|(_, e)| e.which)).collect()
    }

    /// An open circuit has its one call out.
    fn on_trial(&self) -> bool {
        self.rests_until.is_some() && self.in_flight > 0
    }

    fn may_call(&self, now: Time) -> bool {
        let resting = self.rests_until.is_some_and(|until| now < until);
        self.in_flight < self.settings.in_flight && !resting && !self.on_trial()
    }

    fn due_again(&mut self, now: Time) -> Option<Batch> {
        let (at, _) = self.again.iter().enumerate().filter(|(_, b)| b.due <= now).min_by_key(|(_, b)| b.due)?;
        Some(self.take_again(at))
    }

    fn take_again(&mut self, at: usize) -> Batch {
        let batch = self.again.swap_remove(at);
        self.again_octets -= batch.body.len();
        batch
    }

    /// A new batch: at once where nothing is under way, else when it is full or its first event has waited long enough.
    /// So calls are few where events are many, and an event alone does not wait.
    fn form(&mut self, now: Time) -> Option<Batch> {
        let since = self.waiting.front()?.0;
        let full =
            self.waiting.len() >= self.settings.batch_events || self.waiting_octets >= self.settings.batch_octets;
        if self.in_flight > 0 && !full && now < since.after(self.settings.linger) {
            return None;
        }
        let mut body = Vec::with_capacity(self.waiting_octets.min(self.settings.batch_octets) + ENVELOPE);
        let mut names = Sha256::new();
        let mut id = String::new();
        let mut events = Vec::new();
        body.extend_from_slice(b"{\"events\":[");
        while let Some((_, event)) = self.waiting.front() {
            let fits = events.is_empty() || body.len() + 1 + event.json.len() + 2 <= self.settings.batch_octets;
            if events.len() >= self.settings.batch_events || !fits {
                break;
            }
            let Some(event) = self.take_waiting() else { break };
            if !events.is_empty() {
                body.push(b',');
            }
            body.extend_from_slice(&event.json);
            id = event.which.to_string();
            names.update(&id);
            names.update(b" ");
            events.push(event.which);
        }
        body.extend_from_slice(b"]}");
        if events.len() > 1 {
            // Named after what is in it: the same events again (after a restart) are the same call to a receiver that
            // drops repetitions, other events are another.
            id = names.finalize()[..12].iter().map(|octet| format!("{octet:02x}")).collect();
        }
        Some(Batch { id, body: body.into(), events, tries: 0, since: now, due: now })
    }

    fn take_waiting(&mut self) -> Option<Event> {
        let (_, event) = self.waiting.pop_front()?;
        self.waiting_octets -= event.json.len();
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn queue() -> Queue {
        Queue::new(Settings::default())
    }

    fn event(n: u32) -> Event {
        let which = EventRef { id: MessageId(u64::from(n)), seq: 1, at: Wall(0) };
        Event { which, json: format!("{{\"n\":{n}}}").into() }
    }

    fn push(queue: &mut Queue, now: Time, events: std::ops::Range<u32>) {
        for n in events {
            assert!(queue.push(now, event(n)).is_empty());
        }
    }

    /// A call at the time it is due; panics where nothing ever is.
    fn call(queue: &mut Queue, now: &mut Time) -> Batch {
        if let Some(batch) = queue.next(*now) {
            return batch;
        }
        let due = queue.deadline().expect("something is due");
        assert!(due > *now, "a deadline that has passed has nothing to offer: the courier would spin");
        *now = due;
        queue.next(*now).expect("what the deadline promised")
    }

    #[test]
    fn an_event_alone_goes_at_once_and_the_next_ones_together() {
        let (mut queue, mut now) = (queue(), Time(0));
        push(&mut queue, now, 0..1);
        let first = queue.next(now).expect("at once");
        assert_eq!(&first.body[..], b"{\"events\":[{\"n\":0}]}");
        assert_eq!(first.id, "000000000000-1");
        push(&mut queue, now, 1..4);
        assert_eq!(queue.next(now), None, "company may come while a call is under way");
        let second = call(&mut queue, &mut now);
        assert_eq!((second.events.len(), now), (3, Time(20_000)));
        assert_eq!(&second.body[..], b"{\"events\":[{\"n\":1},{\"n\":2},{\"n\":3}]}");
        push(&mut queue, now, 4..6);
        queue.answered(now, first, Called::Taken, 0.5);
        queue.answered(now, second, Called::Taken, 0.5);
        assert_eq!(queue.next(now).map(|b| b.events.len()), Some(2), "nothing under way: no waiting");
    }

    #[test]
    fn batches_keep_their_limits_and_full_ones_do_not_wait() {
        let (mut queue, now) = (queue(), Time(0));
        push(&mut queue, now, 0..250);
        let sizes: Vec<usize> = std::iter::from_fn(|| queue.next(now)).map(|b| b.events.len()).collect();
        assert_eq!(sizes, [100, 100], "the rest waits for its linger");
        let limit = Settings { batch_octets: 40, ..Settings::default() };
        let mut queue = Queue::new(limit);
        push(&mut queue, now, 0..9);
        let mut at = now;
        while queue.backlog() > 0 {
            let batch = call(&mut queue, &mut at);
            assert!(batch.body.len() <= 40, "{}", batch.body.len());
        }
    }

    #[test]
    fn calls_at_once_are_bounded() {
        let (mut queue, now) = (queue(), Time(0));
        push(&mut queue, now, 0..5_000);
        assert_eq!(std::iter::from_fn(|| queue.next(now)).count(), 16);
        assert_eq!(queue.deadline(), None, "only an answer helps");
    }

    #[test]
    fn a_batch_is_repeated_unchanged_by_the_schedule_for_a_day() {
        let (mut queue, mut now) = (queue(), Time(0));
        push(&mut queue, now, 0..3);
        let first = queue.next(now).expect("at once");
        let (id, body) = (first.id.clone(), first.body.clone());
        let (mut batch, mut waits, mut ends) = (first, Vec::new(), Ends::default());
        while ends.given_up.is_empty() {
            let failed = now;
            ends = queue.answered(now, batch, Called::Failed(None), 0.5);
            if ends.again == 0 {
                break;
            }
            batch = call(&mut queue, &mut now);
            assert_eq!((&batch.id, &batch.body), (&id, &body));
            waits.push(now.since(failed).as_secs());
            // An endpoint that fails alone must not open its circuit here: another batch gets through in between.
            queue.failures = 0;
        }
        assert_eq!(waits[..6], [5, 30, 120, 600, 1_800, 3_600]);
        assert!(waits[6..].iter().all(|wait| *wait == 3_600));
        assert_eq!(waits.len(), 28, "hourly until a day is over");
        assert_eq!(ends.given_up.len(), 3);
        assert!(queue.is_idle());
    }

    #[test]
    fn jitter_and_the_endpoints_own_wish_move_the_next_call() {
        for (jitter, asked, want) in [
            (0.0, None, 4_000_000),
            (1.0, None, 6_000_000),
            (0.0, Some(60 * SECOND), 60_000_000),
            (0.5, Some(SECOND), 5_000_000),
        ] {
            let (mut queue, now) = (queue(), Time(0));
            push(&mut queue, now, 0..1);
            let batch = queue.next(now).expect("at once");
            queue.answered(now, batch, Called::Failed(asked), jitter);
            assert_eq!(queue.deadline(), Some(Time(want)));
        }
    }

    #[test]
    fn ten_failures_rest_the_endpoint_and_a_trial_wakes_it() {
        let (mut queue, mut now) = (queue(), Time(0));
        push(&mut queue, now, 0..1_600);
        let calls: Vec<Batch> = std::iter::from_fn(|| queue.next(now)).collect();
        assert_eq!(calls.len(), 16);
        let tripped: Vec<bool> =
            calls.into_iter().map(|batch| queue.answered(now, batch, Called::Failed(None), 0.5).tripped).collect();
        assert_eq!(tripped.iter().position(|t| *t), Some(9));
        assert_eq!(tripped.iter().filter(|t| **t).count(), 1);
        push(&mut queue, now, 1_600..1_601);
        for _ in 0..3 {
            let before = now;
            let trial = call(&mut queue, &mut now);
            assert_eq!(now.since(before), 30 * SECOND);
            assert_eq!((queue.next(now), queue.deadline()), (None, None), "one trial at a time");
            queue.answered(now, trial, Called::Failed(None), 0.5);
        }
        let trial = call(&mut queue, &mut now);
        queue.answered(now, trial, Called::Taken, 0.5);
        assert_eq!(std::iter::from_fn(|| queue.next(now)).count(), 16, "back to full speed");
    }

    #[test]
    fn a_dead_endpoint_holds_no_more_than_its_share() {
        let settings = Settings { most_events: 10, ..Settings::default() };
        let (mut queue, now) = (Queue::new(settings), Time(0));
        push(&mut queue, now, 0..4);
        let batch = queue.next(now).expect("at once");
        queue.answered(now, batch, Called::Failed(None), 0.5);
        push(&mut queue, now, 4..10);
        let dropped = queue.push(now, event(10));
        assert_eq!(dropped.iter().map(|e| e.id.0).collect::<Vec<_>>(), [0, 1, 2, 3], "what was tried goes first");
        push(&mut queue, now, 11..14);
        assert_eq!(queue.push(now, event(14)).iter().map(|e| e.id.0).collect::<Vec<_>>(), [4]);
        assert_eq!(queue.backlog(), 10);
    }

    #[test]
    fn events_that_waited_a_day_are_given_up_with_a_failed_trial() {
        let (mut queue, mut now) = (Queue::new(Settings { batch_events: 1, ..Settings::default() }), Time(0));
        push(&mut queue, now, 0..2);
        let batch = queue.next(now).expect("at once");
        now = now.after(25 * 3_600 * SECOND);
        let ends = queue.answered(now, batch, Called::Failed(None), 0.5);
        assert_eq!(ends.given_up.len(), 2);
        assert!(queue.is_idle());
    }

    #[test]
    fn a_batchs_id_says_what_is_in_it() {
        let form = |events: std::ops::Range<u32>| {
            let mut queue = queue();
            push(&mut queue, Time(0), events);
            queue.next(Time(0)).expect("at once").id
        };
        assert_eq!(form(1..3), form(1..3), "the same events again are the same call");
        assert_ne!(form(1..3), form(1..4));
        assert_ne!(form(1..2), form(1..3));
    }
}
