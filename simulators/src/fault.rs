//! What goes wrong, and when: a timetable of faults per carrier, switched by the scenario or live.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::latency::{Latency, Span};
use crate::scenario::{Share, Status};
use crate::tongue::Codes;

/// The ways a carrier fails. Those marked *once* act when they start; with a duration they also meet every
/// connection made while they last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// *Once*: every connection ends with RST.
    Reset,
    /// Every connection is closed and the listener is gone.
    Refuse,
    /// Connections stay open; nothing is read or written.
    Hang,
    /// Everything is read, nothing is ever answered.
    Mute,
    /// Asking for a sign of life (enquire_link, ACTIVE_TEST) is answered, nothing else is.
    PingsOnly,
    /// Answers take `latency` longer (default 5 s).
    Slow,
    /// A `share` of submits (default all) is answered with `status` (default: the protocol's word for a system error).
    Errors,
    /// Every submit is answered with the protocol's throttle code.
    Throttle,
    /// Receipts that come due are never sent.
    DropReceipts,
    /// Every receipt is sent twice.
    DuplicateReceipts,
    /// *Once*: octets that are no PDU go out on every connection.
    Garbage,
    /// Octets go out one by one.
    SplitBytes,
    /// A connection is closed right after its `after`-th submit (default 1), which gets no answer.
    CloseAfter,
    /// A connection is closed right after an uplink message left on it, whose answer is never read.
    CloseAfterMo,
}

impl Kind {
    fn once(self) -> bool {
        matches!(self, Kind::Reset | Kind::Garbage)
    }
}

/// One entry of the timetable, also the body of `POST /faults`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What fails.
    pub kind: Kind,
    /// When it starts, from the start of the simulator (at once when posted).
    #[serde(default)]
    pub at: Span,
    /// How long it lasts; absent: until cleared, or a moment only where the kind says *once*.
    #[serde(rename = "for")]
    pub lasts: Option<Span>,
    /// `errors`: share of submits.
    pub share: Option<Share>,
    /// `errors`: what they are answered.
    pub status: Option<Status>,
    /// `slow`: what is added to each answer.
    pub latency: Option<Latency>,
    /// `close_after`: submits a connection lives for.
    pub after: Option<u32>,
}

impl Spec {
    /// A fault that starts at once, with the kind's defaults.
    pub fn now(kind: Kind, lasts: Option<Span>) -> Self {
        Self { kind, at: Span::default(), lasts, share: None, status: None, latency: None, after: None }
    }
}

#[derive(Debug)]
struct Active {
    spec: Spec,
    until: Option<Instant>,
}

/// What is wrong with one carrier now, and what will be.
#[derive(Debug)]
pub struct Faults {
    /// Not started, latest first.
    planned: Vec<(Instant, Spec)>,
    active: Vec<Active>,
}

/// What changed with the time.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Kinds that started.
    pub started: Vec<Kind>,
    /// Whether any ended.
    pub ended: bool,
}

impl Faults {
    /// The timetable of a scenario that started at `start`.
    pub fn new(specs: &[Spec], start: Instant) -> Self {
        let mut planned: Vec<_> = specs.iter().map(|spec| (start + spec.at.0, spec.clone())).collect();
        planned.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Self { planned, active: Vec::new() }
    }

    /// Starts `spec` now.
    pub fn start(&mut self, now: Instant, spec: Spec) {
        self.planned.push((now, spec));
    }

    /// Ends everything that is wrong; what is planned stays planned.
    pub fn clear(&mut self) {
        self.active.clear();
    }

    /// Starts and ends what is due.
    pub fn tick(&mut self, now: Instant) -> Change {
        let mut change = Change::default();
        let before = self.active.len();
        self.active.retain(|active| active.until.is_none_or(|until| until > now));
        change.ended = self.active.len() != before;
        while self.planned.last().is_some_and(|(at, _)| *at <= now) {
            let Some((at, spec)) = self.planned.pop() else { break };
            change.started.push(spec.kind);
            let until = spec.lasts.map(|span| at + span.0);
            if until.is_some() || !spec.kind.once() {
                self.active.push(Active { spec, until });
            }
        }
        change
    }

