//! The sections that concern the node: `[node]`, `[http]`, `[admin]`, `[journal]`, `[limits]`, `[store]`, `[uplink]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::de::IgnoredAny;
use toml::Spanned;

use super::{Check, is_word, placed};
use crate::config::file::Whole;
use crate::config::plan::{Node, Secret};
use crate::config::problem::Place;
use crate::config::shape::Found;
use crate::config::value::{Period, key_is_sendable, key_is_strong};
use crate::config::written;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const MIB: u64 = 1 << 20;

/// A listener as written.
struct Door<'f> {
    section: &'static str,
    listen: SocketAddr,
    place: Place,
    insecure: bool,
    tls: Option<&'f Spanned<IgnoredAny>>,
}

impl Check<'_, '_> {
    /// Settings of the node, with defaults where the files say nothing.
    pub(super) fn node(&mut self, whole: &Whole<'_>) -> Node {
        let mut node = self.defaults();
        if let Some(found) = &whole.node {
            self.identity(found, &mut node);
        }
        if let Some(found) = &whole.http {
            self.http(found, &mut node);
        }
        if let Some(found) = &whole.admin {
            self.admin(found, &mut node);
        }
        if let Some(found) = &whole.journal {
            self.journal(found, &mut node);
        }
        if let Some(found) = &whole.limits {
            let most = placed(&found.value.messages);
            node.max_messages =
                self.within(found, "messages", most, node.max_messages as u32, 1..=100_000_000) as usize;
        }
        if let Some(found) = &whole.store {
            node.history = self.period(found, "history", &found.value.history, node.history, SECOND, 365 * DAY);
            node.receipt_wait =
                self.period(found, "receipt_wait", &found.value.receipt_wait, node.receipt_wait, SECOND, 30 * DAY);
        }
        if let Some(found) = &whole.uplink {
            let written = &found.value;
            let (join_wait, window) = (node.uplink_join_wait, node.uplink_duplicate_window);
            node.uplink_join_wait = self.period(found, "join_wait", &written.join_wait, join_wait, SECOND, DAY);
            node.uplink_duplicate_window =
                self.period(found, "duplicate_window", &written.duplicate_window, window, SECOND, DAY);
        }
        if node.http_listen == node.admin_listen && node.http_listen.port() != 0 {
            let place = whole.admin.as_ref().map_or(Place { file: 0, span: 0..0 }, Found::here);
            self.report.error(place, format!("[http] and [admin] both listen on {}", node.admin_listen), "");
        }
        node
    }

    fn defaults(&self) -> Node {
        Node {
            name: "qiao".to_owned(),
            data_dir: self.secrets.dir.join("data"),
            drain_timeout: 10 * SECOND,
            watch: true,
            http_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            http_max_connections: 10_000,
            header_timeout: 5 * SECOND,
            body_timeout: 10 * SECOND,
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
            admin_token: None,
            metrics_token: None,
            segment_bytes: 64 * MIB,
            journal_max_bytes: 8192 * MIB,
            max_messages: 2_000_000,
            history: 7 * DAY,
            receipt_wait: DAY,
            uplink_join_wait: 600 * SECOND,
            uplink_duplicate_window: 600 * SECOND,
        }
    }

    fn identity(&mut self, found: &Found<written::Node>, node: &mut Node) {
        let written = &found.value;
        if let Some(name) = &written.name {
            node.name.clone_from(name.get_ref());
            if !is_word(&node.name) {
                let hint = "use up to 63 of a-z A-Z 0-9 . _ - and start with a letter or digit";
                self.report.error(found.at(name.span()), "`name` cannot be a node's name", hint);
            }
        }
        if let Some(path) = &written.data_dir {
            node.data_dir = self.secrets.dir.join(path);
        }
        node.watch = written.watch.unwrap_or(node.watch);
        node.drain_timeout = self.period(
            found,
            "drain_timeout",
            &written.drain_timeout,
            node.drain_timeout,
            Duration::ZERO,
            600 * SECOND,
        );
    }

