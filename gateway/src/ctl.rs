//! `qiao ctl`: the operator's client of the admin door.

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::cli::{Ctl, CtlArgs, Exit};

/// How long the gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Largest answer read, in octets.
const ANSWER_LIMIT: usize = 16 << 20;

/// Asks the admin door and prints its answer.
///
/// # Errors
/// The door cannot be reached, or what it says is not JSON.
pub async fn run(args: &CtlArgs, out: &mut dyn Write) -> io::Result<Exit> {
    match &args.command {
        Ctl::Status => status(args, out).await,
        Ctl::Channels { name } => {
            let path = name.as_ref().map_or("/admin/v1/channels".into(), |n| format!("/admin/v1/channels/{n}"));
            show(args, call(args, Method::GET, &path, None).await?, out, channels)
        }
        Ctl::Queues => show(args, call(args, Method::GET, "/admin/v1/queues", None).await?, out, queues),
        Ctl::Message { id } => {
            show(args, call(args, Method::GET, &format!("/admin/v1/messages/{id}"), None).await?, out, message)
        }
        Ctl::Hold { name, reason } => order(args, name, "hold", reason, out).await,
        Ctl::Release { name, reason } => order(args, name, "release", reason, out).await,
    }
}

async fn order(args: &CtlArgs, name: &str, verb: &str, reason: &str, out: &mut dyn Write) -> io::Result<Exit> {
    let path = format!("/admin/v1/channels/{name}/{verb}");
    let answer = call(args, Method::POST, &path, Some(json!({ "reason": reason }))).await?;
    show(args, answer, out, |answer, out| {
        let state = if answer["held"] == true { "held" } else { "in service" };
        writeln!(out, "{}: {state}", text(&answer["channel"]))
    })
}

async fn status(args: &CtlArgs, out: &mut dyn Write) -> io::Result<Exit> {
    let (live, _) = fetch(args, Method::GET, "/livez", None).await?;
    let (ready, body) = fetch(args, Method::GET, "/readyz", None).await?;
    let detail = String::from_utf8_lossy(&body).trim().to_owned();
    let yes = live == StatusCode::OK && ready == StatusCode::OK;
    if args.json {
        writeln!(
            out,
            "{}",
            json!({ "live": live == StatusCode::OK, "ready": ready == StatusCode::OK, "detail": detail })
        )?;
    } else {
        writeln!(out, "{}: {detail}", if yes { "ready" } else { "not ready" })?;
    }
    Ok(if yes { Exit::Ok } else { Exit::No })
}

/// Prints an answer, as it came or by `form`.
fn show(
    args: &CtlArgs,
    (status, answer): (StatusCode, Value),
    out: &mut dyn Write,
    form: impl FnOnce(&Value, &mut dyn Write) -> io::Result<()>,
) -> io::Result<Exit> {
    if args.json {
        writeln!(out, "{answer:#}")?;
    } else if status.is_success() {
        form(&answer, out)?;
    } else {
        writeln!(out, "{}: {}", text(&answer["code"]), text(&answer["detail"]))?;
    }
    Ok(if status.is_success() { Exit::Ok } else { Exit::No })
}

fn text(value: &Value) -> String {
    // Words of a carrier may be among it: none may steer the operator's terminal.
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    value.as_str().map_or_else(|| value.to_string(), |text| text.chars().map(shown).collect())
}

fn channels(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let list = answer["channels"].as_array().cloned().unwrap_or_else(|| vec![answer.clone()]);
    writeln!(
        out,
        "{:<20} {:<16} {:<8} {:<8} {:>11} {:>8}  LINKS",
        "CHANNEL", "CARRIER", "PROTOCOL", "STATE", "WINDOW", "RATE/S"
    )?;
    for c in list {
        let window = format!("{}/{}", c["in_flight"], c["window"]);
        let links = c["links"].as_array().map(|links| {
            let one = |l: &Value| format!("{} {} {}", text(&l["role"]), text(&l["state"]), text(&l["detail"]));
            links.iter().map(one).collect::<Vec<_>>().join("; ")
        });
        writeln!(
            out,
            "{:<20} {:<16} {:<8} {:<8} {window:>11} {:>8}  {}",
            text(&c["name"]),
            text(&c["carrier"]),
            text(&c["protocol"]),
            text(&c["state"]),
            c["rate"],
            links.unwrap_or_default()
        )?;
    }
    Ok(())
}

fn queues(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{:<20} {:<12} {:>10} {:>12}", "GROUP", "TIER", "MESSAGES", "OLDEST/MS")?;
    for q in answer["queues"].as_array().into_iter().flatten() {
        writeln!(
            out,
            "{:<20} {:<12} {:>10} {:>12}",
            text(&q["group"]),
            text(&q["tier"]),
            q["messages"],
            q["oldest_ms"]
        )?;
    }
    Ok(())
}

fn message(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{} {} to {} ({})",
        text(&answer["id"]),
        text(&answer["status"]),
        text(&answer["to"]),
        text(&answer["tier"])
    )?;
    for h in answer["timeline"].as_array().into_iter().flatten() {
        let more = [&h["attempt"], &h["carrier"], &h["detail"]];
        let more: Vec<String> = more.into_iter().filter(|v| !v.is_null()).map(text).collect();
        writeln!(out, "  {} {:<11} {}", text(&h["at"]), text(&h["event"]), more.join(" "))?;
    }
    Ok(())
}

async fn call(args: &CtlArgs, method: Method, path: &str, body: Option<Value>) -> io::Result<(StatusCode, Value)> {
    let (status, body) = fetch(args, method, path, body).await?;
    let answer = serde_json::from_slice(&body).map_err(|e| io::Error::other(format!("{path}: not JSON: {e}")))?;
    Ok((status, answer))
}

async fn fetch(args: &CtlArgs, method: Method, path: &str, body: Option<Value>) -> io::Result<(StatusCode, Bytes)> {
    let url = format!("{}{path}", args.url.trim_end_matches('/'));
    let mut request = Request::builder().method(method).uri(&url);
    if let Some(file) = &args.token_file {
        let token = std::fs::read_to_string(file).map_err(|e| io::Error::other(format!("{}: {e}", file.display())))?;
        request = request.header("authorization", format!("Bearer {}", token.trim()));
    }
    let body = body.map(|b| b.to_string()).unwrap_or_default();
    let request = request.body(Full::new(Bytes::from(body))).map_err(io::Error::other)?;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let unreachable = |e: &dyn std::fmt::Display| io::Error::other(format!("{url}: {e}; is the gateway running?"));
    let exchange = async {
        let response = client.request(request).await.map_err(|e| unreachable(&e))?;
        let status = response.status();
        let body = http_body_util::Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
        Ok((status, body.map_err(|e| unreachable(&e))?.to_bytes()))
    };
    tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| unreachable(&"no answer in time"))?
}
