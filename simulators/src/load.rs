//! A load client: posts messages as fast or as regularly as asked, and writes down what it was told about each.
//!
//! Open loop with a rate: a message has its moment, and its latency counts from there, whether or not a connection
//! was free. Every message has its own destination, reference and Idempotency-Key, so that the checker can follow it.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use crate::args::plain_or_env;
use crate::clock::Clock;
use crate::latency::{Histogram, duration};
use crate::lines::Lines;
use crate::records::{Post, Posted, Record};

pub mod http;

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Shortest pause of the pacing thread; at high rates it releases several messages at once.
const PACE_STEP: Duration = Duration::from_micros(250);

/// What to post, where and how fast.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The gateway, http only
    #[arg(long, default_value = "http://127.0.0.1:8080", value_parser = target)]
    pub url: Target,
    /// The application's bearer key, or env:NAME
    #[arg(long, value_parser = plain_or_env)]
    pub key: String,
    /// Messages per second, on schedule; without it as fast as the answers come
    #[arg(long, value_parser = rate, conflicts_with = "max")]
    pub rate: Option<f64>,
    /// As fast as the answers come (the default)
    #[arg(long)]
    pub max: bool,
    /// Messages per post: as batches of so many; without it each by itself
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub batch: Option<u32>,
    /// Ask Kannel's sendsms instead: a GET per message, with the key as name and password
    #[arg(long, conflicts_with = "batch")]
    pub sendsms: bool,
    /// With --sendsms: the URL that is to be called with each message's end
    #[arg(long, value_name = "URL", requires = "sendsms")]
    pub dlr_url: Option<String>,
    /// Keep-alive connections, each with one request under way
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// Stop after so many messages
    #[arg(long)]
    pub count: Option<u64>,
    /// Stop after this long; with --count whichever comes first [default without --count: 10s]
    #[arg(long = "for", value_parser = duration)]
    pub lasts: Option<Duration>,
    /// Tiers and their weights; empty for the application's first tier
    #[arg(long, default_value = "otp=1,notice=3,marketing=6", value_parser = tiers)]
    pub tiers: Tiers,
    /// Destinations start here: filled with zeros to 13 digits, then counted up
    #[arg(long, default_value = "+8613800", value_parser = first_number)]
    pub to_prefix: u64,
    /// Message text
    #[arg(long, default_value = "Your code is 428301")]
    pub text: String,
    /// Ask for no callbacks
    #[arg(long)]
    pub no_callback: bool,
    /// Name of this run in references and keys [default: made from the time]
    #[arg(long)]
    pub run: Option<String>,
    /// Line file of what was posted and answered
    #[arg(long)]
    pub ledger: Option<PathBuf>,
    /// Silence after which an answer is given up
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub answer_within: Duration,
    /// Repeat posts that got no answer, with the same Idempotency-Key
    #[arg(long)]
    pub retry_unknown: bool,
    /// Repeat posts answered 429 or 503, with the same Idempotency-Key, after the Retry-After they name
    #[arg(long)]
    pub retry_busy: bool,
    /// How long one message is repeated, and how long the gateway may be out of reach
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub patience: Duration,
    /// Seed of the draw of tiers
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// No progress on stderr
    #[arg(long)]
    pub quiet: bool,
}

/// An http URL's address and what to put into Host.
#[derive(Debug, Clone)]
pub struct Target {
    address: SocketAddr,
    host: String,
    path: String,
}

fn target(url: &str) -> Result<Target, String> {
    let rest = url.strip_prefix("http://").ok_or("only http:// URLs can be loaded")?;
    let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
    let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let resolved = std::net::ToSocketAddrs::to_socket_addrs(&with_port).map_err(|error| format!("{host}: {error}"))?;
    let address = resolved.into_iter().next().ok_or_else(|| format!("{host} has no address"))?;
    let path = format!("/{}", path.trim_end_matches('/'));
    let path = if path == "/" { String::new() } else { path };
    Ok(Target { address, host: host.to_owned(), path })
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "a rate is a number of messages per second".to_owned())?;
    if (0.001..=1e7).contains(&rate) { Ok(rate) } else { Err("a rate is from 0.001 to 10000000".to_owned()) }
}

