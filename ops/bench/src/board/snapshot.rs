//! One moment of the line, of what the admin door says.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::Result;
use crate::door::Page;

/// What the board shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// From the demo's start.
    pub elapsed: Duration,
    /// In the configuration's order.
    pub channels: Vec<Channel>,
    /// Strictest first.
    pub tiers: Vec<Tier>,
    /// How the application is told.
    pub callbacks: Callbacks,
    /// Attempts whose answer never came.
    pub in_doubt: u64,
    /// Messages sent again though they were in doubt.
    pub sent_again: u64,
}

/// A channel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// What it speaks.
    pub protocol: String,
    /// As the admin door says it: `up`, `down`, `held`, `paused`…
    pub state: String,
    /// Links that are up.
    pub links_up: usize,
    /// Links there are.
    pub links: usize,
    /// Parts started in the last second.
    pub pace: f64,
    /// Parts per second the carrier allows now.
    pub rate_now: f64,
    /// Parts per second by contract.
    pub rate: f64,
    /// Submits without an answer.
    pub in_flight: u64,
    /// Submits that may be without an answer; 0 while no link is up.
    pub window: u64,
}

/// A tier.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tier {
    /// Its name.
    pub name: String,
    /// Messages waiting for a channel.
    pub waiting: u64,
    /// Age of the one that waits longest.
    pub oldest: Duration,
    /// Messages answered with 202.
    pub accepted: u64,
    /// Outcomes.
    pub delivered: u64,
    /// Outcomes.
    pub failed: u64,
    /// Outcomes.
    pub expired: u64,
    /// 99 of 100 were first submitted within this many seconds of their acceptance: the bound of a histogram's bucket.
    pub to_go: Option<f64>,
}

impl Tier {
    /// Accepted, without an outcome yet.
    pub fn open(&self) -> u64 {
        self.accepted.saturating_sub(self.delivered + self.failed + self.expired)
    }
}

/// How the application is told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Callbacks {
    /// Events the application has taken.
    pub told: u64,
    /// Events that wait.
    pub backlog: u64,
    /// Half of the events were taken within this many seconds: the bound of a histogram's bucket.
    pub p50: Option<f64>,
    /// So were 99 of 100.
    pub p99: Option<f64>,
}

/// A line of `/admin/v1/channels`.
#[derive(Deserialize)]
struct Account {
    name: String,
    protocol: String,
    state: String,
    rate: f64,
    rate_now: f64,
    in_flight: u64,
    window: u64,
    links: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    state: String,
}

/// A line of `/admin/v1/queues`.
#[derive(Deserialize)]
struct Queue {
    tier: String,
    messages: u64,
    oldest_ms: u64,
}

/// Lays the three pages together: `/admin/v1/channels`, `/admin/v1/queues` and the metrics.
///
/// # Errors
/// A page is not what it should be.
pub fn read(elapsed: Duration, tiers: &[&str], channels: &Value, queues: &Value, metrics: &Page) -> Result<Snapshot> {
    let accounts: Vec<Account> = Deserialize::deserialize(&channels["channels"])?;
    let queues: Vec<Queue> = Deserialize::deserialize(&queues["queues"])?;
    let count = |name: &str, labels: &[(&str, &str)]| metrics.sum(name, labels) as u64;
    let channel = |account: Account| Channel {
        pace: metrics.sum("qiao_pace_parts", &[("channel", &account.name)]),
        links_up: account.links.iter().filter(|link| link.state == "up").count(),
        links: account.links.len(),
        name: account.name,
        protocol: account.protocol,
        state: account.state,
        rate_now: account.rate_now,
        rate: account.rate,
        in_flight: account.in_flight,
        window: account.window,
    };
    let tier = |name: &&str| {
        let outcome = |outcome: &str| count("qiao_outcomes_total", &[("tier", name), ("outcome", outcome)]);
        let waiting = queues.iter().filter(|queue| queue.tier == **name);
        Tier {
            name: (*name).to_owned(),
            waiting: waiting.clone().map(|queue| queue.messages).sum(),
            oldest: Duration::from_millis(waiting.map(|queue| queue.oldest_ms).max().unwrap_or(0)),
            accepted: count("qiao_messages_accepted_total", &[("tier", name)]),
            delivered: outcome("delivered"),
            failed: outcome("failed"),
            expired: outcome("expired"),
            to_go: metrics.quantile("qiao_accept_to_submit_seconds", &[("tier", name)], 0.99),
        }
    };
    Ok(Snapshot {
        elapsed,
        channels: accounts.into_iter().map(channel).collect(),
        tiers: tiers.iter().map(tier).collect(),
        callbacks: Callbacks {
            told: count("qiao_callbacks_total", &[("result", "delivered")]),
            backlog: count("qiao_callback_backlog", &[]),
            p50: metrics.quantile("qiao_callback_delay_seconds", &[], 0.5),
            p99: metrics.quantile("qiao_callback_delay_seconds", &[], 0.99),
        },
        in_doubt: count("qiao_in_doubt_total", &[]),
        sent_again: count("qiao_in_doubt_resubmitted_total", &[]),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_three_pages_are_laid_together() {
        let channels = json!({"channels": [{
            "name": "a", "carrier": "x", "protocol": "p", "state": "up", "rate": 100.0, "rate_now": 60.0,
            "in_flight": 3, "window": 8, "more": true,
            "links": [{"link": 0, "state": "up"}, {"link": 1, "state": "down"}],
        }]});
        let queues = json!({"queues": [
            {"group": "g", "tier": "otp", "messages": 2, "oldest_ms": 40},
            {"group": "h", "tier": "otp", "messages": 3, "oldest_ms": 90},
        ]});
        let metrics = Page::read(
            "qiao_pace_parts{channel=\"a\"} 58\n\
             qiao_messages_accepted_total{tier=\"otp\",type=\"sms\"} 20\n\
             qiao_outcomes_total{channel=\"a\",outcome=\"delivered\",reason_class=\"delivered\",tier=\"otp\"} 9\n\
             qiao_outcomes_total{channel=\"none\",outcome=\"expired\",reason_class=\"validity\",tier=\"otp\"} 1\n\
             qiao_callbacks_total{result=\"delivered\"} 10\nqiao_callbacks_total{result=\"retried\"} 4\n\
             qiao_callback_backlog 2\nqiao_in_doubt_total{channel=\"a\",class=\"acked\",tier=\"otp\"} 5\n",
        );
        let seen = read(Duration::from_secs(1), &["otp", "notice"], &channels, &queues, &metrics).unwrap();
        let channel = &seen.channels[0];
        assert_eq!((channel.links_up, channel.links, channel.pace, channel.rate_now), (1, 2, 58.0, 60.0));
        let otp = &seen.tiers[0];
        assert_eq!((otp.waiting, otp.oldest, otp.accepted), (5, Duration::from_millis(90), 20));
        assert_eq!((otp.delivered, otp.failed, otp.expired, otp.open()), (9, 0, 1, 10));
        assert_eq!(seen.tiers[1], Tier { name: "notice".into(), ..Tier::default() });
        assert_eq!((seen.callbacks.told, seen.callbacks.backlog, seen.in_doubt), (10, 2, 5));
    }

    #[test]
    fn a_page_of_another_kind_is_an_error() {
        assert!(read(Duration::ZERO, &[], &json!({}), &json!({"queues": []}), &Page::default()).is_err());
    }
}
