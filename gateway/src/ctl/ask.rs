//! One question to the admin door: the request, its answer, and how it is shown. Every topic goes through here.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::print::text;
use crate::cli::Exit;

/// How long the gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Largest answer read, in octets.
const ANSWER_LIMIT: usize = 16 << 20;

/// The door, the operator's wishes, and where the answer goes.
pub(super) struct Ask<'o> {
    pub(super) url: String,
    pub(super) token_file: Option<PathBuf>,
    pub(super) json: bool,
    pub(super) out: &'o mut dyn Write,
}

impl Ask<'_> {
    /// Asks for `path` and shows what comes back: as it came with `--json`, else by `form`.
    pub(super) async fn get(
        &mut self,
        path: &str,
        form: impl FnOnce(&Value, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Exit> {
        let answer = self.call(Method::GET, path, None).await?;
        self.show(answer, form)
    }

    /// Posts `body` to `path` and shows what comes back.
    pub(super) async fn post(
        &mut self,
        path: &str,
        body: Value,
        form: impl FnOnce(&Value, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Exit> {
        let answer = self.call(Method::POST, path, Some(body)).await?;
        self.show(answer, form)
    }

    /// Shows an answer. One that is no success is the gateway's "no": its problem is printed, and [`Exit::No`] told.
    pub(super) fn show(
        &mut self,
        (status, answer): (StatusCode, Value),
        form: impl FnOnce(&Value, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Exit> {
        if self.json {
            writeln!(self.out, "{answer:#}")?;
        } else if status.is_success() {
            form(&answer, self.out)?;
        } else {
            writeln!(self.out, "{}: {}", text(&answer["code"]), text(&answer["detail"]))?;
        }
        Ok(if status.is_success() { Exit::Ok } else { Exit::No })
    }

    /// The status and the JSON of an answer.
    ///
    /// # Errors
    /// The door cannot be reached, or what it says is not JSON.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> io::Result<(StatusCode, Value)> {
        let (status, body) = self.fetch(method, path, body).await?;
        let answer = serde_json::from_slice(&body).map_err(|e| io::Error::other(format!("{path}: not JSON: {e}")))?;
        Ok((status, answer))
    }

    /// The status and the octets of an answer.
    ///
    /// # Errors
    /// The door cannot be reached, or the token file cannot be read.
    pub(super) async fn fetch(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> io::Result<(StatusCode, Bytes)> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let mut request = Request::builder().method(method).uri(&url);
        if let Some(file) = &self.token_file {
            let token = std::fs::read_to_string(file);
            let token = token.map_err(|e| io::Error::other(format!("{}: {e}", file.display())))?;
            request = request.header("authorization", format!("Bearer {}", token.trim()));
        }
        let body = body.map(|b| b.to_string()).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).map_err(io::Error::other)?;
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let unreachable = |e: &dyn std::fmt::Display| io::Error::other(format!("{url}: {e}; is the gateway running?"));
        let exchange = async {
            let response = client.request(request).await.map_err(|e| unreachable(&e))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
            Ok((status, body.map_err(|e| unreachable(&e))?.to_bytes()))
        };
        tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| unreachable(&"no answer in time"))?
    }
}
