//! A scenario: which carriers there are, how they behave and what goes wrong when.
//!
//! TOML; unknown keys are errors, and every error names file, line and column.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use codecs::cmpp::Version;
use codecs::text::Alphabet;

use crate::fault;
use crate::latency::{Latency, Span};
use crate::quirks::{MoText, Over, Quirks};
use crate::uplink::{self, Long};

/// Everything one process simulates.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The same seed and the same input give the same run.
    #[serde(default)]
    pub seed: u64,
    /// Where the control port listens; `--control` wins.
    pub control: Option<SocketAddr>,
    /// The far sides.
    #[serde(rename = "carrier")]
    carriers: Vec<Spanned<Carrier>>,
}

/// The protocols a far side can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// SMPP 3.4 and 5.0.
    Smpp,
    /// CMPP 2.0 or 3.0: an ISMG of China Mobile.
    Cmpp,
    /// SGIP 1.2: an SMG of China Unicom.
    Sgip,
    /// SMGP 3.0: an SMGW of China Telecom.
    Smgp,
}

impl Protocol {
    /// The keys of account and secret.
    fn keys(self) -> (&'static str, &'static str) {
        match self {
            Protocol::Smpp => ("system_id", "password"),
            Protocol::Cmpp => ("source_addr", "shared_secret"),
            Protocol::Sgip => ("login", "password"),
            Protocol::Smgp => ("client_id", "shared_secret"),
        }
    }

    /// Whether a text of any length goes in one message.
    pub fn carries_long_text(self) -> bool {
        self == Protocol::Smpp
    }
}

/// One simulated carrier.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carrier {
    /// Its name, in logs and on the control port.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it listens; port 0 takes a free one.
    #[serde(default = "anywhere")]
    pub listen: SocketAddr,
    /// SMPP: the account.
    pub system_id: Option<String>,
    /// CMPP: the account, six digits.
    pub source_addr: Option<String>,
    /// SMGP: the account, eight characters.
    pub client_id: Option<String>,
    /// SGIP: the account, in both directions.
    pub login: Option<String>,
    /// SMPP, SGIP: its password.
    pub password: Option<String>,
    /// CMPP, SMGP: its secret.
    pub shared_secret: Option<String>,
    /// CMPP: the account's version, "2.0" or "3.0".
    #[serde(default)]
    pub version: CmppVersion,
    /// SGIP: where the other side listens for Deliver and Report. Absent: they go over its own connections.
    pub callback: Option<SocketAddr>,
    /// SGIP: silence after which a connection to `callback` is left.
    #[serde(default = "callback_idle")]
    pub callback_idle: Span,
    /// CMPP, SGIP, SMGP: our number as a gateway or node, in ids and sequence numbers.
    pub node: Option<u32>,
    /// What it does otherwise than the book says.
    #[serde(default)]
    pub quirks: Quirks,
    /// From submit to answer.
    #[serde(default = "at_once")]
    pub answer_latency: Latency,
    /// Whether what comes is acknowledged at once (TCP_QUICKACK): true always, false as late as TCP allows. Absent: as the
    /// kernel sees fit.
    pub quickack: Option<bool>,
    /// How receipts are made.
    #[serde(default)]
    pub receipts: Receipts,
    /// Unanswered submits allowed per connection; beyond it submits are refused (ESME_RMSGQFUL).
    #[serde(default = "window")]
    pub window: usize,
    /// Binds allowed at a time; beyond it logins are refused (ESME_RALYBND).
    #[serde(default = "max_binds")]
    pub max_binds: usize,
    /// Uplink messages.
    #[serde(default)]
    pub mo: Vec<Mo>,
    /// Parts per second; beyond it submits are answered with the protocol's throttle code (ESME_RTHROTTLED, CMPP 8, SGIP 33,
    /// SMGP 1). Absent: no limit.
    pub rate_limit: Option<Rate>,
    /// Parts that may come at once above the rate; absent: a tenth of a second of it.
    pub rate_burst: Option<u32>,
    /// Destination suffix to command status; the longest suffix wins.
    #[serde(default)]
    pub rules: BTreeMap<String, Status>,
    /// Line file of accepted submits and receipts.
    pub log: Option<PathBuf>,
    /// Line file of submits read and answers given, refused ones too; every line is in it at once, so that it is whole
    /// when the process is killed or stopped.
    pub wire: Option<PathBuf>,
    /// Faults by time.
    #[serde(default, rename = "fault")]
    pub faults: Vec<fault::Spec>,
}

