//! Clients that do nothing want all the descriptors there are, and once there are really none left. What is open goes on,
//! who comes waits or is refused, nobody spins, and all is as before once it is over.

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use conformance::gateway::Launch;
use conformance::http;
use conformance::wait::{found, let_pass, seconds, until};
use conformance::{Plan, Stage, stage};
use serde_json::json;

use super::{carriers, false_alarms, line};

/// Most descriptors the gateway may have, and how many of them clients may take.
const MOST: u32 = 240;
const CLIENTS: usize = 180;
/// Of a core, what a gateway that does not spin needs at most here.
const BUSY: f64 = 0.6;

/// CPU time a process has used.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks = |n: usize| after_name.split_whitespace().nth(n).unwrap().parse::<u64>().unwrap();
    // User and system time, fields 14 and 15 of the whole line, in hundredths of a second.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Posts a message over a connection that stands already.
fn post(stage: &Stage, connection: &mut TcpStream, n: u64) -> u16 {
    use std::io::Write;
    let to = format!("+86138019{n:05}");
    let body = json!({ "to": to, "text": "hello", "tier": "otp" }).to_string();
    let bearer = format!("Bearer {}", stage::KEY);
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let octets = http::request(stage.gateway.http, "POST", "/v1/messages", &headers, body.as_bytes());
    let octets = String::from_utf8(octets).unwrap().replace("Connection: close\r\n", "");
    connection.write_all(octets.as_bytes()).unwrap();
    http::answer(connection).unwrap().status
}

/// The share of a core that the process needs while a client that has a connection posts so many messages.
fn share(stage: &mut Stage, own: &mut TcpStream, posts: std::ops::Range<u64>) -> f64 {
    let pid = stage.gateway.process().pid();
    let (began, spent) = (Instant::now(), cpu(pid));
    for n in posts {
        let_pass(Duration::from_millis(100));
        assert_eq!(post(stage, own, n), 202, "a client that has a connection");
    }
    (cpu(pid) - spent).as_secs_f64() / began.elapsed().as_secs_f64()
}

/// From now on the process may have so many.
fn limit(pid: u32, most: usize) {
    let set = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--nofile={most}:{MOST}")]).status();
    assert!(set.is_ok_and(|status| status.success()), "prlimit");
}

#[test]
fn without_descriptors_what_is_open_goes_on_and_nobody_spins() {
    let launch = Launch { descriptors: Some(MOST), ..Launch::default() };
    let mut stage = Plan::of(carriers()).receipt_wait("2s").launch(launch).start();
    let mut load = stage.load("load", &["--rate", "100", "--for", "10h", "--retry-unknown", "--connections", "8"]);
    let mut own = http::connect(stage.gateway.http).unwrap();
    assert_eq!(post(&stage, &mut own, 0), 202);
    until("load to run", seconds(10), || (stage.submits("a").len() > 50).then_some(()));
    let before = stage.gateway.process().descriptors();

    // Clients alone cannot take them all: journal, store, links and calls to applications keep theirs.
    let idle: Vec<TcpStream> = (0..2 * MOST).filter_map(|_| http::connect(stage.gateway.http).ok()).collect();
    until("clients to have what they may have", seconds(10), || {
        (stage.gateway.process().descriptors() >= CLIENTS).then_some(())
    });
    let crowded = share(&mut stage, &mut own, 1..15);
    let taken = stage.gateway.process().descriptors();
    assert!((CLIENTS..MOST as usize).contains(&taken), "{taken}");
    let mut late = http::connect(stage.gateway.http).unwrap();
    let answer = http::answer(&mut late).unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "who comes is told");
    drop(idle);
    until("descriptors to be given back", seconds(10), || {
        (stage.gateway.process().descriptors() <= before + 8).then_some(())
    });

    // None at all: nothing can be opened, not for anybody.
    let pid = stage.gateway.process().pid();
    limit(pid, 3);
    let waits = TcpStream::connect(stage.gateway.http).unwrap();
    let none = share(&mut stage, &mut own, 15..35);
    let log = stage.gateway.log();
    let told = log.lines().filter(|line| line.contains("cannot accept connections now")).count();
    println!(
        "no descriptors: {:.0} % of a core crowded, {:.0} % with none, {told} lines of log",
        crowded * 1e2,
        none * 1e2
    );
    assert!(crowded < BUSY && none < BUSY, "it spins");
    assert!((1..100).contains(&told), "{told} lines in two seconds");
    limit(pid, MOST as usize);
    drop(waits);
    let ready = || http::call(stage.gateway.admin, "GET", "/readyz", &[], &[]).is_ok_and(|answer| answer.status == 200);
    assert!(found(seconds(10), || ready().then_some(())).is_some(), "{}", stage.gateway.log());
    assert_eq!(stage.post_with(&json!({ "to": "+8613801900999", "text": "hello", "tier": "otp" }), &[]).status, 202);

    load.stop(seconds(60));
    let summary = load.summary(seconds(1));
    stage.await_rest(seconds(40));
    let alarms = false_alarms(&stage.gateway.metrics());
    assert!(!stage.gateway.log().contains("panic"), "{}", stage.gateway.log());
    let verdict = stage.close_books(&[&load], &["--max-duplicates", "0"]);
    println!("no descriptors: {}; false alarms {alarms}", line(&verdict));
    let findings = verdict.report["findings"].as_object().unwrap();
    assert!(findings.keys().all(|finding| finding == "never_posted"), "{:#}", verdict.report);
    assert_eq!((&summary["unknown"], &summary["refused"], alarms), (&0.into(), &0.into(), 0.0), "{summary}");
}
