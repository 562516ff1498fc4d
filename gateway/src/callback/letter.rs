//! What goes to an endpoint: events, and the letters that are made of them. A letter once formed never changes: its
//! `webhook-id` and body are the same in every call, in memory and on disk.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::clock::Wall;
use crate::ids::MessageId;
use crate::json;

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

impl EventRef {
    /// Appends its id.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.letters());
        out.push(b'-');
        json::number(self.seq.into(), out);
    }
}

/// Room for an event as it stands in a body, used again and again: those of one turn mostly have the same time.
pub struct Page {
    json: Vec<u8>,
    at: Wall,
    letters: [u8; 24],
}

impl Default for Page {
    fn default() -> Self {
        Page::new(0)
    }
}

impl Page {
    /// Room for so many octets.
    fn new(octets: usize) -> Page {
        Page { json: Vec::with_capacity(octets), at: Wall(0), letters: Wall(0).letters() }
    }

    /// Writes an event of that kind (`message.delivered` and its like) in the place of the last; `content` appends its
    /// JSON object.
    pub fn write(&mut self, which: EventRef, kind: &str, content: impl FnOnce(&mut Vec<u8>)) {
        if self.at != which.at {
            (self.at, self.letters) = (which.at, which.at.letters());
        }
        let Page { json, letters, .. } = self;
        json.clear();
        // Ids, kinds and times hold nothing that needs escapes.
        json.extend_from_slice(b"{\"id\":\"");
        which.write(json);
        json.extend_from_slice(b"\",\"type\":\"");
        json.extend_from_slice(kind.as_bytes());
        json.extend_from_slice(b"\",\"time\":\"");
        json.extend_from_slice(letters);
        json.extend_from_slice(b"\",\"seq\":");
        json::number(which.seq.into(), json);
        json.extend_from_slice(b",\"data\":");
        content(json);
        json.push(b'}');
    }

    /// The event written last.
    pub fn json(&self) -> &[u8] {
        &self.json
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

/// Octets around the content: no event has more of them.
const FRAME: usize = r#"{"id":"000000000000-4294967295","type":"message.delivered","time":"2025-01-01T00:00:00.000Z","seq":4294967295,"data":}"#.len();

impl Event {
    /// As [`Page::write`] has it, where the content needs about so many `octets`.
    pub fn form(which: EventRef, kind: &str, octets: usize, content: impl FnOnce(&mut Vec<u8>)) -> Event {
        let mut page = Page::new(FRAME + octets);
        page.write(which, kind, content);
        Event { which, json: page.json.into_boxed_slice().into() }
    }

    /// The same of anything that becomes a JSON object. `None` where it cannot.
    pub fn render(which: EventRef, kind: &str, data: &impl Serialize) -> Option<Event> {
        let content = serde_json::to_vec(data).ok()?;
        Some(Event::form(which, kind, content.len(), |json| json.extend_from_slice(&content)))
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
    events: Vec<EventRef>,
    salt: Option<String>,
}

impl Draft {
    /// An empty letter, about to have so many events of so many octets. A `salt` makes its name another than that of other letters with the same
    /// events.
    pub fn new(events: usize, octets: usize, salt: Option<&str>) -> Draft {
        let mut body = Vec::with_capacity(octets + events + ENVELOPE);
        body.extend_from_slice(b"{\"events\":[");
        Draft { body, events: Vec::with_capacity(events), salt: salt.map(str::to_owned) }
    }

    /// Whether an event of so many octets still fits; the first always does.
    pub fn fits(&self, octets: usize, most_events: usize, most_octets: usize) -> bool {
        let within = self.body.len() + 1 + octets + 2 <= most_octets;
        self.events.is_empty() || self.events.len() < most_events && within
    }

    /// Adds an event by its JSON.
    pub fn add(&mut self, which: EventRef, json: &[u8]) {
        if !self.events.is_empty() {
            self.body.push(b',');
        }
        self.body.extend_from_slice(json);
        self.events.push(which);
    }

    /// The letter. It is named after what is in it: the same events again (after a restart) are the same call to a
    /// receiver that drops repetitions, other events are another.
    pub fn done(mut self, since: Wall) -> Letter {
        self.body.extend_from_slice(b"]}");
        let Draft { body, events, salt } = self;
        let id = match (&events[..], salt) {
            ([only], None) => only.to_string(),
            (_, salt) => name(&events, salt),
        };
        Letter { id, body: body.into(), events, tries: 0, since, failure: String::new(), place: None }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

/// The name of a letter of several events.
fn name(events: &[EventRef], salt: Option<String>) -> String {
    let mut names = salt.unwrap_or_default().into_bytes();
    for event in events {
        event.write(&mut names);
        names.push(b' ');
    }
    Sha256::digest(&names)[..12].iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(events: std::ops::Range<u64>, salt: Option<&str>) -> Letter {
        let mut draft = Draft::new(0, 0, salt);
        for n in events {
            let which = EventRef { id: MessageId(n), seq: 1, at: Wall(0) };
            draft.add(which, format!("{{\"n\":{n}}}").as_bytes());
        }
        draft.done(Wall(0))
    }

    #[test]
    fn an_event_is_one_object() {
        let of = |seq| EventRef { id: MessageId(7), seq, at: Wall(1_735_689_600_001) };
        let event = Event::render(of(1), "message.delivered", &serde_json::json!({"to": "a\"b"})).expect("JSON");
        let json = r#"{"id":"000000000007-1","type":"message.delivered","time":"2025-01-01T00:00:00.001Z","seq":1,"data":{"to":"a\"b"}}"#;
        assert_eq!(event.json, json);
        for seq in [0, 9, 10, 255, 256, u32::MAX] {
            let mut id = Vec::new();
            of(seq).write(&mut id);
            assert_eq!(id, of(seq).to_string().as_bytes());
        }
    }

    #[test]
    fn a_letters_name_says_what_is_in_it() {
        assert_eq!(form(7..8, None).id, "000000000007-1");
        // Letters on disk were named so, and a receiver may remember them.
        assert_eq!(form(1..3, None).id, "346bb4074483eead706ada8d");
        assert_eq!(form(1..2, Some("x")).id, "8c27aa02f129b369b70afe84");
        assert_eq!(form(1..3, None).id, form(1..3, None).id, "the same events again are the same call");
        let names =
            [form(1..3, None), form(1..4, None), form(1..2, None), form(1..3, Some("x")), form(1..2, Some("x"))];
        let names: std::collections::BTreeSet<String> = names.into_iter().map(|letter| letter.id).collect();
        assert_eq!(names.len(), 5);
        assert_eq!(&form(1..3, None).body[..], b"{\"events\":[{\"n\":1},{\"n\":2}]}");
    }
}
