//! No descriptors are left: connections that do nothing hold all of them. What is open goes on, who comes waits or is
//! refused, nobody spins, and all is as before once they have gone.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use conformance::gateway::Launch;
use conformance::http;
use conformance::wait::{found, let_pass, seconds, until};
use conformance::{Plan, Stage, stage};
use serde_json::json;

use super::{carriers, false_alarms, line};

/// Most descriptors the gateway may have.
const MOST: u32 = 160;

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

#[test]
fn without_descriptors_what_is_open_goes_on_and_nobody_spins() {
    let launch = Launch { descriptors: Some(MOST), ..Launch::default() };
    // Longer between requests than this takes: what is open is to stay so.
    let mut stage = Plan::of(carriers()).receipt_wait("2s").launch(launch).start();
    let mut load = stage.load("load", &["--rate", "100", "--for", "10h", "--retry-unknown", "--connections", "8"]);
    let mut own = http::connect(stage.gateway.http).unwrap();
    assert_eq!(post(&stage, &mut own, 0), 202);
    until("load to run", seconds(10), || (stage.submits("a").len() > 50).then_some(()));
    let pid = stage.gateway.process().pid();
    let before = stage.gateway.process().descriptors();

    // More than the gateway can have: the kernel holds the rest for it.
    let idle: Vec<TcpStream> = (0..2 * MOST).filter_map(|_| http::connect(stage.gateway.http).ok()).collect();
    until("all descriptors to be taken", seconds(10), || {
        (stage.gateway.process().descriptors() as u32 >= MOST - 1).then_some(())
    });
    let (began, spent) = (Instant::now(), cpu(pid));
    for n in 1..=20 {
        let_pass(Duration::from_millis(100));
        assert_eq!(post(&stage, &mut own, n), 202, "a client that has a connection");
    }
    let (lasted, spent) = (began.elapsed(), cpu(pid) - spent);
    let share = spent.as_secs_f64() / lasted.as_secs_f64();
    let log = stage.gateway.log();
    let told = log.lines().filter(|line| line.contains("cannot accept connections now")).count();
    println!("no descriptors: {:.0} % of a core over {lasted:.1?}, {told} lines of log", share * 100.0);
    assert!(share < 0.6, "it spins: {share:.2} of a core");
    assert!(told > 0 && told < 20 * (2 + lasted.as_secs() as usize), "{told} lines in {lasted:.0?}");

    // They go, and who waited is served.
    drop(idle);
    let back = found(seconds(10), || {
        let answer = http::call(stage.gateway.admin, "GET", "/readyz", &[], &[]);
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    });
    assert!(back.is_some(), "{}", stage.gateway.log());
    until("descriptors to be given back", seconds(10), || {
        (stage.gateway.process().descriptors() <= before + 8).then_some(())
    });
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
