//! The clock that times on the wire are by: China's, unless the channel says another. Only zones without summer time:
//! a gateway that reads the digits and not the offset behind them must be right all year.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use codecs::time::Moment;

use crate::protocol::Common;
use crate::table::Checks;

/// Quarters of an hour that China's clocks are ahead of UTC, as [`Moment`] has them.
const CHINA: i16 = 32;
/// Zones of constant offset, by name.
const NAMES: &[(&str, i16)] = &[
    ("Asia/Chongqing", CHINA),
    ("Asia/Harbin", CHINA),
    ("Asia/Hong_Kong", CHINA),
    ("Asia/Kuala_Lumpur", CHINA),
    ("Asia/Macao", CHINA),
    ("Asia/Macau", CHINA),
    ("Asia/Shanghai", CHINA),
    ("Asia/Singapore", CHINA),
    ("Asia/Taipei", CHINA),
    ("Asia/Urumqi", 24),
    ("Etc/GMT", 0),
    ("Etc/UTC", 0),
    ("GMT", 0),
    ("Hongkong", CHINA),
    ("PRC", CHINA),
    ("ROC", CHINA),
    ("Singapore", CHINA),
    ("UTC", 0),
];

/// A zone of constant offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    quarters: i16,
}

impl Default for Zone {
    fn default() -> Self {
        Zone { quarters: CHINA }
    }
}

impl Zone {
    /// The zone of that name; `None` where it has summer time, or is not known.
    pub fn named(name: &str) -> Option<Zone> {
        let of_table = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, quarters)| *quarters);
        // Etc/GMT-8 is eight hours ahead: IANA kept the sign of POSIX.
        let of_hours = || {
            let hours: i16 = name.strip_prefix("Etc/GMT")?.parse().ok()?;
            (-14..=12).contains(&hours).then_some(-4 * hours)
        };
        of_table.or_else(of_hours).map(|quarters| Zone { quarters })
    }

    /// The channel's zone; a name it cannot be in is a problem of the table at `place`.
    pub fn of(checks: &mut Checks, common: &Common, place: Range<usize>) -> Zone {
        let Some(name) = &common.timezone else { return Zone::default() };
        Zone::named(name).unwrap_or_else(|| {
            let message = format!("channel {}: `timezone` is {name:?}, which this protocol cannot write", common.name);
            checks.problem(place, message, "leave it out for China's time, or name a zone without summer time");
            Zone::default()
        })
    }

    /// What that zone's clocks show.
    pub fn moment(self, at: SystemTime) -> Moment {
        let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Moment::from_unix(seconds.saturating_add_signed(i64::from(self.quarters - CHINA) * 900))
    }

    /// `MMDDHHMMSS` as a number, for logins.
    pub fn timestamp(self, at: SystemTime) -> u32 {
        self.moment(at).timestamp()
    }

    /// `YYMMDDhhmmsstnnp` so long after `at`: validity (SMPP 3.3 §7.1.1, CMPP 3.0 §8.4.3, SMGP 3.0 §6.2).
    pub fn absolute(self, at: SystemTime, after: Duration) -> [u8; 16] {
        let mut time = self.moment(at.checked_add(after).unwrap_or(at)).absolute();
        let quarters = self.quarters.unsigned_abs() as u8;
        time[13] = b'0' + quarters / 10 % 10;
        time[14] = b'0' + quarters % 10;
        time[15] = if self.quarters < 0 { b'-' } else { b'+' };
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22 12:20:00 UTC.
    fn at() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_795_350_000)
    }

    #[test]
    fn one_moment_in_several_zones() {
        let shown =
            |name| String::from_utf8(Zone::named(name).unwrap().absolute(at(), Duration::ZERO).to_vec()).unwrap();
        assert_eq!(shown("Asia/Shanghai"), "261122202000032+");
        assert_eq!(shown("UTC"), "261122122000000+");
        assert_eq!(shown("Etc/GMT+5"), "261122072000020-");
        assert_eq!(shown("Asia/Urumqi"), "261122182000024+");
        assert_eq!(Zone::default(), Zone::named("PRC").unwrap());
        assert_eq!(Zone::default().timestamp(at()), 1_122_202_000);
        let later = Zone::default().absolute(at(), Duration::from_secs(4 * 3600));
        assert_eq!(&later, b"261123002000032+");
    }

    #[test]
    fn zones_with_summer_time_are_not_known() {
        for name in ["Europe/Berlin", "America/New_York", "Etc/GMT+13", "Etc/GMT-", ""] {
            assert_eq!(Zone::named(name), None, "{name}");
        }
    }
}