fn first_number(prefix: &str) -> Result<u64, String> {
    let digits = prefix.strip_prefix('+').unwrap_or(prefix);
    if digits.is_empty() || digits.len() > 13 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err("a prefix is + and up to 13 digits".to_owned());
    }
    format!("{digits:0<13}").parse().map_err(|_| "not a number".to_owned())
}

/// Tiers by weight.
#[derive(Debug, Clone, Default)]
pub struct Tiers(Vec<(String, u32)>);

fn tiers(text: &str) -> Result<Tiers, String> {
    let named = text.split(',').filter(|item| !item.trim().is_empty());
    let one = |item: &str| {
        let (name, weight) = item.trim().split_once('=').unwrap_or((item.trim(), "1"));
        let weight = weight.parse().map_err(|_| format!("`{item}`: weights are whole numbers"))?;
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if plain { Ok((name.to_owned(), weight)) } else { Err(format!("`{name}` is no tier's name")) }
    };
    let tiers: Vec<(String, u32)> = named.map(one).collect::<Result<_, String>>()?;
    let sum = tiers.iter().try_fold(0u32, |sum, (_, weight)| sum.checked_add(*weight));
    match sum {
        Some(0) if !tiers.is_empty() => Err("all weights are 0".to_owned()),
        None => Err("the weights are too large".to_owned()),
        Some(_) => Ok(Tiers(tiers)),
    }
}

impl Tiers {
    fn draw(&self, rng: &mut fastrand::Rng) -> &str {
        let sum: u32 = self.0.iter().map(|(_, weight)| weight).sum();
        let mut at = if sum == 0 { 0 } else { rng.u32(..sum) };
        for (name, weight) in &self.0 {
            if at < *weight {
                return name;
            }
            at -= weight;
        }
        ""
    }
}

/// What a run came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Messages posted.
    pub sent: u64,
    /// Answered 202.
    pub accepted: u64,
    /// Answered otherwise.
    pub refused: u64,
    /// Never answered.
    pub unknown: u64,
    /// Requests repeated.
    pub repeated: u64,
    /// Refusals by status.
    pub refused_by_status: std::collections::BTreeMap<u16, u64>,
    /// From the first post to the last answer.
    pub seconds: f64,
    /// Accepted messages per second.
    pub messages_per_s: f64,
    /// Median time to the answer.
    pub p50_ms: f64,
    /// 99th percentile of the time to the answer.
    pub p99_ms: f64,
    /// Longest time to the answer.
    pub max_ms: f64,
    /// This client's own CPU time per message.
    pub cpu_us_per_message: f64,
}

/// One message to post.
struct Order {
    number: u64,
    due: Instant,
}

/// How a post ended.
struct End {
    result: Posted,
    status: u16,
    id: String,
    /// Of a 202.
    body: Vec<u8>,
    tries: u32,
    left: Instant,
}

struct Tally {
    summary: Summary,
    all: Histogram,
    second: Histogram,
    lines: Lines,
}

struct Run {
    options: Options,
    head: http::Head,
    sendsms: Option<http::Sendsms>,
    name: String,
    before_to: String,
    clock: Clock,
    started: Instant,
    until: Option<Instant>,
    count: u64,
    paced: Option<Arc<Semaphore>>,
    next: RefCell<u64>,
    rng: RefCell<fastrand::Rng>,
    tally: RefCell<Tally>,
    stopped: std::cell::Cell<bool>,
}

