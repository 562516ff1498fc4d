//! Time inside the gateway: a monotonic count of microseconds for decisions, wall milliseconds for records.
//! Validity is a monotonic deadline in memory and wall time on disk, so a jump of the wall clock expires nothing.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds on the process's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    /// Later than every time that occurs.
    pub const NEVER: Time = Time(u64::MAX);

    /// This time plus `d`, saturating at [`Time::NEVER`].
    pub fn after(self, d: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(pub u64);

/// RFC 3339 in UTC with milliseconds (`2026-03-01T08:30:00.250Z`).
impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.letters()).unwrap_or_default())
    }
}

/// 9999-12-31T23:59:59.999Z: RFC 3339 writes years with four digits.
const LAST: u64 = 253_402_300_799_999;

impl Wall {
    /// Its text form. What is later than that can write is written as the last time it can.
    pub fn letters(self) -> [u8; 24] {
        let (days, ms) = (self.0.min(LAST) / 86_400_000, self.0.min(LAST) % 86_400_000);
        // Days since 0000-03-01 in eras of 400 years: leap days fall at the end of each counted year.
        let z = days + 719_468;
        let (era, day) = (z / 146_097, z % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + 400 * era + u64::from(month <= 2);
        let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let (century, year, rest) = (year / 100, year % 100, ms % 100);
        text[20] = b'0' + (ms / 100 % 10) as u8;
        for (at, number) in [(0, century), (2, year), (5, month), (8, day), (11, h), (14, m), (17, s), (21, rest)] {
            text[at] = b'0' + (number / 10 % 10) as u8;
            text[at + 1] = b'0' + (number % 10) as u8;
        }
        text
    }
}

/// Not a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time as in 2026-03-01T08:30:00Z")]
pub struct NotATime;

/// RFC 3339: a date and a time with an offset; what is finer than milliseconds is cut.
impl FromStr for Wall {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Wall, NotATime> {
        let octets = text.as_bytes();
        let number = |from: usize, to: usize| digits(octets.get(from..to)?);
        let mark = |at: usize, of: &[u8]| octets.get(at).is_some_and(|octet| of.contains(octet));
        let shape = mark(4, b"-") && mark(7, b"-") && mark(10, b"Tt ") && mark(13, b":") && mark(16, b":");
        let read = || {
            let day = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
            let seconds = seconds(day, (number(11, 13)?, number(14, 16)?, number(17, 19)?))?;
            let rest = octets.get(19..)?;
            let (fraction, zone) = match rest.strip_prefix(b".") {
                Some(rest) => rest.split_at(rest.iter().take_while(|octet| octet.is_ascii_digit()).count()),
                None => (&b"0"[..], rest),
            };
            let ms =
                fraction.iter().chain(b"00").take(3).try_fold(0, |ms, octet| Some(ms * 10 + digits(&[*octet])?))?;
            let east = match zone {
                b"Z" | b"z" => 0,
                [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
                    let minutes = i64::try_from(digits(&[*h0, *h1])? * 60 + digits(&[*m0, *m1])?).ok()?;
                    if *sign == b'+' { minutes } else { -minutes }
                }
                _ => return None,
            };
            u64::try_from((seconds - east * 60) * 1_000).ok()?.checked_add(ms)
        };
        if !shape || octets.get(19) == Some(&b'.') && !octets.get(20).is_some_and(u8::is_ascii_digit) {
            return Err(NotATime);
        }
        read().map(Wall).ok_or(NotATime)
    }
}

const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
/// From the day of the week of 1970-01-01 on.
const WEEKDAYS: &[u8; 21] = b"ThuFriSatSunMonTueWed";

impl Wall {
    /// As HTTP writes dates; see [`Wall::from_http`].
    #[must_use]
    pub fn http(self) -> [u8; 29] {
        let letters = self.letters();
        let month = 3 * usize::from((letters[5] - b'0') * 10 + letters[6] - b'0' - 1);
        let weekday = 3 * (self.0.min(LAST) / 86_400_000 % 7) as usize;
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        text[..3].copy_from_slice(&WEEKDAYS[weekday..weekday + 3]);
        text[5..7].copy_from_slice(&letters[8..10]);
        text[8..11].copy_from_slice(&MONTHS[month..month + 3]);
        text[12..16].copy_from_slice(&letters[..4]);
        text[17..25].copy_from_slice(&letters[11..19]);
        text
    }

