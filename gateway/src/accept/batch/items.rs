//! What a batch's body holds: items one by one, each judged by itself. JSON is read whole and split without copying;
//! lines are taken as they arrive, whatever pieces they come in.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::ITEMS;
use crate::accept::body::{Given, Text};
use crate::accept::plain::Plain;
use crate::accept::problem::{Code, Place, Problem};

/// Longest line, as a single message's body.
pub(super) const LINE_LIMIT: usize = crate::accept::submit::BODY_LIMIT;

/// A JSON body.
#[derive(Debug)]
pub(super) enum Whole<'a> {
    /// `{"messages":[…]}`: each as it would be posted by itself.
    Messages(Vec<&'a RawValue>),
    /// `{"to":[…],…}`: numbers, and the body that all of them share.
    Numbers(Vec<&'a RawValue>, Vec<u8>),
}

impl<'a> Whole<'a> {
    /// Reads a body as far as it is one for all items.
    pub(super) fn read(octets: &'a [u8]) -> Result<Self, Box<Problem>> {
        let Fields { messages, to, common } = serde_json::from_slice(octets).map_err(|e| unreadable(&e))?;
        let at = |pointer: &str, code: Code, detail: &'static str| {
            let mut problem = Problem::new(code, detail);
            problem.errors.push(Place { pointer: pointer.to_owned(), code: code.row().0, detail: detail.into() });
            problem
        };
        let whole = match (messages, to) {
            (Some(list), None) => match common.first() {
                Some((key, _)) => {
                    return Err(at(&pointer(key), Code::UnknownField, "beside `messages`, a batch has no fields"));
                }
                None => (Whole::Messages(list.items), "/messages", list.over),
            },
            (None, Some(list)) => (Whole::Numbers(list.items, object(&common)), "/to", list.over),
            (Some(_), Some(_)) => {
                return Err(at("/to", Code::UnknownField, "a batch has `messages` or `to`, not both"));
            }
            (None, None) => {
                let missing = Code::Refused(crate::admit::Reason::Missing);
                return Err(at("/messages", missing, "a batch has `messages`, or `to` as a list"));
            }
        };
        match whole {
            (_, _, true) => Err(too_many()),
            (Whole::Messages(items) | Whole::Numbers(items, _), pointer, _) if items.is_empty() => {
                Err(at(pointer, Code::Refused(crate::admit::Reason::Empty), "a batch needs at least one message"))
            }
            (whole, ..) => Ok(whole),
        }
    }
}

/// The items of a body `{"messages":[…]}`, read one by one. Gives up where it is not exactly that, which is found out at
/// the end at the latest: then [`Whole::read`] says what it is.
pub(super) struct Messages<'a> {
    plain: Plain<'a>,
    taken: usize,
}

/// One of a body's items.
#[derive(Debug)]
pub(super) struct Item<'a> {
    /// All of it.
    pub(super) text: &'a str,
    /// What it says, where it is written as they usually are.
    pub(super) given: Option<Given<'a>>,
}

impl<'a> Messages<'a> {
    /// Those of that body.
    pub(super) fn begin(octets: &'a [u8]) -> Option<Self> {
        let mut plain = Plain::new(std::str::from_utf8(octets).ok()?);
        plain.take(b'{')?;
        (plain.string()? == "messages").then_some(())?;
        plain.take(b':')?;
        plain.take(b'[')?;
        Some(Messages { plain, taken: 0 })
    }

    /// The next item; none of it behind the last. `None`: gives up.
    pub(super) fn next(&mut self) -> Option<Option<Item<'a>>> {
        let plain = &mut self.plain;
        if self.taken > 0 && plain.take(b',').is_none() {
            plain.take(b']')?;
            plain.take(b'}')?;
            return plain.peek().is_none().then_some(None);
        }
        self.taken += 1;
        if self.taken > ITEMS {
            return None;
        }
        plain.peek()?;
        let rest = plain.rest();
        let mut ahead = plain.clone();
        let given = Given::plain(&mut ahead);
        let octets = match given {
            Some(_) => ahead.at() - plain.at(),
            None => <&RawValue>::deserialize(&mut serde_json::Deserializer::from_str(rest)).ok()?.get().len(),
        };
        plain.pass(octets);
        Some(Some(Item { text: rest.get(..octets)?, given }))
    }
}

