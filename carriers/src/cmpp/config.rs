//! The table `[channel.cmpp]`: what a carrier's account needs, checked once, and the leg that follows from it.

use std::ops::Range;
use std::time::Duration;

use codecs::cmpp;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use crate::china::dialect::{self, Dialect, times};
use crate::china::options::{self, Rules};
use crate::china::text::{Encoding, Texts};
use crate::china::zone::Zone;
use crate::dialogue::Terms;
use crate::options::Options;
use crate::protocol::{Common, Leg, Life, Probe, Problem, Reach, Role, Secrets, Transport};
use crate::secret::Secret;
use crate::table::{Checks, SecretText};

/// FeeTypes (CMPP 2.0 §7.4.3.1); 3.0 has the first three.
static FEE_TYPES: [(&str, &str); 5] = [("01", "free"), ("02", "message"), ("03", "month"), ("04", ""), ("05", "")];

/// The table as written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "cmpp")]
pub struct Table {
    /// Where the ISMG listens, `host:port`; usually port 7890.
    #[schemars(with = "String")]
    address: Spanned<String>,
    /// Our account (SP_Id), usually six digits.
    #[schemars(with = "String", length(max = 6))]
    source_addr: Spanned<String>,
    /// The secret of its login (`env:NAME`, `file:PATH` or inline).
    #[schemars(with = "SecretText")]
    shared_secret: Spanned<SecretText>,
    /// Version of the account; the carrier decides it.
    #[serde(default)]
    version: Version,
    /// Service code of each submit, as the carrier gave it, at most 10 characters.
    #[schemars(with = "Option<String>", length(max = 10))]
    service_id: Option<Spanned<String>>,
    /// Our access number; senders' extensions follow it.
    #[schemars(with = "String", length(max = 21))]
    src_id: Spanned<String>,
    /// Msg_src of each submit; the account where left out.
    #[schemars(with = "Option<String>", length(max = 6))]
    msg_src: Option<Spanned<String>>,
    /// Msg_level of each submit, 0 to 9.
    #[schemars(with = "Option<u32>", range(max = 9))]
    msg_level: Option<Spanned<u32>>,
    /// TP_pId of each submit.
    #[schemars(with = "Option<u32>", range(max = 255))]
    tp_pid: Option<Spanned<u32>>,
    /// Whether reports may be asked for at all; default true.
    registered_delivery: Option<bool>,
    /// Encodings the carrier takes; a text goes in the one that makes the fewest parts, of equals the first.
    encoding: Option<Vec<Encoding>>,
    /// Who pays, and what.
    #[serde(default)]
    fee: FeeTable,
    /// LinkID of each submit (3.0), at most 20 characters.
    #[schemars(with = "Option<String>", length(max = 20))]
    link_id: Option<Spanned<String>>,
    /// Idle time before an active test, `"1s"` to `"180s"`.
    #[schemars(with = "Option<String>")]
    active_test: Option<Spanned<String>>,
    /// How long an answer may take, `"1s"` to `"5m"`.
    #[schemars(with = "Option<String>")]
    answer_timeout: Option<Spanned<String>>,
    /// How long the answer to a login may take, `"100ms"` to `"1m"`.
    #[schemars(with = "Option<String>")]
    bind_timeout: Option<Spanned<String>>,
    /// Octet of the version in the login, where the carrier wants another than the version's own: 33 is 2.1.
    #[schemars(with = "Option<u32>", range(max = 255))]
    connect_version: Option<Spanned<u32>>,
    /// Whether a login answer wholly in the other version changes the version; default true.
    adopt_version: Option<bool>,
    /// How reports write the id of the submit's answer.
    #[serde(default)]
    report_id: ReportId,
    /// In what this gateway differs from the book.
    #[serde(default)]
    dialect: dialect::Table,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "cmpp_fee")]
