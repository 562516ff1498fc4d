//! HTTP doors on loopback, asked as simply as possible: one request per connection. And the metrics page, read.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Result;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Asks and returns the body of a 2xx answer.
///
/// # Errors
/// The door cannot be reached, dawdles, or answers something else.
pub async fn ask(door: SocketAddr, method: &str, path: &str, body: &str) -> Result<String> {
    let asked = async {
        let mut stream = TcpStream::connect(door).await?;
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {door}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(ANSWER_WITHIN, asked).await.map_err(|_| format!("{door}{path}: no answer"))?;
    let answer = String::from_utf8_lossy(&answer.map_err(|error| format!("{door}{path}: {error}"))?).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("{door}{path}: no HTTP answer"))?;
    let line = head.lines().next().unwrap_or("");
    if line.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
        Ok(body.to_owned())
    } else {
        Err(format!("{method} {door}{path}: {line}: {}", body.trim()).into())
    }
}

/// Asks for JSON.
///
/// # Errors
/// As [`ask`], or the answer is no JSON.
pub async fn json(door: SocketAddr, path: &str) -> Result<Value> {
    Ok(serde_json::from_str(&ask(door, "GET", path, "").await?)?)
}

/// A metrics page in the Prometheus text form.
#[derive(Debug, Clone, Default)]
pub struct Page(Vec<(String, String, f64)>);

impl Page {
    /// Fetches the page of an admin door.
    ///
    /// # Errors
    /// As [`ask`].
    pub async fn fetch(admin: SocketAddr) -> Result<Self> {
        Ok(Self::read(&ask(admin, "GET", "/metrics", "").await?))
    }

    /// Reads a page; lines that are no samples are passed over.
    pub fn read(text: &str) -> Self {
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            Some((name.to_owned(), labels.trim_end_matches('}').to_owned(), value.parse().ok()?))
        };
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// The sum of all samples of `name` that have all these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let fits = |has: &str| wanted.iter().all(|wanted| has.split(',').any(|label| label == wanted));
        // A sum of nothing would be -0.
        let samples = self.0.iter().filter(|(has, labels, _)| has == name && fits(labels));
        samples.fold(0.0, |sum, (_, _, value)| sum + value)
    }

    /// The bound, in the histogram's unit, below which the share `share` of all observations of `name` with these labels
    /// lies; infinite beyond the last bucket, `None` where nothing was observed.
    pub fn quantile(&self, name: &str, labels: &[(&str, &str)], share: f64) -> Option<f64> {
        let buckets = format!("{name}_bucket");
        let mut bounds: Vec<(f64, String)> =
            self.values(&buckets, "le").into_iter().filter_map(|le| Some((le.parse().ok()?, le))).collect();
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted = share * self.sum(&format!("{name}_count"), labels);
        let below = |le: &str| self.sum(&buckets, &[labels, &[("le", le)]].concat());
        bounds.into_iter().find(|(_, le)| wanted > 0.0 && below(le) >= wanted).map(|(bound, _)| bound)
    }

    /// Whether there is any sample of `name`.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(has, _, _)| has == name)
    }

    /// The values label `label` has in the samples of `name`, in the page's order.
    pub fn values(&self, name: &str, label: &str) -> Vec<String> {
        let prefix = format!("{label}=\"");
        let of_sample = |labels: &str| {
            labels.split(',').find_map(|has| Some(has.strip_prefix(&prefix)?.trim_end_matches('"').to_owned()))
        };
        let mut values: Vec<String> =
            self.0.iter().filter(|(has, _, _)| has == name).filter_map(|(_, labels, _)| of_sample(labels)).collect();
        values.dedup();
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_their_labels() {
        let page = Page::read(
            "# HELP q x\n# TYPE q gauge\nq{channel=\"a\",state=\"up\"} 1\nq{channel=\"b\",state=\"up\"} 2\n\
             q{channel=\"b\",state=\"down\"} 4\nqq 8\nnonsense\n",
        );
        assert_eq!(page.sum("q", &[]), 7.0);
        assert_eq!(page.sum("q", &[("channel", "b"), ("state", "up")]), 2.0);
        assert_eq!(page.sum("qq", &[]), 8.0);
        assert_eq!(page.sum("q", &[("channel", "c")]), 0.0);
        assert_eq!(page.values("q", "channel"), ["a", "b"]);
        assert!(page.has("q") && !page.has("x"));
    }

    #[test]
    fn quantiles_are_the_bounds_of_buckets_over_all_series() {
        let series = |app: &str, counts: [u32; 3]| {
            let [low, high, all] = counts;
            format!(
                "h_bucket{{app=\"{app}\",le=\"0.1\"}} {low}\nh_bucket{{app=\"{app}\",le=\"2\"}} {high}\n\
                 h_bucket{{app=\"{app}\",le=\"+Inf\"}} {all}\nh_count{{app=\"{app}\"}} {all}\n"
            )
        };
        let page = Page::read(&(series("a", [8, 9, 9]) + &series("b", [0, 0, 1])));
        assert_eq!(page.quantile("h", &[], 0.5), Some(0.1));
        assert_eq!(page.quantile("h", &[], 0.9), Some(2.0));
        assert_eq!(page.quantile("h", &[("app", "a")], 0.99), Some(2.0));
        assert_eq!(page.quantile("h", &[], 0.99), Some(f64::INFINITY));
        assert_eq!(page.quantile("none", &[], 0.5), None);
        assert_eq!(Page::read(&series("a", [0, 0, 0])).quantile("h", &[], 0.5), None);
    }
}
