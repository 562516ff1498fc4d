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

/// How long the gateway may take to answer a question, and to show before an order that it is there.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to carry out an order: longer than its door allows a request.
const ORDER_PATIENCE: Duration = Duration::from_secs(35);
/// Largest answer read, in octets.
const ANSWER_LIMIT: usize = 16 << 20;

/// The door, the operator's wishes, and where the answer goes.
pub(super) struct Ask<'o> {
    pub(super) url: String,
    pub(super) token_file: Option<PathBuf>,
    /// In place of both patiences.
    pub(super) timeout: Option<Duration>,
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
        let orders = method != Method::GET;
        let token = self.token_file.as_deref().map(read_token).transpose()?;
        // An order may take its time: first of all, is anybody there?
        let status = match orders {
            true => Some(self.exchange(Method::GET, "/admin/v1/status", None, None, PATIENCE).await?.1),
            false => None,
        };
        let token = match (token, &status) {
            (None, Some(status)) => self.find_token(status)?,
            (token, _) => token,
        };
        self.exchange(method, path, body, token, if orders { ORDER_PATIENCE } else { PATIENCE }).await
    }

    /// The token of a gateway on this machine, where we may read it; the gateway's status says where it lies.
    fn find_token(&self, status: &[u8]) -> io::Result<Option<String>> {
        let url = self.url.parse::<Uri>().unwrap_or_default();
        let (host, port) = (url.host().unwrap_or_default(), url.port_u16().unwrap_or(80));
        let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
        if host != "localhost" && !ip.is_ok_and(|ip| ip.is_loopback()) {
            return Ok(None);
        }
        let status: Value = serde_json::from_slice(status).unwrap_or_default();
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
        patience: Duration,
    ) -> io::Result<(StatusCode, Bytes)> {
        let patience = self.timeout.unwrap_or(patience);
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let mut request = Request::builder().method(method).uri(&url);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = body.map(|b| b.to_string()).unwrap_or_default();
        let request =
            request.body(Full::new(Bytes::from(body))).map_err(|e| io::Error::other(format!("{url}: {e}")))?;
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let broken = |e: &dyn std::error::Error, hint| io::Error::other(format!("{url}: {}; {hint}", root(e)));
        let exchange = async {
            let response = client.request(request).await.map_err(|e| match e.is_connect() {
                true => broken(&e, "is the gateway running? If its `[admin] listen` is another: --url or QIAO_URL"),
                false => broken(&e, "is that the admin door, and the gateway running?"),
            })?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
            Ok((status, body.map_err(|e| broken(&*e, "the answer broke off"))?.to_bytes()))
        };
        let late = |_| {
            let what =
                format!("{url}: no answer within {patience:?}; the gateway stands still, or something on the way");
            let hint = "does. What was ordered may still be done. --timeout waits longer";
            io::Error::new(io::ErrorKind::TimedOut, format!("{what} {hint}"))
        };
        tokio::time::timeout(patience, exchange).await.map_err(late)?
    }
}

/// What is at the bottom of an error.
fn root(mut error: &dyn std::error::Error) -> &dyn std::error::Error {
    while let Some(deeper) = error.source() {
        error = deeper;
    }
    error
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

    async fn refused(url: String, method: Method) -> io::Error {
        let timeout = Some(Duration::from_millis(200));
        let ask = Ask { url, token_file: None, timeout, json: false, out: &mut io::sink() };
        ask.fetch(method, "/admin/v1/reload", None).await.unwrap_err()
    }

    #[tokio::test]
    async fn an_absent_door_and_a_silent_one_are_told_apart_and_soon() {
        let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", door.local_addr().unwrap());
        for method in [Method::GET, Method::POST] {
            // The kernel takes the connection, and nobody reads from it.
            let silent = refused(url.clone(), method).await;
            assert_eq!(silent.kind(), io::ErrorKind::TimedOut);
            assert!(silent.to_string().contains("no answer within 200ms"), "{silent}");
        }
        drop(door);
        let absent = refused(url.clone(), Method::GET).await;
        assert_ne!(absent.kind(), io::ErrorKind::TimedOut);
        for word in [url.as_str(), "refused", "is the gateway running?", "--url"] {
            assert!(absent.to_string().contains(word), "{absent}");
        }
    }

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(segment("cmcc-gd_1.a"), "cmcc-gd_1.a");
        assert_eq!(segment("../x y?"), "..%2Fx%20y%3F");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("桥"), "%E6%A1%A5");
    }
}