/// Posts everything `options` ask for; returns after the last answer. `stop` ends it early.
pub async fn run(options: Options, stop: impl Future<Output = ()>) -> io::Result<Summary> {
    let run = Rc::new(Run::new(options)?);
    let pacer = run.start_pacer();
    let local = LocalSet::new();
    let workers: Vec<_> = (0..run.options.connections).map(|_| local.spawn_local(worker(Rc::clone(&run)))).collect();
    let progress = local.spawn_local(progress(Rc::clone(&run)));
    local
        .run_until(async {
            tokio::pin!(stop);
            let finished = async {
                for worker in workers {
                    let _ = worker.await;
                }
            };
            tokio::pin!(finished);
            tokio::select! {
                () = &mut finished => {}
                () = &mut stop => {
                    run.stop();
                    finished.await;
                }
            }
        })
        .await;
    progress.abort();
    run.stop();
    if let Some(pacer) = pacer {
        let _ = pacer.join();
    }
    run.finish()
}

impl Run {
    fn new(options: Options) -> io::Result<Self> {
        let clock = Clock::start();
        let lines = options.ledger.as_deref().map_or_else(|| Ok(Lines::nowhere()), Lines::open)?;
        let started = clock.started();
        let lasts = options.lasts.or(options.count.is_none().then_some(Duration::from_secs(10)));
        let scheduled = match (options.rate, lasts) {
            (Some(rate), Some(lasts)) => (rate * lasts.as_secs_f64()).round() as u64,
            _ => u64::MAX,
        };
        let name = options.run.clone().unwrap_or_else(|| {
            // Two that start in the same millisecond are two.
            format!("{:x}{:04x}", clock.t_ms(started) as u64 & 0xffff_ffff, std::process::id() & 0xffff)
        });
        let text = serde_json::to_string(&options.text).map_err(io::Error::other)?;
        let path = match options.url.path.as_str() {
            "" if options.batch.is_some() => "/v1/batches",
            "" => "/v1/messages",
            path => path,
        };
        let callback = if options.no_callback { "\"callback\":false," } else { "" };
        Ok(Self {
            head: http::Head::post(&options.url.host, path, &options.key),
            sendsms: options.sendsms.then(|| {
                let dlr_url = options.dlr_url.as_deref();
                http::Sendsms::new(&options.url.host, &options.key, &options.text, dlr_url)
            }),
            before_to: format!("{{{callback}\"text\":{text},\"to\":\"+"),
            clock,
            started,
            until: lasts.filter(|_| options.rate.is_none()).map(|lasts| started + lasts),
            count: options.count.unwrap_or(u64::MAX).min(scheduled),
            paced: options.rate.map(|_| Arc::new(Semaphore::new(0))),
            next: RefCell::new(0),
            rng: RefCell::new(fastrand::Rng::with_seed(options.seed)),
            tally: RefCell::new(Tally {
                summary: Summary::default(),
                all: Histogram::default(),
                second: Histogram::default(),
                lines,
            }),
            stopped: std::cell::Cell::new(false),
            name,
            options,
        })
    }

    /// A thread that hands out one permit per message at its moment: timers of the runtime are a millisecond coarse.
    fn start_pacer(&self) -> Option<std::thread::JoinHandle<()>> {
        let (rate, permits) = (self.options.rate?, Arc::clone(self.paced.as_ref()?));
        let (started, count) = (self.started, self.count);
        Some(std::thread::spawn(move || {
            let mut released = 0;
            while released < count && !permits.is_closed() {
                let passed = started.elapsed().as_secs_f64();
                let due = ((passed * rate) as u64 + 1).min(count);
                permits.add_permits(due.saturating_sub(released) as usize);
                released = released.max(due);
                let next = Duration::from_secs_f64(released as f64 / rate);
                let pause = next.saturating_sub(started.elapsed()).max(PACE_STEP);
                std::thread::sleep(pause.min(Duration::from_millis(200)));
            }
        }))
    }

    fn stop(&self) {
        self.stopped.set(true);
        if let Some(permits) = &self.paced {
            permits.close();
        }
    }

