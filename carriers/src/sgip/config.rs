//! The table `[channel.sgip]`: what a carrier's account needs, checked once, and the legs that follow from it.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use codecs::sgip::{report_flag, sp_node};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use crate::china::dialect::{Dialect, Digest, First, times, verdicts};
use crate::china::number::Prefix;
use crate::china::options::{self, Rules};
use crate::china::text::{Encoding, Texts};
use crate::china::zone::Zone;
use crate::dialogue::Terms;
use crate::options::Options;
use crate::protocol::{Common, Leg, Life, Probe, Problem, Reach, Role, Secrets, Transport};
use crate::secret::Secret;
use crate::table::{Checks, SecretText};

const SECOND: Duration = Duration::from_secs(1);
/// The SP itself pays (SGIP 1.2 §4.2.3.3, ChargeNumber).
const SP_PAYS: &str = "000000000000000000000";

/// FeeTypes, each at its number (SGIP 1.2 §4.2.3.3).
static FEE_TYPES: [(&str, &str); 5] = [("0", ""), ("1", "free"), ("2", "message"), ("3", "month"), ("4", "")];

/// The table as written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "sgip")]
pub struct Table {
    /// Where the SMG listens, `host:port`; usually port 8801.
    #[schemars(with = "String")]
    address: Spanned<String>,
    /// Where we listen for the SMG's own connections, `ip:port`, usually port 8801; left out, receipts are expected on our
    /// connection, which is then kept open.
    #[schemars(with = "Option<String>")]
    listen: Option<Spanned<String>>,
    /// Our account, at most 16 characters.
    #[schemars(with = "String", length(max = 16))]
    login_name: Spanned<String>,
    /// Its password (`env:NAME`, `file:PATH` or inline), at most 16 characters.
    #[schemars(with = "SecretText")]
    login_password: Spanned<SecretText>,
    /// The name by which the SMG logs in with us; ours where left out.
    #[schemars(with = "Option<String>", length(max = 16))]
    smg_login_name: Option<Spanned<String>>,
    /// The password by which it does; ours where left out.
    #[schemars(with = "Option<SecretText>")]
    smg_login_password: Option<Spanned<SecretText>>,
    /// Our company's code, at most five digits.
    #[schemars(with = "String", length(max = 5))]
    corp_id: Spanned<String>,
    /// Area code of our home, as in `"010"`: with the company's code it makes our node id, 3010012345.
    #[schemars(with = "Option<String>", length(max = 4))]
    area: Option<Spanned<String>>,
    /// Our node id, where the carrier gave another.
    #[schemars(with = "Option<u32>")]
    node: Option<Spanned<u32>>,
    /// Our access number; senders' extensions follow it.
    #[schemars(with = "String", length(max = 21))]
    sp_number: Spanned<String>,
    /// Service code of each submit, at most 10 characters.
    #[schemars(with = "Option<String>", length(max = 10))]
    service_type: Option<Spanned<String>>,
    /// Priority of each submit, 0 to 9.
    #[schemars(with = "Option<u32>", range(max = 9))]
    priority: Option<Spanned<u32>>,
    /// ReportFlag where a receipt is wanted: 1 in any case, 0 only of failures.
    #[schemars(with = "Option<u32>", range(max = 1))]
    report_flag: Option<Spanned<u32>>,
    /// Encodings the carrier takes; a text goes in the one that makes the fewest parts, of equals the first.
    encoding: Option<Vec<Encoding>>,
    /// Who pays, and what.
    #[serde(default)]
    fee: FeeTable,
    /// LinkID of each submit (the reserved field), at most 8 characters.
    #[schemars(with = "Option<String>", length(max = 8))]
    link_id: Option<Spanned<String>>,
    /// How long nothing may happen on a connection before it is closed, `"1s"` to `"10m"`; gateways close it after 60 s.
    #[schemars(with = "Option<String>")]
    idle: Option<Spanned<String>>,
    /// How long an answer may take, `"1s"` to `"5m"`.
    #[schemars(with = "Option<String>")]
    answer_timeout: Option<Spanned<String>>,
    /// How long a login may take, `"100ms"` to `"1m"`.
    #[schemars(with = "Option<String>")]
    bind_timeout: Option<Spanned<String>>,
    /// In what this gateway differs from the book.
    #[serde(default)]
    dialect: DialectTable,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "sgip_fee")]
