//! What a handset sent: its parts, the text they make, what the app is told, what the store keeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use carriers::{CarrierId, Coding, Options, Segment};
use serde::{Deserialize, Serialize};

use super::super::history;
use crate::admit::number::E164;
use crate::clock::Wall;
use crate::ids::MessageId;
use crate::journal::record::{Joined, Mo, Record};

/// Memory a part takes beside its octets.
const PIECE: usize = 256;

/// A message from a handset, as far as it has come.
#[derive(Clone, Debug)]
pub(super) struct Content {
    /// Its name.
    pub(super) channel: Arc<str>,
    pub(super) from: Box<str>,
    pub(super) to: Box<str>,
    /// Shared by the parts of a long message.
    pub(super) reference: u16,
    /// By place; one for a short message.
    pub(super) pieces: Vec<Option<Piece>>,
}

/// One part's octets.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) at: Wall,
    pub(super) coding: Coding,
    header: Bytes,
    data: Bytes,
    id: Option<CarrierId>,
    options: Box<str>,
}

impl Piece {
    pub(super) fn of(mo: &Mo<'_>) -> Piece {
        Piece {
            at: mo.at,
            coding: mo.coding,
            header: Bytes::copy_from_slice(mo.header),
            data: Bytes::copy_from_slice(mo.data),
            id: mo.id.clone(),
            options: mo.options.into(),
        }
    }
}

impl Content {
    /// Room for all parts of the message that this is a part of.
    pub(super) fn of(channel: Arc<str>, mo: &Mo<'_>) -> Content {
        Content {
            channel,
            from: mo.from.into(),
            to: mo.to.into(),
            reference: mo.segment.map_or(0, |s| s.reference),
            pieces: vec![None; mo.segment.map_or(1, |s| usize::from(s.total))],
        }
    }

    /// Memory it takes, in octets, roughly.
    pub(super) fn octets(&self) -> usize {
        let piece =
            |p: &Option<Piece>| p.as_ref().map_or(0, |p| p.header.len() + p.data.len() + p.options.len() + PIECE);
        self.from.len() + self.to.len() + self.pieces.iter().map(piece).sum::<usize>()
    }