    /// A date as HTTP writes it now (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
    #[must_use]
    pub fn from_http(text: &str) -> Option<Wall> {
        let octets = text.as_bytes();
        if octets.len() != 29 || !text.ends_with(" GMT") || octets[19] != b':' || octets[22] != b':' {
            return None;
        }
        let number = |from: usize, to: usize| digits(&octets[from..to]);
        let month = MONTHS.chunks(3).position(|name| *name == octets[8..11])? as u64 + 1;
        let time = (number(17, 19)?, number(20, 22)?, number(23, 25)?);
        let seconds = seconds((number(12, 16)?, month, number(5, 7)?), time)?;
        u64::try_from(seconds * 1_000).ok().map(Wall)
    }
}

fn digits(octets: &[u8]) -> Option<u64> {
    let digit = |octet: &u8| octet.is_ascii_digit().then(|| u64::from(octet - b'0'));
    octets.iter().try_fold(0, |number, octet| Some(number * 10 + digit(octet)?))
}

/// Seconds since 1970 of a date and a time in UTC; `None` where there is no such time.
fn seconds((year, month, day): (u64, u64, u64), (hour, minute, second): (u64, u64, u64)) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    // A leap second counts as the one before it.
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // The year begins in March, so that leap days fall at its end.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    let time = hour * 3_600 + minute * 60 + second.min(59);
    Some(i64::try_from(days).ok()? * 86_400 - 719_468 * 86_400 + i64::try_from(time).ok()?)
}

/// Both clocks, read at one place.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Monotonic.
    pub time: Time,
    /// Wall.
    pub wall: Wall,
}

impl Moment {
    /// The monotonic deadline of a wall time as seen now.
    pub fn deadline(&self, wall: Wall) -> Time {
        self.time.after(Duration::from_millis(wall.0.saturating_sub(self.wall.0)))
    }

    /// The wall time of a monotonic time as seen now.
    pub fn wall_of(&self, time: Time) -> Wall {
        if time >= self.time {
            Wall(self.wall.0.saturating_add((time.0 - self.time.0) / 1_000))
        } else {
            Wall(self.wall.0.saturating_sub((self.time.0 - time.0) / 1_000))
        }
    }
}

/// The process's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    /// The wall time of the origin, for a clock that leaves it at that.
    anchor: Option<Wall>,
}

impl Clock {
    /// A clock whose monotonic count starts at one second, so that times before it can be written.
    #[must_use]
    pub fn start() -> Self {
        let now = Instant::now();
        Clock { origin: now.checked_sub(Duration::from_secs(1)).unwrap_or(now), anchor: None }
    }

    /// The same clock, whose wall time goes on from now as the monotonic one does, however the system's jumps: for
    /// waits that are written down as wall times.
    #[must_use]
    pub fn steady(&self) -> Clock {
        let now = Clock { anchor: None, ..*self }.now();
        Clock { anchor: Some(Wall(now.wall.0.saturating_sub(now.time.0 / 1_000))), ..*self }
    }

    /// Reads the monotonic clock alone.
    pub fn time(&self) -> Time {
        Time(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Reads both clocks.
    pub fn now(&self) -> Moment {
        let time = self.time();
        let since = |anchor: Wall| Wall(anchor.0.saturating_add(time.0 / 1_000));
        Moment { time, wall: self.anchor.map_or_else(Clock::wall, since) }
    }

    /// The system's wall time.
    pub fn wall() -> Wall {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Wall(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX))
    }

    /// The instant of a monotonic time, for timers.
    pub fn instant(&self, time: Time) -> Option<Instant> {
        self.origin.checked_add(Duration::from_micros(time.0))
    }
}

/// Jumps of the wall clock, as seen beside the monotonic one.
#[derive(Debug, Default)]
pub struct Jumps {
    /// How far the one was ahead of the other, in milliseconds.
    ahead: Option<i64>,
}

impl Jumps {
    /// Less is no jump: clocks are set right.
    const LEAST: i64 = 5_000;