struct FeeTable {
    /// ChargeNumber, the number that pays, with 86; empty for the recipient, left out for ourselves.
    #[schemars(with = "Option<String>", length(max = 21))]
    charge_number: Option<Spanned<String>>,
    /// FeeType: 0 no fee for content, 1 free, 2 per message, 3 by month, 4 charged by us.
    #[schemars(with = "Option<u32>", range(max = 4))]
    fee_type: Option<Spanned<u32>>,
    /// FeeValue, the price in hundredths of a yuan.
    #[schemars(with = "Option<String>", length(max = 6))]
    fee_value: Option<Spanned<String>>,
    /// GivenValue, what the user is given, in hundredths of a yuan.
    #[schemars(with = "Option<String>", length(max = 6))]
    given_value: Option<Spanned<String>>,
    /// AgentFlag: 0 the fee is still to be charged, 1 it was.
    #[schemars(with = "Option<u32>", range(max = 1))]
    agent_flag: Option<Spanned<u32>>,
    /// MorelatetoMTFlag: 2 no answer to a message from the handset, 0 the first, 1 a later one.
    #[schemars(with = "Option<u32>", range(max = 2))]
    mo_flag: Option<Spanned<u32>>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "sgip_dialect")]
struct DialectTable {
    /// Whether the SMG may log in with us by any login type; by the book it is 2.
    any_login_type: bool,
    /// How often a submit without an answer is sent again, under the same sequence number: 0 to 5.
    #[schemars(with = "Option<u32>", range(max = 5))]
    resends: Option<Spanned<u32>>,
    /// TP_udhi of parts of long messages: 1 or 64.
    #[schemars(with = "Option<u32>")]
    tp_udhi: Option<Spanned<u32>>,
    /// Most ASCII characters in one part: 140, 159 or 160.
    #[schemars(with = "Option<u32>")]
    ascii_limit: Option<Spanned<u32>>,
    /// Bits of a long message's reference: 8 or 16.
    #[schemars(with = "Option<u32>")]
    reference_bits: Option<Spanned<u32>>,
    /// How handsets in China are written; default `"86"`.
    number_prefix: Option<Prefix>,
    /// Most digits of the sender with its extension: 20 or 21.
    #[schemars(with = "Option<u32>")]
    sender_digits: Option<Spanned<u32>>,
    /// Whether submits say until when they are valid; default true.
    validity: Option<bool>,
    /// The carrier's own codes that mean "too fast".
    throttled: Vec<u32>,
    /// Its codes for what no carrier would take.
    rejected: Vec<u32>,
    /// Its codes for passing trouble.
    retry: Vec<u32>,
}

/// What of a submit is about money, where the message says nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fee {
    /// ChargeNumber.
    pub charge_number: String,
    /// FeeType.
    pub fee_type: u8,
    /// FeeValue.
    pub fee_value: String,
    /// GivenValue.
    pub given_value: String,
    /// AgentFlag.
    pub agent_flag: u8,
    /// MorelatetoMTFlag.
    pub mo_flag: u8,
    /// LinkID.
    pub link_id: String,
}

