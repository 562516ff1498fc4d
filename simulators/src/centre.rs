//! A whole carrier as a pure machine: its desk, its connections and what is wrong with it. Octets and the time go in;
//! octets per connection and [`Order`]s to the shell come out. Receipts go over any connection that can take them.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::BytesMut;
use serde::Serialize;

use crate::delivery::Mo;
use crate::desk::{Counters, Desk};
use crate::fault::{Faults, Kind, Spec};
use crate::smpp::Conversation;

/// Names a connection.
pub type Link = u64;

/// What the shell must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The connection has octets to send, or its reading starts or ends: look again.
    Wake(Link),
    /// End the connection with RST.
    Reset(Link),
    /// End the connection with FIN, at once.
    Close(Link),
    /// Listen, or stop listening.
    Listen(bool),
}

/// See the module's head.
#[derive(Debug)]
pub struct Centre {
    desk: Desk,
    faults: Faults,
    links: BTreeMap<Link, Conversation>,
    next_link: Link,
    last_served: Link,
    orders: Vec<Order>,
    listening: bool,
}

/// What `GET /carriers` tells about one carrier.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// What was counted.
    #[serde(flatten)]
    pub counters: Counters,
    /// What is wrong with it now.
    pub faults: Vec<Kind>,
}

impl Centre {
    /// A carrier without connections.
    pub fn new(desk: Desk) -> Self {
        let faults = Faults::new(&desk.config().faults, desk.clock().started());
        Self { desk, faults, links: BTreeMap::new(), next_link: 0, last_served: 0, orders: Vec::new(), listening: true }
    }

    /// A connection was made; `None` when it is to be reset at once.
    pub fn opened(&mut self) -> Option<Link> {
        if self.faults.on(Kind::Reset) || self.faults.on(Kind::Refuse) {
            return None;
        }
        self.next_link += 1;
        let mut conversation = Conversation::default();
        if self.faults.on(Kind::Garbage) {
            conversation.garble();
        }
        self.links.insert(self.next_link, conversation);
        Some(self.next_link)
    }

    /// Octets came; whole PDUs are taken from `input`.
    pub fn octets(&mut self, now: Instant, link: Link, input: &mut BytesMut) {
        self.switch_faults(now);
        if let Some(conversation) = self.links.get_mut(&link) {
            conversation.octets(now, input, &mut self.desk, &self.faults);
        }
        self.tick(now);
    }

    /// Moves what is to be sent on `link` into `out`.
    pub fn take_out(&mut self, link: Link, out: &mut BytesMut) {
        if let Some(conversation) = self.links.get_mut(&link).filter(|_| !self.faults.on(Kind::Hang)) {
            if out.is_empty() {
                std::mem::swap(out, &mut conversation.out);
            } else {
                out.extend_from_slice(&conversation.out);
                conversation.out.clear();
            }
        }
    }

    /// Whether `link` is to be closed once its octets are sent.
    pub fn ended(&self, link: Link) -> bool {
        self.links.get(&link).is_none_or(Conversation::ended)
    }

    /// Whether `link` is to be read.
    pub fn reads(&self, link: Link) -> bool {
        !self.faults.on(Kind::Hang) && self.links.get(&link).is_some_and(Conversation::wants_input)
    }

    /// Whether nothing is read or written at all.
    pub fn frozen(&self) -> bool {
        self.faults.on(Kind::Hang)
    }

    /// Whether octets are to leave one by one.
    pub fn splits(&self) -> bool {
        self.faults.on(Kind::SplitBytes)
    }

    /// The connection is gone.
    pub fn closed(&mut self, now: Instant, link: Link) {
        if let Some(conversation) = self.links.remove(&link) {
            conversation.lost(now, &mut self.desk);
        }
        self.tick(now);
    }

    /// Does what is due: faults, late answers, deliveries.
    pub fn tick(&mut self, now: Instant) {
        self.switch_faults(now);
        if self.faults.on(Kind::Hang) {
            return;
        }
        for (link, conversation) in &mut self.links {
            let before = conversation.out.len();
            conversation.tick(now, &mut self.desk, &self.faults);
            if conversation.out.len() != before {
                self.orders.push(Order::Wake(*link));
            }
        }
        self.desk.tick(now, &self.faults);
        if !self.faults.on(Kind::Mute) && !self.faults.on(Kind::PingsOnly) {
            self.deliver(now);
        }
    }

    fn deliver(&mut self, now: Instant) {
        while self.desk.waiting() > 0 {
            let able =
                |(link, conversation): (&Link, &Conversation)| conversation.can_take(&self.desk).then_some(*link);
            let after = self.links.range(self.last_served + 1..).find_map(able);
            let Some(link) = after.or_else(|| self.links.iter().find_map(able)) else { break };
            let (Some(conversation), Some(delivery)) = (self.links.get_mut(&link), self.desk.next_ready()) else {
                break;
            };
            conversation.deliver(now, delivery, &mut self.desk, &self.faults);
            self.last_served = link;
            if self.orders.last() != Some(&Order::Wake(link)) {
                self.orders.push(Order::Wake(link));
            }
        }
    }

    fn switch_faults(&mut self, now: Instant) {
        let change = self.faults.tick(now);
        for kind in &change.started {
            let links = self.links.iter_mut();
            match kind {
                Kind::Reset => links.for_each(|(link, _)| self.orders.push(Order::Reset(*link))),
                Kind::Refuse => links.for_each(|(link, _)| self.orders.push(Order::Close(*link))),
                Kind::Garbage => links.for_each(|(_, conversation)| conversation.garble()),
                _ => {}
            }
        }
        if change.ended || !change.started.is_empty() {
            self.orders.extend(self.links.keys().map(|link| Order::Wake(*link)));
            self.listen(!self.faults.on(Kind::Refuse));
        }
    }

    fn listen(&mut self, listening: bool) {
        if self.listening != listening {
            self.listening = listening;
            self.orders.push(Order::Listen(listening));
        }
    }

    /// When [`Centre::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        if self.faults.on(Kind::Hang) {
            return self.faults.deadline();
        }
        let links = self.links.values().filter_map(|conversation| conversation.deadline(&self.desk));
        links.chain(self.desk.deadline()).chain(self.faults.deadline()).min()
    }

    /// What the shell must do, in order.
    pub fn take_orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    /// Starts a fault.
    pub fn start_fault(&mut self, now: Instant, spec: Spec) {
        self.faults.start(now, spec);
        self.tick(now);
    }

    /// Ends all faults.
    pub fn clear_faults(&mut self, now: Instant) {
        self.faults.clear();
        self.orders.extend(self.links.keys().map(|link| Order::Wake(*link)));
        self.listen(true);
        self.tick(now);
    }

    /// Sends an uplink message.
    pub fn send_mo(&mut self, now: Instant, mo: Mo) {
        self.desk.send_mo(mo);
        self.tick(now);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.desk.config().name
    }

    /// Where it stands.
    pub fn report(&self) -> Report {
        let mut counters = self.desk.counters.clone();
        counters.connections = self.links.len();
        counters.receipts_waiting = self.desk.waiting() + self.desk.to_come();
        Report { name: self.name().to_owned(), counters, faults: self.faults.kinds().collect() }
    }

    /// Hands the log to its file.
    pub fn flush(&mut self) {
        self.desk.flush();
    }

    /// Ends everything; the log is complete after it.
    pub fn close(&mut self, now: Instant) -> std::io::Result<()> {
        for conversation in std::mem::take(&mut self.links).into_values() {
            conversation.lost(now, &mut self.desk);
        }
        self.desk.close(now)
    }
}