/// More items than a batch may have.
pub(super) fn too_many() -> Box<Problem> {
    Problem::new(Code::TooManyItems, format!("at most {ITEMS} messages; nothing was accepted"))
}

/// A number of a list, or what is there instead of one.
pub(super) fn number(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str(raw.get()).ok().map(|Text(number)| number)
}

/// An item that is no message at all: the code a single post would get, and the field, but nothing of what was written.
pub(super) fn fault(problem: &Problem) -> (&'static str, String) {
    let (code, _, title) = problem.code.row();
    match problem.errors.first().filter(|place| !place.pointer.is_empty()) {
        Some(place) => (code, format!("{}: {title}", place.pointer)),
        None => (code, title.to_owned()),
    }
}

/// The body shared by all, without the place of each complaint, which would be one in the body made here.
pub(super) fn shared(octets: &[u8]) -> Result<Given<'_>, Box<Problem>> {
    Given::read(octets).map_err(|mut problem| {
        let strip = |detail: &str| detail.rsplit_once(", at line").map_or(detail, |(words, _)| words).to_owned();
        problem.detail = strip(&problem.detail).into();
        problem.errors.iter_mut().for_each(|place| place.detail = strip(&place.detail).into());
        problem
    })
}

/// One item that a body or a line is split into.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// It went on for longer than [`LINE_LIMIT`].
    TooLong,
}

/// Cuts octets that arrive in pieces into lines. Holds at most one line. Empty lines are nothing.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
    /// The line has become too long; what is left of it is dropped.
    passing: bool,
}

