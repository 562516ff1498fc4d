//! The table `[channel.smgp]`: what a carrier's account needs, checked once, and the legs that follow from it.

use std::ops::Range;
use std::time::Duration;

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

/// FeeTypes (SMGP 3.0 §6.2.5).
static FEE_TYPES: [(&str, &str); 4] = [("00", "free"), ("01", "message"), ("02", "month"), ("03", "")];

/// The table as written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "smgp")]
pub struct Table {
    /// Where the SMGW listens, `host:port`; usually port 8890.
    #[schemars(with = "String")]
    address: Spanned<String>,
    /// Our account, at most 8 characters.
    #[schemars(with = "String", length(max = 8))]
    client_id: Spanned<String>,
    /// The secret of its login (`env:NAME`, `file:PATH` or inline), by the book at most 15 characters.
    #[schemars(with = "SecretText")]
    shared_secret: Spanned<SecretText>,
    /// What the account may do.
    #[serde(default)]
    login_mode: LoginMode,
    /// Version of the account.
    #[serde(default)]
    version: Version,
    /// Service code of each submit, at most 10 characters.
    #[schemars(with = "Option<String>", length(max = 10))]
    service_id: Option<Spanned<String>>,
    /// Our access number; senders' extensions follow it.
    #[schemars(with = "String", length(max = 21))]
    src_term_id: Spanned<String>,
    /// TLV MsgSrc, the company's code, at most 8 characters; not sent where left out.
    #[schemars(with = "Option<String>", length(max = 8))]
    msg_src: Option<Spanned<String>>,
    /// TLV MServiceID, the product, at most 21 characters; not sent where left out.
    #[schemars(with = "Option<String>", length(max = 21))]
    m_service_id: Option<Spanned<String>>,
    /// MsgType of each submit: 6 to a handset, 7 between handsets.
    #[schemars(with = "Option<u32>")]
    msg_type: Option<Spanned<u32>>,
    /// Priority of each submit, 0 to 3.
    #[schemars(with = "Option<u32>", range(max = 3))]
    priority: Option<Spanned<u32>>,
    /// Whether reports may be asked for at all; default true.
    need_report: Option<bool>,
    /// Encodings the carrier takes; a text goes in the one that makes the fewest parts, of equals the first.
    encoding: Option<Vec<Encoding>>,
    /// Who pays, and what.
    #[serde(default)]
    fee: FeeTable,
    /// TLV LinkID of each submit, at most 20 characters.
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
    /// In what this gateway differs from the book.
    #[serde(default)]
    dialect: dialect::Table,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "smgp_fee")]
struct FeeTable {
    /// TLV ChargeUserType: 0 the recipient pays, 1 the sender, 2 the SP, 3 `terminal_id`; not sent where left out.
    #[schemars(with = "Option<u32>", range(max = 3))]
    user_type: Option<Spanned<u32>>,
    /// ChargeTermID, the payer's number; empty for the recipient.
    #[schemars(with = "Option<String>", length(max = 21))]
    terminal_id: Option<Spanned<String>>,
    /// FeeType: `"00"` free, `"01"` per message, `"02"` by month, `"03"` capped.
    #[schemars(with = "Option<String>", length(max = 2))]
    fee_type: Option<Spanned<String>>,
    /// FeeCode, the price of a message in hundredths of a yuan.
    #[schemars(with = "Option<String>", length(max = 6))]
    fee_code: Option<Spanned<String>>,
    /// FixedFee, the price of a month or the cap in hundredths of a yuan.
    #[schemars(with = "Option<String>", length(max = 6))]
    fixed_fee: Option<Spanned<String>>,
}

/// What a login may do.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[schemars(rename = "smgp_login_mode")]
pub enum LoginMode {
    /// One link for both directions.
    #[default]
    #[serde(rename = "both")]
    Both,
    /// One link that sends.
    #[serde(rename = "send")]
    Send,
    /// One link that receives: messages from handsets, for a channel that sends nothing.
    #[serde(rename = "receive")]
    Receive,
    /// One link to send, one to receive.
    #[serde(rename = "send+receive")]
    Pair,
}