    fn http(&mut self, found: &Found<written::Http>, node: &mut Node) {
        let written = &found.value;
        if let Some(listen) = &written.listen {
            node.http_listen = *listen.get_ref();
        }
        self.door(Door {
            section: "http",
            listen: node.http_listen,
            place: found.at(written.listen.as_ref().map_or(found.span.clone(), Spanned::span)),
            insecure: written.insecure,
            tls: written.tls.as_ref(),
        });
        let most = placed(&written.max_connections);
        node.http_max_connections = self.within(found, "max_connections", most, 10_000, 1..=1_000_000) as usize;
        let (least, most) = (SECOND / 10, 600 * SECOND);
        node.header_timeout =
            self.period(found, "header_timeout", &written.header_timeout, node.header_timeout, least, most);
        node.body_timeout = self.period(found, "body_timeout", &written.body_timeout, node.body_timeout, least, most);
    }

    fn admin(&mut self, found: &Found<written::Admin>, node: &mut Node) {
        let written = &found.value;
        if let Some(listen) = &written.listen {
            node.admin_listen = *listen.get_ref();
        }
        self.door(Door {
            section: "admin",
            listen: node.admin_listen,
            place: found.at(written.listen.as_ref().map_or(found.span.clone(), Spanned::span)),
            insecure: written.insecure,
            tls: written.tls.as_ref(),
        });
        node.admin_token = written.token.as_ref().and_then(|token| self.key(found, "token", token)).map(Secret::new);
        node.metrics_token =
            written.metrics_token.as_ref().and_then(|token| self.key(found, "metrics_token", token)).map(Secret::new);
    }

    fn journal(&mut self, found: &Found<written::Journal>, node: &mut Node) {
        let segment = found.value.segment_bytes.as_ref().map(|s| (s.span(), s.get_ref().0));
        node.segment_bytes = self.within(found, "segment_bytes", segment, node.segment_bytes, MIB..=1024 * MIB);
        let most = found.value.max_bytes.as_ref().map(|s| (s.span(), s.get_ref().0));
        let least = 4 * node.segment_bytes;
        node.journal_max_bytes = self.within(found, "max_bytes", most, node.journal_max_bytes, least..=u64::MAX >> 1);
        if node.journal_max_bytes < least {
            self.report.error(found.here(), "`max_bytes` is less than four segments", "");
        }
    }

    /// Plain HTTP is for loopback, unless someone says that they know.
    fn door(&mut self, door: Door<'_>) {
        let Door { section, listen, place, insecure, tls } = door;
        if let Some(tls) = tls {
            let place = Place { file: place.file, span: tls.span() };
            let hint = "remove it and put a TLS-terminating proxy before a loopback address";
            self.report.error(place, format!("[{section}] `tls` is not available"), hint);
        }
        if !insecure && !listen.ip().is_loopback() {
            let message = format!("[{section}] plain HTTP on {listen} can be read on its way: it is not loopback");
            let hint = "listen on loopback behind a TLS-terminating proxy, or set insecure = true";
            self.report.error(place, message, hint);
        }
    }

    /// A bearer key of at least 128 bits.
    pub(super) fn key<F>(&mut self, found: &Found<F>, what: &str, reference: &Spanned<String>) -> Option<String> {
        let key = self.secret(found, what, reference)?;
        let place = found.at(reference.span());
        if !key_is_sendable(&key) {
            let hint = "use letters, digits and - . _ ~ + / = only";
            self.report.error(place, format!("`{what}` cannot be sent as a bearer token"), hint);
        } else if !key_is_strong(&key) {
            let hint = "make one with: openssl rand -hex 32";
            self.report.error(place, format!("`{what}` has less than 128 bits"), hint);
        }
        Some(key)
    }

    /// A duration between two bounds.
    pub(super) fn period<F>(
        &mut self,
        found: &Found<F>,
        key: &str,
        value: &Option<Spanned<Period>>,
        default: Duration,
        least: Duration,
        most: Duration,
    ) -> Duration {
        let value = value.as_ref().map(|v| (v.span(), v.get_ref().0));
        self.within(found, key, value, default, least..=most)
    }
}