    /// The text: parts of one coding are read as one, for a character may be cut between them; U+FFFD stands for each
    /// part that is missing.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut run: Option<(Coding, Vec<u8>)> = None;
        for piece in &self.pieces {
            let coding = piece.as_ref().map(|p| p.coding);
            if let Some((of, octets)) = run.take_if(|(of, _)| Some(*of) != coding) {
                text.push_str(&of.decode(&octets));
            }
            match piece {
                Some(piece) => run.get_or_insert((piece.coding, Vec::new())).1.extend_from_slice(&piece.data),
                None => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        run.into_iter().for_each(|(coding, octets)| text.push_str(&coding.decode(&octets)));
        text
    }

    fn coding(&self) -> Coding {
        self.pieces.iter().flatten().next().map_or(Coding::Binary, |p| p.coding)
    }

    /// The options an answer to it should have.
    fn options(&self) -> BTreeMap<String, String> {
        let first = self.pieces.iter().flatten().map(|p| Options::read(&p.options)).find(|options| !options.is_empty());
        let pairs = first.unwrap_or_default();
        pairs.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// When its first part came.
    fn received(&self) -> Wall {
        self.pieces.iter().flatten().map(|p| p.at).min().unwrap_or_default()
    }

    /// The places without a part, from 1.
    fn missing(&self) -> Vec<u8> {
        (1..=u8::MAX).zip(&self.pieces).filter(|(_, piece)| piece.is_none()).map(|(place, _)| place).collect()
    }

    /// What the app is told. `extension` octets at the end of `to` are its own; `country` reads bare numbers.
    pub(super) fn received_event(
        &self,
        id: MessageId,
        extension: usize,
        carrier: Option<String>,
        country: Option<&str>,
    ) -> Received {
        let missing = self.missing();
        let extension = self.to.len().checked_sub(extension).and_then(|at| self.to.get(at..)).unwrap_or_default();
        Received {
            id: id.to_string(),
            from: E164::read(&self.from, country).map_or_else(|_| self.from.to_string(), |n| n.as_str().to_owned()),
            to: self.to.to_string(),
            extension: extension.to_owned(),
            text: self.text(),
            encoding: self.coding().name(),
            parts: self.pieces.len(),
            complete: missing.is_empty(),
            missing,
            carrier,
            options: self.options(),
            received_at: self.received().to_string(),
        }
    }

    /// Its parts as records, then what they were joined to.
    pub(super) fn history(&self, parts: Vec<Option<MessageId>>, at: Wall) -> Vec<u8> {
        let channel = &*self.channel;
        let total = u8::try_from(self.pieces.len()).unwrap_or(u8::MAX);
        let mut out = Vec::with_capacity(self.octets());
        for (index, piece) in (0..total).zip(&self.pieces) {
            let Some(Piece { at, coding, header, data, id, options }) = piece else { continue };
            let segment = (total > 1).then_some(Segment { reference: self.reference, total, index });
            let (from, to) = (&*self.from, &*self.to);
            let (at, coding, id) = (*at, *coding, id.clone());
            history::push(
                &mut out,
                &Record::Mo(Mo { at, channel, from, to, coding, header, data, segment, id, options }),
            );
        }
        history::push(&mut out, &Record::Joined(Joined { at, parts }));
        out
    }

    /// A message and what it was joined from, back from its history.
    pub(super) fn restore(octets: &[u8]) -> Option<(Content, Joined)> {
        let (mut content, mut whole) = (None, None);
        for record in history::read(octets).flatten() {
            match record {
                Record::Mo(mo) => {
                    let content = content.get_or_insert_with(|| Content::of(mo.channel.into(), &mo));
                    let place = content.pieces.get_mut(mo.segment.map_or(0, |s| usize::from(s.index)))?;
                    *place = Some(Piece::of(&mo));
                }
                Record::Joined(joined) => whole = Some(joined),
                _ => {}
            }
        }
        Some((content?, whole?))
    }

    /// What a list shows of it.
    pub(super) fn listed(&self, app: Option<&str>) -> Listed {
        Listed {
            at: self.received(),
            channel: self.channel.to_string(),
            from: self.from.to_string(),
            to: self.to.to_string(),
            parts: self.pieces.len(),
            missing: self.missing().len(),
            app: app.map(str::to_owned),
        }
    }
}

/// The data of `message.received`.
#[derive(Clone, Debug, Serialize)]
pub struct Received {
    /// The message's id: that of the part that came first.
    pub id: String,
    /// The handset, E.164 with plus where it can be read as such, or else as the carrier wrote it.
    pub from: String,
    /// The number it was sent to, as the carrier wrote it.
    pub to: String,
    /// What follows the app's access number in `to`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub extension: String,
    /// The text; U+FFFD for what is missing or cannot be read.
    pub text: String,
    /// Encoding of the (first part's) text.
    pub encoding: &'static str,
    /// Parts it was sent in.
    pub parts: usize,
    /// Whether all of them came.
    pub complete: bool,
    /// Those that did not, from 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<u8>,
    /// The company it came through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// What an answer to it should have as its `options`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// When its first part came.
    pub received_at: String,
}

/// A message from a handset in a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// When its first part came, milliseconds since the Unix epoch.
    #[serde(with = "millis")]
    pub at: Wall,
    /// The channel's name.
    pub channel: String,
    /// The handset as the carrier wrote it.
    pub from: String,
    /// The number it was sent to, as the carrier wrote it.
    pub to: String,
    /// Parts it was sent in.
    pub parts: usize,
    /// How many of them did not come.
    pub missing: usize,
    /// The app it is for; none where nobody owns the number.
    pub app: Option<String>,
}

/// A wall time as a number.
mod millis {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::clock::Wall;

