//! Everything but sends: a message's story, the interface's own description, and proper refusals for the rest.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::routing::{any, get};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::body::Incoming;
use tower_service::Service as _;

use super::problem::{Code, Problem};
use super::{Door, Peer, authenticate, batch, openapi};
use crate::ids::MessageId;

/// Paths that exist, as metrics name them.
pub const MESSAGES: &str = "/v1/messages";
/// A message's own path.
pub const MESSAGE: &str = "/v1/messages/{id}";
/// Where batches are posted.
pub const BATCHES: &str = "/v1/batches";
/// A batch's own path.
pub const BATCH: &str = "/v1/batches/{id}";
/// The description's path.
pub const OPENAPI: &str = "/openapi.json";

/// The metric's name of a path.
pub(super) fn route_name(path: &str) -> &'static str {
    let named = |prefix| path.strip_prefix(prefix).is_some_and(|id: &str| !id.is_empty() && !id.contains('/'));
    match path {
        MESSAGES => MESSAGES,
        BATCHES => BATCHES,
        OPENAPI => OPENAPI,
        _ if named("/v1/messages/") => MESSAGE,
        _ if named("/v1/batches/") => BATCH,
        _ => "other",
    }
}

/// The router behind the submit route.
pub(super) fn router(door: Arc<Door>) -> Router {
    Router::new()
        .route(MESSAGES, any(|| async { refuse_method("POST") }))
        .route(MESSAGE, get(message).fallback(|| async { refuse_method("GET, HEAD") }))
        .route(BATCHES, any(|| async { refuse_method("POST") }))
        .route(BATCH, get(batch).fallback(|| async { refuse_method("GET, HEAD") }))
        .route(OPENAPI, get(description).fallback(|| async { refuse_method("GET, HEAD") }))
        .fallback(|| async { refuse(&Problem::new(Code::NotFound, "")) })
        .with_state(door)
}

/// Puts one request through the router.
pub(super) async fn answer(mut router: Router, mut request: Request<Incoming>, peer: Peer) -> Response<Body> {
    request.extensions_mut().insert(peer);
    let answered: Result<_, Infallible> = router.call(request).await;
    match answered {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

async fn message(
    State(door): State<Arc<Door>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let tables = door.tables.load_full();
    let app_at = match authenticate(&tables, &headers, &peer) {
        Ok(at) => at,
        Err(problem) => return refuse(&problem),
    };
    let story = match id.parse::<MessageId>() {
        Ok(id) => door.inquiry.message(id).await,
        Err(_) => None,
    };
    // Another app's message answers as one that does not exist.
    match story.filter(|story| *story.app == *tables.plan.apps[app_at].name) {
        Some(mut story) => {
            story.app.clear();
            json(serde_json::to_vec(&story).unwrap_or_default().into())
        }
        None => refuse(&Problem::new(Code::NotFound, "no such message")),
    }
}

async fn batch(
    State(door): State<Arc<Door>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let tables = door.tables.load_full();
    let app_at = match authenticate(&tables, &headers, &peer) {
        Ok(at) => at,
        Err(problem) => return refuse(&problem),
    };
    // Whose it is comes first: counting costs more than saying no.
    let none = || refuse(&Problem::new(Code::NotFound, "no such batch"));
    let Ok(id) = id.parse::<MessageId>() else { return none() };
    let Some(record) = door.inquiry.batch(id).await else { return none() };
    let Some((_, count)) = batch::owner(&record).filter(|(app, _)| *app == &*tables.plan.apps[app_at].name) else {
        return none();
    };
    let Some(counts) = door.inquiry.counts(id, count).await else {
        return refuse(&Problem::new(Code::Internal, "the batch cannot be counted now"));
    };
    match batch::told(&tables, app_at, id, &record, counts) {
        Some(story) => json(serde_json::to_vec(&story).unwrap_or_default().into()),
        None => none(),
    }
}

async fn description() -> Response<Body> {
    json(openapi::document())
}

fn json(body: Bytes) -> Response<Body> {
    let mut answer = Response::new(Body::from(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn refuse(problem: &Problem) -> Response<Body> {
    problem.answer(fastrand::f64()).map(Body::new)
}

fn refuse_method(allow: &'static str) -> Response<Body> {
    let mut answer = refuse(&Problem::new(Code::MethodNotAllowed, ""));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}