struct FeeTable {
    /// Fee_UserType: 0 the recipient pays, 1 the sender, 2 the SP, 3 `terminal_id`.
    #[schemars(with = "Option<u32>", range(max = 3))]
    user_type: Option<Spanned<u32>>,
    /// Fee_terminal_Id, the payer's number.
    #[schemars(with = "Option<String>", length(max = 21))]
    terminal_id: Option<Spanned<String>>,
    /// Fee_terminal_type (3.0): 0 a number, 1 a pseudonym.
    #[schemars(with = "Option<u32>", range(max = 1))]
    terminal_type: Option<Spanned<u32>>,
    /// FeeType: `"01"` free, `"02"` per message, `"03"` by month.
    #[schemars(with = "Option<String>", length(max = 2))]
    fee_type: Option<Spanned<String>>,
    /// FeeCode, the price in hundredths of a yuan.
    #[schemars(with = "Option<String>", length(max = 6))]
    fee_code: Option<Spanned<String>>,
}

/// The version of an account.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[schemars(rename = "cmpp_version")]
pub(super) enum Version {
    /// 2.0.
    #[serde(rename = "2.0")]
    V20,
    /// 3.0.
    #[default]
    #[serde(rename = "3.0")]
    V30,
}

/// How reports write an id.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "cmpp_report_id")]
pub enum ReportId {
    /// As the answer does.
    #[default]
    Same,
    /// Its octets in the opposite order, sometimes.
    Swapped,
}

/// What of a submit is about money, where the message says nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fee {
    /// Fee_UserType.
    pub user_type: u8,
    /// Fee_terminal_Id.
    pub terminal_id: String,
    /// Fee_terminal_type.
    pub terminal_type: u8,
    /// FeeType.
    pub fee_type: String,
    /// FeeCode.
    pub fee_code: String,
    /// LinkID.
    pub link_id: String,
}

/// A checked account.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where the ISMG listens.
    pub address: String,
    /// Our account.
    pub source_addr: String,
    /// Its secret.
    pub shared_secret: Secret,
    /// The account's version.
    pub version: cmpp::Version,
    /// Octet of the version in the login.
    pub connect_version: u8,
    /// Whether a login answer in the other version changes the version.
    pub adopt_version: bool,
    /// Service_Id.
    pub service_id: String,
    /// The access number.
    pub src_id: String,
    /// Msg_src.
    pub msg_src: String,
    /// Msg_level.
    pub msg_level: u8,
    /// TP_pId.
    pub tp_pid: u8,
    /// Whether reports may be asked for.
    pub registered_delivery: bool,
    /// How texts are written.
    pub texts: Texts,
    /// Who pays.
    pub fee: Fee,
    /// How reports write ids.
    pub report_id: ReportId,
    /// In what the gateway differs from the book.
    pub dialect: Dialect,
    /// Idle time before an active test.
    pub active_test: Duration,
    /// How long an answer may take.
    pub answer_timeout: Duration,
    /// How long the answer to a login may take.
    pub bind_timeout: Duration,
    /// Whose clock times are by.
    pub zone: Zone,
    /// Unanswered parts per link.
    pub window: usize,
}

impl Settings {
    /// Checks a table, or says everything that is wrong with it.
    pub fn check(
        common: &Common,
        table: Table,
        place: Range<usize>,
        secrets: Secrets<'_>,
    ) -> Result<Settings, Vec<Problem>> {
        let mut checks = Checks::default();
        let c = &mut checks;
        let version = match table.version {
            Version::V20 => cmpp::Version::V20,
            Version::V30 => cmpp::Version::V30,
        };
        let source_addr = c.text("source_addr", &table.source_addr, 6);
        let dialect = table.dialect.check(c, [159, 140, 160]);
        if let Some(link_id) = table.link_id.as_ref().filter(|_| version == cmpp::Version::V20) {
            c.problem(link_id.span(), "`link_id` needs version 3.0".to_owned(), "leave it out: 2.0 has no such field");
        }
        let octet = u32::from(version.octet());
        let settings = Settings {
            address: c.address("address", &table.address),
            shared_secret: Secret::new(c.secret("shared_secret", &table.shared_secret, 64, secrets)),
            version,
            connect_version: c.number("connect_version", table.connect_version.as_ref(), octet, 0..=255) as u8,
            adopt_version: table.adopt_version.unwrap_or(true),
            service_id: c.optional("service_id", &table.service_id, 10, ""),
            src_id: c.digits("src_id", &table.src_id, dialect.sender_digits),
            msg_src: c.optional("msg_src", &table.msg_src, 6, &source_addr),
            msg_level: c.number("msg_level", table.msg_level.as_ref(), 0, 0..=9) as u8,
            tp_pid: c.number("tp_pid", table.tp_pid.as_ref(), 0, 0..=255) as u8,
            registered_delivery: table.registered_delivery.unwrap_or(true),
            texts: Texts {
                encodings: table.encoding.unwrap_or_else(|| vec![Encoding::Ascii, Encoding::Ucs2]),
                ascii_limit: dialect.ascii_limit,
                wide_reference: dialect.wide_reference,
                max_parts: common.max_parts,
            },
            fee: table.fee.check(c, version, &table.link_id),
            report_id: table.report_id,
            active_test: times::active_test(c, table.active_test.as_ref()),
            answer_timeout: times::answer(c, table.answer_timeout.as_ref()),
            bind_timeout: times::bind(c, table.bind_timeout.as_ref()),
            zone: Zone::of(c, common, place),
            window: common.window,
            source_addr,
            dialect,
        };
        checks.finish(settings)
    }

