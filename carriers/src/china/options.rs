//! What a message may have otherwise than its account, in all of China's protocols under the same names: `service_id`,
//! `fee_type`, `fee_code`, `link_id`, `at_time`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use codecs::stat::trimmed;
use codecs::time::Moment;

use super::zone::Zone;
use crate::message::Unsendable;
use crate::options::{Options, Rare};

const SERVICE_ID: &str = "service_id";
const FEE_TYPE: &str = "fee_type";
const FEE_CODE: &str = "fee_code";
const LINK_ID: &str = "link_id";
const AT_TIME: &str = "at_time";

/// What a protocol's fields hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// FeeTypes: the protocol's own code, and a word that is the same in all of them where there is one.
    pub fee_types: &'static [(&'static str, &'static str)],
    /// Octets of a LinkID; 0 where there is no such field.
    pub link_id: usize,
}

/// What a submit says of what options can change: the account's own to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms<'a> {
    /// Service code.
    pub service_id: &'a str,
    /// FeeType as the protocol writes it.
    pub fee_type: &'a str,
    /// Price in hundredths of a yuan.
    pub fee_code: &'a str,
    /// LinkID; empty: none.
    pub link_id: &'a str,
    /// Whether the message itself brought the LinkID, so that it answers one from a handset.
    pub answers: bool,
}

impl Rules {
    /// Whether there is an option of this name; an error says what its value should be.
    pub fn takes(&self, name: &str, value: &str) -> Result<bool, &'static str> {
        let (good, wanted) = match name {
            SERVICE_ID => ((1..=10).contains(&value.len()), "1 to 10 characters"),
            FEE_TYPE => (self.fee_type(value).is_some(), "free, message, month or the carrier's own code"),
            FEE_CODE => ((1..=6).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit()), "1 to 6 digits"),
            LINK_ID if self.link_id > 0 => {
                ((1..=self.link_id).contains(&value.len()), "no longer than the carrier's field, and not empty")
            }
            AT_TIME => (moment(value).is_some(), "as in 2026-11-23T08:00:00+08:00"),
            _ => return Ok(false),
        };
        if good { Ok(true) } else { Err(wanted) }
    }

    /// Whether every option that there is has a value that can be written.
    pub fn check(&self, options: Options<'_>) -> Result<(), Unsendable> {
        for (name, value) in options.iter() {
            if let Err(why) = self.takes(name, value) {
                return Err(Unsendable::Option(name.to_owned(), why));
            }
        }
        Ok(())
    }

    /// The account's terms with what the message has otherwise.
    pub fn terms<'a>(&self, options: Options<'a>, own: Terms<'a>) -> Terms<'a> {
        let mut terms = own;
        for (name, value) in options.iter() {
            match name {
                SERVICE_ID => terms.service_id = value,
                FEE_TYPE => terms.fee_type = self.fee_type(value).unwrap_or(own.fee_type),
                FEE_CODE => terms.fee_code = value,
                LINK_ID if self.link_id > 0 => (terms.link_id, terms.answers) = (value, true),
                _ => {}
            }
        }
        terms
    }

    fn fee_type(&self, value: &str) -> Option<&'static str> {
        let known = |(code, word): &&(&str, &str)| !value.is_empty() && (*code == value || *word == value);
        self.fee_types.iter().find(known).map(|(code, _)| *code)
    }
}

/// Whether a message is still valid when the carrier is to deliver it; `until`: the end of its validity, where known.
pub fn in_time(options: Options<'_>, until: Option<SystemTime>) -> Result<(), Unsendable> {
    let at = options.get(AT_TIME).and_then(moment);
    match at.zip(until) {
        Some((at, until)) if at >= until => {
            Err(Unsendable::Option(AT_TIME.to_owned(), "before the end of the message's validity"))
        }
        _ => Ok(()),
    }
}

/// When the carrier is to deliver a message, as its field says it: nothing where that is at once. An error where it
/// would not be valid any more.
pub fn scheduled(
    options: Options<'_>,
    zone: Zone,
    now: SystemTime,
    valid_for: Duration,
) -> Result<Option<[u8; 16]>, &'static str> {
    let at = options.get(AT_TIME).and_then(moment).filter(|at| *at > now);
    match at.map(|at| (at, at.duration_since(now).unwrap_or_default())) {
        Some((_, wait)) if wait >= valid_for => Err(AT_TIME),
        Some((at, _)) => Ok(Some(zone.absolute(at, Duration::ZERO))),
        None => Ok(None),
    }
}

/// The options that an answer to a message from a handset should have: the link it came with, where it can be one.
pub fn of_mo(link_id: &[u8]) -> Rare {
    let link = std::str::from_utf8(trimmed(link_id)).unwrap_or_default();
    let any = link.bytes().any(|b| b != b'0') && Options::fits(LINK_ID, link).is_ok();
    Rare::from(&*Options::joined(any.then_some((LINK_ID, link)).into_iter()))
}

