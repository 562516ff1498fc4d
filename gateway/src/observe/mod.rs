//! What the NOC sees: metrics with handles fetched once, so that counting costs nanoseconds. Labels are names from the
//! configuration and closed lists; never a number, an id or free text.

mod calm;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, Bucket, MetricFamily, MetricType};
use prometheus::{
    Counter, Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

pub use calm::Calm;

use crate::journal::{COMMIT_BOUNDS, Stats};

/// Buckets for what is felt within a second, in seconds.
const FAST: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Buckets for what takes minutes and hours, in seconds.
const SLOW: [f64; 12] = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0];

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    /// `qiao_http_requests_total{route,method,code}`
    pub http_requests: IntCounterVec,
    /// `qiao_http_request_duration_seconds`
    pub http_seconds: Histogram,
    /// `qiao_messages_accepted_total{tier,type}`
    pub accepted: IntCounterVec,
    /// `qiao_messages_rejected_total{reason}`
    pub rejected: IntCounterVec,
    /// `qiao_batch_messages`
    pub batch_messages: Histogram,
    /// `qiao_outcomes_total{tier,channel,outcome,reason_class}`
    pub outcomes: IntCounterVec,
    /// `qiao_outcomes_corrected_total{tier,channel,outcome}`: outcomes that took the place of an earlier one.
    pub corrected: IntCounterVec,
    /// `qiao_submits_total{channel,verdict}`
    pub submits: IntCounterVec,
    /// `qiao_submit_duration_seconds{channel}`
    pub submit_seconds: HistogramVec,
    /// `qiao_receipts_total{channel,state}`
    pub receipts: IntCounterVec,
    /// `qiao_receipt_delay_seconds{channel}`
    pub receipt_delay: HistogramVec,
    /// `qiao_receipts_unmatched_total{channel}`: receipts that nobody knew a minute after they came. One that has merely
    /// outrun its answer is none.
    pub unmatched: IntCounterVec,
    /// `qiao_receipts_late_total{channel,result}`: for messages that were finished: `used`, or `repeated`.
    pub late: IntCounterVec,
    /// `qiao_mo_total{channel}`
    pub mo: IntCounterVec,
    /// `qiao_mo_duplicates_total{channel}`: repetitions of messages from handsets, answered and not told again.
    pub mo_duplicates: IntCounterVec,
    /// `qiao_mo_unmatched_total{channel}`: messages from handsets to a number that no app owns.
    pub mo_unmatched: IntCounterVec,
    /// `qiao_mo_given_up_total{channel}`: messages from handsets told no more, since too many waited for their apps.
    pub mo_given_up: IntCounterVec,
    /// `qiao_queue_wait_seconds{tier}`: durable to first handed to a link.
    pub queue_wait: HistogramVec,
    /// `qiao_accept_to_submit_seconds{tier}`: id made to first handed to a link.
    pub accept_to_submit: HistogramVec,
    /// `qiao_queue_messages{tier,group}`
    pub queue_messages: IntGaugeVec,
    /// `qiao_queue_oldest_seconds{tier,group}`
    pub queue_oldest: GaugeVec,
    /// `qiao_window_in_flight{channel}`
    pub in_flight: IntGaugeVec,
    /// `qiao_window_limit{channel}`
    pub window: IntGaugeVec,
    /// `qiao_pace_parts{channel}`: parts started in the last whole second.
    pub pace_parts: GaugeVec,
    /// `qiao_pace_limit{channel}`
    pub pace_limit: GaugeVec,
    /// `qiao_links{channel,role,state}`
    pub links: IntGaugeVec,
    /// `qiao_channel_state{channel,state}`: 1 for the state it is in.
    pub channel_state: IntGaugeVec,
    /// `qiao_channel_transitions_total{channel,from,to,cause}`
    pub channel_transitions: IntCounterVec,
    /// `qiao_channel_delivered_ratio{channel}`: of the receipts of the last five minutes.
    pub delivered_ratio: GaugeVec,
    /// `qiao_channel_alarm{channel,kind}`: 1 while it stands.
    pub channel_alarm: IntGaugeVec,
    /// `qiao_channel_tests_total{channel,result}`
    pub tests: IntCounterVec,
    /// `qiao_channel_test_delay_seconds{channel}`: written down to arrived.
    pub test_delay: HistogramVec,
    /// `qiao_throttled_total{channel}`
    pub throttled: IntCounterVec,
    /// `qiao_in_doubt_total{channel,tier,class}`
    pub in_doubt: IntCounterVec,
    /// `qiao_in_doubt_resubmitted_total{channel,tier}`
    pub resubmitted: IntCounterVec,
    /// `qiao_hedged_total{channel,tier}`: messages that got one more attempt elsewhere because this channel was slow.
    pub hedged: IntCounterVec,
    /// `qiao_failover_duration_seconds`: first part exposed on a channel given up to the first start elsewhere.
    pub failover_seconds: Histogram,
    /// `qiao_group_ejections_total{group,channel,result}`: what a suspicion came to in each group of the channel: `out`,
    /// or `kept` in use.
    pub ejections: IntCounterVec,
    /// `qiao_self_suspicions_total`: several carriers fell silent at once, so the gateway suspected itself.
    pub self_suspicions: IntCounter,
    /// `qiao_dup_confirmed_total{channel}`: messages that carriers have, or handsets got, by more than one attempt.
    pub duplicates: IntCounterVec,
    /// `qiao_retries_deferred_total{channel}`: retries that waited since the channel had had its share of them.
    pub deferred: IntCounterVec,
    /// `qiao_quarantined_total{channel}`: messages that kill what they are sent over, ended.
    pub quarantined: IntCounterVec,
    /// `qiao_moved_on_total{channel,tier,why}`: messages sent on to another channel for what this one's receipts said, or did
    /// not: `undelivered` or `no_receipt`.
    pub moved_on: IntCounterVec,
    /// `qiao_leniencies_total{channel,what}`: taken although it was not as specified, or skipped.
    pub leniencies: IntCounterVec,
    /// `qiao_journal_commit_seconds`
    pub commits: Commits,
    /// `qiao_journal_records`
    pub journal_records: IntCounter,
    /// `qiao_journal_bytes`: in use on disk.
    pub journal_bytes: IntGauge,
    /// `qiao_journal_failures_total`: commits that the disk refused.
    pub journal_failures: IntCounter,
    /// `qiao_callbacks_total{result}`
    pub callbacks: IntCounterVec,
    /// `qiao_callback_delay_seconds`: outcome to the endpoint's 2xx.
    pub callback_delay: Histogram,
    /// `qiao_callback_backlog`: events in memory and on disk.
    pub callback_backlog: IntGauge,
    /// `qiao_callback_letters{app,state}`: on disk, `waiting` or `dead`.
    pub callback_letters: IntGaugeVec,
    /// `qiao_callback_octets{app}`: of those letters.
    pub callback_octets: IntGaugeVec,
    /// `qiao_messages`: accepted and not yet forgotten.
    pub messages: IntGauge,
    /// `qiao_receipts_waiting`: receipts without a part yet.
    pub orphans: IntGauge,
    /// `qiao_config_reloads_total{result}`: `applied`, `unchanged` or `rejected`.
    pub reloads: IntCounterVec,
    /// `qiao_config_last_reload_success_timestamp_seconds`: when the configuration in force was read.
    pub reloaded_at: Gauge,
    /// `qiao_process_cpu_seconds_total`
    pub cpu_seconds: Counter,
    /// `qiao_process_resident_bytes`
    pub resident: Gauge,
}