/// The version of a CMPP account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CmppVersion(pub Version);

impl Default for CmppVersion {
    fn default() -> Self {
        Self(Version::V30)
    }
}

impl<'de> Deserialize<'de> for CmppVersion {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match String::deserialize(from)?.as_str() {
            "2.0" => Ok(CmppVersion(Version::V20)),
            "3.0" => Ok(CmppVersion(Version::V30)),
            other => Err(de::Error::custom(format!("CMPP is \"2.0\" or \"3.0\", not \"{other}\""))),
        }
    }
}

impl Carrier {
    /// The account's name.
    pub fn account(&self) -> &str {
        let [account, _] = self.credentials();
        account.unwrap_or_default()
    }

    /// The account's secret.
    pub fn secret(&self) -> &str {
        let [_, secret] = self.credentials();
        secret.unwrap_or_default()
    }

    fn credentials(&self) -> [Option<&str>; 2] {
        let (account, secret) = match self.protocol {
            Protocol::Smpp => (&self.system_id, &self.password),
            Protocol::Cmpp => (&self.source_addr, &self.shared_secret),
            Protocol::Sgip => (&self.login, &self.password),
            Protocol::Smgp => (&self.client_id, &self.shared_secret),
        };
        [account.as_deref(), secret.as_deref()]
    }

    /// The alphabets of messages from handsets, UCS-2 aside.
    pub fn alphabets(&self) -> &'static [Alphabet] {
        match (self.protocol, self.quirks.mo_text) {
            (Protocol::Smpp, _) => &[Alphabet::Gsm7],
            (_, MoText::Ucs2) => &[Alphabet::Ascii],
            (_, MoText::Gbk) => &[Alphabet::Ascii, Alphabet::Gbk],
        }
    }

    /// What is wrong with the keys that belong to one protocol.
    fn misfit(&self) -> Option<String> {
        let (account, secret) = self.protocol.keys();
        let given = [
            ("system_id", self.system_id.is_some()),
            ("source_addr", self.source_addr.is_some()),
            ("client_id", self.client_id.is_some()),
            ("login", self.login.is_some()),
            ("password", self.password.is_some()),
            ("shared_secret", self.shared_secret.is_some()),
        ];
        let wanted = |key: &str| key == account || key == secret;
        if let Some((key, _)) = given.iter().find(|(key, given)| wanted(key) && !given) {
            return Some(format!("`{}` needs `{key}`", self.name));
        }
        if let Some((key, _)) = given.iter().find(|(key, given)| !wanted(key) && *given) {
            return Some(format!("`{key}` of `{}` belongs to another protocol", self.name));
        }
        if self.callback.is_some() && self.protocol != Protocol::Sgip {
            return Some(format!("`callback` of `{}` belongs to SGIP", self.name));
        }
        if self.callback.is_none() && self.quirks.deliver_over == Some(Over::Callback) {
            return Some(format!("`{}` delivers over `callback` and has none", self.name));
        }
        if self.quirks.sequence_restart == Some(0) {
            return Some(format!("`{}` has sequence_restart = 0", self.name));
        }
        let zero = |span: Option<Span>| span.is_some_and(|span| span.0.is_zero());
        if zero(self.quirks.active_test_every) || zero(self.quirks.close_idle) {
            return Some(format!("`{}` has active_test_every or close_idle = 0", self.name));
        }
        let sar = |mo: &Mo| mo.parts.as_ref().is_some_and(|parts| parts.long == Long::Sar);
        (self.protocol != Protocol::Smpp && self.mo.iter().any(sar))
            .then(|| format!("`{}` cannot send an mo by sar: that is SMPP's", self.name))
    }
}

/// What happens to a submit after it was accepted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Receipts {
    /// From submit to receipt.
    pub after: Latency,
    /// Share that is delivered; absent: what the others leave.
    pub delivered: Option<Share>,
    /// Share that ends UNDELIV.
    pub failed: Share,
    /// Share that ends EXPIRED.
    pub expired: Share,
    /// Share that ends REJECTD.
    pub rejected: Share,
    /// Share that never gets a receipt.
    pub none: Share,
    /// The receipt leaves ahead of the answer.
    pub before_answer: bool,
    /// Every receipt is sent twice.
    pub duplicate: bool,
    /// Base of the message id in the answer.
    pub id_in_answer: Base,
    /// Base of the message id in the receipt.
    pub id_in_receipt: Base,
    /// Whether receipts carry receipted_message_id and message_state.
    pub tlv: bool,
    /// Whether receipts carry the text form.
    pub text: bool,
    /// Digits of the dates: 10, 12 (with seconds) or 14 (with the century).
    pub date_digits: DateDigits,
    /// Labels left out of the text form.
    pub missing: Vec<Label>,
    /// Silence after which a receipt is sent again.
    pub answer_deadline: Span,
    /// Pause before a receipt that was answered with a temporary error is sent again.
    pub retry_after: Span,
    /// Times a receipt is sent at most.
    pub max_tries: u32,
    /// Receipts kept while nobody can take them; beyond it the oldest are dropped and counted.
    pub keep: usize,
    /// Unanswered deliver_sm allowed per connection.
    pub window: usize,
}

