//! A whole carrier as a pure machine: its desk, its connections and what is wrong with it. Octets and the time go in;
//! octets per connection and [`Order`]s to the shell come out. Receipts go over any connection that can take them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use serde::Serialize;

use crate::conversation::Conversation;
use crate::delivery::{Content, Delivery, Mo};
use crate::desk::{Counters, Desk};
use crate::fault::{Faults, Kind, Spec};
use crate::quirks::Over;
use crate::uplink::{self, Parts};

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
    /// Open a connection, and tell how that went.
    Dial(SocketAddr),
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
    /// Whether a connection is being opened.
    dialling: bool,
    /// When one may be opened again.
    dial_at: Option<Instant>,
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
        Self {
            desk,
            faults,
            links: BTreeMap::new(),
            next_link: 0,
            last_served: 0,
            orders: Vec::new(),
            listening: true,
            dialling: false,
            dial_at: None,
        }
    }

    /// A connection was made; `None` when it is to be reset at once.
    pub fn opened(&mut self, now: Instant) -> Option<Link> {
        self.begin(Conversation::accepted(now, self.next_link + 1, &self.desk))
    }

    /// A connection that was ordered was made, or was not.
    pub fn dialled(&mut self, now: Instant, made: bool) -> Option<Link> {
        self.dialling = false;
        let link =
            made.then(|| Conversation::dialled(now, self.next_link + 1, &self.desk)).and_then(|new| self.begin(new));
        if link.is_none() {
            self.rest(now);
        }
        link
    }

    /// No connection is opened for a while.
    fn rest(&mut self, now: Instant) {
        self.dial_at = Some(now + self.desk.config().receipts.retry_after.0);
    }

    fn begin(&mut self, mut conversation: Conversation) -> Option<Link> {
        if self.faults.on(Kind::Reset) || self.faults.on(Kind::Refuse) {
            return None;
        }
        self.next_link += 1;
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
            if conversation.is_dialled() && !conversation.is_bound() {
                self.rest(now);
            }
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
            let before = (conversation.out.len(), conversation.ended());
            conversation.tick(now, &mut self.desk, &self.faults);
            if (conversation.out.len(), conversation.ended()) != before {
                self.orders.push(Order::Wake(*link));
            }
        }
        self.desk.tick(now, &self.faults);
        if self.delivers() {
            self.deliver(now);
        }
    }

    /// Whether anything leaves of our own accord.
    fn delivers(&self) -> bool {
        !self.faults.on(Kind::Mute) && !self.faults.on(Kind::PingsOnly)
    }

    fn deliver(&mut self, now: Instant) {
        // Those that wait for one connection do not keep back what others can take.
        let mut kept = Vec::new();
        while let Some(delivery) = self.desk.next_ready() {
            let Some(link) = self.able(&delivery) else {
                kept.push(delivery);
                if matches!(self.desk.over(), Over::Any | Over::Callback) {
                    break;
                }
                continue;
            };
            if let Some(conversation) = self.links.get_mut(&link) {
                conversation.deliver(now, delivery, &mut self.desk, &self.faults);
                self.last_served = link;
                if self.orders.last() != Some(&Order::Wake(link)) {
                    self.orders.push(Order::Wake(link));
                }
            }
        }
        kept.into_iter().rev().for_each(|delivery| self.desk.put_back(delivery));
        self.dial(now);
    }

    /// A connection that can take it now.
    fn able(&self, delivery: &Delivery) -> Option<Link> {
        let (over, came_over) = (
            self.desk.over(),
            match &delivery.content {
                Content::Receipt(receipt) => Some(receipt.link),
                Content::Mo(_) => None,
            },
        );
        let fits = |link: Link, conversation: &Conversation| match over {
            Over::Any => true,
            Over::Callback => conversation.is_dialled(),
            Over::Same => came_over.is_none_or(|over| over == link || !self.links.contains_key(&over)),
            Over::Other => came_over != Some(link),
        };
        let able = |(link, conversation): (&Link, &Conversation)| {
            (conversation.can_take(&self.desk) && fits(*link, conversation)).then_some(*link)
        };
        let after = self.links.range(self.last_served + 1..).find_map(able);
        after.or_else(|| self.links.iter().find_map(able))
    }

    /// Orders a connection to the other side, where something waits that none can take.
    fn dial(&mut self, now: Instant) {
        let Some(callback) = self.dial_due().filter(|(_, due)| *due <= now).map(|(callback, _)| callback) else {
            return;
        };
        if self.faults.on(Kind::Refuse) {
            return self.rest(now);
        }
        self.dialling = true;
        self.dial_at = None;
        self.desk.counters.dials += 1;
        self.orders.push(Order::Dial(callback));
    }

    /// Where a connection is to be opened to, and when at the earliest.
    fn dial_due(&self) -> Option<(SocketAddr, Instant)> {
        let callback = self.desk.config().callback?;
        let wanted = matches!(self.desk.over(), Over::Any | Over::Callback) && self.desk.waiting() > 0;
        let there = self.dialling || self.links.values().any(Conversation::is_dialled);
        (wanted && !there).then(|| (callback, self.dial_at.unwrap_or(self.desk.clock().started())))
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
        let dial = self.dial_at.filter(|_| self.delivers() && self.dial_due().is_some());
        links.chain(self.desk.deadline()).chain(self.faults.deadline()).chain(dial).min()
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

    /// A handset writes; `parts` says how where it is sent in parts.
    ///
    /// # Errors
    /// As [`uplink::cut`].
    pub fn write_mo(
        &mut self,
        now: Instant,
        from: &str,
        to: &str,
        text: &str,
        parts: Option<&Parts>,
    ) -> Result<(), String> {
        let cut = uplink::cut(from, to, text, parts, self.desk.config().alphabets())?;
        cut.into_iter().for_each(|mo| self.desk.send_mo(mo));
        self.tick(now);
        Ok(())
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
