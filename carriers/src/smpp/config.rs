//! The table `[channel.smpp]`: what a carrier's account needs, checked once, and the legs that follow from it.
//!
//! [`Table`] is the text's shape, [`Settings`] what the session and the mapping use. The password is a [`Secret`]:
//! it is written into the bind and nowhere else.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use crate::protocol::{Common, Leg, Life, Probe, Problem, Reach, Role, Secrets, Transport};
use crate::secret::Secret;
use crate::table::{Checks, SecretText};

const SECOND: Duration = Duration::from_secs(1);

/// The table as written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "smpp")]
pub struct Table {
    /// Where the carrier listens, `host:port`.
    #[schemars(with = "String")]
    address: Spanned<String>,
    /// Our account, at most 15 characters.
    #[schemars(with = "String", length(max = 15))]
    system_id: Spanned<String>,
    /// Its password (`env:NAME`, `file:PATH` or inline), at most 8 characters.
    #[schemars(with = "SecretText")]
    password: Spanned<SecretText>,
    /// What the carrier wants here, if anything, at most 12 characters.
    #[schemars(with = "Option<String>", length(max = 12))]
    system_type: Option<Spanned<String>>,
    /// Service type of each submit, at most 5 characters.
    #[schemars(with = "Option<String>", length(max = 5))]
    service_type: Option<Spanned<String>>,
    /// One link for both directions, or one for each.
    #[serde(default)]
    bind: Binding,
    /// Version told to the carrier.
    #[serde(default)]
    version: Version,
    /// The channel's own sender, and how plain numbers are typed.
    source: Option<SourceTable>,
    /// What data_coding 0 means at this carrier.
    #[serde(default)]
    encoding_default: DefaultAlphabet,
    /// How the carrier writes its message ids.
    #[serde(default)]
    message_id: IdBases,
    /// How a long text is sent.
    #[serde(default)]
    long: Long,
    /// Whether receipts may be asked for at all.
    #[serde(default = "yes")]
    registered_delivery: bool,
    /// Whether submits carry user_message_reference where the carrier's version knows it.
    #[serde(default = "yes")]
    user_message_reference: bool,
    /// Idle time before the far side is probed, `"1s"` to `"10m"`.
    #[schemars(with = "Option<String>")]
    enquire_link: Option<Spanned<String>>,
    /// How long an answer may take, `"1s"` to `"5m"`.
    #[schemars(with = "Option<String>")]
    answer_timeout: Option<Spanned<String>>,
    /// How long the answer to a bind may take, `"100ms"` to `"1m"`.
    #[schemars(with = "Option<String>")]
    bind_timeout: Option<Spanned<String>>,
    /// Not built.
    #[schemars(skip)]
    tls: Option<Spanned<IgnoredAny>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "smpp_source")]
struct SourceTable {
    /// Type of number, 0 to 6.
    #[schemars(with = "Option<u8>", range(max = 6))]
    ton: Option<Spanned<u8>>,
    /// Numbering plan, 0 to 18.
    #[schemars(with = "Option<u8>", range(max = 18))]
    npi: Option<Spanned<u8>>,
    /// The sender used where the message names none, at most 20 characters.
    #[schemars(with = "String", length(max = 20))]
    addr: Spanned<String>,
}

fn yes() -> bool {
    true
}

/// How a channel binds.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[schemars(rename = "smpp_bind")]
pub enum Binding {
    /// One link for both directions.
    #[default]
    #[serde(rename = "transceiver")]
    Transceiver,
    /// One link to send, one to receive.
    #[serde(rename = "transmitter+receiver")]
    Pair,
}

/// interface_version in the bind.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[schemars(rename = "smpp_version")]
pub enum Version {
    /// SMPP 3.4.
    #[default]
    #[serde(rename = "3.4")]
    V34,
    /// SMPP 5.0.
    #[serde(rename = "5.0")]
    V50,
}

impl Version {
    /// The octet in the bind.
    pub fn octet(self) -> u8 {
        match self {
            Version::V34 => 0x34,
            Version::V50 => 0x50,
        }
    }
}

/// The alphabet behind data_coding 0.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "smpp_encoding_default")]
pub enum DefaultAlphabet {
    /// GSM 03.38, one septet per octet.
    #[default]
    Gsm7,
    /// ISO 8859-1.
    Latin1,
    /// US-ASCII.
    Ascii,
}