/// The version of an account. Those before 3.0 have no TLVs.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[schemars(rename = "smgp_version")]
pub(super) enum Version {
    /// 3.0.
    #[default]
    #[serde(rename = "3.0")]
    V30,
}

/// What of a submit is about money, where the message says nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fee {
    /// ChargeUserType, where it is sent.
    pub user_type: Option<u8>,
    /// ChargeTermID.
    pub terminal_id: String,
    /// FeeType.
    pub fee_type: String,
    /// FeeCode.
    pub fee_code: String,
    /// FixedFee.
    pub fixed_fee: String,
    /// LinkID; not sent where empty.
    pub link_id: String,
}

/// A checked account.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where the SMGW listens.
    pub address: String,
    /// Our account.
    pub client_id: String,
    /// Its secret.
    pub shared_secret: Secret,
    /// What it may do.
    pub login_mode: LoginMode,
    /// ServiceID.
    pub service_id: String,
    /// The access number.
    pub src_term_id: String,
    /// MsgSrc; not sent where empty.
    pub msg_src: String,
    /// MServiceID; not sent where empty.
    pub m_service_id: String,
    /// MsgType.
    pub msg_type: u8,
    /// Priority.
    pub priority: u8,
    /// Whether reports may be asked for.
    pub need_report: bool,
    /// How texts are written.
    pub texts: Texts,
    /// Who pays.
    pub fee: Fee,
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
        let Version::V30 = table.version;
        // The book wants no part longer than 140 octets, in whatever encoding.
        let dialect = table.dialect.check(c, [140, 159, 160]);
        let settings = Settings {
            address: c.address("address", &table.address),
            client_id: c.text("client_id", &table.client_id, 8),
            shared_secret: Secret::new(c.secret("shared_secret", &table.shared_secret, 64, secrets)),
            login_mode: table.login_mode,
            service_id: c.optional("service_id", &table.service_id, 10, ""),
            src_term_id: c.digits("src_term_id", &table.src_term_id, dialect.sender_digits),
            msg_src: c.optional("msg_src", &table.msg_src, 8, ""),
            m_service_id: c.optional("m_service_id", &table.m_service_id, 21, ""),
            msg_type: c.one_of("msg_type", table.msg_type.as_ref(), [6, 7]) as u8,
            priority: c.number("priority", table.priority.as_ref(), 0, 0..=3) as u8,
            need_report: table.need_report.unwrap_or(true),
            texts: Texts {
                encodings: table.encoding.unwrap_or_else(|| vec![Encoding::Ascii, Encoding::Gbk, Encoding::Ucs2]),
                ascii_limit: dialect.ascii_limit,
                wide_reference: dialect.wide_reference,
                max_parts: common.max_parts,
            },
            fee: table.fee.check(c, &table.link_id),
            active_test: times::active_test(c, table.active_test.as_ref()),
            answer_timeout: times::answer(c, table.answer_timeout.as_ref()),
            bind_timeout: times::bind(c, table.bind_timeout.as_ref()),
            zone: Zone::of(c, common, place),
            window: common.window,
            dialect,
        };
        checks.finish(settings)
    }

    /// What a message may have otherwise.
    pub fn rules(&self) -> Rules {
        Rules { fee_types: &FEE_TYPES, link_id: 20 }
    }

    /// What a message with these options says of itself.
    pub fn terms_of<'a>(&'a self, options: Options<'a>) -> options::Terms<'a> {
        let Fee { fee_type, fee_code, link_id, .. } = &self.fee;
        let own = options::Terms { service_id: &self.service_id, fee_type, fee_code, link_id, answers: false };
        self.rules().terms(options, own)
    }

    /// One leg, or one for each direction.
    pub fn legs(&self) -> Vec<Leg> {
        let leg = |role| Leg {
            role,
            reach: Reach::Dial(self.address.clone()),
            transport: Transport::Stream,
            life: Life::Held,
            probe: Probe::Pdu,
        };
        match self.login_mode {
            LoginMode::Both => vec![leg(Role::Both)],
            LoginMode::Send => vec![leg(Role::Send)],
            LoginMode::Receive => vec![leg(Role::Receive)],
            LoginMode::Pair => vec![leg(Role::Send), leg(Role::Receive)],
        }
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
    fn check(self, checks: &mut Checks, link_id: &Option<Spanned<String>>) -> Fee {
        let user_type = self.user_type.as_ref().map(|told| {
            let user_type = checks.number("fee.user_type", Some(told), 2, 0..=3) as u8;
            if user_type == 3 && self.terminal_id.is_none() {
                let message = "`fee.user_type` is 3, but there is no `fee.terminal_id`".to_owned();
                checks.problem(told.span(), message, "name the number that pays");
            }
            user_type
        });
        Fee {
            user_type,
            terminal_id: checks.optional("fee.terminal_id", &self.terminal_id, 21, ""),
            fee_type: checks.optional("fee.fee_type", &self.fee_type, 2, "00"),
            fee_code: checks.optional("fee.fee_code", &self.fee_code, 6, "000000"),
            fixed_fee: checks.optional("fee.fixed_fee", &self.fixed_fee, 6, "000000"),
            link_id: checks.optional("link_id", link_id, 20, ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smgp::testing::{GOOD, read, settings};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn defaults_are_those_of_a_plain_account() {
        let s = settings("");
        assert_eq!((s.login_mode, s.msg_type, s.dialect.ascii_limit), (LoginMode::Both, 6, 140));
        assert_eq!((s.active_test, s.answer_timeout, s.bind_timeout), (30 * SECOND, 30 * SECOND, 5 * SECOND));
        assert_eq!((s.fee.user_type, s.fee.fee_type.as_str(), s.zone), (None, "00", Zone::default()));
        assert_eq!(s.texts.encodings, [Encoding::Ascii, Encoding::Gbk, Encoding::Ucs2]);
    }

    #[test]
    fn everything_wrong_is_told_with_its_place() {
        let text = "address = \"nowhere\"\nclient_id = \"123456789\"\nshared_secret = \"env:gone\"\n\
                    src_term_id = \"Shop\"\nmsg_type = 5\npriority = 4\nactive_test = \"4m\"\n\
                    fee = { user_type = 3 }\ndialect = { sender_digits = 22 }\n";
        let problems = read(text).expect_err("something is wrong");
        let places: Vec<&str> = problems.into_iter().map(|p| &text[p.span.unwrap()]).collect();
        let expected = ["22", "\"nowhere\"", "\"123456789\"", "\"env:gone\"", "\"Shop\"", "5", "4", "3", "\"4m\""];
        assert_eq!(places, expected);
        for wrong in ["adress = 1", "login_mode = \"all\"", "version = \"1.3\"", "fee = { price = 1 }"] {
            assert!(read(&format!("{GOOD}{wrong}\n")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn login_modes_are_legs() {
        use Role::{Both, Receive, Send};
        let modes =
            [("both", &[Both][..]), ("send", &[Send]), ("receive", &[Receive]), ("send+receive", &[Send, Receive])];
        for (mode, roles) in modes {
            let legs = settings(&format!("login_mode = \"{mode}\"")).legs();
            assert_eq!(legs.iter().map(|leg| leg.role).collect::<Vec<_>>(), roles, "{mode}");
        }
    }

    #[test]
    fn the_secret_is_shown_to_nobody() {
        let plain = settings("");
        let shown = format!("{plain:?} {}", plain.fingerprint());
        assert!(!shown.contains("secret-of"), "{shown}");
        assert_ne!(plain.fingerprint(), read(&GOOD.replace("secret-of", "other-of")).unwrap().fingerprint());
        assert_ne!(plain.fingerprint(), settings("login_mode = \"send\"").fingerprint());
    }
}
