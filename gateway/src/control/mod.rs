//! The admin door: health, metrics, channels, queues, messages with text and numbers masked, hold and release.
//!
//! Every `POST` needs the token; off loopback everything does (metrics may have a token of their own). `Host` and
//! `Origin` are checked, so that a page in somebody's browser cannot reach a door on loopback. One file per topic.

mod apps;
mod callbacks;
mod channels;
mod door;
mod health;
mod messages;
mod orders;
mod queues;
mod reload;
mod status;
mod token;
mod uplinks;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::{Router, middleware};
use tokio::net::TcpListener;

use crate::app::{Desk, Scrape};
use crate::callback::Office;
use crate::config::plan::Secret;
use door::{guard, refuse};

pub use token::{FILE as TOKEN_FILE, Token, token};

/// What the admin door works with.
pub struct Admin {
    /// `[node] name`.
    pub name: String,
    /// The line.
    pub desk: Arc<Desk>,
    /// What applications are told.
    pub callbacks: Arc<Office>,
    /// For operators.
    pub token: Token,
    /// For scrapers, where configured.
    pub metrics_token: Option<Secret>,
    /// Makes the metrics page.
    pub scrape: Scrape,
}

/// Serves operators until the future is dropped.
pub async fn serve(listener: TcpListener, admin: Admin) {
    let local = listener.local_addr().is_ok_and(|a| a.ip().is_loopback());
    let admin = Arc::new(admin);
    let pages = Router::new()
        .merge(health::pages())
        .merge(status::pages())
        .merge(channels::pages())
        .merge(apps::pages())
        .merge(callbacks::pages())
        .merge(queues::pages())
        .merge(reload::pages())
        .merge(messages::pages())
        .merge(uplinks::pages())
        .fallback(async || refuse(StatusCode::NOT_FOUND, "not_found", "no such page"))
        .method_not_allowed_fallback(async || {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not this way")
        })
        .layer(middleware::from_fn_with_state((admin.clone(), local), guard))
        .with_state(admin)
        .into_make_service_with_connect_info::<SocketAddr>();
    if let Err(error) = axum::serve(listener, pages).await {
        tracing::error!(%error, "the admin door is closed");
    }
}