/// A checked account.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where the SMG listens.
    pub address: String,
    /// Where we do.
    pub listen: Option<String>,
    /// Our account.
    pub login_name: String,
    /// Its password.
    pub login_password: Secret,
    /// The SMG's account with us.
    pub their_name: String,
    /// Its password.
    pub their_password: Secret,
    /// Our company's code.
    pub corp_id: String,
    /// Our node id.
    pub node: u32,
    /// The access number.
    pub sp_number: String,
    /// ServiceType.
    pub service_type: String,
    /// Priority.
    pub priority: u8,
    /// ReportFlag where a receipt is wanted.
    pub report_flag: u8,
    /// How texts are written.
    pub texts: Texts,
    /// Who pays.
    pub fee: Fee,
    /// In what the gateway differs from the book.
    pub dialect: Dialect,
    /// Whether the SMG may log in by any login type.
    pub any_login_type: bool,
    /// How long nothing may happen on a connection.
    pub idle: Duration,
    /// How long an answer may take.
    pub answer_timeout: Duration,
    /// How long a login may take.
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
        let any_login_type = table.dialect.any_login_type;
        let dialect = table.dialect.check(c);
        let login_name = c.text("login_name", &table.login_name, 16);
        let login_password = Secret::new(c.secret("login_password", &table.login_password, 16, secrets));
        let their_password = match &table.smg_login_password {
            Some(written) => Secret::new(c.secret("smg_login_password", written, 16, secrets)),
            None => login_password.clone(),
        };
        let corp_id = c.digits("corp_id", &table.corp_id, 5);
        let settings = Settings {
            address: c.address("address", &table.address),
            listen: table.listen.as_ref().map(|listen| listens(c, listen)),
            their_name: c.optional("smg_login_name", &table.smg_login_name, 16, &login_name),
            login_name,
            login_password,
            their_password,
            node: node(c, &table.node, &table.area, &corp_id, place.clone()),
            corp_id,
            sp_number: c.digits("sp_number", &table.sp_number, dialect.sender_digits),
            service_type: c.optional("service_type", &table.service_type, 10, ""),
            priority: c.number("priority", table.priority.as_ref(), 0, 0..=9) as u8,
            report_flag: c.number("report_flag", table.report_flag.as_ref(), report_flag::ALWAYS.into(), 0..=1) as u8,
            texts: Texts {
                encodings: table.encoding.unwrap_or_else(|| vec![Encoding::Ascii, Encoding::Gbk, Encoding::Ucs2]),
                ascii_limit: dialect.ascii_limit,
                wide_reference: dialect.wide_reference,
                max_parts: common.max_parts,
            },
            fee: table.fee.check(c, &table.link_id),
            idle: c.duration("idle", table.idle.as_ref(), 30 * SECOND, SECOND..=600 * SECOND),
            answer_timeout: times::answer(c, table.answer_timeout.as_ref()),
            bind_timeout: times::bind(c, table.bind_timeout.as_ref()),
            zone: Zone::of(c, common, place),
            window: common.window,
            any_login_type,
            dialect,
        };
        checks.finish(settings)
    }

    /// What a message may have otherwise.
    pub fn rules(&self) -> Rules {
        Rules { fee_types: &FEE_TYPES, link_id: 8 }
    }

    /// What a message with these options says of itself; a FeeType as its digit.
    pub fn terms_of<'a>(&'a self, options: Options<'a>) -> options::Terms<'a> {
        let Fee { fee_type, fee_value, link_id, .. } = &self.fee;
        let fee_type = FEE_TYPES.get(usize::from(*fee_type)).map_or("1", |(code, _)| *code);
        let own =
            options::Terms { service_id: &self.service_type, fee_type, fee_code: fee_value, link_id, answers: false };
        self.rules().terms(options, own)
    }

    /// Our connection, and the listener where there is one.
    pub fn legs(&self) -> Vec<Leg> {
        let ours = Leg {
            role: if self.listen.is_some() { Role::Send } else { Role::Both },
            reach: Reach::Dial(self.address.clone()),
            transport: Transport::Stream,
            // Who waits for receipts on it cannot close it for want of messages.
            life: if self.listen.is_some() { Life::OnDemand } else { Life::Held },
            probe: Probe::Bind,
        };
        let theirs = self.listen.iter().map(|listen| Leg {
            role: Role::Receive,
            reach: Reach::Listen(listen.clone()),
            transport: Transport::Stream,
            life: Life::Held,
            probe: Probe::None,
        });
        std::iter::once(ours.clone()).chain(theirs).collect()
    }

    /// The terms of a conversation, on our connection or the SMG's.
    pub fn terms(&self, ours: bool, seed: u64) -> Terms {
        Terms {
            window: if ours { self.window } else { 0 },
            answer_timeout: self.answer_timeout,
            bind_timeout: self.bind_timeout,
            // The SMG closes its own when it has nothing to say; who does not is cut off late.
            idle: if ours { self.idle } else { 2 * self.idle.max(60 * SECOND) },
            tries: 0,
            resends: self.dialect.resends,
            first_sequence: self.dialect.first.sequence(seed),
        }
    }

    /// Everything a link depends on; the secrets only as marks.
    pub fn fingerprint(&self) -> String {
        format!("{self:?} {:016x} {:016x}", self.login_password.mark(), self.their_password.mark())
    }
}

