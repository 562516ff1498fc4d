//! How long whoever tries to log in must wait, by address and by account. Pure: the time is an argument.
//!
//! | state | entered by | a try | left by |
//! |---|---|---|---|
//! | free | the start; a good login; [`LOCK`] without a wrong one | looked at once | a wrong login → delayed |
//! | delayed | one to four wrong logins | looked at after [`STEP`] for each | a wrong login, the fifth → locked; a good one → free |
//! | locked | the fifth wrong login | refused unseen | [`LOCK`] after it → free |
//!
//! The sterner of the two, address and account, counts. Tries while locked do not lengthen the lock: otherwise anybody
//! could keep it shut.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Wrong logins until the lock.
pub(crate) const TRIES: u32 = 5;
/// How long it is locked, and how long a wrong login is remembered.
pub(crate) const LOCK: Duration = Duration::from_secs(60);
/// Wait for each wrong login so far.
pub(crate) const STEP: Duration = Duration::from_millis(500);
/// Addresses and accounts remembered at once, at most; beyond, the longest quiet is forgotten.
const REMEMBERED: usize = 4096;

/// What a try meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// To be looked at after this, which may be no time at all.
    After(Duration),
    /// Not to be looked at.
    Locked,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Culprit {
    /// Of an IPv6 address, the network it is in.
    Address(IpAddr),
    Account(String),
}

#[derive(Clone, Copy, Debug)]
struct Record {
    wrong: u32,
    last: Instant,
}

/// The wrong logins of one door.
#[derive(Debug, Default)]
pub(crate) struct Penalties(HashMap<Culprit, Record>);

impl Penalties {
    /// What a try from there, for that account, meets now.
    pub(crate) fn standing(&self, now: Instant, address: IpAddr, account: &str) -> Standing {
        let of = |culprit: &Culprit| match self.0.get(culprit) {
            Some(record) if now.saturating_duration_since(record.last) < LOCK => record.wrong,
            _ => 0,
        };
        match of(&network(address)).max(of(&Culprit::Account(account.to_owned()))) {
            wrong if wrong >= TRIES => Standing::Locked,
            wrong => Standing::After(STEP * wrong),
        }
    }

    /// A wrong login; without an account where there is none of that name. Whether it was the last before a lock.
    pub(crate) fn failed(&mut self, now: Instant, address: IpAddr, account: Option<&str>) -> bool {
        let account = account.map(|account| Culprit::Account(account.to_owned()));
        let mut locks = false;
        for culprit in account.into_iter().chain([network(address)]) {
            self.make_room(now, &culprit);
            let record = self.0.entry(culprit).or_insert(Record { wrong: 0, last: now });
            if now.saturating_duration_since(record.last) >= LOCK {
                record.wrong = 0;
            }
            if record.wrong < TRIES {
                *record = Record { wrong: record.wrong + 1, last: now };
                locks |= record.wrong == TRIES;
            }
        }
        locks
    }

    /// A good login.
    pub(crate) fn succeeded(&mut self, address: IpAddr, account: &str) {
        self.0.remove(&network(address));
        self.0.remove(&Culprit::Account(account.to_owned()));
    }

    fn make_room(&mut self, now: Instant, newcomer: &Culprit) {
        if self.0.len() < REMEMBERED || self.0.contains_key(newcomer) {
            return;
        }
        self.0.retain(|_, record| now.saturating_duration_since(record.last) < LOCK);
        if self.0.len() >= REMEMBERED
            && let Some(oldest) = self.0.iter().min_by_key(|(_, record)| record.last).map(|(who, _)| who.clone())
        {
            self.0.remove(&oldest);
        }
    }
}

/// Whoever has one IPv6 address has the 64 bits below its network.
fn network(address: IpAddr) -> Culprit {
    Culprit::Address(match address {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 => v4,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{After, Locked};

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn five_tries_lock_for_a_minute_and_each_before_costs_more() {
        let (start, mut penalties) = (Instant::now(), Penalties::default());
        for wrong in 0..5 {
            assert_eq!(penalties.standing(start, A, "x"), After(STEP * wrong));
            assert_eq!(penalties.failed(start, A, Some("x")), wrong == 4);
        }
        assert_eq!(penalties.standing(start + LOCK - Duration::from_nanos(1), A, "x"), Locked);
        assert!(!penalties.failed(start + LOCK / 2, A, Some("x")), "a try while locked does not count");
        assert_eq!(penalties.standing(start + LOCK, A, "x"), After(Duration::ZERO));
        penalties.failed(start + LOCK, A, Some("x"));
        assert_eq!(penalties.standing(start + LOCK, A, "x"), After(STEP));
    }

    #[test]
    fn an_address_pays_for_all_accounts_and_an_account_for_all_addresses() {
        let (now, mut penalties) = (Instant::now(), Penalties::default());
        for _ in 0..5 {
            penalties.failed(now, A, Some("x"));
        }
        assert_eq!(penalties.standing(now, A, "y"), Locked);
        assert_eq!(penalties.standing(now, B, "x"), Locked);
        assert_eq!(penalties.standing(now, B, "y"), After(Duration::ZERO));
        let mut penalties = Penalties::default();
        for _ in 0..5 {
            penalties.failed(now, A, None);
        }
        assert_eq!(penalties.standing(now, B, "x"), After(Duration::ZERO), "no such account, none locked");
    }

    #[test]
    fn a_good_login_clears_both() {
        let (now, mut penalties) = (Instant::now(), Penalties::default());
        for _ in 0..4 {
            penalties.failed(now, A, Some("x"));
        }
        penalties.succeeded(A, "x");
        assert_eq!(penalties.standing(now, A, "x"), After(Duration::ZERO));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_memory_is_bounded() {
        let (now, mut penalties) = (Instant::now(), Penalties::default());
        let of = |n: u128| IpAddr::V6((0x2001_0db8_u128 << 96 | n).into());
        for n in 0..5 {
            penalties.failed(now, of(n), None);
        }
        assert_eq!(penalties.standing(now, of(99), "x"), Locked);
        assert_eq!(penalties.standing(now, of(1 << 64), "x"), After(Duration::ZERO));
        for n in 0..2 * REMEMBERED as u128 {
            penalties.failed(now, of(n << 64), Some(&n.to_string()));
        }
        assert!(penalties.0.len() <= REMEMBERED);
    }
}
