//! A small HTTP/1 server for this process's own doors: the control port and the callback sink.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::spawn_local;

/// Longest body taken.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// Answers requests on `listener` with `answer`, each connection in a task of the current `LocalSet`. Never returns.
pub async fn serve<A, F>(listener: TcpListener, answer: A)
where
    A: Fn(http::request::Parts, Bytes) -> F + 'static,
    F: Future<Output = Response<Full<Bytes>>> + 'static,
{
    let answer = Rc::new(answer);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let answer = Rc::clone(&answer);
        spawn_local(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let answer = Rc::clone(&answer);
                async move {
                    let (head, body) = request.into_parts();
                    let response = match Limited::new(body, MAX_BODY).collect().await {
                        Ok(body) => answer(head, body.to_bytes()).await,
                        Err(_) => empty(StatusCode::PAYLOAD_TOO_LARGE),
                    };
                    Ok::<_, Infallible>(response)
                }
            });
            // The peer's way of ending a connection is its own affair.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    with(status, "text/plain", Bytes::new())
}

/// An answer of JSON.
pub fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec(value) {
        Ok(body) => with(status, "application/json", body.into()),
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn with(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

/// A listener on loopback; anything else is refused, for these doors have no locks.
pub async fn listen_on_loopback(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        let problem = format!("{address} is not a loopback address");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    TcpListener::bind(address).await
}
