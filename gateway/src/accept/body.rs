//! The JSON body of a send: read without copying where the text allows, refused with the place that is wrong.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::plain::Plain;
use super::problem::{Code, Place, Problem};
use crate::admit::{Draft, Fault, Reason, Refusal};

/// Longest part of a parser's words that is passed on.
const DETAIL_LIMIT: usize = 160;

/// `POST /v1/messages`.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Message")]
pub struct Body<'a> {
    /// E.164 with plus; bare national numbers where the app has a default country.
    #[serde(borrow)]
    #[schemars(required, with = "String")]
    to: Option<Text<'a>>,
    /// The text, at most 10,000 characters with its signature.
    #[serde(borrow)]
    #[schemars(required, with = "String")]
    text: Option<Text<'a>>,
    /// Message type; `sms`.
    #[serde(borrow, rename = "type")]
    #[schemars(with = "Option<String>")]
    kind: Option<Text<'a>>,
    /// One of the app's tiers; its first where absent.
    #[serde(borrow)]
    #[schemars(with = "Option<String>")]
    tier: Option<Text<'a>>,
    /// One of the app's signatures, without brackets; put in front of the text as 【signature】.
    #[serde(borrow)]
    #[schemars(with = "Option<String>")]
    signature: Option<Text<'a>>,
    /// At most 21 digits, or at most 11 letters and digits.
    #[serde(borrow)]
    #[schemars(with = "Option<String>")]
    sender: Option<Text<'a>>,
    /// The app's own reference, at most 64 characters.
    #[serde(borrow)]
    #[schemars(with = "Option<String>")]
    client_ref: Option<Text<'a>>,
    /// Validity in seconds, 10 to 259,200; the tier's where absent.
    expires_in: Option<u64>,
    /// What the carrier is asked for, by name, as the channel's documentation has it; overrides the app's and the route's.
    #[serde(borrow)]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    options: Option<Choices<'a>>,
    /// Whether events are sent for it; true where absent.
    callback: Option<bool>,
    #[schemars(skip)]
    send_at: Option<IgnoredAny>,
    #[schemars(skip)]
    template: Option<IgnoredAny>,
    #[schemars(skip)]
    params: Option<IgnoredAny>,
}

/// A string, borrowed from the body unless it holds escapes.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

/// An object of strings, each name once.
#[derive(Debug)]
struct Choices<'a>(Vec<(Text<'a>, Text<'a>)>);

impl Choices<'_> {
    fn pairs(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (&*name.0, &*value.0)).collect()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Choices<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Choices<'de>, A::Error> {
                let mut all: Vec<(Text<'de>, Text<'de>)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
                    if all.iter().any(|(known, _)| known.0 == name.0) {
                        return Err(serde::de::Error::custom("duplicate field in `options`"));
                    }
                    // What is beyond the most is refused later, by its number.
                    if all.len() <= carriers::options::MOST {
                        all.push((name, value));
                    }
                }
                Ok(Choices(all))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// A body that was read.