/// How an id is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "smpp_id_base")]
pub enum IdBase {
    /// A decimal number.
    Dec,
    /// A hexadecimal number.
    Hex,
    /// Characters to be compared as they are.
    #[default]
    Opaque,
}

/// How ids are written in answers and in receipts.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "smpp_message_id")]
pub struct IdBases {
    /// In submit_sm_resp.
    #[serde(default)]
    pub answer: IdBase,
    /// In the receipt's text.
    #[serde(default)]
    pub receipt: IdBase,
}

/// How a long text is sent.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "smpp_long")]
pub enum Long {
    /// In parts with a user data header.
    #[default]
    Udh,
    /// In parts with sar_* TLVs.
    Sar,
    /// Whole, in message_payload; the carrier splits it.
    Payload,
}

/// Type of number and numbering plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberType {
    /// Type of number.
    pub ton: u8,
    /// Numbering plan indicator.
    pub npi: u8,
}

/// The channel's own sender; empty where the carrier fills it in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// How plain digits are typed, where the carrier wants something particular.
    pub plain: Option<NumberType>,
    /// The sender used where the message names none.
    pub addr: String,
}

/// A checked account.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where the carrier listens.
    pub address: String,
    /// Our account.
    pub system_id: String,
    /// Its password.
    pub password: Secret,
    /// system_type of the bind.
    pub system_type: String,
    /// service_type of each submit.
    pub service_type: String,
    /// One link or two.
    pub binding: Binding,
    /// interface_version of the bind.
    pub version: Version,
    /// The channel's own sender.
    pub source: Source,
    /// What data_coding 0 means.
    pub default_alphabet: DefaultAlphabet,
    /// How ids are written.
    pub ids: IdBases,
    /// How a long text is sent.
    pub long: Long,
    /// Whether receipts may be asked for.
    pub registered_delivery: bool,
    /// Whether submits carry user_message_reference.
    pub user_message_reference: bool,
    /// Idle time before a probe.
    pub enquire_link: Duration,
    /// How long an answer may take.
    pub answer_timeout: Duration,
    /// How long the answer to bind or unbind may take.
    pub bind_timeout: Duration,
    /// Unanswered parts per link.
    pub window: usize,
    /// Most parts a message may become.
    pub max_parts: u8,
}

impl Settings {
    /// Checks a table, or says everything that is wrong with it.
    pub fn check(common: &Common, table: Table, secrets: Secrets<'_>) -> Result<Settings, Vec<Problem>> {
        let mut checks = Checks::default();
        if let Some(tls) = &table.tls {
            checks.problem(
                tls.span(),
                format!("channel {}: `tls` is not supported on SMPP links", common.name),
                "remove it and run the link through a VPN or a TLS tunnel on this host",
            );
        }
        let optional = |checks: &mut Checks, key, value: &Option<Spanned<String>>, most| match value {
            Some(value) => checks.text(key, value, most),
            None => String::new(),
        };
        let settings = Settings {
            address: checks.address("address", &table.address),
            system_id: checks.text("system_id", &table.system_id, 15),
            password: Secret::new(checks.secret("password", &table.password, 8, secrets)),
            system_type: optional(&mut checks, "system_type", &table.system_type, 12),
            service_type: optional(&mut checks, "service_type", &table.service_type, 5),
            binding: table.bind,
            version: table.version,
            source: table.source.map_or_else(Source::default, |source| source.check(&mut checks)),
            default_alphabet: table.encoding_default,
            ids: table.message_id,
            long: table.long,
            registered_delivery: table.registered_delivery,
            user_message_reference: table.user_message_reference,
            enquire_link: checks.duration(
                "enquire_link",
                table.enquire_link.as_ref(),
                30 * SECOND,
                SECOND..=600 * SECOND,
            ),
            answer_timeout: checks.duration(
                "answer_timeout",
                table.answer_timeout.as_ref(),
                30 * SECOND,
                SECOND..=300 * SECOND,
            ),
            bind_timeout: checks.duration(
                "bind_timeout",
                table.bind_timeout.as_ref(),
                5 * SECOND,
                SECOND / 10..=60 * SECOND,
            ),
            window: common.window,
            max_parts: common.max_parts,
        };
        checks.finish(settings)
    }

    /// One leg for both directions, or one to send and one to receive.
    pub fn legs(&self) -> Vec<Leg> {
        let leg = |role| Leg {
            role,
            reach: Reach::Dial(self.address.clone()),
            transport: Transport::Stream,
            life: Life::Held,
            probe: Probe::Pdu,
        };
        match self.binding {
            Binding::Transceiver => vec![leg(Role::Both)],
            Binding::Pair => vec![leg(Role::Send), leg(Role::Receive)],
        }
    }