    /// When [`Faults::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let ends = self.active.iter().filter_map(|active| active.until);
        ends.chain(self.planned.last().map(|(at, _)| *at)).min()
    }

    /// Whether `kind` is in force.
    pub fn on(&self, kind: Kind) -> bool {
        self.active.iter().any(|active| active.spec.kind == kind)
    }

    /// The kinds in force.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.active.iter().map(|active| active.spec.kind)
    }

    /// What is added to an answer.
    pub fn delay(&self, rng: &mut fastrand::Rng) -> Duration {
        let law = self.find(Kind::Slow).map(|spec| spec.latency.unwrap_or(Latency::Fixed(Duration::from_secs(5))));
        law.map_or(Duration::ZERO, |law| law.draw(rng))
    }

    /// The status that a submit is to be answered with instead of being accepted.
    pub fn status(&self, rng: &mut fastrand::Rng, codes: Codes) -> Option<u32> {
        if self.active.is_empty() {
            return None;
        }
        if self.on(Kind::Throttle) {
            return Some(codes.throttled);
        }
        let errors = self.find(Kind::Errors)?;
        let hit = errors.share.is_none_or(|share| rng.f64() < share.0);
        hit.then(|| errors.status.map_or(codes.error, |status| status.0))
    }

    /// Submits a connection lives for.
    pub fn close_after(&self) -> Option<u32> {
        self.find(Kind::CloseAfter).map(|spec| spec.after.unwrap_or(1))
    }

    fn find(&self, kind: Kind) -> Option<&Spec> {
        self.active.iter().map(|active| &active.spec).find(|spec| spec.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Spec {
        toml::from_str(text).unwrap()
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_fault_starts_and_ends_on_time() {
        let t0 = Instant::now();
        let mut faults = Faults::new(&[spec("kind='mute'\nat=100\nfor=50"), spec("kind='slow'\nat=10\nlatency=7")], t0);
        assert_eq!(faults.deadline(), Some(t0 + ms(10)));
        assert_eq!(faults.tick(t0 + ms(10)).started, [Kind::Slow]);
        assert!(faults.on(Kind::Slow) && !faults.on(Kind::Mute));
        assert_eq!(faults.delay(&mut fastrand::Rng::with_seed(0)), ms(7));
        assert_eq!(faults.tick(t0 + ms(100)).started, [Kind::Mute]);
        assert_eq!(faults.deadline(), Some(t0 + ms(150)));
        assert!(faults.tick(t0 + ms(150)).ended);
        assert!(!faults.on(Kind::Mute) && faults.on(Kind::Slow));
        faults.clear();
        assert_eq!(faults.kinds().count(), 0);
    }

    #[test]
    fn a_reset_without_duration_is_a_moment() {
        let t0 = Instant::now();
        let mut faults = Faults::new(&[], t0);
        faults.start(t0, spec("kind='reset'"));
        assert_eq!(faults.tick(t0).started, [Kind::Reset]);
        assert!(!faults.on(Kind::Reset));
        faults.start(t0, spec("kind='reset'\nfor='1s'"));
        faults.tick(t0);
        assert!(faults.on(Kind::Reset));
    }

    #[test]
    fn errors_hit_their_share() {
        let t0 = Instant::now();
        let mut faults = Faults::new(&[spec("kind='errors'\nshare=0.3\nstatus='ESME_RMSGQFUL'")], t0);
        faults.tick(t0);
        let mut rng = fastrand::Rng::with_seed(3);
        let hits = (0..10_000).filter(|_| faults.status(&mut rng, crate::smpp::CODES) == Some(0x14)).count();
        assert!((2_700..3_300).contains(&hits), "{hits}");
    }
}