impl Default for Receipts {
    fn default() -> Self {
        Self {
            after: Latency::Fixed(Duration::from_millis(100)),
            delivered: None,
            failed: Share(0.0),
            expired: Share(0.0),
            rejected: Share(0.0),
            none: Share(0.0),
            before_answer: false,
            duplicate: false,
            id_in_answer: Base::Dec,
            id_in_receipt: Base::Dec,
            tlv: true,
            text: true,
            date_digits: DateDigits(10),
            missing: Vec::new(),
            answer_deadline: Span(Duration::from_secs(10)),
            retry_after: Span(Duration::from_secs(1)),
            max_tries: 20,
            keep: 1_000_000,
            window: 256,
        }
    }
}

/// An uplink message, once or again and again.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mo {
    /// When it is (first) sent, from the start of the simulator.
    #[serde(default)]
    pub at: Span,
    /// Repeats after this long; absent: once.
    pub every: Option<Span>,
    /// The handset.
    pub from: String,
    /// The service number.
    pub to: String,
    /// Text, any language.
    pub text: String,
    /// Sends it as a long message; absent: in one.
    pub parts: Option<uplink::Parts>,
}

/// How a number is spelled in a message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// Ten decimal digits.
    Dec,
    /// Eight lower-case hexadecimal digits.
    Hex,
}

impl Base {
    /// Spells `number`.
    pub fn spell(self, number: u64) -> String {
        match self {
            Base::Dec => format!("{number:010}"),
            Base::Hex => format!("{number:08x}"),
        }
    }
}

/// Labels of the receipt's text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Label {
    /// `sub:`
    #[serde(rename = "sub")]
    Sub,
    /// `dlvrd:`
    #[serde(rename = "dlvrd")]
    Dlvrd,
    /// `submit date:`
    #[serde(rename = "submit date")]
    SubmitDate,
    /// `done date:`
    #[serde(rename = "done date")]
    DoneDate,
    /// `err:`
    #[serde(rename = "err")]
    Err,
    /// `text:`
    #[serde(rename = "text")]
    Text,
}

/// A share from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Share(pub f64);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(from)?;
        if (0.0..=1.0).contains(&share) { Ok(Share(share)) } else { Err(de::Error::custom("a share is from 0 to 1")) }
    }
}

/// Parts per second, at least one in an hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate(pub f64);

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let rate = f64::deserialize(from)?;
        let possible = (1.0 / 3600.0..=1e7).contains(&rate);
        if possible { Ok(Rate(rate)) } else { Err(de::Error::custom("a rate is parts per second, above 0")) }
    }
}

/// Digits of a receipt's dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateDigits(pub u8);

impl<'de> Deserialize<'de> for DateDigits {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match u8::deserialize(from)? {
            digits @ (10 | 12 | 14) => Ok(DateDigits(digits)),
            other => Err(de::Error::custom(format!("dates have 10, 12 or 14 digits, not {other}"))),
        }
    }
}

/// A command status, by number or, of SMPP, by its name in the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u32);

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Status;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command status such as 0x0B or \"ESME_RINVDSTADR\"")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Status, E> {
                u64::try_from(value).map_err(E::custom).and_then(|value| self.visit_u64(value))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Status, E> {
                u32::try_from(value).map(Status).map_err(E::custom)
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<Status, E> {
                let known = codecs::smpp::status::from_name(value).map(Status);
                known.ok_or_else(|| E::custom(format!("unknown status `{value}`")))
            }
        }
        from.deserialize_any(Visitor)
    }
}

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn at_once() -> Latency {
    Latency::NONE
}

fn callback_idle() -> Span {
    Span(Duration::from_secs(10))
}

fn window() -> usize {
    1_000
}