    /// Everything a link depends on; the password only as a mark.
    pub fn fingerprint(&self) -> String {
        format!("{self:?} {:016x}", self.password.mark())
    }
}

impl SourceTable {
    fn check(self, checks: &mut Checks) -> Source {
        let mut bounded = |key: &str, value: &Option<Spanned<u8>>, most: u8| {
            let value = value.as_ref()?;
            if *value.get_ref() > most {
                checks.problem(value.span(), format!("`source.{key}` is {}, more than {most}", value.get_ref()), "");
            }
            Some(*value.get_ref())
        };
        let ton = bounded("ton", &self.ton, 6);
        let npi = bounded("npi", &self.npi, 18);
        let plain = match (ton, npi) {
            (None, None) => None,
            (ton, npi) => Some(NumberType { ton: ton.unwrap_or(0), npi: npi.unwrap_or(0) }),
        };
        Source { plain, addr: checks.text("source.addr", &self.addr, 20) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smpp::testing::{read, settings};

    const GOOD: &str = "address = \"[::1]:2775\"\nsystem_id = \"qiao\"\npassword = \"secret\"\n";

    /// What is wrong, and the text it points at.
    fn problems(text: &str) -> Vec<(String, String)> {
        let problems = read(text).expect_err("something is wrong");
        problems.into_iter().map(|p| (p.message, text[p.span.unwrap()].to_owned())).collect()
    }

    #[test]
    fn defaults_are_those_of_a_plain_account() {
        let s = settings("");
        assert_eq!((s.binding, s.version, s.long), (Binding::Transceiver, Version::V34, Long::Udh));
        assert_eq!((s.enquire_link, s.answer_timeout, s.bind_timeout), (30 * SECOND, 30 * SECOND, 5 * SECOND));
        assert!(s.registered_delivery && s.user_message_reference);
        assert_eq!(s.legs().len(), 1);
    }

    #[test]
    fn everything_wrong_is_told_with_its_place() {
        let text = "address = \"nowhere\"\nsystem_id = \"more-than-fifteen\"\npassword = \"env:gone\"\n\
                    enquire_link = \"1ms\"\nanswer_timeout = \"soon\"\nsource = { ton = 9, addr = \"x\" }\n\
                    tls = { cert = \"c.pem\" }\n";
        let found = problems(text);
        let places: Vec<&str> = found.iter().map(|(_, place)| place.as_str()).collect();
        assert_eq!(
            places,
            [
                "{ cert = \"c.pem\" }",
                "\"nowhere\"",
                "\"more-than-fifteen\"",
                "\"env:gone\"",
                "9",
                "\"1ms\"",
                "\"soon\"",
            ]
        );
        assert!(found[0].0.contains("not supported"));
    }

    #[test]
    fn unknown_keys_and_words_are_problems() {
        assert_eq!(problems(&format!("{GOOD}adress = 1\n"))[0].1, "adress");
        assert_eq!(problems(&format!("{GOOD}long = \"short\"\n"))[0].1, "\"short\"");
        assert_eq!(problems(&format!("{GOOD}bind = 1\n"))[0].1, "1");
    }

    #[test]
    fn the_password_is_shown_to_nobody() {
        let settings = settings("");
        let shown = format!("{settings:?} {}", settings.fingerprint());
        assert!(!shown.contains("secret"), "{shown}");
        let too_long = read(&GOOD.replace("secret", "much-too-secret")).expect_err("too long");
        assert!(!format!("{too_long:?}").contains("much-too-secret"));
    }

    #[test]
    fn the_fingerprint_follows_every_setting_and_the_password() {
        let plain = read(GOOD).unwrap().fingerprint();
        assert_eq!(plain, read(GOOD).unwrap().fingerprint());
        assert_ne!(plain, read(&GOOD.replace("secret", "other")).unwrap().fingerprint());
        assert_ne!(plain, read(&format!("{GOOD}long = \"sar\"\n")).unwrap().fingerprint());
    }

    #[test]
    fn a_pair_has_a_leg_each_way() {
        let legs = settings("bind = \"transmitter+receiver\"").legs();
        assert_eq!(legs.iter().map(|leg| leg.role).collect::<Vec<_>>(), [Role::Send, Role::Receive]);
    }
}
