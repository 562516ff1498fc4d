//! What a stream session wants done since it was last drained: octets in one buffer, events behind them, a close last.
//!
//! [`Outbox`] makes one `Transmit` of everything written since the last drain, so that the link writes once per
//! wake-up, and counts the octets of path 0, so that a part without an answer can be placed in the stream.

use std::collections::VecDeque;
use std::fmt;

use bytes::BytesMut;

use crate::session::{Event, Output, PathId, Payload};

/// Leniencies reported per drain; a flood of bad PDUs must not become a flood of events.
const LENIENCIES: usize = 64;
/// Octets of room to begin with: once what was handed out has been written and dropped, it is used again.
const ROOM: usize = 4096;
/// Events whose room is kept between two drains.
const KEPT: usize = 512;

/// Outputs of one stream session, in order.
pub struct Outbox {
    octets: BytesMut,
    handed_out: u64,
    events: VecDeque<Event>,
    leniencies: usize,
    close: bool,
}

impl Default for Outbox {
    fn default() -> Self {
        Outbox {
            octets: BytesMut::with_capacity(ROOM),
            handed_out: 0,
            events: VecDeque::new(),
            leniencies: 0,
            close: false,
        }
    }
}

/// Shows amounts only: the octets hold passwords and message text.
impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outbox { octets, handed_out, events, close, .. } = self;
        write!(f, "Outbox({} octets after {handed_out}, {} events, close: {close})", octets.len(), events.len())
    }
}

impl Outbox {
    /// Appends octets and returns the offset one past them in the stream of all octets ever written here.
    pub fn write(&mut self, append: impl FnOnce(&mut BytesMut)) -> u64 {
        append(&mut self.octets);
        self.handed_out + self.octets.len() as u64
    }

    /// Tells the gateway.
    pub fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Counts something taken although it should not be.
    pub fn lenient(&mut self, what: &'static str) {
        if self.leniencies < LENIENCIES {
            self.leniencies += 1;
            self.events.push_back(Event::Leniency(what));
        }
    }

    /// Closes path 0 after everything else.
    pub fn close(&mut self) {
        self.close = true;
    }

    /// The connection is gone: what was not handed out never will be. Returns how far the stream got.
    pub fn cut_off(&mut self) -> u64 {
        self.octets.clear();
        self.handed_out
    }

    /// All outputs at once: the octets to the end of `octets`, or in its place where that is empty, so that two buffers
    /// do for good.
    pub fn drain(&mut self, octets: &mut BytesMut, tell: &mut dyn FnMut(Output)) {
        self.handed_out += self.octets.len() as u64;
        if octets.is_empty() {
            std::mem::swap(octets, &mut self.octets);
        } else {
            octets.extend_from_slice(&self.octets);
            self.octets.clear();
        }
        for event in self.events.drain(..) {
            tell(Output::Event(event));
        }
        self.settled().into_iter().for_each(tell);
    }

    /// What follows the last event.
    fn settled(&mut self) -> Option<Output> {
        self.leniencies = 0;
        if self.events.capacity() > KEPT {
            self.events.shrink_to(KEPT);
        }
        std::mem::take(&mut self.close).then_some(Output::Close(PathId(0)))
    }

    /// The next output.
    pub fn pop(&mut self) -> Option<Output> {
        if !self.octets.is_empty() {
            self.handed_out += self.octets.len() as u64;
            let octets = self.octets.split().freeze();
            return Some(Output::Transmit(PathId(0), Payload::octets(octets)));
        }
        if let Some(event) = self.events.pop_front() {
            return Some(Output::Event(event));
        }
        self.settled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_transmit_then_events_then_close() {
        let mut outbox = Outbox::default();
        outbox.close();
        outbox.event(Event::ProbeAnswered);
        assert_eq!(outbox.write(|out| out.extend_from_slice(b"abc")), 3);
        assert_eq!(outbox.write(|out| out.extend_from_slice(b"de")), 5);
        let Some(Output::Transmit(PathId(0), payload)) = outbox.pop() else { panic!("octets first") };
        assert_eq!(&payload.body[..], b"abcde");
        assert!(matches!(outbox.pop(), Some(Output::Event(Event::ProbeAnswered))));
        assert!(matches!(outbox.pop(), Some(Output::Close(PathId(0)))));
        assert!(outbox.pop().is_none());
        assert_eq!(outbox.write(|out| out.extend_from_slice(b"f")), 6);
        assert_eq!(outbox.cut_off(), 5);
        assert!(outbox.pop().is_none());
    }

    #[test]
    fn drained_at_once_it_says_the_same() {
        let (mut outbox, mut octets, mut told) = (Outbox::default(), BytesMut::from("ab"), Vec::new());
        outbox.close();
        outbox.event(Event::ProbeAnswered);
        assert_eq!(outbox.write(|out| out.extend_from_slice(b"cde")), 3);
        outbox.drain(&mut octets, &mut |output| told.push(output));
        assert!(matches!(told[..], [Output::Event(Event::ProbeAnswered), Output::Close(PathId(0))]));
        assert_eq!((&octets[..], outbox.write(|out| out.extend_from_slice(b"f"))), (&b"abcde"[..], 4));
        assert_eq!(outbox.cut_off(), 3);
        assert!(outbox.pop().is_none());
    }

    #[test]
    fn a_flood_of_leniencies_is_capped_until_drained() {
        let mut outbox = Outbox::default();
        (0..1000).for_each(|_| outbox.lenient("x"));
        let drained = std::iter::from_fn(|| outbox.pop()).count();
        assert_eq!(drained, LENIENCIES);
        outbox.lenient("x");
        assert!(outbox.pop().is_some());
    }
}