fn max_binds() -> usize {
    100
}

/// What is wrong with a scenario, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {problem}")]
pub struct Problem {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
}

impl Scenario {
    /// Reads and checks the scenario at `path`.
    pub fn load(path: &Path) -> Result<Self, Problem> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::read(&text, &name),
            Err(error) => Err(Problem { file: name, line: 0, column: 0, problem: error.to_string() }),
        }
    }

    /// Reads and checks a scenario; `file` is what problems call it.
    pub fn read(text: &str, file: &str) -> Result<Self, Problem> {
        let scenario: Scenario = toml::from_str(text)
            .map_err(|error| place(text, file, error.span().unwrap_or(0..0), error.message().to_owned()))?;
        scenario.check().map_err(|(span, problem)| place(text, file, span, problem))?;
        Ok(scenario)
    }

    /// The carriers.
    pub fn carriers(&self) -> impl Iterator<Item = &Carrier> {
        self.carriers.iter().map(Spanned::as_ref)
    }

    fn check(&self) -> Result<(), (Range<usize>, String)> {
        let mut names = std::collections::BTreeSet::new();
        for carrier in &self.carriers {
            let at = |problem: String| (carrier.span(), problem);
            let carrier = carrier.as_ref();
            if !names.insert(&carrier.name) {
                return Err(at(format!("there are two carriers named `{}`", carrier.name)));
            }
            if let Some(problem) = carrier.misfit() {
                return Err(at(problem));
            }
            let receipts = &carrier.receipts;
            let delivered = receipts.delivered.map_or(0.0, |share| share.0);
            let others = receipts.failed.0 + receipts.expired.0 + receipts.rejected.0 + receipts.none.0;
            if delivered + others > 1.0 + 1e-9 {
                return Err(at(format!("the shares of `{}`'s receipts exceed 1", carrier.name)));
            }
            if !receipts.tlv && !receipts.text {
                return Err(at(format!("`{}`'s receipts need tlv or text", carrier.name)));
            }
            if carrier.mo.iter().any(|mo| mo.every.is_some_and(|every| every.0.is_zero())) {
                return Err(at(format!("`{}` has an mo with every = 0", carrier.name)));
            }
            for mo in &carrier.mo {
                uplink::cut(&mo.from, &mo.to, &mo.text, mo.parts.as_ref(), carrier.alphabets())
                    .map_err(|problem| at(format!("`{}` has an mo that cannot be sent: {problem}", carrier.name)))?;
            }
        }
        Ok(())
    }
}