    /// Looks at both; by how many seconds the wall clock has jumped since the last look, if it has.
    pub fn look(&mut self, now: Moment) -> Option<i64> {
        let millis = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let ahead = millis(now.wall.0).saturating_sub(millis(now.time.0 / 1_000));
        let by = ahead.saturating_sub(self.ahead.replace(ahead)?);
        (by.saturating_abs() >= Self::LEAST).then_some(by / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_times_are_written_as_the_calendar_has_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_799_999, "2024-02-28T23:59:59.999Z"),
            (1_709_251_199_001, "2024-02-29T23:59:59.001Z"),
            (1_735_689_600_000, "2025-01-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (LAST, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Wall(ms).to_string(), text);
        }
    }

    #[test]
    fn written_times_read_back() {
        for ms in [0, 951_782_400_000, 951_868_799_999, 1_709_251_199_001, 1_735_689_600_000, 4_107_542_400_000] {
            assert_eq!(Wall(ms).to_string().parse(), Ok(Wall(ms)));
        }
        for (text, ms) in [
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1970-01-01T00:00:00.5Z", Some(500)),
            ("1970-01-01 00:00:00.123456-00:30", Some(1_800_123)),
            ("1970-01-01T00:00:00", None),
            ("1970-01-01T00:00:00.Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("2025-02-29T00:00:00Z", None),
            ("2025-13-01T00:00:00Z", None),
            ("2025-01-01T24:00:00Z", None),
            ("", None),
            ("yesterday, at about tea time", None),
        ] {
            assert_eq!(text.parse().ok(), ms.map(Wall), "{text}");
        }
        assert_eq!(Wall::from_http("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Wall(784_111_777_000)));
        assert_eq!(&Wall(784_111_777_999).http(), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&Wall(951_782_400_000).http(), b"Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(&Wall(u64::MAX).http(), b"Fri, 31 Dec 9999 23:59:59 GMT");
        for text in ["Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 31 Nov 1994 08:49:37 GMT", "Sünday, 6 Nov 94 08:49:3 GMT"]
        {
            assert_eq!(Wall::from_http(text), None, "{text}");
        }
    }

    #[test]
    fn a_steady_clock_begins_where_the_wall_clock_stands() {
        let (clock, wall) = (Clock::start(), Clock::wall().0);
        let steady = clock.steady().now();
        assert!(steady.wall.0.abs_diff(wall) < 60_000, "{steady:?} at {wall}");
        let moved = Clock { anchor: Some(Wall(5_000)), ..clock }.now();
        assert_eq!(moved.wall.0, 5_000 + moved.time.0 / 1_000, "it goes on as the monotonic one does");
    }

    #[test]
    fn jumps_are_noticed_once() {
        let mut jumps = Jumps::default();
        let mut look =
            |time: u64, wall: u64| jumps.look(Moment { time: Time(time * 1_000_000), wall: Wall(wall * 1_000) });
        assert_eq!([look(1, 1_000), look(61, 1_064), look(62, 1_065)], [None; 3], "what is set right bit by bit");
        assert_eq!([look(63, 4_666), look(64, 4_667)], [Some(3_600), None]);
        assert_eq!([look(65, 1_068), look(66, 1_069)], [Some(-3_600), None]);
    }

    #[test]
    fn a_deadline_survives_a_jump_of_the_wall_clock() {
        let before = Moment { time: Time(5_000_000), wall: Wall(1_000_000) };
        let deadline = before.deadline(Wall(1_010_000));
        assert_eq!(deadline, Time(15_000_000));
        assert_eq!(before.wall_of(deadline), Wall(1_010_000));
        assert_eq!(before.deadline(Wall(0)), before.time, "what is past is due now");
    }
}
