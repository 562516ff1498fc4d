//! What is wrong with channels although their links are up: one gauge and one line in the log for each change, and a
//! place where operators see what stands.

use std::collections::BTreeMap;

use serde::Serialize;
use tracing::{info, warn};

use crate::clock::Moment;
use crate::config::plan::ChannelId;
use crate::observe::{Calm, Metrics};
use crate::report::quality::Fault;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Less arrives than usual and than on its peers.
    DeliveredRatio,
    /// No receipts come.
    ReceiptsStopped,
    /// Its test messages fail.
    Test,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::DeliveredRatio, Kind::ReceiptsStopped, Kind::Test];

    fn name(self) -> &'static str {
        match self {
            Kind::DeliveredRatio => "delivered_ratio",
            Kind::ReceiptsStopped => "receipts_stopped",
            Kind::Test => "test",
        }
    }
}

impl From<Fault> for Kind {
    fn from(fault: Fault) -> Kind {
        match fault {
            Fault::DeliveredRatio => Kind::DeliveredRatio,
            Fault::ReceiptsStopped => Kind::ReceiptsStopped,
        }
    }
}

/// An alarm that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlarmStatus {
    /// `delivered_ratio`, `receipts_stopped` or `test`.
    pub kind: &'static str,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// In numbers, as of the last look.
    pub detail: String,
}

/// The alarms of all channels.
#[derive(Default)]
pub(super) struct Alarms {
    standing: BTreeMap<(ChannelId, Kind), AlarmStatus>,
    calm: BTreeMap<ChannelId, Calm>,
}

impl Alarms {
    /// Shows a channel of the plan, with what stands.
    pub(super) fn show(&self, metrics: &Metrics, channel: ChannelId, name: &str) {
        for kind in Kind::ALL {
            let stands = self.standing.contains_key(&(channel, kind));
            metrics.channel_alarm.with_label_values(&[name, kind.name()]).set(i64::from(stands));
        }
    }

    /// An alarm begins, or ends where there is no detail.
    pub(super) fn set(
        &mut self,
        now: Moment,
        metrics: &Metrics,
        (channel, name): (ChannelId, &str),
        kind: Kind,
        detail: Option<String>,
    ) {
        let at = (channel, kind);
        match (self.standing.get_mut(&at), &detail) {
            (Some(stands), Some(detail)) => return stands.detail.clone_from(detail),
            (None, None) => return,
            _ => {}
        }
        metrics.channel_alarm.with_label_values(&[name, kind.name()]).set(i64::from(detail.is_some()));
        let says = self.calm.entry(channel).or_default().allows(now.time);
        match detail {
            Some(detail) => {
                if says {
                    warn!(channel = name, kind = kind.name(), detail, "channel alarm");
                }
                self.standing.insert(at, AlarmStatus { kind: kind.name(), since_ms: now.wall.0, detail });
            }
            None => {
                let since = self.standing.remove(&at).map_or(now.wall.0, |alarm| alarm.since_ms);
                if says {
                    let seconds = now.wall.0.saturating_sub(since) / 1_000;
                    info!(channel = name, kind = kind.name(), seconds, "a channel alarm has ended");
                }
            }
        }
    }

    /// What stands for a channel.
    pub(super) fn of(&self, channel: ChannelId) -> Vec<AlarmStatus> {
        Kind::ALL.iter().filter_map(|kind| self.standing.get(&(channel, *kind)).cloned()).collect()
    }

    /// The channel has left.
    pub(super) fn left(&mut self, metrics: &Metrics, channel: ChannelId, name: &str) {
        self.standing.retain(|(of, _), _| *of != channel);
        self.calm.remove(&channel);
        for kind in Kind::ALL {
            let _ = metrics.channel_alarm.remove_label_values(&[name, kind.name()]);
        }
        let _ = metrics.delivered_ratio.remove_label_values(&[name]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Time, Wall};

    #[test]
    fn an_alarm_stands_from_its_first_word_to_its_end() {
        let (metrics, mut alarms) = (Metrics::new(), Alarms::default());
        let (channel, now) = ((ChannelId(1), "a"), Moment { time: Time(0), wall: Wall(5_000) });
        let gauge = |kind| metrics.channel_alarm.with_label_values(&["a", kind]).get();
        alarms.show(&metrics, channel.0, channel.1);
        assert_eq!(gauge("test"), 0);
        alarms.set(now, &metrics, channel, Kind::Test, Some("first".into()));
        alarms.set(Moment { wall: Wall(9_000), ..now }, &metrics, channel, Kind::Test, Some("again".into()));
        assert_eq!(alarms.of(channel.0), [AlarmStatus { kind: "test", since_ms: 5_000, detail: "again".into() }]);
        assert_eq!((gauge("test"), gauge("delivered_ratio")), (1, 0));
        alarms.set(now, &metrics, channel, Kind::Test, None);
        assert_eq!((alarms.of(channel.0), gauge("test")), (Vec::new(), 0));
        alarms.left(&metrics, channel.0, channel.1);
        assert!(!String::from_utf8(metrics.text()).unwrap().contains("qiao_channel_alarm{"));
    }
}