    async fn next(&self) -> Option<Order> {
        if let Some(permits) = &self.paced {
            permits.acquire().await.ok()?.forget();
        }
        let now = Instant::now();
        if self.stopped.get() || self.until.is_some_and(|until| now >= until) {
            return None;
        }
        let mut next = self.next.borrow_mut();
        let number = *next;
        if number >= self.count {
            return None;
        }
        *next += 1;
        if *next == self.count {
            // Whoever waits for a permit would wait for ever.
            self.paced.as_ref().inspect(|permits| permits.close());
        }
        let due = self.options.rate.map_or(now, |rate| self.started + Duration::from_secs_f64(number as f64 / rate));
        Some(Order { number, due })
    }

    fn record(&self, order: &Order, reference: &str, key: &str, tier: &str, end: &End) {
        let took = order.due.elapsed();
        let tally = &mut *self.tally.borrow_mut();
        let summary = &mut tally.summary;
        summary.sent += 1;
        summary.repeated += u64::from(end.tries.saturating_sub(1));
        match end.result {
            Posted::Accepted => summary.accepted += 1,
            Posted::Unknown => summary.unknown += 1,
            Posted::Refused => {
                summary.refused += 1;
                *summary.refused_by_status.entry(end.status).or_default() += 1;
            }
        }
        if end.result != Posted::Unknown {
            tally.all.record(took);
            tally.second.record(took);
        }
        tally.lines.push(&Record::Post(Post {
            reference: reference.into(),
            key: key.into(),
            to: format!("+{}", self.options.to_prefix + order.number).into(),
            tier: tier.into(),
            t_ms: self.clock.t_ms(end.left),
            took_ms: (took.as_secs_f64() * 1e6).round() / 1e3,
            result: end.result,
            status: end.status,
            id: end.id.as_str().into(),
            tries: end.tries,
            answered_ms: self.clock.t_ms(Instant::now()),
        }));
    }

    fn finish(&self) -> io::Result<Summary> {
        let tally = &mut *self.tally.borrow_mut();
        tally.lines.close()?;
        let summary = &mut tally.summary;
        summary.seconds = self.started.elapsed().as_secs_f64();
        summary.messages_per_s = summary.accepted as f64 / summary.seconds.max(1e-9);
        summary.p50_ms = tally.all.quantile_ms(0.5);
        summary.p99_ms = tally.all.quantile_ms(0.99);
        summary.max_ms = tally.all.max_ms();
        summary.cpu_us_per_message = own_cpu().as_secs_f64() * 1e6 / (summary.sent.max(1) as f64);
        Ok(summary.clone())
    }
}

async fn progress(run: Rc<Run>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.tick().await;
    loop {
        every.tick().await;
        let tally = &mut *run.tally.borrow_mut();
        tally.lines.flush();
        if !run.options.quiet {
            let Summary { sent, accepted, refused, unknown, .. } = tally.summary;
            let (p50, p99) = (tally.second.quantile_ms(0.5), tally.second.quantile_ms(0.99));
            eprintln!(
                "sent {sent}  202 {accepted}  refused {refused}  unknown {unknown}  p50 {p50:.2} ms  p99 {p99:.2} ms"
            );
        }
        tally.second.clear();
    }
}

async fn worker(run: Rc<Run>) {
    let mut wire = Wire { stream: None, input: BytesMut::with_capacity(4096) };
    let (mut body, mut request) = (Vec::new(), Vec::new());
    while let Some(most) = run.options.batch {
        let Some(first) = run.next().await else { return };
        let mut orders = vec![first];
        while orders.len() < most as usize
            && let Some(order) = run.next().await
        {
            orders.push(order);
        }
        post_batch(&run, &mut wire, &orders, &mut body, &mut request).await;
    }
    while let Some(order) = run.next().await {
        let reference = format!("{}-{}", run.name, order.number);
        let tier = run.options.tiers.draw(&mut run.rng.borrow_mut()).to_owned();
        if let Some(sendsms) = &run.sendsms {
            sendsms.write(&mut request, run.options.to_prefix + order.number);
        } else {
            write_body(&run, &order, &reference, &tier, &mut body);
            run.head.write(&mut request, &reference, &body);
        }
        let mut end = post(&run, &mut wire, &request).await;
        // Kannel tells no id: what it says in words stands for one.
        let id = if run.sendsms.is_some() { std::str::from_utf8(&end.body).ok() } else { message_id(&end.body) };
        end.id = id.unwrap_or_default().to_owned();
        if end.id.is_empty() && end.result == Posted::Accepted {
            end.result = Posted::Refused;
        }
        run.record(&order, &reference, &reference, &tier, &end);
    }
}

