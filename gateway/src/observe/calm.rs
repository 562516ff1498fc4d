//! How much one thing may say: a link that flaps all night must not fill the disk with lines.

use std::time::Duration;

use crate::clock::Time;

/// Lines that may come at once.
const BURST: u32 = 20;
/// Time per line in the long run: a channel that never rests writes 360 lines an hour, some 2 MB a day.
const EACH: Duration = Duration::from_secs(10);

/// Lets through [`BURST`] lines at once and one per [`EACH`] in the long run; the rest is counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calm {
    /// When all that was said is paid for.
    paid: Time,
    suppressed: u64,
}

impl Calm {
    /// Whether a line may be written now; counted where not.
    pub fn allows(&mut self, now: Time) -> bool {
        let may = self.room(now);
        if may {
            self.pay(now);
        } else {
            self.suppressed += 1;
        }
        may
    }

    /// How many lines were not written, once that can be said. Saying it is a line, too.
    pub fn owed(&mut self, now: Time) -> Option<u64> {
        if self.suppressed == 0 || !self.room(now) {
            return None;
        }
        self.pay(now);
        Some(std::mem::take(&mut self.suppressed))
    }

    fn room(&self, now: Time) -> bool {
        self.paid <= now.after(EACH * (BURST - 1))
    }

    fn pay(&mut self, now: Time) {
        self.paid = self.paid.max(now).after(EACH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flapping_thing_says_little_and_owns_up_to_the_rest() {
        let mut calm = Calm::default();
        let (mut said, mut owned) = (0, 0);
        let hour = 3_600u64;
        for second in 0..hour {
            let now = Time((1 + second) * 1_000_000);
            said += (0..10).filter(|_| calm.allows(now)).count() as u64;
            if let Some(more) = calm.owed(now) {
                said += 1;
                owned += more;
            }
        }
        let most = u64::from(BURST) + hour / EACH.as_secs();
        assert!((most - 1..=most + 1).contains(&said), "{said}");
        let quiet = Time(2 * hour * 1_000_000);
        owned += calm.owed(quiet).unwrap_or(0);
        assert!(calm.allows(quiet), "after a rest");
        assert_eq!(calm.owed(quiet), None);
        assert!(owned > 10 * hour - most, "{owned}");
    }

    #[test]
    fn what_happens_seldom_is_always_said() {
        let mut calm = Calm::default();
        assert!((1..1_000).all(|n| calm.allows(Time(n * 11_000_000))));
        assert_eq!(calm.owed(Time(u64::MAX / 2)), None);
    }
}
