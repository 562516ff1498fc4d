//! What goes to an endpoint: events, and the letters that are made of them. A letter once formed never changes: its
//! `webhook-id` and body are the same in every call, in memory and on disk.

use std::fmt;
use std::io::Write as _;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::clock::Wall;
use crate::ids::MessageId;

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

impl Event {
    /// An event of that kind (`message.delivered` and its like) as it stands in a body; `data` is a JSON object.
    pub fn render(which: EventRef, kind: &str, data: &str) -> Event {
        let mut json = Vec::with_capacity(data.len() + 128);
        // Writing to memory does not fail; ids, kinds and times hold nothing that needs escapes.
        let _ = write!(
            json,
            r#"{{"id":"{which}","type":"{kind}","time":"{}","seq":{},"data":{data}}}"#,
            which.at, which.seq
        );
        Event { which, json: json.into() }
    }
}

/// Where a letter lies on disk: among those that wait, in the order of their due times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Not called before.
    pub due: Wall,
    /// Its number, which no other letter has.
    pub number: MessageId,
}

/// Events that go out together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// `webhook-id`.
    pub id: String,
    /// The request's body.
    pub body: Bytes,
    /// What is in it.
    pub events: Vec<EventRef>,
    /// Calls made.
    pub tries: u32,
    /// When its first event came to be told.
    pub since: Wall,
    /// How the last call failed, in words; empty before.
    pub failure: String,
    /// Where it lies on disk; `None` while only memory has it.
    pub place: Option<Place>,
}

/// Octets around the events of a body.
const ENVELOPE: usize = "{\"events\":[]}".len();

/// A letter being made.
pub struct Draft {
    body: Vec<u8>,
    names: Sha256,
    last: String,
    events: Vec<EventRef>,
    salted: bool,
}

impl Draft {
    /// An empty letter of about `octets`. A `salt` makes its name another than that of other letters with the same
    /// events.
    pub fn new(octets: usize, salt: Option<&str>) -> Draft {
        let mut body = Vec::with_capacity(octets + ENVELOPE);
        body.extend_from_slice(b"{\"events\":[");
        let mut names = Sha256::new();
        if let Some(salt) = salt {
            names.update(salt);
        }
        Draft { body, names, last: String::new(), events: Vec::new(), salted: salt.is_some() }
    }

    /// Whether an event still fits; the first always does.
    pub fn fits(&self, event: &Event, most_events: usize, most_octets: usize) -> bool {
        let within = self.body.len() + 1 + event.json.len() + 2 <= most_octets;
        self.events.is_empty() || self.events.len() < most_events && within
    }

    /// Adds an event.
    pub fn add(&mut self, event: &Event) {
        if !self.events.is_empty() {
            self.body.push(b',');
        }
        self.body.extend_from_slice(&event.json);
        self.last = event.which.to_string();
        self.names.update(&self.last);
        self.names.update(b" ");
        self.events.push(event.which);
    }

    /// The letter. It is named after what is in it: the same events again (after a restart) are the same call to a
    /// receiver that drops repetitions, other events are another.
    pub fn done(mut self, since: Wall) -> Letter {
        self.body.extend_from_slice(b"]}");
        let id = if self.events.len() == 1 && !self.salted {
            self.last
        } else {
            self.names.finalize()[..12].iter().map(|octet| format!("{octet:02x}")).collect()
        };
        let (body, events) = (self.body.into(), self.events);
        Letter { id, body, events, tries: 0, since, failure: String::new(), place: None }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(events: std::ops::Range<u64>, salt: Option<&str>) -> Letter {
        let mut draft = Draft::new(0, salt);
        for n in events {
            let which = EventRef { id: MessageId(n), seq: 1, at: Wall(0) };
            draft.add(&Event { which, json: format!("{{\"n\":{n}}}").into() });
        }
        draft.done(Wall(0))
    }

    #[test]
    fn a_letters_name_says_what_is_in_it() {
        assert_eq!(form(7..8, None).id, "000000000007-1");
        assert_eq!(form(1..3, None).id, form(1..3, None).id, "the same events again are the same call");
        let names =
            [form(1..3, None), form(1..4, None), form(1..2, None), form(1..3, Some("x")), form(1..2, Some("x"))];
        let names: std::collections::BTreeSet<String> = names.into_iter().map(|letter| letter.id).collect();
        assert_eq!(names.len(), 5);
        assert_eq!(&form(1..3, None).body[..], b"{\"events\":[{\"n\":1},{\"n\":2}]}");
    }
}
