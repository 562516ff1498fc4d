//! One question to the admin door: the request, its answer, and how it is shown. Every topic goes through here.

use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::listener;
use super::print::text;
use crate::cli::Exit;
use crate::control::TOKEN_FILE;

/// How long the gateway may take to answer: longer than its door allows a request.
const PATIENCE: Duration = Duration::from_secs(35);
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
        Ok(match status {
            status if status.is_success() => Exit::Ok,
            // Nobody was let in, or nobody could answer: that is no "no".
            StatusCode::UNAUTHORIZED => Exit::CouldNotRun,
            status if status.is_server_error() => Exit::CouldNotRun,
            _ => Exit::No,
        })
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
        let token = match &self.token_file {
            Some(file) => Some(read_token(file)?),
            None if method != Method::GET => self.find_token().await?,
            None => None,
        };
        self.exchange(method, path, body, token).await
    }

    /// The token of a gateway on this machine, where we may read it; the gateway says where it lies.
    async fn find_token(&self) -> io::Result<Option<String>> {
        let url = self.url.parse::<Uri>().unwrap_or_default();
        let (host, port) = (url.host().unwrap_or_default(), url.port_u16().unwrap_or(80));
        let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
        if host != "localhost" && !ip.is_ok_and(|ip| ip.is_loopback()) {
            return Ok(None);
        }
        let (_, status) = self.exchange(Method::GET, "/admin/v1/status", None, None).await?;
        let status: Value = serde_json::from_slice(&status).unwrap_or_default();
        match status["token_file"].as_str().map(PathBuf::from) {
            // Whoever answers there must not have other files sent to it.
            Some(file) if file.is_absolute() && file.file_name() == Some(TOKEN_FILE.as_ref()) => {
                Ok(Some(owned_token(&file, port).map_err(|error| {
                    io::Error::new(error.kind(), format!("{error}; run as the gateway's user, or give --token-file"))
                })?))
            }
            _ => Ok(None),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        token: Option<String>,
    ) -> io::Result<(StatusCode, Bytes)> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let mut request = Request::builder().method(method).uri(&url);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = body.map(|b| b.to_string()).unwrap_or_default();
        let request =
            request.body(Full::new(Bytes::from(body))).map_err(|e| io::Error::other(format!("{url}: {e}")))?;
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let unreachable = |e: &dyn std::error::Error| {
            let mut why = e;
            while let Some(deeper) = why.source() {
                why = deeper;
            }
            io::Error::other(format!("{url}: {why}; is the gateway running?"))
        };
        let exchange = async {
            let response = client.request(request).await.map_err(|e| unreachable(&e))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
            Ok((status, body.map_err(|e| unreachable(&*e))?.to_bytes()))
        };
        tokio::time::timeout(PATIENCE, exchange).await.map_err(|late| unreachable(&late))?
    }
}

fn read_token(file: &Path) -> io::Result<String> {
    let token = std::fs::read_to_string(file);
    let token = token.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", file.display())))?;
    Ok(token.trim().to_owned())
}

/// The token in `file`, for whoever listens at `port` of this machine: only where that is the file's owner. Another
/// program may have taken the port while the gateway is down.
fn owned_token(file: &Path, port: u16) -> io::Result<String> {
    let about = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", file.display()));
    let opened = File::open(file).map_err(about)?;
    let owner = opened.metadata().map_err(about)?.uid();
    let belongs = listener::belongs(port, owner).map_err(|e| {
        io::Error::new(e.kind(), format!("/proc/net/tcp: {e}: who listens at port {port} is not known"))
    })?;
    if !belongs {
        let what = format!("the token is not sent: who listens at port {port} is not the owner of {}", file.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    let token = io::read_to_string(opened).map_err(about)?;
    Ok(token.trim().to_owned())
}

/// A name as one segment of a path.
pub(super) fn segment(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_~".contains(&b) || b == b'.' && name.len() > 2;
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(segment("cmcc-gd_1.a"), "cmcc-gd_1.a");
        assert_eq!(segment("../x y?"), "..%2Fx%20y%3F");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("桥"), "%E6%A1%A5");
    }
}
