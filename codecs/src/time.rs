//! Times as China's carriers write them (CMPP, SGIP, SMGP): decimal digits in China's time, UTC+8 all year.

/// Seconds that China's clocks are ahead of UTC.
const AHEAD: i64 = 8 * 3_600;
const DAY: i64 = 86_400;

/// A second on China's clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Four digits.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

impl Moment {
    /// The moment so many seconds after 1970 began in UTC; up to the year 9999.
    pub fn from_unix(seconds: u64) -> Moment {
        const LAST: i64 = 253_402_300_799;
        let here = i64::try_from(seconds).unwrap_or(LAST).min(LAST - AHEAD) + AHEAD;
        let (year, month, day) = civil(here / DAY);
        let second = here % DAY;
        Moment {
            year,
            month,
            day,
            hour: (second / 3_600) as u8,
            minute: (second / 60 % 60) as u8,
            second: (second % 60) as u8,
        }
    }

    /// Seconds since 1970 began in UTC; `None` before.
    pub fn unix(&self) -> Option<u64> {
        let clock = i64::from(self.hour) * 3_600 + i64::from(self.minute) * 60 + i64::from(self.second);
        u64::try_from(days(self.year, self.month, self.day) * DAY + clock - AHEAD).ok()
    }

    /// `MMDDHHMMSS` as a number: logins, SGIP sequence numbers.
    pub fn timestamp(&self) -> u32 {
        [self.month, self.day, self.hour, self.minute, self.second]
            .into_iter()
            .fold(0, |number, pair| number * 100 + u32::from(pair))
    }

    /// `YYMMDDhhmmss032+`: validity and scheduled times.
    pub fn absolute(&self) -> [u8; 16] {
        let mut time = *b"000000000000032+";
        time[..12].copy_from_slice(&self.digits()[2..]);
        time
    }

    /// `YYYYMMDDhhmmss`; pieces of it are `YYMMDDhhmm` (`2..12`) and `YYYYMMDD` (`..8`).
    pub fn digits(&self) -> [u8; 14] {
        let century = (self.year / 100 % 100) as u8;
        let year = (self.year % 100) as u8;
        let mut digits = [0; 14];
        let pairs = [century, year, self.month, self.day, self.hour, self.minute, self.second];
        for (digits, pair) in digits.chunks_exact_mut(2).zip(pairs) {
            digits[0] = b'0' + pair / 10 % 10;
            digits[1] = b'0' + pair % 10;
        }
        digits
    }

    /// Reads `YYMMDDhhmm`, `YYMMDDhhmmss` or `YYYYMMDDhhmmss`; two digits of a year are of this century. `None` where the
    /// digits are no time, `0000000000` among them.
    pub fn read(digits: &[u8]) -> Option<Moment> {
        let (century, rest) = match digits.len() {
            10 | 12 => (20, digits),
            14 => (pair(digits)?.into(), &digits[2..]),
            _ => return None,
        };
        let mut pairs = rest.chunks_exact(2).map(pair);
        let year = century * 100 + u16::from(pairs.next()??);
        let mut next = || pairs.next().unwrap_or(Some(0));
        let moment = Moment { year, month: next()?, day: next()?, hour: next()?, minute: next()?, second: next()? };
        moment.is_possible().then_some(moment)
    }

    /// Whether there is such a moment.
    fn is_possible(&self) -> bool {
        let clock = self.hour < 24 && self.minute < 60 && self.second < 60;
        let dated = (1..=12).contains(&self.month) && (1..=31).contains(&self.day);
        clock && dated && civil(days(self.year, self.month, self.day)) == (self.year, self.month, self.day)
    }
}

/// Two digits.
fn pair(digits: &[u8]) -> Option<u8> {
    match digits {
        [tens, ones, ..] if tens.is_ascii_digit() && ones.is_ascii_digit() => Some((tens - b'0') * 10 + ones - b'0'),
        _ => None,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, years counted from March.
fn days(year: u16, month: u8, day: u8) -> i64 {
    let (month, day) = (i64::from(month), i64::from(day));
    let year = i64::from(year) - i64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = year.rem_euclid(400) * 365 + year.rem_euclid(400) / 4 - year.rem_euclid(400) / 100 + of_year;
    year.div_euclid(400) * 146_097 + of_era - 719_468
}

/// The inverse of [`days`], from 1970 on.
fn civil(days: i64) -> (u16, u8, u8) {
    let days = days + 719_468;
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = days.div_euclid(146_097) * 400 + year_of_era + i64::from(month <= 2);
    (year as u16, month as u8, day as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moments_are_written_as_each_field_has_them() {
        let moment = Moment::from_unix(1_795_290_436);
        assert_eq!(moment, Moment { year: 2026, month: 11, day: 22, hour: 3, minute: 47, second: 16 });
        assert_eq!(moment.timestamp(), 1_122_034_716);
        assert_eq!(&moment.absolute(), b"261122034716032+");
        assert_eq!(&moment.digits(), b"20261122034716");
        assert_eq!(Moment::from_unix(0).timestamp(), 101_080_000);
        assert_eq!(&Moment::from_unix(u64::MAX).digits(), b"99991231235959");
    }

    #[test]
    fn only_times_are_read() {
        let read = |digits: &[u8]| Moment::read(digits).and_then(|moment| moment.unix());
        assert_eq!(read(b"2611220347"), Some(1_795_290_420));
        assert_eq!(read(b"261122034716"), Some(1_795_290_436));
        assert_eq!(read(b"20261122034716"), Some(1_795_290_436));
        assert_eq!(read(b"2402292359"), Some(1_709_222_340));
        for other in [
            &b""[..],
            b"0000000000",
            b"2602292359",
            b"2613010000",
            b"2612320000",
            b"2612012400",
            b"2612010060",
            b"26112203",
            b"26112203471",
            b"26112203 7",
            b"19691231235959",
        ] {
            assert_eq!(read(other), None, "{}", other.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn moments_come_back(seconds in 0..253_402_271_999_u64) {
            let moment = Moment::from_unix(seconds);
            prop_assert_eq!(moment.unix(), Some(seconds));
            prop_assert_eq!(Moment::read(&moment.digits()), Some(moment));
        }
    }
}