    pub(super) fn serialize<S: Serializer>(at: &Wall, to: S) -> Result<S::Ok, S::Error> {
        at.0.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Wall, D::Error> {
        u64::deserialize(from).map(Wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(pieces: &[Option<(Coding, &[u8])>]) -> Content {
        let piece = |(coding, data): (Coding, &[u8])| Piece {
            at: Wall(5),
            coding,
            header: Bytes::new(),
            data: Bytes::copy_from_slice(data),
            id: None,
            options: "".into(),
        };
        Content {
            channel: "a".into(),
            from: "8613800138000".into(),
            to: "1069000177".into(),
            reference: 9,
            pieces: pieces.iter().map(|p| p.map(piece)).collect(),
        }
    }

    #[test]
    fn characters_cut_between_parts_are_read_whole() {
        let surrogates =
            [Some((Coding::Ucs2, &[0, b'a', 0xd8, 0x3d][..])), Some((Coding::Ucs2, &[0xde, 0, 0, b'b'][..]))];
        assert_eq!(content(&surrogates).text(), "a😀b");
        let escape = [Some((Coding::Gsm7, &[b'a', 0x1b][..])), Some((Coding::Gsm7, &[0x65, b'b'][..]))];
        assert_eq!(content(&escape).text(), "a€b");
        let latin = [Some((Coding::Latin1, &[0xe9][..])), Some((Coding::Latin1, &[0xe8][..]))];
        assert_eq!(content(&latin).text(), "éè");
    }

    #[test]
    fn gaps_are_marked_and_codings_may_differ() {
        let gaps = [None, Some((Coding::Gsm7, &b"b"[..])), None, None, Some((Coding::Ucs2, &[0x4e, 0x2d][..]))];
        let gaps = content(&gaps);
        assert_eq!(gaps.text(), "\u{fffd}b\u{fffd}\u{fffd}中");
        let event = gaps.received_event(MessageId(1), 2, None, Some("CN"));
        assert_eq!((event.complete, &event.missing[..], event.parts), (false, &[1, 3, 4][..], 5));
        assert_eq!((event.from.as_str(), event.extension.as_str(), event.encoding), ("+8613800138000", "77", "gsm7"));
        let mixed = [Some((Coding::Gsm7, &[0x1b][..])), Some((Coding::Ucs2, &[0, b'x'][..]))];
        assert_eq!(content(&mixed).text().chars().last(), Some('x'));
    }

    #[test]
    fn a_number_nobody_can_read_stays_as_it_came() {
        let event = content(&[Some((Coding::Ascii, b"x"))]).received_event(MessageId(1), 0, None, None);
        assert_eq!((event.from.as_str(), event.extension.as_str()), ("8613800138000", ""));
        let json = serde_json::to_string(&event).unwrap();
        assert!(!json.contains("extension") && !json.contains("missing") && !json.contains("carrier"), "{json}");
    }

    #[test]
    fn a_history_gives_the_message_back() {
        let sent = content(&[Some((Coding::Ucs2, &[0x4e][..])), None, Some((Coding::Ucs2, &[0x2d][..]))]);
        let parts = vec![Some(MessageId(7)), None, Some(MessageId(8))];
        let octets = sent.history(parts.clone(), Wall(77));
        let (back, joined) = Content::restore(&octets).unwrap();
        assert_eq!((back.text(), back.reference, joined.at), (sent.text(), 9, Wall(77)));
        assert_eq!(joined.parts, parts);
        assert_eq!(back.history(parts, joined.at), octets);
        assert!(Content::restore(b"garbage").is_none());
    }

    #[test]
    fn a_history_is_told_again_to_the_owner_of_the_number_and_in_its_span() {
        use super::super::again;
        use crate::config::plan::{App, AppId};
        use crate::route::owner::Owners;
        let app = |id, number: &str| App {
            id: AppId(id),
            name: "app".into(),
            keys: Vec::new(),
            rate: 1,
            send_rate: None,
            tiers: Vec::new(),
            signatures: Vec::new(),
            numbers: vec![number.to_owned()],
            default_country: None,
            allow_ips: Vec::new(),
            callback: None,
            options: String::new(),
        };
        let (shop, bank) = (app(0, "10690001"), app(1, "10690002"));
        let owners = Owners::new(&[shop.clone(), bank.clone()]);
        let octets = content(&[Some((Coding::Ascii, b"hello"))]).history(vec![Some(MessageId(7))], Wall(77));
        let told = |app: &App, from, to| again(MessageId(7), &octets, &owners, app, (Wall(from), Wall(to)), |_| None);
        let (kind, at, event) = told(&shop, 77, 78).unwrap();
        assert_eq!((kind, at, &*event.text, &*event.extension), ("message.received", Wall(77), "hello", "77"));
        assert!(told(&bank, 77, 78).is_none() && told(&shop, 78, 99).is_none() && told(&shop, 0, 77).is_none());
        let outcomes = |_, _, _, _: &crate::report::tell::EventData<'_>| Some(());
        let ever = (Wall(0), Wall(99));
        assert!(crate::report::tell::again(MessageId(7), &octets, "app", ever, |_| None, outcomes).is_empty());
    }
}