/// Registers metrics; a name registered twice is a defect that the first start shows.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    #[expect(
        clippy::expect_used,
        reason = "names and labels are constants below; any clash fails every start and test"
    )]
    fn keep<C: Collector + Clone + 'static>(&self, metric: prometheus::Result<C>) -> C {
        let metric = metric.expect("constant metric options are valid");
        self.0.register(Box::new(metric.clone())).expect("metric names are unique");
        metric
    }
    fn count(&self, name: &str, help: &str) -> IntCounter {
        self.keep(IntCounter::new(name, help))
    }
    fn counts(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels))
    }
    fn level(&self, name: &str, help: &str) -> IntGauge {
        self.keep(IntGauge::new(name, help))
    }
    fn levels(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.keep(IntGaugeVec::new(Opts::new(name, help), labels))
    }
    fn values(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.keep(GaugeVec::new(Opts::new(name, help), labels))
    }
    fn time(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.keep(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }
    fn times(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        self.keep(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }
}

impl Metrics {
    /// A fresh registry with every metric in it.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let registry = Registry::new();
        let make = Maker(&registry);
        let build = make.levels("qiao_build_info", "Version and revision of this build.", &["version", "revision"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), option_env!("QIAO_REVISION").unwrap_or("unknown")]).set(1);
        let channel = &["channel"];
        let queue = &["tier", "group"];
        let metrics = Metrics {
            http_requests: make.counts(
                "qiao_http_requests_total",
                "Requests answered at the application door.",
                &["route", "method", "code"],
            ),
            http_seconds: make.time("qiao_http_request_duration_seconds", "Request read to answer made.", &FAST),
            accepted: make.counts("qiao_messages_accepted_total", "Messages answered 202.", &["tier", "type"]),
            rejected: make.counts("qiao_messages_rejected_total", "Messages refused at the door.", &["reason"]),
            batch_messages: make.time(
                "qiao_batch_messages",
                "Messages in one batch, also those refused.",
                &[1.0, 10.0, 100.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0],
            ),
            outcomes: make.counts(
                "qiao_outcomes_total",
                "Outcomes concluded.",
                &["tier", "channel", "outcome", "reason_class"],
            ),
            corrected: make.counts(
                "qiao_outcomes_corrected_total",
                "Outcomes that took the place of an earlier one.",
                &["tier", "channel", "outcome"],
            ),
            submits: make.counts("qiao_submits_total", "Parts ended on the wire.", &["channel", "verdict"]),
            submit_seconds: make.times("qiao_submit_duration_seconds", "Part sent to its answer.", channel, &FAST),
            receipts: make.counts("qiao_receipts_total", "Receipts received.", &["channel", "state"]),
            receipt_delay: make.times("qiao_receipt_delay_seconds", "Attempt to its receipt.", channel, &SLOW),
            unmatched: make.counts(
                "qiao_receipts_unmatched_total",
                "Receipts that nobody knew a minute after.",
                channel,
            ),
            late: make.counts(
                "qiao_receipts_late_total",
                "Receipts for messages that were finished.",
                &["channel", "result"],
            ),
            mo: make.counts("qiao_mo_total", "Messages from handsets, by part.", channel),
            mo_duplicates: make.counts("qiao_mo_duplicates_total", "Repetitions of messages from handsets.", channel),
            mo_unmatched: make.counts(
                "qiao_mo_unmatched_total",
                "Messages from handsets to a number that no app owns.",
                channel,
            ),
            mo_given_up: make.counts(
                "qiao_mo_given_up_total",
                "Messages from handsets told no more: too many waited for their apps.",
                channel,
            ),
            queue_wait: make.times("qiao_queue_wait_seconds", "Durable to handed to a link.", &["tier"], &FAST),
            accept_to_submit: make.times(
                "qiao_accept_to_submit_seconds",
                "Admitted to first handed to a link.",
                &["tier"],
                &FAST,
            ),
            queue_messages: make.levels("qiao_queue_messages", "Messages waiting.", queue),
            queue_oldest: make.values("qiao_queue_oldest_seconds", "Age of the oldest message waiting.", queue),
            in_flight: make.levels("qiao_window_in_flight", "Parts without an answer.", channel),
            window: make.levels("qiao_window_limit", "Parts allowed without an answer, over all links.", channel),
            pace_parts: make.values("qiao_pace_parts", "Parts started in the last second.", channel),
            pace_limit: make.values("qiao_pace_limit", "Parts per second by contract.", channel),
            links: make.levels("qiao_links", "Links by role and state.", &["channel", "role", "state"]),
            channel_state: make.levels("qiao_channel_state", "1 for the state a channel is in.", &["channel", "state"]),
            channel_transitions: make.counts(
                "qiao_channel_transitions_total",
                "Changes of a channel's state, and what brought them.",
                &["channel", "from", "to", "cause"],
            ),
            delivered_ratio: make.values(
                "qiao_channel_delivered_ratio",
                "Share of the last five minutes' receipts that say delivered.",
                channel,
            ),
            channel_alarm: make.levels("qiao_channel_alarm", "1 while an alarm stands.", &["channel", "kind"]),
            tests: make.counts("qiao_channel_tests_total", "Test messages by how they ended.", &["channel", "result"]),
            test_delay: make.times(
                "qiao_channel_test_delay_seconds",
                "Test messages to their arrival.",
                channel,
                &SLOW,
            ),
            throttled: make.counts("qiao_throttled_total", "Throttle answers.", channel),
            in_doubt: make.counts(
                "qiao_in_doubt_total",
                "Messages sent without an answer.",
                &["channel", "tier", "class"],
            ),
            resubmitted: make.counts(
                "qiao_in_doubt_resubmitted_total",
                "Messages in doubt that were sent again.",
                &["channel", "tier"],
            ),
            hedged: make.counts(
                "qiao_hedged_total",
                "Messages that got one more attempt elsewhere, since an answer took too long.",
                &["channel", "tier"],
            ),
            failover_seconds: make.time(
                "qiao_failover_duration_seconds",
                "First part exposed on a channel given up to the first start elsewhere.",
                &FAST,
            ),
            ejections: make.counts(
                "qiao_group_ejections_total",
                "Suspect channels taken out of a group, or kept in use for lack of better.",
                &["group", "channel", "result"],
            ),
            self_suspicions: make
                .count("qiao_self_suspicions_total", "Several carriers silent at once: the gateway suspected itself."),
            duplicates: make.counts(
                "qiao_dup_confirmed_total",
                "Messages that carriers have by more than one attempt.",
                channel,
            ),
            deferred: make.counts(
                "qiao_retries_deferred_total",
                "Retries that had to wait: the channel had had its share of them.",
                channel,
            ),
            quarantined: make.counts("qiao_quarantined_total", "Messages that kill what they are sent over.", channel),
            moved_on: make.counts(
                "qiao_moved_on_total",
                "Messages sent on to another channel for this one's receipts.",
                &["channel", "tier", "why"],
            ),
            leniencies: make.counts(
                "qiao_leniencies_total",
                "Departures from the specification that were let pass.",
                &["channel", "what"],
            ),
            commits: make.keep(Commits::new()),
            journal_records: make.count("qiao_journal_records", "Records committed."),
            journal_bytes: make.level("qiao_journal_bytes", "Octets in use on disk."),
            journal_failures: make.count("qiao_journal_failures_total", "Commits that the disk refused."),
            callbacks: make.counts("qiao_callbacks_total", "Callback requests by result.", &["result"]),
            callback_delay: make.time("qiao_callback_delay_seconds", "Outcome to the endpoint's 2xx.", &SLOW),
            callback_backlog: make.level("qiao_callback_backlog", "Events not yet taken by their endpoint."),
            callback_letters: make.levels("qiao_callback_letters", "Letters on disk by state.", &["app", "state"]),
            callback_octets: make.levels("qiao_callback_octets", "Octets of letters on disk.", &["app"]),
            messages: make.level("qiao_messages", "Messages accepted and not yet forgotten."),
            orphans: make.level("qiao_receipts_waiting", "Receipts waiting for their part."),
            reloads: make.counts("qiao_config_reloads_total", "Configurations read anew, by result.", &["result"]),
            reloaded_at: make.keep(Gauge::new(
                "qiao_config_last_reload_success_timestamp_seconds",
                "When the configuration in force was read.",
            )),
            cpu_seconds: make.keep(Counter::new("qiao_process_cpu_seconds_total", "User and system CPU time.")),
            resident: make.keep(Gauge::new("qiao_process_resident_bytes", "Resident memory.")),
            registry,
        };
        Arc::new(metrics)
    }

    /// The Prometheus text page.
    pub fn text(&self) -> Vec<u8> {
        self.process();
        let mut page = Vec::new();
        // Encoding into memory cannot fail; a metric without samples is left out.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut page);
        page
    }

    /// CPU and memory as the kernel counts them.
    fn process(&self) {
        let ticks = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| {
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
        });
        if let Some(ticks) = ticks {
            let seconds = ticks as f64 / 100.0;
            self.cpu_seconds.inc_by((seconds - self.cpu_seconds.get()).max(0.0));
        }
        let pages = std::fs::read_to_string("/proc/self/statm").ok().and_then(|statm| {
            let resident = statm.split_whitespace().nth(1)?;
            resident.parse::<u64>().ok()
        });
        if let Some(pages) = pages {
            self.resident.set(pages as f64 * 4096.0);
        }
    }
}