/// An address of this machine to listen on.
fn listens(checks: &mut Checks, written: &Spanned<String>) -> String {
    let text = written.get_ref();
    if text.parse::<SocketAddr>().is_err() {
        let message = format!("`listen` is {text:?}, not ip:port");
        checks.problem(written.span(), message, "as in \"0.0.0.0:8801\" or \"[::]:8801\"");
    }
    text.clone()
}

/// The node id, as written or from area and company.
fn node(
    checks: &mut Checks,
    node: &Option<Spanned<u32>>,
    area: &Option<Spanned<String>>,
    corp_id: &str,
    place: Range<usize>,
) -> u32 {
    match (node, area) {
        (Some(node), _) => *node.get_ref(),
        (None, Some(area)) => sp_node(area.get_ref(), corp_id.parse().unwrap_or_default()).unwrap_or_else(|| {
            let message = format!("`area` is {:?}, not an area code", area.get_ref());
            checks.problem(area.span(), message, "as in \"010\" or \"0755\"");
            0
        }),
        (None, None) => {
            let message = "neither `area` nor `node` is given".to_owned();
            checks.problem(place, message, "write the area code of your home, as in area = \"010\"");
            0
        }
    }
}

impl FeeTable {
    fn check(self, checks: &mut Checks, link_id: &Option<Spanned<String>>) -> Fee {
        Fee {
            charge_number: checks.optional("fee.charge_number", &self.charge_number, 21, SP_PAYS),
            fee_type: checks.number("fee.fee_type", self.fee_type.as_ref(), 1, 0..=4) as u8,
            fee_value: checks.optional("fee.fee_value", &self.fee_value, 6, "0"),
            given_value: checks.optional("fee.given_value", &self.given_value, 6, "0"),
            agent_flag: checks.number("fee.agent_flag", self.agent_flag.as_ref(), 0, 0..=1) as u8,
            mo_flag: checks.number("fee.mo_flag", self.mo_flag.as_ref(), 2, 0..=2) as u8,
            link_id: checks.optional("link_id", link_id, 8, ""),
        }
    }
}