    /// What a message may have otherwise.
    pub fn rules(&self) -> Rules {
        let (fee_types, link_id): (&[_], _) = match self.version {
            cmpp::Version::V20 => (&FEE_TYPES, 0),
            cmpp::Version::V30 => (FEE_TYPES.get(..3).unwrap_or(&FEE_TYPES), 20),
        };
        Rules { fee_types, link_id }
    }

    /// What a message with these options says of itself.
    pub fn terms_of<'a>(&'a self, options: Options<'a>) -> options::Terms<'a> {
        let Fee { fee_type, fee_code, link_id, .. } = &self.fee;
        let own = options::Terms { service_id: &self.service_id, fee_type, fee_code, link_id, answers: false };
        self.rules().terms(options, own)
    }

    /// One leg: submits, reports and messages from handsets share a connection.
    pub fn legs(&self) -> Vec<Leg> {
        vec![Leg {
            role: Role::Both,
            reach: Reach::Dial(self.address.clone()),
            transport: Transport::Stream,
            life: Life::Held,
            probe: Probe::Pdu,
        }]
    }

    /// The terms of a conversation.
    pub fn terms(&self, seed: u64) -> Terms {
        Terms {
            window: self.window,
            answer_timeout: self.answer_timeout,
            bind_timeout: self.bind_timeout,
            idle: self.active_test,
            tries: self.dialect.tries,
            resends: self.dialect.resends,
            first_sequence: self.dialect.first.sequence(seed),
        }
    }

    /// Everything a link depends on; the secret only as a mark.
    pub fn fingerprint(&self) -> String {
        format!("{self:?} {:016x}", self.shared_secret.mark())
    }
}