/// The journal counts its commits by duration itself; this shows its counts as a histogram.
#[derive(Clone)]
pub struct Commits {
    desc: Desc,
    stats: Arc<Mutex<Stats>>,
}

impl Commits {
    const NAME: &str = "qiao_journal_commit_seconds";
    const HELP: &str = "One write and sync.";

    fn new() -> prometheus::Result<Self> {
        let desc = Desc::new(Self::NAME.to_owned(), Self::HELP.to_owned(), Vec::new(), HashMap::new())?;
        Ok(Commits { desc, stats: Arc::default() })
    }

    /// Takes the journal's counts.
    pub fn set(&self, stats: Stats) {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }
}

impl Collector for Commits {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let stats = *self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counted = 0;
        let buckets = COMMIT_BOUNDS.iter().zip(stats.commit_buckets).map(|(bound, count)| {
            counted += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound.as_secs_f64());
            bucket.set_cumulative_count(counted);
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(stats.commit_buckets.iter().sum());
        histogram.set_sample_sum(stats.commit_time.as_secs_f64());
        let mut metric = proto::Metric::default();
        metric.set_histogram(histogram);
        let mut family = MetricFamily::default();
        family.set_name(Self::NAME.to_owned());
        family.set_help(Self::HELP.to_owned());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

/// Handles of one channel.
pub struct ChannelMeter {
    /// Taken by the carrier.
    pub submitted: IntCounter,
    /// Time from sent to answered.
    pub submit_seconds: Histogram,
    /// Attempt to receipt.
    pub receipt_delay: Histogram,
    /// Delivered receipts.
    pub delivered: IntCounter,
    name: Arc<str>,
}

impl ChannelMeter {
    /// Handles for the channel of that name.
    pub fn new(metrics: &Metrics, name: &Arc<str>) -> Self {
        ChannelMeter {
            submitted: metrics.submits.with_label_values(&[&**name, "submitted"]),
            submit_seconds: metrics.submit_seconds.with_label_values(&[&**name]),
            receipt_delay: metrics.receipt_delay.with_label_values(&[&**name]),
            delivered: metrics.receipts.with_label_values(&[&**name, "delivered"]),
            name: name.clone(),
        }
    }

    /// The channel's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_carries_the_promised_names() {
        let metrics = Metrics::new();
        metrics.accepted.with_label_values(&["otp", "sms"]).inc();
        let mut stats = Stats::default();
        (stats.commit_buckets[3], stats.commit_buckets[12]) = (5, 1);
        metrics.commits.set(stats);
        let page = String::from_utf8(metrics.text()).unwrap();
        assert!(page.contains("qiao_messages_accepted_total{tier=\"otp\",type=\"sms\"} 1"), "{page}");
        assert!(page.contains("qiao_build_info{"));
        assert!(page.contains("qiao_journal_commit_seconds_bucket{le=\"0.0005\"} 0"), "{page}");
        assert!(page.contains("qiao_journal_commit_seconds_bucket{le=\"2\"} 5"));
        assert!(page.contains("qiao_journal_commit_seconds_bucket{le=\"+Inf\"} 6"));
        assert!(page.contains("qiao_process_resident_bytes"));
    }
}