impl Lines {
    /// Takes the next octets, and gives every line that ends in them.
    pub(super) fn take<E>(
        &mut self,
        mut octets: &[u8],
        mut each: impl FnMut(Line<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(end) = octets.iter().position(|octet| *octet == b'\n') {
            let (line, rest) = octets.split_at(end);
            octets = rest.get(1..).unwrap_or_default();
            if self.passing || self.begun.len() + line.len() > LINE_LIMIT {
                (self.passing, self.begun) = (false, Vec::new());
                each(Line::TooLong)?;
            } else if self.begun.is_empty() {
                give(line, &mut each)?;
            } else {
                self.begun.extend_from_slice(line);
                let whole = std::mem::take(&mut self.begun);
                give(&whole, &mut each)?;
            }
        }
        if !self.passing && self.begun.len() + octets.len() > LINE_LIMIT {
            (self.passing, self.begun) = (true, Vec::new());
        }
        if !self.passing {
            self.begun.extend_from_slice(octets);
        }
        Ok(())
    }

    /// The last line, which need not end.
    pub(super) fn finish<E>(self, mut each: impl FnMut(Line<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.passing { each(Line::TooLong) } else { give(&self.begun, &mut each) }
    }
}

fn give<E>(line: &[u8], each: &mut impl FnMut(Line<'_>) -> Result<(), E>) -> Result<(), E> {
    let line = line.trim_ascii();
    if line.is_empty() { Ok(()) } else { each(Line::Whole(line)) }
}

/// The fields of a JSON body.
struct Fields<'a> {
    messages: Option<Listed<'a>>,
    to: Option<Listed<'a>>,
    common: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// Most fields beside the items; a message has fewer.
const FIELDS: usize = 64;

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields { messages: None, to: None, common: Vec::new() };
                while let Some(Text(key)) = map.next_key()? {
                    let list = match &*key {
                        "messages" => &mut fields.messages,
                        "to" => &mut fields.to,
                        _ if fields.common.len() >= FIELDS => return Err(A::Error::custom("unknown field")),
                        _ => {
                            fields.common.push((key, map.next_value()?));
                            continue;
                        }
                    };
                    if list.replace(map.next_value()?).is_some() {
                        return Err(A::Error::custom(format_args!("duplicate field `{key}`")));
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// A list of items, not read yet; what is beyond [`ITEMS`] is passed over.
struct Listed<'a> {
    items: Vec<&'a RawValue>,
    over: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Listed<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Listed<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Listed<'de>, A::Error> {
                let mut list = Listed { items: Vec::new(), over: false };
                while list.items.len() < ITEMS {
                    match seq.next_element()? {
                        Some(item) => list.items.push(item),
                        None => return Ok(list),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    list.over = true;
                }
                Ok(list)
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

/// An object of these fields.
fn object(fields: &[(Cow<'_, str>, &RawValue)]) -> Vec<u8> {
    let mut octets = vec![b'{'];
    for (at, (key, value)) in fields.iter().enumerate() {
        if at > 0 {
            octets.push(b',');
        }
        octets.extend_from_slice(&serde_json::to_vec(key).unwrap_or_default());
        octets.push(b':');
        octets.extend_from_slice(value.get().as_bytes());
    }
    octets.push(b'}');
    octets
}

fn unreadable(error: &serde_json::Error) -> Box<Problem> {
    let words = error.to_string();
    let code = match () {
        () if !error.is_data() => Code::InvalidJson,
        () if words.starts_with("unknown field") => Code::UnknownField,
        () if words.starts_with("duplicate field") => Code::DuplicateField,
        () => Code::WrongType,
    };
    let mut problem = Problem::new(code, format!("at line {} column {}", error.line(), error.column()));
    problem.errors.push(Place { pointer: String::new(), code: code.row().0, detail: problem.detail.clone() });
    problem
}

fn pointer(key: &str) -> String {
    let key: String = key.chars().take(64).collect();
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        let (mut lines, mut all) = (Lines::default(), Vec::new());
        let mut each = |line: Line<'_>| -> Result<(), ()> {
            all.push(match line {
                Line::Whole(octets) => Some(octets.to_vec()),
                Line::TooLong => None,
            });
            Ok(())
        };
        for piece in pieces {
            lines.take(piece, &mut each).unwrap();
            assert!(lines.begun.len() <= LINE_LIMIT);
        }
        lines.finish(&mut each).unwrap();
        all
    }

    #[test]
    fn lines_are_the_same_in_whatever_pieces_they_come() {
        let text = b"{\"a\":1}\n\n  {\"b\":2}\r\nnonsense\n{\"c\":3}";
        let want: Vec<_> =
            [&b"{\"a\":1}"[..], b"{\"b\":2}", b"nonsense", b"{\"c\":3}"].map(|l| Some(l.to_vec())).into();
        for cut in 0..text.len() {
            assert_eq!(lines(&[&text[..cut], &text[cut..]]), want, "cut at {cut}");
        }
        let octets: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(lines(&octets), want);
    }

    #[test]
    fn a_line_too_long_costs_itself_and_no_memory() {
        let long = vec![b'x'; LINE_LIMIT + 1];
        let fits = vec![b'x'; LINE_LIMIT];
        assert_eq!(lines(&[&long, b"\n1\n"]), [None, Some(b"1".to_vec())]);
        assert_eq!(lines(&[b"1\n", &long, &long, &long]), [Some(b"1".to_vec()), None]);
        assert_eq!(lines(&[&fits, b"\n", &long, b"\n"]), [Some(fits.clone()), None]);
    }

    #[test]
    fn a_body_has_messages_or_numbers_and_says_what_is_wrong() {
        let read = |body: &str| match Whole::read(body.as_bytes()) {
            Ok(Whole::Messages(items)) => format!("{} messages", items.len()),
            Ok(Whole::Numbers(items, common)) => format!("{} for {}", items.len(), String::from_utf8(common).unwrap()),
            Err(problem) => format!("{} {}", problem.code.row().0, problem.errors[0].pointer),
        };
        for (body, want) in [
            (r#"{"messages":[1,{"to":"x"},"y"]}"#, "3 messages"),
            (r#"{"te\u0078t":"a","to":["1",2],"tier":"otp"}"#, r#"2 for {"text":"a","tier":"otp"}"#),
            (r#"{"messages":[],"text":"a"}"#, "unknown_field /text"),
            (r#"{"messages":[]}"#, "empty /messages"),
            (r#"{"to":[]}"#, "empty /to"),
            (r#"{"to":["1"],"messages":[]}"#, "unknown_field /to"),
            (r#"{"text":"a"}"#, "missing /messages"),
            (r#"{"to":"1","text":"a"}"#, "wrong_type "),
            (r#"{"to":["1"],"to":["2"]}"#, "duplicate_field "),
            ("[]", "wrong_type "),
            (r#"{"messages":[1,]}"#, "invalid_json "),
            ("", "invalid_json "),
        ] {
            assert_eq!(read(body), want, "{body}");
        }
        let list = |count: usize| format!("{{\"messages\":[{}]}}", vec!["1"; count].join(","));
        assert_eq!(read(&list(ITEMS)), format!("{ITEMS} messages"));
        assert_eq!(Whole::read(list(ITEMS + 1).as_bytes()).unwrap_err().code, Code::TooManyItems);
    }

    /// The items as the quick reader has them, if it has them.
    fn messages(octets: &[u8]) -> Option<Vec<&str>> {
        let (mut messages, mut all) = (Messages::begin(octets)?, Vec::new());
        while let Some(item) = messages.next()? {
            if let Some(given) = &item.given {
                let again = Given::read(item.text.as_bytes()).expect("it is one");
                assert_eq!(format!("{given:?}"), format!("{again:?}"));
            }
            all.push(item.text);
        }
        Some(all)
    }

    #[test]
    fn items_read_one_by_one_are_those_of_the_whole() {
        let body =
            " {\"messages\" : [{\"to\":\"1\"} ,{} ,\t-1.5e3, \"]\\\"\",[{\"a\":[null]}] , {\"text\":\"码\" }\n] }\r\n";
        let items = [r#"{"to":"1"}"#, "{}", "-1.5e3", r#""]\"""#, r#"[{"a":[null]}]"#, r#"{"text":"码" }"#];
        assert_eq!(messages(body.as_bytes()).unwrap(), items);
        for body in [
            "{\"messages\":[]}",
            "{\"messages\":[1,]}",
            "{\"messages\":[,1]}",
            "{\"messages\":[1 2]}",
            "{\"messages\":[1]",
            "{\"messages\":[1]}]",
            "{\"messages\":[1],\"text\":\"a\"}",
            "{\"messages\":[tru]}",
            "{\"messages\":{}}",
            "{\"text\":\"a\",\"messages\":[1]}",
            "{\"to\":[\"1\"]}",
            "[]",
            "",
        ] {
            assert_eq!(messages(body.as_bytes()), None, "{body}");
        }
        let list = |count: usize| format!("{{\"messages\":[{}]}}", vec!["1"; count].join(","));
        assert_eq!(messages(list(ITEMS).as_bytes()).map(|items| items.len()), Some(ITEMS));
        assert_eq!(messages(list(ITEMS + 1).as_bytes()), None);
    }

    proptest::proptest! {
        #[test]
        fn both_ways_of_reading_agree(
            body in r#" ?\{ ?"messages" ?:\[((\{("(to|text|x)":("[a-z码\\\]]{0,3}"|1|\[\])[,]?){0,2}\}|1|"a"|x) ?,? ?){0,4}\]\} ?"#,
        ) {
            if let Some(items) = messages(body.as_bytes()) {
                let Ok(Whole::Messages(raw)) = Whole::read(body.as_bytes()) else { panic!("{body}") };
                proptest::prop_assert_eq!(items, raw.iter().map(|raw| raw.get()).collect::<Vec<_>>());
            }
        }

        #[test]
        fn no_octets_make_the_readers_panic(octets: Vec<u8>, pieces in proptest::collection::vec(0usize..40, 0..6)) {
            if let Ok(Whole::Messages(items) | Whole::Numbers(items, _)) = Whole::read(&octets) {
                items.iter().for_each(|item| drop((number(item), Given::read(item.get().as_bytes()).is_ok())));
            }
            let _ = messages(&octets);
            let mut cut: Vec<usize> = pieces.iter().map(|at| at % (octets.len() + 1)).collect();
            cut.extend([0, octets.len()]);
            cut.sort_unstable();
            let pieces: Vec<&[u8]> = cut.windows(2).map(|two| &octets[two[0]..two[1]]).collect();
            proptest::prop_assert_eq!(lines(&pieces), lines(&[&octets]));
        }

        #[test]
        fn no_damage_to_a_good_body_makes_it_panic(at in 0usize..70, octet: u8, cut in 0usize..70) {
            let mut octets = br#"{"messages":[{"to":"+8613800138000","text":"a"},{}],"to":["1","\u0031"]}"#.to_vec();
            let at = at % octets.len();
            octets[at] = octet;
            octets.truncate(cut);
            let _ = messages(&octets);
            if let Ok(Whole::Numbers(_, common)) = Whole::read(&octets) {
                let _ = shared(&common);
            }
        }
    }
}