impl DialectTable {
    fn check(self, checks: &mut Checks) -> Dialect {
        Dialect {
            digest: Digest::Plain,
            check_server: false,
            first: First::Random,
            resends: checks.number("dialect.resends", self.resends.as_ref(), 0, 0..=5),
            tries: 0,
            tp_udhi: checks.one_of("dialect.tp_udhi", self.tp_udhi.as_ref(), [1, 64]) as u8,
            ascii_limit: checks.one_of("dialect.ascii_limit", self.ascii_limit.as_ref(), [160, 159, 140]) as usize,
            wide_reference: checks.one_of("dialect.reference_bits", self.reference_bits.as_ref(), [8, 16]) == 16,
            prefix: self.number_prefix.unwrap_or(Prefix::Country),
            sender_digits: checks.one_of("dialect.sender_digits", self.sender_digits.as_ref(), [20, 21]) as usize,
            validity: self.validity.unwrap_or(true),
            verdicts: verdicts(self.throttled, self.rejected, self.retry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sgip::testing::{GOOD, read, settings};

    #[test]
    fn defaults_are_those_of_a_plain_account() {
        let s = settings("");
        assert_eq!((s.node, s.report_flag, s.priority, s.dialect.prefix), (3_010_012_345, 1, 0, Prefix::Country));
        assert_eq!((s.idle, s.answer_timeout, s.bind_timeout), (30 * SECOND, 30 * SECOND, 5 * SECOND));
        assert_eq!((s.their_name.as_str(), s.their_password.is(b"secret-of-sp")), ("sp12345", true));
        assert_eq!((s.fee.charge_number.as_str(), s.fee.fee_type, s.fee.mo_flag), (SP_PAYS, 1, 2));
        assert_eq!(s.texts.encodings, [Encoding::Ascii, Encoding::Gbk, Encoding::Ucs2]);
    }

    #[test]
    fn a_listener_makes_two_legs_and_its_absence_one_that_stays() {
        let legs = settings("").legs();
        assert_eq!((legs.len(), legs[0].role, legs[0].life), (1, Role::Both, Life::Held));
        let legs = settings("listen = \"127.0.0.1:8801\"").legs();
        assert_eq!((legs.len(), legs[0].role, legs[0].life), (2, Role::Send, Life::OnDemand));
        assert_eq!((legs[1].role, &legs[1].reach), (Role::Receive, &Reach::Listen("127.0.0.1:8801".into())));
        assert_eq!((legs[0].probe, legs[1].probe), (Probe::Bind, Probe::None));
    }

    #[test]
    fn the_smg_may_log_in_as_somebody_else() {
        let s = settings("smg_login_name = \"smg\"\nsmg_login_password = \"theirs\"\nnode = 7");
        assert_eq!((s.their_name.as_str(), s.their_password.is(b"theirs"), s.node), ("smg", true, 7));
    }

    #[test]
    fn everything_wrong_is_told_with_its_place() {
        let text = "address = \"nowhere\"\nlisten = \"localhost:8801\"\nlogin_name = \"12345678901234567\"\n\
                    login_password = \"env:gone\"\nsp_number = \"Shop\"\ncorp_id = \"123456\"\narea = \"x\"\n\
                    priority = 10\nreport_flag = 2\nidle = \"11m\"\nfee = { fee_type = 5, mo_flag = 3 }\n\
                    dialect = { sender_digits = 22 }\n";
        let problems = read(text).expect_err("something is wrong");
        let mut places: Vec<&str> = problems.into_iter().map(|p| &text[p.span.unwrap()]).collect();
        let mut expected = vec![
            "\"nowhere\"",
            "\"localhost:8801\"",
            "\"12345678901234567\"",
            "\"env:gone\"",
            "\"Shop\"",
            "\"123456\"",
            "\"x\"",
            "10",
            "2",
            "\"11m\"",
            "5",
            "3",
            "22",
        ];
        places.sort_unstable();
        expected.sort_unstable();
        assert_eq!(places, expected);
        for wrong in ["adress = 1", "version = \"1.3\"", "fee = { price = 1 }", "dialect = { check_server = true }"] {
            assert!(read(&format!("{GOOD}{wrong}\n")).is_err(), "{wrong}");
        }
        let nowhere = GOOD.replace("area = \"010\"\n", "");
        assert!(read(&nowhere).unwrap_err()[0].message.contains("neither `area` nor `node`"));
    }

    #[test]
    fn the_secrets_are_shown_to_nobody() {
        let plain = settings("smg_login_password = \"secret-of-smg\"");
        let shown = format!("{plain:?} {}", plain.fingerprint());
        assert!(!shown.contains("secret-of"), "{shown}");
        assert_ne!(plain.fingerprint(), settings("smg_login_password = \"other\"").fingerprint());
        assert_ne!(plain.fingerprint(), read(&GOOD.replace("secret-of", "other-of")).unwrap().fingerprint());
    }
}
