//! What is in service: the plan, less what operators ordered. The one place that decides whether a channel takes
//! messages, whether its links are dialled, and which apps are refused. Orders are in force at once; whoever gave one is
//! answered when it is on disk.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::orders::{self, Asked, Kind, Order, Orders, Subject};
use super::states::Cause;
use super::{Arrival, Line};
use crate::clock::{Moment, Time, Wall};
use crate::config::plan::{AppId, ChannelId};
use crate::switch::Event;

/// Held apps, each with what it is told; empty where that is nothing in particular.
pub(super) type HeldApps = BTreeMap<AppId, Arc<str>>;

/// What came of an order.
#[derive(Clone, Debug)]
pub enum Ordered {
    /// There is nothing of that name.
    Unknown,
    /// In force, and on disk.
    Kept(Standing),
    /// In force, but the disk refuses it: a restart forgets it.
    Unkept(Standing),
}

/// How its subject stands after an order.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// The state of the channel; absent for an app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
    /// Whether anything is ordered.
    pub held: bool,
    /// What.
    pub order: Option<Order>,
}

/// Someone who waits for an order to be on disk.
struct Giver {
    change: u64,
    standing: Standing,
    answer: oneshot::Sender<Ordered>,
}

/// The orders in force and how far they are on disk.
pub(super) struct Service {
    pub(super) orders: Orders,
    dir: PathBuf,
    /// The last change that is on disk.
    kept: u64,
    writing: bool,
    failing: bool,
    givers: Vec<Giver>,
    /// When the next one expires.
    due: Option<Time>,
    line: mpsc::UnboundedSender<Arrival>,
}

impl Service {
    /// These orders, read from `dir`.
    pub(super) fn new(orders: Orders, dir: PathBuf, line: mpsc::UnboundedSender<Arrival>) -> Self {
        Service { orders, dir, kept: 0, writing: false, failing: false, givers: Vec::new(), due: None, line }
    }

    /// When the next order expires.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.due
    }

    /// Writes what is not on disk yet; one write at a time.
    pub(super) fn save(&mut self) {
        if self.writing || self.kept == self.orders.changes() {
            return;
        }
        self.writing = true;
        let (change, octets) = (self.orders.changes(), self.orders.write());
        let (dir, line) = (self.dir.clone(), self.line.clone());
        tokio::task::spawn_blocking(move || drop(line.send(Arrival::Saved(change, orders::store(&dir, &octets)))));
    }

    fn answer(&mut self, durable: bool) {
        let (kept, ordered) = (self.kept, if durable { Ordered::Kept } else { Ordered::Unkept });
        for giver in self.givers.extract_if(.., |giver| !durable || giver.change <= kept) {
            // Whoever gave it may have gone.
            let _ = giver.answer.send(ordered(giver.standing));
        }
    }
}

impl Line {
    /// An operator's order, or its end; answered when it is on disk.
    pub(super) fn order(&mut self, now: Moment, subject: Subject, asked: Asked, answer: oneshot::Sender<Ordered>) {
        if !self.knows(&subject) {
            return drop(answer.send(Ordered::Unknown));
        }
        let order = Order::asked(&asked, now.wall);
        if self.service.orders.set(&subject, order.clone()) {
            tell(&subject, order.as_ref(), &asked.reason);
        }
        self.enforce(now, &subject, Cause::Operator);
        let state = match &subject {
            Subject::Channel(name) => self.channel_named(name).map(|channel| self.state(now, channel).name()),
            Subject::App(_) => None,
        };
        let standing = Standing { state, held: order.is_some(), order };
        self.service.givers.push(Giver { change: self.service.orders.changes(), standing, answer });
        self.service.answer(true);
        self.service.save();
    }

    /// Orders up to `change` are on disk, or the disk refused.
    pub(super) fn saved(&mut self, change: u64, result: io::Result<()>) {
        let service = &mut self.service;
        service.writing = false;
        match result {
            Ok(()) => {
                service.kept = change;
                if std::mem::take(&mut service.failing) {
                    info!("operators' orders are on disk again");
                }
                service.answer(true);
                // Those that came meanwhile.
                service.save();
            }
            // Tried again with the next tick of a second.
            Err(error) => {
                if !std::mem::replace(&mut service.failing, true) {
                    error!(%error, "operators' orders cannot be written: they are in force, but a restart would forget them");
                }
                service.answer(false);
            }
        }
    }

    /// Ends orders whose time is over.
    pub(super) fn expire_orders(&mut self, now: Moment) {
        if self.service.due.is_none_or(|due| due > now.time) {
            return;
        }
        for (subject, order) in self.service.orders.expire(now.wall) {
            let (kind, name) = words(&subject);
            info!(kind, name, order = order.order.name(), reason = order.reason, "an operator's order has expired");
            self.enforce(now, &subject, Cause::Time);
        }
        self.service.due = self.service.orders.deadline().map(|wall| now.deadline(wall));
        self.service.save();
    }

    /// Brings everything in line with plan and orders.
    pub(super) fn enforce_all(&mut self, now: Moment, cause: Cause) {
        let names = self.plan.channels.iter().map(|c| c.name.to_string()).collect::<Vec<_>>();
        for name in names {
            self.enforce(now, &Subject::Channel(name), cause);
        }
        self.publish_held_apps();
    }

    fn enforce(&mut self, now: Moment, subject: &Subject, cause: Cause) {
        match subject {
            Subject::App(_) => self.publish_held_apps(),
            Subject::Channel(name) => {
                let Some(channel) = self.channel_named(name) else { return };
                let held = self.stopping.is_some() || self.service.orders.channel(name).is_some();
                self.tell_switch(now, Event::Hold(channel, held));
                let drained = self.service.orders.channel(name).is_some_and(|order| order.order == Kind::Drain);
                for link in self.fleet.drain(channel, drained, now.wall) {
                    self.tell_switch(now, Event::LinkClosing(link));
                }
                self.look(now, channel, cause);
            }
        }
        self.service.due = self.service.orders.deadline().map(|wall| now.deadline(wall));
    }

    fn publish_held_apps(&self) {
        let held = self.plan.apps.iter().filter_map(|app| {
            let order = self.service.orders.app(&app.name)?;
            Some((app.id, order.detail.as_str().into()))
        });
        self.pressure.held.store(Arc::new(held.collect()));
    }

    fn channel_named(&self, name: &str) -> Option<ChannelId> {
        self.plan.channels.iter().find(|c| &*c.name == name).map(|c| c.id)
    }

    /// A name of the configuration, or one that an order still waits for.
    fn knows(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Channel(name) => self.channel_named(name).is_some() || self.service.orders.channel(name).is_some(),
            Subject::App(name) => {
                self.plan.apps.iter().any(|app| *app.name == **name) || self.service.orders.app(name).is_some()
            }
        }
    }
}

/// Kind and name of a subject.
fn words(subject: &Subject) -> (&'static str, &str) {
    match subject {
        Subject::Channel(name) => ("channel", name),
        Subject::App(name) => ("app", name),
    }
}

fn tell(subject: &Subject, order: Option<&Order>, reason: &str) {
    let (kind, name) = words(subject);
    match order {
        Some(order) => {
            let until = order.until_ms.map(|ms| Wall(ms).to_string());
            warn!(kind, name, order = order.order.name(), until, reason = order.reason, "an operator's order");
        }
        None => info!(kind, name, reason = orders::words(reason), "an operator has put it back in service"),
    }
}
