//! `qiao ctl status`: whether the gateway lives and is ready.

use std::io;

use http::{Method, StatusCode};
use serde_json::json;

use super::ask::Ask;
use crate::cli::Exit;

pub(super) async fn run(ask: &mut Ask<'_>) -> io::Result<Exit> {
    let (live, _) = ask.fetch(Method::GET, "/livez", None).await?;
    let (ready, body) = ask.fetch(Method::GET, "/readyz", None).await?;
    let detail = String::from_utf8_lossy(&body).trim().to_owned();
    let (live, ready) = (live == StatusCode::OK, ready == StatusCode::OK);
    if ask.json {
        writeln!(ask.out, "{}", json!({ "live": live, "ready": ready, "detail": detail }))?;
    } else {
        writeln!(ask.out, "{}: {detail}", if live && ready { "ready" } else { "not ready" })?;
    }
    Ok(if live && ready { Exit::Ok } else { Exit::No })
}