/// One post of many messages; each is written down with what was said of it.
async fn post_batch(run: &Run, wire: &mut Wire, orders: &[Order], body: &mut Vec<u8>, request: &mut Vec<u8>) {
    let reference = |order: &Order| format!("{}-{}", run.name, order.number);
    let key = format!("{}-b{}", run.name, orders.first().map_or(0, |order| order.number));
    let (mut tiers, mut one) = (Vec::with_capacity(orders.len()), Vec::new());
    body.clear();
    body.extend_from_slice(b"{\"messages\":[");
    for order in orders {
        let tier = run.options.tiers.draw(&mut run.rng.borrow_mut()).to_owned();
        write_body(run, order, &reference(order), &tier, &mut one);
        if !tiers.is_empty() {
            body.push(b',');
        }
        body.extend_from_slice(&one);
        tiers.push(tier);
    }
    body.extend_from_slice(b"]}");
    run.head.write(request, &key, body);
    let mut end = post(run, wire, request).await;
    let taken = std::mem::take(&mut end.body);
    let taken: TakenBatch<'_> = serde_json::from_slice(&taken).unwrap_or_default();
    let (mut ids, whole) = (vec![""; orders.len()], end.result);
    for item in taken.messages {
        if let Some(slot) = ids.get_mut(item.index) {
            *slot = item.id;
        }
    }
    for ((order, tier), id) in orders.iter().zip(&tiers).zip(ids) {
        end.id = id.to_owned();
        end.result = if whole == Posted::Accepted && id.is_empty() { Posted::Refused } else { whole };
        run.record(order, &reference(order), &key, tier, &end);
        // Repetitions are the post's, not each message's.
        end.tries = 1;
    }
}

/// What is said of a batch.
#[derive(Default, serde::Deserialize)]
struct TakenBatch<'a> {
    #[serde(borrow)]
    messages: Vec<TakenMessage<'a>>,
}

#[derive(serde::Deserialize)]
struct TakenMessage<'a> {
    index: usize,
    id: &'a str,
}

fn write_body(run: &Run, order: &Order, reference: &str, tier: &str, body: &mut Vec<u8>) {
    use std::io::Write;
    body.clear();
    body.extend_from_slice(run.before_to.as_bytes());
    let _ = write!(body, "{}\",\"client_ref\":\"{reference}\"", run.options.to_prefix + order.number);
    if !tier.is_empty() {
        let _ = write!(body, ",\"tier\":\"{tier}\"");
    }
    body.push(b'}');
}

