//! The control port: faults and uplink messages on demand, and what was counted. Loopback only.
//!
//! `POST /faults {"carrier","kind","for",…}` (no carrier: all), `DELETE /faults` (`{"carrier"}` to clear one),
//! `GET /carriers`, `POST /mo {"carrier","from","to","text","parts"}`.

use std::rc::Rc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use crate::carrier::Carrier;
use crate::fault::Spec;
use crate::serve;
use crate::uplink::Parts;

#[derive(Deserialize)]
struct FaultOrder {
    carrier: Option<String>,
    #[serde(flatten)]
    spec: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ClearOrder {
    carrier: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoOrder {
    carrier: String,
    from: String,
    to: String,
    text: String,
    parts: Option<Parts>,
}

/// Serves the control port for `carriers`. Never returns.
pub async fn serve(listener: TcpListener, carriers: Rc<Vec<Rc<Carrier>>>) {
    serve::serve(listener, move |head, body| {
        let carriers = Rc::clone(&carriers);
        async move { answer(&carriers, &head.method, head.uri.path(), &body) }
    })
    .await;
}

fn answer(carriers: &[Rc<Carrier>], method: &Method, path: &str, body: &[u8]) -> Response<Full<Bytes>> {
    let done = match (method, path) {
        (&Method::GET, "/carriers") => {
            let reports: Vec<_> = carriers.iter().map(|carrier| carrier.report()).collect();
            return serve::json(StatusCode::OK, &json!({ "carriers": reports }));
        }
        (&Method::POST, "/faults") => fault(carriers, body),
        (&Method::DELETE, "/faults") => clear(carriers, body),
        (&Method::POST, "/mo") => mo(carriers, body),
        _ => return serve::json(StatusCode::NOT_FOUND, &json!({ "error": "no such call" })),
    };
    match done {
        Ok(()) => serve::empty(StatusCode::NO_CONTENT),
        Err(problem) => serve::json(StatusCode::BAD_REQUEST, &json!({ "error": problem })),
    }
}

fn fault(carriers: &[Rc<Carrier>], body: &[u8]) -> Result<(), String> {
    let order: FaultOrder = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let spec: Spec = serde_json::from_value(order.spec.into()).map_err(|error| error.to_string())?;
    for carrier in named(carriers, order.carrier.as_deref())? {
        carrier.start_fault(spec.clone());
    }
    Ok(())
}

fn clear(carriers: &[Rc<Carrier>], body: &[u8]) -> Result<(), String> {
    let order: ClearOrder = if body.is_empty() {
        ClearOrder::default()
    } else {
        serde_json::from_slice(body).map_err(|e| e.to_string())?
    };
    for carrier in named(carriers, order.carrier.as_deref())? {
        carrier.clear_faults();
    }
    Ok(())
}

fn mo(carriers: &[Rc<Carrier>], body: &[u8]) -> Result<(), String> {
    let order: MoOrder = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    for carrier in named(carriers, Some(&order.carrier))? {
        carrier.write_mo(&order.from, &order.to, &order.text, order.parts.as_ref())?;
    }
    Ok(())
}

/// The carrier of that name, or all.
pub(crate) fn named<'a>(carriers: &'a [Rc<Carrier>], name: Option<&str>) -> Result<Vec<&'a Rc<Carrier>>, String> {
    let found: Vec<_> = carriers.iter().filter(|carrier| name.is_none_or(|name| carrier.name() == name)).collect();
    if found.is_empty() { Err(format!("no carrier named `{}`", name.unwrap_or("*"))) } else { Ok(found) }
}