/// A time as in RFC 3339, to the second: `2026-11-23T08:00:00+08:00`, `2026-11-23T00:00:00Z`.
fn moment(text: &str) -> Option<SystemTime> {
    let (clock, offset) = text.split_at_checked(19)?;
    let marks = clock.bytes().enumerate().all(|(at, octet)| match at {
        4 | 7 => octet == b'-',
        10 => octet == b'T' || octet == b't',
        13 | 16 => octet == b':',
        _ => octet.is_ascii_digit(),
    });
    let digits: String = clock.chars().filter(char::is_ascii_digit).collect();
    let moment = Moment::read(digits.as_bytes()).filter(|_| marks)?;
    let seconds = match offset.as_bytes() {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), tens, ones, b':', min_tens, min_ones] => {
            let pair = |tens: &u8, ones: &u8| {
                let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
                digits.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
            };
            let (hours, minutes) = (pair(tens, ones)?, pair(min_tens, min_ones)?);
            let ahead = hours * 3600 + minutes * 60;
            (hours < 24 && minutes < 60).then_some(if *sign == b'+' { ahead } else { -ahead })?
        }
        _ => return None,
    };
    // A moment is by China's clocks.
    let unix = moment.unix()?.checked_add_signed(8 * 3600 - seconds)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(unix))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { fee_types: &[("00", "free"), ("01", "message"), ("09", "")], link_id: 8 };
    const OWN: Terms<'static> = Terms { service_id: "OWN", fee_type: "00", fee_code: "0", link_id: "", answers: false };

    #[test]
    fn values_are_as_the_field_holds_them() {
        let good = [("service_id", "HELP"), ("fee_type", "free"), ("fee_type", "09"), ("fee_code", "100")];
        for (name, value) in good.into_iter().chain([("link_id", "12345678"), ("at_time", "2026-11-23T08:00:00Z")]) {
            assert_eq!(RULES.takes(name, value), Ok(true), "{name}");
        }
        let bad = [("service_id", ""), ("service_id", "12345678901"), ("fee_type", "02"), ("fee_type", "")];
        for (name, value) in bad.into_iter().chain([
            ("fee_code", "1.0"),
            ("fee_code", "1234567"),
            ("link_id", "123456789"),
            ("at_time", "soon"),
        ]) {
            assert!(RULES.takes(name, value).is_err(), "{name} {value}");
            let written = format!("{name}={value}\n");
            assert!(matches!(RULES.check(Options::read(&written)), Err(Unsendable::Option(of, _)) if of == name));
        }
        assert_eq!(RULES.takes("colour", "red"), Ok(false));
        assert_eq!(Rules { link_id: 0, ..RULES }.takes("link_id", "1"), Ok(false));
        assert_eq!(RULES.check(Options::read("colour=red\n")), Ok(()));
    }

    #[test]
    fn a_message_changes_what_it_names_and_nothing_else() {
        assert_eq!(RULES.terms(Options::default(), OWN), OWN);
        let terms = RULES.terms(Options::read("fee_type=message\nfee_code=100\nlink_id=7\n"), OWN);
        let expected = Terms { fee_type: "01", fee_code: "100", link_id: "7", answers: true, ..OWN };
        assert_eq!(terms, expected);
        assert_eq!(Rules { link_id: 0, ..RULES }.terms(Options::read("link_id=7\n"), OWN), OWN);
    }

    #[test]
    fn a_time_is_written_in_the_channels_zone_or_not_at_all() {
        // 2026-11-22 20:20:00 in China.
        let now = UNIX_EPOCH + Duration::from_secs(1_795_350_000);
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let at = |time: &str| scheduled(Options::read(&format!("at_time={time}\n")), Zone::default(), now, hours(12));
        assert_eq!(at("2026-11-23T08:00:00+08:00"), Ok(Some(*b"261123080000032+")));
        assert_eq!(at("2026-11-23T00:00:00Z"), at("2026-11-22T19:00:00-05:00"));
        assert_eq!(at("2026-11-22T20:20:00+08:00"), Ok(None), "now");
        assert_eq!(at("2020-01-01T00:00:00Z"), Ok(None));
        assert_eq!(at("2026-11-23T08:20:00+08:00"), Err("at_time"), "not valid any more");
        assert_eq!(scheduled(Options::default(), Zone::default(), now, hours(1)), Ok(None));
        for bad in
            ["2026-11-23T08:00:00", "2026-11-23 08:00:00Z", "2026-02-30T08:00:00Z", "2026-11-23T08:00:00+8:00", "", "é"]
        {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_time_beyond_the_validity_is_no_good_where_its_end_is_known() {
        let options = Options::read("at_time=2026-11-22T20:20:00+08:00\n");
        let end = UNIX_EPOCH + Duration::from_secs(1_795_350_000);
        assert_eq!(in_time(options, Some(end + Duration::from_secs(1))), Ok(()));
        assert_eq!(in_time(options, None), Ok(()));
        assert_eq!(in_time(Options::default(), Some(UNIX_EPOCH)), Ok(()));
        for until in [end, end - Duration::from_secs(1), UNIX_EPOCH] {
            assert!(matches!(in_time(options, Some(until)), Err(Unsendable::Option(name, _)) if name == "at_time"));
        }
    }

    #[test]
    fn an_answer_takes_the_link_along() {
        assert_eq!(of_mo(b"12345678901234567890").as_str(), "link_id=12345678901234567890\n");
        assert_eq!(of_mo(b"abc\0\0\0").as_str(), "link_id=abc\n");
        for none in [&b""[..], b"\0\0\0\0", b"00000000", b"a\nb", b"\xff\xfe"] {
            assert_eq!(of_mo(none).as_str(), "", "{none:?}");
        }
    }
}