/// Posts one message until its end is known: an answer, one that is not "busy" with `retry_busy`, and any at all with
/// `retry_unknown`; else until patience ends.
async fn post(run: &Run, wire: &mut Wire, request: &[u8]) -> End {
    let give_up = Instant::now() + run.options.patience;
    let (result, left) = (Posted::Refused, Instant::now());
    let mut end = End { result, status: 0, id: String::new(), body: Vec::new(), tries: 0, left };
    let mut pause = Duration::from_millis(20);
    let mut in_doubt = false;
    loop {
        let mut wait = pause;
        if wire.connect(run.options.url.address).await.is_ok() {
            end.tries += 1;
            end.left = Instant::now();
            if let Ok((status, after)) = wire.exchange(request, run.options.answer_within, &mut end.body).await {
                // Neither busy nor "under way" says what became of an earlier request with the same key.
                let undecided = in_doubt && (status == 409 || status == 429 || status >= 500);
                let again = run.options.retry_busy && (status == 429 || status == 503);
                if !undecided {
                    end.status = status;
                    end.result = if status == 202 { Posted::Accepted } else { Posted::Refused };
                    if !again {
                        return end;
                    }
                }
                if again {
                    wait = wait.max(Duration::from_secs(after.unwrap_or(0).into()));
                }
            } else {
                // Nobody knows what became of it.
                in_doubt = true;
                (end.result, end.status) = (Posted::Unknown, 0);
                if !run.options.retry_unknown {
                    return end;
                }
            }
        }
        if Instant::now() + wait >= give_up || run.stopped.get() {
            return end;
        }
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

/// One keep-alive connection.
struct Wire {
    stream: Option<TcpStream>,
    input: BytesMut,
}

impl Wire {
    async fn connect(&mut self, address: SocketAddr) -> io::Result<()> {
        if self.stream.is_none() {
            self.input.clear();
            let stream = tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(address)).await??;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// Sends `request` and returns the answer's status and its Retry-After in seconds, with a 202's body in `body`.
    /// After an error the connection is gone.
    async fn exchange(
        &mut self,
        request: &[u8],
        within: Duration,
        body: &mut Vec<u8>,
    ) -> io::Result<(u16, Option<u32>)> {
        let done = tokio::time::timeout(within, self.exchange_slowly(request, body)).await;
        let result = done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if result.is_err() {
            self.stream = None;
        }
        result
    }

    async fn exchange_slowly(&mut self, request: &[u8], body: &mut Vec<u8>) -> io::Result<(u16, Option<u32>)> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        stream.write_all(request).await?;
        loop {
            if let Some(answer) = http::answer(&self.input).map_err(io::Error::other)? {
                let (status, length, last, after) = (answer.status, answer.length, answer.last, answer.retry_after);
                if status == 202 {
                    body.clear();
                    body.extend_from_slice(answer.body);
                }
                self.input.advance(length);
                if last {
                    self.stream = None;
                }
                return Ok((status, after));
            }
            if stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[derive(serde::Deserialize)]
struct Taken<'a> {
    id: &'a str,
}

fn message_id(body: &[u8]) -> Option<&str> {
    serde_json::from_slice::<Taken<'_>>(body).ok().map(|taken| taken.id)
}

/// CPU time of this process so far, from `/proc/self/stat` (1/100 s steps); zero where there is none.
fn own_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or("");
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_people_write_them() {
        assert_eq!(first_number("+8613800"), Ok(8_613_800_000_000));
        assert!(first_number("+86138a").is_err() && first_number("").is_err());
        assert_eq!(target("http://127.0.0.1:8080").unwrap().path, "", "as the kind of post has it");
        assert_eq!(target("http://127.0.0.1:8080/x/").unwrap().path, "/x");
        assert!(target("https://127.0.0.1").is_err());
        assert!(tiers("otp=x").is_err() && tiers("a=0").is_err() && tiers("o\"p=1").is_err());
    }

    #[test]
    fn tiers_are_drawn_by_weight() {
        let tiers = tiers("otp=1,notice=3,marketing=6").unwrap();
        let mut rng = fastrand::Rng::with_seed(1);
        let otp = (0..10_000).filter(|_| tiers.draw(&mut rng) == "otp").count();
        assert!((900..1_100).contains(&otp), "{otp}");
        assert_eq!(Tiers::default().draw(&mut rng), "");
    }

    #[test]
    fn an_id_is_found_in_the_answer() {
        assert_eq!(message_id(br#"{"id":"m1","status":"accepted","parts":1}"#), Some("m1"));
        assert_eq!(message_id(b"{}"), None);
    }
}