fn place(text: &str, file: &str, span: Range<usize>, problem: String) -> Problem {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    Problem { file: file.to_owned(), line, column, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[[carrier]]\nname = 'a'\nprotocol = 'smpp'\nsystem_id = 'x'\npassword = 'y'\n";

    fn problem(text: &str) -> Problem {
        Scenario::read(text, "s.toml").unwrap_err()
    }

    #[test]
    fn a_full_scenario_is_read() {
        let text = format!(
            "seed = 7\n{HEAD}listen = '127.0.0.1:2775'\nanswer_latency = {{ median_ms = 400, p99_ms = 900 }}\n\
             receipts = {{ after = '100ms', delivered = 0.97, failed = 0.02, expired = 0.01, id_in_receipt = 'hex', \
             missing = ['sub', 'submit date'], date_digits = 12 }}\nwindow = 16\nmax_binds = 2\nrate_limit = 200\n\
             rules = {{ '0404' = 'ESME_RINVDSTADR', '0405' = 0x58 }}\n\
             mo = [{{ every = '1s', from = '8613800000000', to = '10690001', text = '你好' }}]\n\
             [[carrier.fault]]\nkind = 'mute'\nat = '5s'\nfor = '2s'\n"
        );
        let scenario = Scenario::read(&text, "s.toml").unwrap();
        let carrier = scenario.carriers().next().unwrap();
        assert_eq!(carrier.rules["0404"], Status(0x0B));
        assert_eq!(carrier.faults[0].kind, fault::Kind::Mute);
        assert_eq!(carrier.receipts.missing, [Label::Sub, Label::SubmitDate]);
        assert_eq!(carrier.receipts.id_in_receipt.spell(255), "000000ff");
    }

    #[test]
    fn the_example_shows_every_key() {
        let text = include_str!("../example.toml");
        let scenario = Scenario::read(text, "example.toml").unwrap();
        assert_eq!(scenario.carriers().count(), 5);
        let everything = scenario.carriers().find(|carrier| carrier.name == "everything").unwrap();
        assert_eq!(everything.receipts.missing.len(), 2);
        assert!(everything.faults.iter().any(|fault| fault.kind == fault::Kind::CloseAfter));
    }

    /// The example's comments name the other values; the keys are all there.
    #[test]
    fn the_example_shows_every_quirk() {
        let text = include_str!("../example.toml");
        let quirks = text.split_once("[carrier.quirks]").unwrap().1;
        let declared =
            include_str!("quirks.rs").split_once("pub struct Quirks {").unwrap().1.split_once("\n}").unwrap().0;
        let keys = declared.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'));
        let keys: Vec<&str> = keys.map(|(key, _)| key).collect();
        assert!(keys.len() > 10, "{keys:?}");
        for key in keys {
            assert!(quirks.contains(&format!("\n{key} = ")), "{key}");
        }
    }

    #[test]
    fn every_protocol_has_its_own_keys() {
        for (protocol, account, secret) in [
            ("smpp", "system_id", "password"),
            ("cmpp", "source_addr", "shared_secret"),
            ("sgip", "login", "password"),
            ("smgp", "client_id", "shared_secret"),
        ] {
            let head = format!("[[carrier]]\nname = 'a'\nprotocol = '{protocol}'\n");
            let whole = format!("{head}{account} = 'x'\n{secret} = 'y'\n");
            let scenario = Scenario::read(&whole, "s.toml").unwrap();
            let carrier = scenario.carriers().next().unwrap();
            assert_eq!((carrier.account(), carrier.secret()), ("x", "y"));
            assert!(problem(&head).problem.contains(account), "{protocol}");
            assert!(problem(&format!("{head}{account} = 'x'\n")).problem.contains(secret), "{protocol}");
            let other = if account == "client_id" { "source_addr" } else { "client_id" };
            assert!(problem(&format!("{whole}{other} = 'z'\n")).problem.contains("another protocol"), "{protocol}");
            let called = Scenario::read(&format!("{whole}callback = '127.0.0.1:1'\n"), "s.toml");
            assert_eq!(called.is_ok(), protocol == "sgip");
        }
        let cmpp = "[[carrier]]\nname = 'a'\nprotocol = 'cmpp'\nsource_addr = 'x'\nshared_secret = 'y'\n";
        for bad in [
            "version = '2.1'",
            "quirks = { deliver_over = 'callback' }",
            "quirks = { sequence_restart = 0 }",
            "quirks = { active_test_every = 0 }",
            "quirks = { sulks = true }",
            "mo = [{ from = '1', to = '2', text = 't', parts = { long = 'sar' } }]",
        ] {
            assert!(problem(&format!("{cmpp}{bad}\n")).line >= 1, "{bad}");
        }
    }

    #[test]
    fn problems_name_line_and_column() {
        let unknown = problem(&format!("{HEAD}windw = 3\n"));
        assert_eq!((unknown.line, unknown.column), (6, 1), "{unknown}");
        assert!(unknown.to_string().starts_with("s.toml:6:1: unknown field `windw`"), "{unknown}");
        let kind = problem(&format!("{HEAD}[[carrier.fault]]\nkind = 'sulk'\n"));
        assert_eq!((kind.line, kind.column), (7, 8), "{kind}");
        let latency = problem(&format!("{HEAD}answer_latency = 'soon'\n"));
        assert_eq!((latency.line, latency.column), (6, 18), "{latency}");
        let protocol = problem("[[carrier]]\nname = 'a'\nprotocol = 'telex'\n");
        assert_eq!((protocol.line, protocol.column), (3, 12), "{protocol}");
        assert_eq!(problem("seed = \n").line, 1);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let twice = problem(&format!("{HEAD}\n{HEAD}"));
        assert_eq!(twice.line, 7, "{twice}");
        assert!(twice.problem.contains("two carriers named `a`"));
        for bad in [
            "receipts = { delivered = 0.9, failed = 0.2 }",
            "receipts = { failed = 1.5 }",
            "receipts = { date_digits = 11 }",
            "receipts = { tlv = false, text = false }",
            "rate_limit = 0",
            "rules = { '1' = 'ESME_NONSENSE' }",
            "mo = [{ every = 0, from = '1', to = '2', text = 't' }]",
        ] {
            assert!(problem(&format!("{HEAD}{bad}\n")).line >= 1, "{bad}");
        }
        assert!(Scenario::load(Path::new("/nonexistent/s.toml")).is_err());
    }
}