impl FeeTable {
    fn check(self, checks: &mut Checks, version: cmpp::Version, link_id: &Option<Spanned<String>>) -> Fee {
        if let Some(kind) = self.terminal_type.as_ref().filter(|_| version == cmpp::Version::V20) {
            let message = "`fee.terminal_type` needs version 3.0".to_owned();
            checks.problem(kind.span(), message, "leave it out: 2.0 has no such field");
        }
        let user_type = checks.number("fee.user_type", self.user_type.as_ref(), 2, 0..=3) as u8;
        if let Some(payer) = self.user_type.as_ref().filter(|_| user_type == 3 && self.terminal_id.is_none()) {
            let message = "`fee.user_type` is 3, but there is no `fee.terminal_id`".to_owned();
            checks.problem(payer.span(), message, "name the number that pays");
        }
        Fee {
            user_type,
            terminal_id: checks.optional("fee.terminal_id", &self.terminal_id, 21, ""),
            terminal_type: checks.number("fee.terminal_type", self.terminal_type.as_ref(), 0, 0..=1) as u8,
            fee_type: checks.optional("fee.fee_type", &self.fee_type, 2, "01"),
            fee_code: checks.optional("fee.fee_code", &self.fee_code, 6, "000000"),
            link_id: checks.optional("link_id", link_id, 20, ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmpp::testing::{GOOD, read, settings};

    const SECOND: Duration = Duration::from_secs(1);

    /// What is wrong, and the text it points at.
    fn problems(text: &str) -> Vec<(String, String)> {
        let problems = read(text).expect_err("something is wrong");
        problems.into_iter().map(|p| (p.message, text[p.span.unwrap()].to_owned())).collect()
    }

    #[test]
    fn defaults_are_those_of_a_plain_account() {
        let s = settings("");
        assert_eq!((s.version, s.connect_version, s.msg_src.as_str()), (cmpp::Version::V30, 0x30, "901234"));
        assert_eq!((s.active_test, s.answer_timeout, s.bind_timeout), (30 * SECOND, 30 * SECOND, 5 * SECOND));
        assert_eq!((s.dialect.resends, s.dialect.tries, s.dialect.ascii_limit), (0, 1, 159));
        assert_eq!((s.fee.user_type, s.fee.fee_type.as_str(), s.zone), (2, "01", Zone::default()));
        assert!(s.registered_delivery && s.adopt_version && s.dialect.validity && !s.dialect.check_server);
    }

    #[test]
    fn everything_wrong_is_told_with_its_place() {
        let text = "address = \"nowhere\"\nsource_addr = \"1234567\"\nshared_secret = \"env:gone\"\nversion = \"2.0\"\n\
                    src_id = \"Shop\"\nmsg_level = 10\nactive_test = \"4m\"\nlink_id = \"x\"\n\
                    fee = { user_type = 3 }\ndialect = { tp_udhi = 2, resends = 9, ascii_limit = 161 }\n";
        let places: Vec<String> = problems(text).into_iter().map(|(_, place)| place).collect();
        let expected =
            ["\"1234567\"", "9", "2", "161", "\"x\"", "\"nowhere\"", "\"env:gone\"", "\"Shop\"", "10", "3", "\"4m\""];
        assert_eq!(places, expected);
    }

    #[test]
    fn unknown_keys_and_words_are_problems() {
        assert_eq!(problems(&format!("{GOOD}adress = 1\n"))[0].1, "adress");
        assert_eq!(problems(&format!("{GOOD}version = \"4.0\"\n"))[0].1, "\"4.0\"");
        assert_eq!(problems(&format!("{GOOD}encoding = [\"gsm7\"]\n"))[0].1, "\"gsm7\"");
        assert_eq!(problems(&format!("{GOOD}dialect = {{ speed = 1 }}\n"))[0].1, "speed");
    }

    #[test]
    fn the_secret_is_shown_to_nobody() {
        let settings = settings("");
        let shown = format!("{settings:?} {}", settings.fingerprint());
        assert!(!shown.contains("secret-of"), "{shown}");
        let long = "secret-of-".repeat(10);
        let too_long = read(&GOOD.replace("secret-of-901234", &long)).expect_err("too long");
        assert!(!format!("{too_long:?}").contains("secret-of"));
    }

    #[test]
    fn the_fingerprint_follows_every_setting_and_the_secret() {
        let plain = read(GOOD).unwrap().fingerprint();
        assert_eq!(plain, read(GOOD).unwrap().fingerprint());
        assert_ne!(plain, read(&GOOD.replace("secret-of", "other-of")).unwrap().fingerprint());
        assert_ne!(plain, read(&format!("{GOOD}dialect = {{ tp_udhi = 64 }}\n")).unwrap().fingerprint());
    }

    #[test]
    fn a_zone_with_summer_time_is_a_problem() {
        let check = |zone: Option<&str>| {
            let common = Common { timezone: zone.map(str::to_owned), ..crate::cmpp::testing::common() };
            crate::cmpp::testing::read_in(&common, GOOD)
        };
        assert_eq!(check(Some("Asia/Shanghai")).unwrap().zone, Zone::default());
        assert_eq!(check(Some("UTC")).unwrap().zone, Zone::named("UTC").unwrap());
        assert!(check(Some("Europe/Berlin")).unwrap_err()[0].message.contains("Europe/Berlin"));
    }
}
