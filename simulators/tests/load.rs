//! The load client against a scripted gateway: what it makes of good answers, refusals and connections that die.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use clap::Parser;
use simulators::load::{self, Options, Summary};
use simulators::simulator::runtime;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

/// What the scripted gateway does with the n-th request it sees.
#[derive(Clone, Copy, PartialEq)]
enum Do {
    Accept,
    Refuse,
    Busy,
    HangUp,
}

/// One request: its Idempotency-Key and its body.
type Seen = Arc<Mutex<Vec<(String, serde_json::Value)>>>;

fn read_request(from: &mut BufReader<TcpStream>) -> Option<(String, serde_json::Value)> {
    let mut headers = HashMap::new();
    let mut line = String::new();
    loop {
        line.clear();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
            None if line == "\r\n" => break,
            None => None,
        };
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    from.read_exact(&mut body).ok()?;
    assert_eq!(headers["authorization"], "Bearer secret-key");
    Some((headers["idempotency-key"].clone(), serde_json::from_slice(&body).unwrap()))
}

/// Serves for as long as the test lives; threads end when their connection does.
fn gateway(script: impl Fn(usize) -> Do + Send + Sync + 'static) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Seen::default();
    let (all, script) = (Arc::clone(&seen), Arc::new(script));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (all, script) = (Arc::clone(&all), Arc::clone(&script));
            std::thread::spawn(move || {
                let mut answers = stream.try_clone().unwrap();
                let mut requests = BufReader::new(stream);
                while let Some((key, body)) = read_request(&mut requests) {
                    let number = {
                        let mut all = all.lock().unwrap();
                        all.push((key.clone(), body));
                        all.len() - 1
                    };
                    let (line, body) = match script(number) {
                        Do::HangUp => return,
                        Do::Accept => ("202 Accepted", format!("{{\"id\":\"m-{key}\",\"status\":\"accepted\"}}")),
                        Do::Refuse => ("422 Unprocessable", "{}".to_owned()),
                        Do::Busy => ("503 Busy", "{}".to_owned()),
                    };
                    let length = body.len();
                    let answer = format!("HTTP/1.1 {line}\r\nContent-Length: {length}\r\n\r\n{body}");
                    if answers.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, seen)
}

fn run(url: &str, more: &[&str]) -> (Summary, Vec<serde_json::Value>) {
    let ledger = tempfile::NamedTempFile::new().unwrap();
    let path = ledger.path().to_str().unwrap();
    let fixed = ["load", "--url", url, "--key", "secret-key", "--ledger", path, "--quiet"];
    let options = Cli::parse_from(fixed.iter().chain(more)).options;
    let summary = runtime().unwrap().block_on(load::run(options, std::future::pending())).unwrap();
    let text = std::fs::read_to_string(ledger.path()).unwrap();
    (summary, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn every_message_is_its_own_and_is_written_down() {
    let (url, seen) = gateway(|number| if number % 10 == 9 { Do::Refuse } else { Do::Accept });
    let (summary, lines) = run(&url, &["--count", "200", "--connections", "4", "--text", "say \"hi\" 你好"]);
    assert_eq!((summary.sent, summary.accepted, summary.refused, summary.unknown), (200, 180, 20, 0));
    assert_eq!(summary.refused_by_status[&422], 20);
    let seen = seen.lock().unwrap();
    let destinations: std::collections::HashSet<_> = seen.iter().map(|(_, body)| body["to"].to_string()).collect();
    assert_eq!(destinations.len(), 200);
    assert!(seen.iter().all(|(key, body)| body["client_ref"] == key.as_str() && body["text"] == "say \"hi\" 你好"));
    assert_eq!(lines.len(), 200);
    let good = lines.iter().find(|line| line["status"] == 202).unwrap();
    assert_eq!((&good["kind"], &good["result"]), (&"post".into(), &"accepted".into()));
    assert_eq!(good["id"], format!("m-{}", good["ref"].as_str().unwrap()));
    assert!(good["to"].as_str().unwrap().starts_with("+861380000"));
}

#[test]
fn a_post_without_an_answer_is_unknown() {
    let (url, _) = gateway(|number| if number == 1 { Do::HangUp } else { Do::Accept });
    let (summary, lines) = run(&url, &["--count", "5", "--connections", "1"]);
    assert_eq!((summary.accepted, summary.unknown, summary.repeated), (4, 1, 0));
    assert_eq!((&lines[1]["result"], &lines[1]["status"]), (&"unknown".into(), &0.into()));
}

#[test]
fn an_unknown_post_is_repeated_with_its_key_until_decided() {
    // The second message: the connection dies, then the gateway is busy, then it answers.
    let (url, seen) = gateway(|number| [Do::Accept, Do::HangUp, Do::Busy].get(number).copied().unwrap_or(Do::Accept));
    let (summary, lines) = run(&url, &["--count", "3", "--connections", "1", "--retry-unknown"]);
    assert_eq!((summary.accepted, summary.unknown, summary.refused, summary.repeated), (3, 0, 0, 2));
    let seen = seen.lock().unwrap();
    assert!(seen[1] == seen[2] && seen[2] == seen[3] && seen[3] != seen[4]);
    assert_eq!((&lines[1]["result"], &lines[1]["tries"]), (&"accepted".into(), &3.into()));
}

#[test]
fn a_busy_gateway_refuses_when_nothing_is_in_doubt() {
    let (url, _) = gateway(|_| Do::Busy);
    let (summary, _) = run(&url, &["--count", "2", "--connections", "1", "--retry-unknown"]);
    assert_eq!((summary.refused, summary.unknown), (2, 0));
}

#[test]
fn a_busy_gateway_is_asked_again_with_the_same_key() {
    let (url, seen) = gateway(|number| if number < 2 { Do::Busy } else { Do::Accept });
    let (summary, lines) = run(&url, &["--count", "1", "--connections", "1", "--retry-busy"]);
    assert_eq!((summary.accepted, summary.refused, summary.unknown, summary.repeated), (1, 0, 0, 2));
    let seen = seen.lock().unwrap();
    assert!(seen.len() == 3 && seen.iter().all(|request| *request == seen[0]));
    assert_eq!(lines[0]["tries"], 3);
    let (url, _) = gateway(|_| Do::Busy);
    let (summary, _) = run(&url, &["--count", "1", "--connections", "1", "--retry-busy", "--patience", "100ms"]);
    assert_eq!((summary.refused, summary.unknown), (1, 0), "what was refused each time is not in doubt");
}

#[test]
fn what_was_never_sent_is_refused_not_unknown() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (summary, lines) =
        run(&format!("http://{free}"), &["--count", "1", "--connections", "1", "--patience", "50ms"]);
    assert_eq!((summary.refused, summary.unknown, summary.repeated), (1, 0, 0));
    assert_eq!(lines[0]["status"], 0);
}

#[test]
fn a_rate_is_kept() {
    let (url, _) = gateway(|_| Do::Accept);
    let (summary, _) = run(&url, &["--rate", "400", "--for", "500ms", "--connections", "4"]);
    assert_eq!(summary.accepted, 200);
    assert!((0.49..2.0).contains(&summary.seconds), "{}", summary.seconds);
}
