//! Parts that wait at the door of a leg dialled on demand, until its connection is there. Pure.
//!
//! | state | entered by | a part | left by |
//! |---|---|---|---|
//! | shut | the start; `shut`: no connection to be had | not taken | `open`, a login |
//! | open | `open(window)` | kept, at most a window of them | `shut` |
//!
//! Open outlives the connection: that is what makes a leg without one report room. With a connection, the first message's
//! parts are handed to the session, and the rest comes back unsent: it was granted at another time, and would go all at
//! once. Without one, everything comes back.

use std::collections::VecDeque;

use carriers::{AttemptRef, Part, Ticket};

/// A part to be sent.
pub(crate) type Parcel = (Ticket, AttemptRef, Part);

/// The waiting parts of one link.
#[derive(Default)]
pub(crate) struct Porter {
    /// How many may wait; none while shut.
    room: usize,
    waiting: VecDeque<Parcel>,
}

impl Porter {
    /// The carrier took the login: from now on parts are kept, connection or not.
    pub(crate) fn open(&mut self, window: usize) {
        self.room = window;
    }

    /// Whether parts are kept.
    pub(crate) fn is_open(&self) -> bool {
        self.room > 0
    }

    /// Keeps a part, or gives its ticket back.
    pub(crate) fn keep(&mut self, parcel: Parcel) -> Result<(), Ticket> {
        if self.waiting.len() >= self.room {
            return Err(parcel.0);
        }
        self.waiting.push_back(parcel);
        Ok(())
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// Whether somebody waits.
    pub(crate) fn is_called(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next part for the session.
    pub(crate) fn next(&mut self) -> Option<Parcel> {
        self.waiting.pop_front()
    }

    /// There is a connection: what waited behind the first message, unsent.
    pub(crate) fn first_only(&mut self) -> Vec<Ticket> {
        let Some((_, first, _)) = self.waiting.front() else { return Vec::new() };
        let kept = self.waiting.iter().take_while(|(_, attempt, _)| attempt == first).count();
        self.waiting.drain(kept..).map(|parcel| parcel.0).collect()
    }

    /// There is no connection to be had: what waited, unsent.
    pub(crate) fn shut(&mut self) -> impl Iterator<Item = Ticket> {
        self.room = 0;
        std::mem::take(&mut self.waiting).into_iter().map(|parcel| parcel.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carriers::Coding;

    fn parcel(number: u64) -> Parcel {
        parcel_of(0, number)
    }

    fn parcel_of(attempt: u64, number: u64) -> Parcel {
        let part = Part {
            to: "".into(),
            sender: None,
            coding: Coding::Ascii,
            data: bytes::Bytes::new(),
            udh: false,
            index: 0,
            total: 1,
            reference: 0,
            valid_for: std::time::Duration::ZERO,
            receipt: false,
            options: String::new(),
        };
        (Ticket(number), AttemptRef(attempt), part)
    }

    #[test]
    fn nothing_is_kept_while_shut_and_a_window_while_open() {
        let mut porter = Porter::default();
        assert_eq!((porter.keep(parcel(1)), porter.is_open()), (Err(Ticket(1)), false));
        porter.open(2);
        assert_eq!((porter.keep(parcel(2)), porter.keep(parcel(3))), (Ok(()), Ok(())));
        assert_eq!((porter.keep(parcel(4)), porter.is_called()), (Err(Ticket(4)), true));
        assert_eq!(porter.next().map(|parcel| parcel.0), Some(Ticket(2)), "in the order they came");
        porter.open(2);
        assert_eq!(porter.keep(parcel(5)), Ok(()), "a second login forgets nobody");
        assert_eq!(porter.shut().collect::<Vec<_>>(), [Ticket(3), Ticket(5)]);
        assert_eq!((porter.is_called(), porter.is_open(), porter.keep(parcel(6))), (false, false, Err(Ticket(6))));
    }

    #[test]
    fn with_a_connection_the_first_message_goes_whole_and_the_rest_comes_back() {
        let mut porter = Porter::default();
        assert_eq!(porter.first_only(), []);
        porter.open(8);
        for (number, attempt) in [(1, 7), (2, 7), (3, 8), (4, 9), (5, 9)] {
            assert_eq!(porter.keep(parcel_of(attempt, number)), Ok(()));
        }
        assert_eq!(porter.first_only(), [Ticket(3), Ticket(4), Ticket(5)]);
        assert_eq!(porter.first_only(), [], "nothing is left behind it");
        assert_eq!(
            [porter.next(), porter.next(), porter.next()].map(|p| p.map(|p| p.0)),
            [Some(Ticket(1)), Some(Ticket(2)), None]
        );
    }
}
