//! Times as SMPP writes them (SMPP 3.4 §7.1.1): 16 characters, `YYMMDDhhmmsstnnp`, `p` being `R` where relative.

use std::time::Duration;

const DAY: u64 = 86_400;

/// The longest validity written. Carriers keep messages a few days; months in relative times have no fixed length.
pub const LONGEST: Duration = Duration::from_secs(30 * DAY);

/// A validity counted from now, for `validity_period`: whole seconds, 1 second to [`LONGEST`], rounded down.
pub fn relative(from_now: Duration) -> [u8; 16] {
    let seconds = from_now.as_secs().clamp(1, LONGEST.as_secs());
    let mut time = *b"000000000000000R";
    let fields = [seconds / DAY, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60];
    for (digits, value) in time[4..12].chunks_exact_mut(2).zip(fields) {
        digits[0] = b'0' + (value / 10) as u8;
        digits[1] = b'0' + (value % 10) as u8;
    }
    time
}

/// Reads a relative time, a month being 30 days and a year 365; `None` for absolute ones and for what is no time.
pub fn read_relative(time: &[u8]) -> Option<Duration> {
    let [digits @ .., b'R'] = time else { return None };
    if digits.len() != 15 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let units = [365 * DAY, 30 * DAY, DAY, 3_600, 60, 1];
    let values = digits.chunks_exact(2).map(|pair| u64::from(pair[0] - b'0') * 10 + u64::from(pair[1] - b'0'));
    Some(Duration::from_secs(values.zip(units).map(|(value, unit)| value * unit).sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_times_are_written_by_the_field() {
        for (seconds, time) in [
            (0, b"000000000001000R"),
            (300, b"000000000500000R"),
            (86_399, b"000000235959000R"),
            (3 * 86_400 + 3_661, b"000003010101000R"),
            (u64::MAX, b"000030000000000R"),
        ] {
            assert_eq!(&relative(Duration::from_secs(seconds)), time);
        }
    }

    #[test]
    fn relative_times_come_back() {
        for seconds in [1, 59, 60, 3_600, 90_061, 30 * 86_400] {
            let validity = Duration::from_secs(seconds);
            assert_eq!(read_relative(&relative(validity)), Some(validity));
        }
        assert_eq!(read_relative(b"010100000000000R"), Some(Duration::from_secs(395 * 86_400)));
        for other in [&b""[..], b"R", b"261122073000032+", b"0000000005OO000R", b"0000000500000R"] {
            assert_eq!(read_relative(other), None);
        }
    }
}
