//! What client, carrier and sink wrote down, joined: when each message left the client, when the carrier read it, when
//! the last of them was over. All three write wall-clock milliseconds with microsecond digits, on one machine.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use simulators::latency::Histogram;
use simulators::records::{Posted, Record};

use crate::Result;

/// What one run shows from outside.
#[derive(Debug, Default)]
pub struct Trace {
    /// Request left the client → the carrier read its (first) submit.
    pub latency: Histogram,
    /// Accepted messages that no carrier got whole.
    pub missing: u64,
    /// Messages of which carriers got more than their parts.
    pub repeated: u64,
    /// First request to the last sign of any message, in seconds.
    pub seconds: f64,
    /// When the first request left, ms since 1970.
    pub first_ms: f64,
}

/// Reads the posts and lays `carrier` and, where there is one, the sink's `callbacks` beside them. Each message
/// has so many `parts`; those posted otherwise (the warm-up's) are passed over.
///
/// # Errors
/// A file cannot be read, or a line is not what it should be.
pub fn read(posts: &Path, carrier: &Path, callbacks: Option<&Path>, parts: u32) -> Result<Trace> {
    let mut left = HashMap::new();
    let (mut first, mut last) = (f64::INFINITY, 0f64);
    each(posts, |record| {
        if let Record::Post(post) = record
            && post.result == Posted::Accepted
        {
            first = first.min(post.t_ms);
            left.insert(digits(&post.to), (post.t_ms, 0u32));
        }
    })?;
    let mut trace = Trace::default();
    each(carrier, |record| {
        let Record::Submit(submit) = record else { return };
        let Some((t_ms, times)) = left.get_mut(&digits(&submit.destination)) else { return };
        last = last.max(submit.t_ms);
        *times += 1;
        if *times == 1 {
            let took = (submit.t_ms - *t_ms).max(0.0) / 1e3;
            trace.latency.record(std::time::Duration::from_secs_f64(took));
        }
    })?;
    if let Some(callbacks) = callbacks {
        each(callbacks, |record| {
            if let Record::Event(event) = record {
                last = last.max(event.t_ms);
            }
        })?;
    }
    trace.missing = left.values().filter(|(_, times)| *times < parts).count() as u64;
    trace.repeated = left.values().filter(|(_, times)| *times > parts).count() as u64;
    trace.first_ms = first;
    trace.seconds = (last - first).max(0.0) / 1e3;
    Ok(trace)
}

/// How long after `moment` (ms since 1970) the first submit to a number that begins with `digits` reached the carrier that
/// wrote `log`, in ms; `None` if none did.
///
/// # Errors
/// As [`read`].
pub fn first_submit_after(log: &Path, moment: f64, digits: &str) -> Result<Option<f64>> {
    let mut first = f64::INFINITY;
    each(log, |record| {
        if let Record::Submit(submit) = record
            && submit.t_ms >= moment
            && submit.destination.starts_with(digits)
        {
            first = first.min(submit.t_ms);
        }
    })?;
    Ok(first.is_finite().then_some(first - moment))
}

pub(crate) fn each(path: &Path, mut act: impl FnMut(Record<'_>)) -> Result<()> {
    let named = |error: String| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| named(error.to_string()))?;
    for line in BufReader::with_capacity(1 << 20, file).lines() {
        let line = line?;
        act(serde_json::from_str(&line).map_err(|error| named(error.to_string()))?);
    }
    Ok(())
}

/// A number without its plus sign, as both sides can be compared.
pub(crate) fn digits(number: &str) -> u64 {
    number.trim_start_matches('+').parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(posts: &str, submits: &str) -> Trace {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&a, posts).unwrap();
        std::fs::write(&b, submits).unwrap();
        read(&a, &b, None, 1).unwrap()
    }

    fn post(to: u32, t_ms: f64) -> String {
        format!("{{\"kind\":\"post\",\"ref\":\"r\",\"to\":\"+86{to}\",\"t_ms\":{t_ms},\"result\":\"accepted\"}}\n")
    }

    fn submit(to: u32, t_ms: f64) -> String {
        format!(
            "{{\"kind\":\"submit\",\"t_ms\":{t_ms},\"carrier\":\"c\",\"carrier_id\":\"1\",\"destination\":\"86{to}\",\
             \"answered\":true}}\n"
        )
    }

    #[test]
    fn posts_and_submits_are_joined_by_destination() {
        let trace = trace(&(post(1, 1000.0) + &post(2, 1001.0)), &(submit(2, 1003.5) + &submit(1, 1000.25)));
        assert_eq!((trace.latency.count(), trace.missing, trace.repeated), (2, 0, 0));
        assert!((trace.latency.quantile_ms(0.5) - 0.25).abs() < 0.01);
        assert!((trace.latency.max_ms() - 2.5).abs() < 0.01);
        assert!((trace.seconds - 0.0035).abs() < 1e-9);
    }

    #[test]
    fn missing_and_repeated_messages_are_counted_and_strangers_passed_over() {
        let submits = submit(1, 1.0) + &submit(1, 2.0) + &submit(9, 900.0);
        let trace = trace(&(post(1, 0.5) + &post(2, 0.6)), &submits);
        assert_eq!((trace.latency.count(), trace.missing, trace.repeated), (1, 1, 1));
        assert!(trace.seconds < 0.1);
    }

    #[test]
    fn the_first_submit_is_that_of_the_numbers_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("a");
        std::fs::write(&log, submit(2, 900.0) + &submit(1, 1000.0) + &submit(2, 1003.0) + &submit(2, 1007.0)).unwrap();
        let after = |moment, digits| first_submit_after(&log, moment, digits).unwrap();
        assert_eq!((after(950.0, "86"), after(950.0, "862")), (Some(50.0), Some(53.0)));
        assert_eq!((after(2_000.0, "86"), after(950.0, "49")), (None, None));
    }
}