#[derive(Debug)]
pub enum Given<'a> {
    /// Written as they usually are: the draft it asks for, and whether events are wanted where it says so.
    Plain(Draft<'a>, Option<bool>),
    /// Any other.
    Parsed(Box<Body<'a>>),
}

impl<'a> Given<'a> {
    /// Reads a body.
    pub fn read(octets: &'a [u8]) -> Result<Self, Box<Problem>> {
        Given::whole(octets).map_or_else(|| Body::parse(octets).map(|body| Given::Parsed(Box::new(body))), Ok)
    }

    /// A body written as they usually are.
    fn whole(octets: &'a [u8]) -> Option<Self> {
        let mut plain = Plain::new(std::str::from_utf8(octets).ok()?);
        let given = Given::plain(&mut plain)?;
        plain.peek().is_none().then_some(given)
    }

    /// The body that comes next, if it is written as they usually are.
    pub(super) fn plain(plain: &mut Plain<'a>) -> Option<Self> {
        let (mut draft, mut callback) = (Draft::default(), None);
        plain.take(b'{')?;
        loop {
            let name = plain.string()?;
            plain.take(b':')?;
            let field = match name {
                "to" => Some(&mut draft.to),
                "text" => Some(&mut draft.text),
                "type" => Some(&mut draft.kind),
                "tier" => Some(&mut draft.tier),
                "signature" => Some(&mut draft.signature),
                "sender" => Some(&mut draft.sender),
                "client_ref" => Some(&mut draft.client_ref),
                _ => None,
            };
            match (field, name) {
                (Some(field), _) => field.replace(plain.string()?).is_none().then_some(())?,
                (None, "expires_in") if draft.expires_in.is_none() => draft.expires_in = Some(plain.number()?),
                (None, "callback") if callback.is_none() => callback = Some(plain.boolean()?),
                _ => return None,
            }
            if plain.take(b',').is_none() {
                return plain.take(b'}').map(|()| Given::Plain(draft, callback));
            }
        }
    }

    /// The draft it asks for.
    pub fn draft(&self) -> Result<Cow<'_, Draft<'_>>, Refusal> {
        match self {
            Given::Plain(draft, _) => Ok(Cow::Borrowed(draft)),
            Given::Parsed(body) => body.draft().map(Cow::Owned),
        }
    }

    /// Whether events are wanted.
    pub fn callback(&self) -> bool {
        let said = match self {
            Given::Plain(_, callback) => *callback,
            Given::Parsed(body) => body.callback,
        };
        said.unwrap_or(true)
    }
}

impl<'a> Body<'a> {
    /// Reads a body, whatever it looks like.
    fn parse(octets: &'a [u8]) -> Result<Self, Box<Problem>> {
        serde_json::from_slice(octets).map_err(|e| unreadable(octets, &e))
    }

    /// The draft it asks for.
    fn draft(&self) -> Result<Draft<'_>, Refusal> {
        let mut faults = Vec::new();
        for (field, given, reason) in [
            ("send_at", self.send_at.is_some(), Reason::SendAtUnavailable),
            ("template", self.template.is_some(), Reason::TemplateUnavailable),
            ("params", self.params.is_some(), Reason::TemplateUnavailable),
        ] {
            if given {
                faults.push(Fault { field, reason, detail: "not available here".into() });
            }
        }
        if !faults.is_empty() {
            return Err(Refusal::fields(faults));
        }
        Ok(Draft {
            to: plain(&self.to),
            text: plain(&self.text),
            kind: plain(&self.kind),
            tier: plain(&self.tier),
            signature: plain(&self.signature),
            sender: plain(&self.sender),
            client_ref: plain(&self.client_ref),
            expires_in: self.expires_in,
            options: self.options.as_ref().map_or_else(Vec::new, Choices::pairs),
        })
    }
}

fn plain<'b>(field: &'b Option<Text<'_>>) -> Option<&'b str> {
    field.as_ref().map(|text| &*text.0)
}

/// The parser's complaint with the place it concerns.
fn unreadable(octets: &[u8], error: &serde_json::Error) -> Box<Problem> {
    let words = error.to_string();
    let code = match () {
        () if !error.is_data() => Code::InvalidJson,
        () if words.starts_with("unknown field") => Code::UnknownField,
        () if words.starts_with("duplicate field") => Code::DuplicateField,
        () => Code::WrongType,
    };
    let place = format!("line {} column {}", error.line(), error.column());
    let words = words.strip_suffix(&format!(" at {place}")).unwrap_or(&words);
    let words: String = words.chars().take(DETAIL_LIMIT).collect();
    let mut problem = Problem::new(code, format!("{words}, at {place}"));
    let pointer = pointer(octets, error.line(), error.column());
    problem.errors.push(Place { pointer, code: code.row().0, detail: problem.detail.clone() });
    problem
}

