//! Signs of life: after `idle` without a PDU the far side is probed; after `patience` more without one it is silent, or
//! probed again where the link allows for several tries.
//!
//! [`Keepalive`] serves every protocol with a probe PDU (enquire_link, ACTIVE_TEST). Any whole PDU counts as a sign of
//! life, the answer to the probe being only one of them; octets that never complete a PDU do not.

use std::time::{Duration, Instant};

/// What the keepalive asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Send a probe now.
    Probe,
    /// Nothing was heard in time: the link is over.
    Silent,
}

/// The keepalive clock of one link.
#[derive(Debug)]
pub struct Keepalive {
    idle: Duration,
    patience: Duration,
    tries: u32,
    heard: Instant,
    /// When the first probe that nothing followed was sent, and how many have been.
    probed: Option<(Instant, u32)>,
}

impl Keepalive {
    /// Starts the clock at `now`.
    pub fn new(now: Instant, idle: Duration, patience: Duration) -> Self {
        Keepalive { idle, patience, tries: 1, heard: now, probed: None }
    }

    /// So many probes, `patience` apart, go unanswered before the far side is silent; at least one.
    pub fn tries(self, tries: u32) -> Self {
        Keepalive { tries: tries.max(1), ..self }
    }

    /// A whole PDU arrived.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.probed = None;
    }

    /// A probe was sent for another reason; silence is measured from the first one that nothing followed.
    pub fn probed(&mut self, now: Instant) {
        self.probed.get_or_insert((now, 1));
    }

    /// When to call [`Keepalive::tick`].
    pub fn deadline(&self) -> Instant {
        match self.probed {
            Some((at, sent)) => at + self.patience * sent,
            None => self.heard + self.idle,
        }
    }

    /// What is due at `now`.
    pub fn tick(&mut self, now: Instant) -> Option<Beat> {
        if now < self.deadline() {
            return None;
        }
        match &mut self.probed {
            Some((_, sent)) if *sent >= self.tries => return Some(Beat::Silent),
            Some((_, sent)) => *sent += 1,
            None => self.probed = Some((now, 1)),
        }
        Some(Beat::Probe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods, reason = "an origin for the arithmetic; nothing measures it")]
        Instant::now()
    }

    #[test]
    fn idle_is_probed_and_silence_is_a_fault() {
        let t = start();
        let mut k = Keepalive::new(t, 30 * S, 10 * S);
        assert_eq!(k.tick(t + 29 * S), None);
        assert_eq!((k.deadline(), k.tick(t + 30 * S)), (t + 30 * S, Some(Beat::Probe)));
        assert_eq!(k.tick(t + 39 * S), None);
        assert_eq!((k.deadline(), k.tick(t + 40 * S)), (t + 40 * S, Some(Beat::Silent)));
    }

    #[test]
    fn any_pdu_restarts_the_clock() {
        let t = start();
        let mut k = Keepalive::new(t, 30 * S, 10 * S);
        k.tick(t + 30 * S);
        k.heard(t + 35 * S);
        assert_eq!(k.tick(t + 64 * S), None);
        assert_eq!(k.tick(t + 65 * S), Some(Beat::Probe));
    }

    #[test]
    fn several_tries_are_sent_before_silence() {
        let t = start();
        let mut k = Keepalive::new(t, 30 * S, 10 * S).tries(3);
        for due in [30, 40, 50] {
            assert_eq!((k.deadline(), k.tick(t + due * S)), (t + due * S, Some(Beat::Probe)));
        }
        assert_eq!(k.tick(t + 59 * S), None);
        assert_eq!(k.tick(t + 60 * S), Some(Beat::Silent));
    }

    #[test]
    fn repeated_probes_do_not_postpone_the_fault() {
        let t = start();
        let mut k = Keepalive::new(t, 30 * S, 10 * S);
        k.probed(t + S);
        k.probed(t + 5 * S);
        assert_eq!(k.tick(t + 11 * S), Some(Beat::Silent));
    }
}