/// The top-level field in which that position lies, as a JSON pointer; empty for the whole document. The body is one
/// flat object, so the last key begun before the position is the one.
fn pointer(octets: &[u8], line: usize, column: usize) -> String {
    let start: usize = octets.split_inclusive(|b| *b == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    let end = start.saturating_add(column).min(octets.len());
    let (mut depth, mut quote, mut escaped, mut expects_key) = (0usize, None, false, false);
    let mut key = None;
    for (at, octet) in octets[..end].iter().enumerate() {
        match (quote, octet) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(from), b'"') => {
                if depth == 1 && expects_key {
                    key = Some(&octets[from..at]);
                }
                quote = None;
            }
            (Some(_), _) => {}
            (None, b'"') => quote = Some(at + 1),
            (None, b'{' | b'[') => {
                depth += 1;
                expects_key = depth == 1 && *octet == b'{';
            }
            (None, b'}' | b']') => depth = depth.saturating_sub(1),
            (None, b':') if depth == 1 => expects_key = false,
            (None, b',') if depth == 1 => expects_key = true,
            (None, _) => {}
        }
    }
    let key: String = String::from_utf8_lossy(key.unwrap_or_default()).chars().take(DETAIL_LIMIT).collect();
    if key.is_empty() { key } else { format!("/{}", key.replace('~', "~0").replace('/', "~1")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> (&'static str, String) {
        let problem = Given::read(body.as_bytes()).expect_err("should not read");
        (problem.code.row().0, problem.errors[0].pointer.clone())
    }

    #[test]
    fn the_place_of_each_fault_is_named() {
        for (body, code, pointer) in [
            ("", "invalid_json", ""),
            ("[]", "wrong_type", ""),
            ("{\"to\":\"1\",\n \"text\":5}", "wrong_type", "/text"),
            ("{\"to\":\"1\",\"expires_in\":-1}", "wrong_type", "/expires_in"),
            ("{\"expires_in\":\"10\"}", "wrong_type", "/expires_in"),
            ("{\"callback\":\"no\"}", "wrong_type", "/callback"),
            ("{\"text\":{\"to\":1}}", "wrong_type", "/text"),
            ("{\"options\":{\"a\":1}}", "wrong_type", "/options"),
            ("{\"options\":{\"a\":\"1\",\"a\":\"2\"}}", "duplicate_field", "/options"),
            ("{\"to\":\"1\",\"colour~/\":1}", "unknown_field", "/colour~0~1"),
            ("{\"to\":\"1\",\"to\":\"2\"}", "duplicate_field", "/to"),
            ("{\"to\":\"1\",\"text\":\"a", "invalid_json", "/text"),
            ("{\"to\":\"1\"} x", "invalid_json", "/to"),
            ("{\"to\":\"a\\\"b\",\"text\":tru}", "invalid_json", "/text"),
        ] {
            assert_eq!(refused(body), (code, pointer.to_owned()), "{body}");
        }
    }

    #[test]
    fn bad_utf8_and_lone_surrogates_are_invalid_json() {
        for body in [&b"{\"to\":\"\xff\"}"[..], b"{\"to\":\"\\ud800\"}", b"\xef\xbb\xbf{}"] {
            assert_eq!(Given::read(body).expect_err("should not read").code, Code::InvalidJson);
        }
    }

    #[test]
    fn a_huge_wrong_value_is_not_echoed() {
        let body = format!("{{\"expires_in\":\"{}\"}}", "x".repeat(10_000));
        let problem = Given::read(body.as_bytes()).expect_err("should not read");
        assert!(problem.detail.len() < 300, "{}", problem.detail.len());
    }

    #[test]
    fn strings_without_escapes_are_borrowed() {
        let body = Body::parse(r#"{"to":"1","text":"a\nb","sender":null}"#.as_bytes()).expect("reads");
        assert!(matches!(body.to, Some(Text(Cow::Borrowed("1")))));
        assert!(matches!(&body.text, Some(Text(Cow::Owned(t))) if t == "a\nb"));
        assert!(body.sender.is_none() && Given::Parsed(Box::new(body)).callback());
    }

    /// As [`Body::parse`] reads it.
    fn agrees(octets: &[u8]) -> bool {
        Given::whole(octets).is_none_or(|quick| {
            let parsed = Given::Parsed(Box::new(Body::parse(octets).expect("what is plain is JSON")));
            let said = |given: &Given<'_>| (format!("{:?}", given.draft()), given.callback());
            said(&quick) == said(&parsed)
        })
    }

    #[test]
    fn what_is_plain_is_read_in_one_pass_and_the_rest_is_left() {
        for body in [
            r#"{"to":"1","text":"a","type":"sms","tier":"t","signature":"s","sender":"x","client_ref":"c"}"#,
            " {\t\"to\" :\r\n\"1\" , \"text\":\"码\u{7f}\",\"expires_in\": 60 ,\"callback\":false } ",
            r#"{"expires_in":0,"callback":true}"#,
            r#"{"expires_in":999999999999999999}"#,
            r#"{"text":""}"#,
        ] {
            assert!(Given::whole(body.as_bytes()).is_some() && agrees(body.as_bytes()), "{body}");
        }
        for body in [
            "",
            "{}",
            "[]",
            "null",
            "{",
            r#"{"to":"1"} x"#,
            r#"{"to":"1","#,
            r#"{"to":"1",}"#,
            r#"{"to":"1""#,
            r#"{"to":"1"#,
            r#"{"to""#,
            r#"{to:"1"}"#,
            r#"{"to":"1","to":"2"}"#,
            r#"{"expires_in":1,"expires_in":1}"#,
            r#"{"callback":true,"callback":true}"#,
            r#"{"text":"a\nb"}"#,
            "{\"text\":\"a\nb\"}",
            r#"{"text":null}"#,
            r#"{"text":1}"#,
            r#"{"expires_in":01}"#,
            r#"{"expires_in":-1}"#,
            r#"{"expires_in":1.0}"#,
            r#"{"expires_in":1e2}"#,
            r#"{"expires_in":9999999999999999999}"#,
            r#"{"expires_in":}"#,
            r#"{"expires_in":1"#,
            r#"{"callback":truer}"#,
            r#"{"callback":1}"#,
            r#"{"options":{}}"#,
            r#"{"t\u006f":"1"}"#,
        ] {
            assert!(Given::whole(body.as_bytes()).is_none(), "{body}");
        }
        assert!(Given::whole(b"{\"to\":\"\xff\"}").is_none());
    }

    proptest::proptest! {
        #[test]
        fn both_ways_of_reading_agree(
            body in r#"[ \n]?\{( ?"(to|text|tier|sender|callback|expires_in|x)" ?: ?("[a-z码\\]{0,3}"|true|false|null|[0-9]{1,20}|-1|1\.5),?){0,4}\} ?x?"#,
        ) {
            proptest::prop_assert!(agrees(body.as_bytes()), "{}", body);
        }

        #[test]
        fn no_octets_make_it_panic(octets: Vec<u8>) {
            let _ = Given::read(&octets);
        }

        #[test]
        fn no_damage_to_a_good_body_makes_it_panic(at in 0usize..80, octet: u8, cut in 0usize..80) {
            let mut octets = "{\"to\":\"+8613800138000\",\n\"text\":\"码\\n\",\"expires_in\":60,\"params\":{\"a\":[1]}}".as_bytes().to_vec();
            let at = at % octets.len();
            octets[at] = octet;
            octets.truncate(cut);
            if let Err(problem) = Given::read(&octets) {
                proptest::prop_assert!(problem.errors.len() == 1 && problem.detail.len() < 2_000);
            }
        }
    }
}
