//! A toy protocol for the link's tests, its far side, and a running link between the two.
//!
//! A frame is a length (of what follows), a kind, a number and padding.
#![allow(dead_code, unreachable_pub)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use carriers::{
    AttemptRef, CarrierId, Coding, Common, Event, Fault, Greeting, Head, Inbound, Input, Leg, Life, Mt, Now, Output,
    Part, Parts, PathId, Payload, Probe, Problem, Profile, Protocol, Quote, Reach, Receipt, ReceiptState, Role,
    Session, Settle, Ticket, Transport, Unsendable,
};
use link::{Batch, Doors, Entrance, FromLink, Handle, LinkId, Settings, Spec, ToLink};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

pub const BIND: u8 = 1;
pub const BIND_OK: u8 = 2;
pub const BIND_NO: u8 = 3;
/// As many connections as an account may have.
pub const BIND_FULL: u8 = 33;
pub const SUBMIT: u8 = 4;
pub const SUBMIT_OK: u8 = 5;
pub const DELIVER: u8 = 6;
pub const DELIVER_OK: u8 = 7;
pub const UNBIND: u8 = 8;
pub const UNBIND_OK: u8 = 9;
pub const PING: u8 = 10;
pub const PONG: u8 = 11;
/// Taken, counted, not answered.
pub const ODD: u8 = 12;
pub const NACK: u8 = 13;
/// Has the session say goodbye by itself.
pub const REST: u8 = 14;
/// Breaks the session's own code.
pub const BOMB: u8 = 66;
/// Octets of a frame without padding.
pub const BARE: usize = 13;

pub fn frame(kind: u8, number: u64, padding: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(BARE + padding.len());
    out.put_u32((9 + padding.len()) as u32);
    out.put_u8(kind);
    out.put_u64(number);
    out.put_slice(padding);
    out.freeze()
}

#[derive(Default)]
struct ToySession {
    /// The far side dials, and logs in as that account with [`PASSWORD`].
    hosts: Option<u64>,
    answer_within: Option<Duration>,
    pong_size: usize,
    window: usize,
    unbinding: bool,
    /// The goodbye is said.
    rested: bool,
    received: Vec<u8>,
    sent: u64,
    open: BTreeMap<Ticket, (u64, Option<Instant>)>,
    inbounds: BTreeSet<u64>,
    outputs: std::collections::VecDeque<Output>,
}

impl ToySession {
    fn transmit(&mut self, octets: Bytes) {
        self.sent += octets.len() as u64;
        self.outputs.push_back(Output::Transmit(PathId(0), Payload::octets(octets)));
    }

    fn say(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn unanswered(&mut self, late_at: Option<Instant>) {
        let late = |until: Option<Instant>| late_at.is_none_or(|now| until.is_some_and(|until| until <= now));
        let gone: Vec<_> = self.open.iter().filter(|(_, open)| late(open.1)).map(|(t, open)| (*t, open.0)).collect();
        for (ticket, offset) in gone {
            self.open.remove(&ticket);
            self.say(Event::Unanswered(ticket, offset));
            self.say(Event::Freed(ticket));
        }
    }

    fn end(&mut self, fault: Fault) -> Result<(), Fault> {
        self.unanswered(None);
        Err(fault)
    }

    fn take(&mut self, kind: u8, number: u64) -> Result<(), Fault> {
        match kind {
            BIND_OK => {
                self.window = number as usize;
                self.say(Event::Bound(self.window));
            }
            BIND_NO => return self.end(Fault::BindRefused { code: number.to_string(), permanent: true }),
            BIND if self.hosts == Some(number & 0xFF) && number >> 8 == PASSWORD => {
                self.transmit(frame(BIND_OK, 0, &[]));
                self.say(Event::Bound(0));
            }
            BIND if self.hosts.is_some() => {
                self.transmit(frame(BIND_NO, 0, &[]));
                return self.end(Fault::BindRefused { code: String::new(), permanent: true });
            }
            REST => {
                self.unbinding = true;
                self.unbind_when_idle();
            }
            SUBMIT_OK => {
                if self.open.remove(&Ticket(number)).is_some() {
                    self.say(Event::Submitted(Ticket(number), None));
                    self.say(Event::Freed(Ticket(number)));
                }
            }
            DELIVER => {
                self.inbounds.insert(number);
                let receipt = Receipt {
                    ids: std::iter::once(CarrierId::new(&number.to_be_bytes())).collect(),
                    to: "".into(),
                    state: ReceiptState::Delivered,
                    code: "".into(),
                };
                self.say(Event::Receipt(Inbound(number), Box::new(receipt)));
            }
            UNBIND_OK => return self.end(Fault::Closed),
            PING => self.transmit(frame(PONG, number, &vec![0; self.pong_size])),
            PONG => self.say(Event::ProbeAnswered),
            ODD => self.say(Event::Leniency("odd")),
            BOMB => panic!("a bomb in the toy session"),
            _ => {
                self.transmit(frame(NACK, number, &[]));
                return self.end(Fault::Broken(format!("kind {kind}")));
            }
        }
        Ok(())
    }

    fn unbind_when_idle(&mut self) {
        if self.unbinding && self.open.is_empty() {
            self.rested = true;
            self.transmit(frame(UNBIND, 0, &[]));
        }
    }
}

impl Session for ToySession {
    fn input(&mut self, now: Now, input: Input<'_>) -> Result<(), Fault> {
        match input {
            Input::Opened if self.hosts.is_some() => {}
            Input::Opened => self.transmit(frame(BIND, 0, &[])),
            Input::Octets(_, payload) => {
                self.received.extend_from_slice(payload.body);
                let mut received = std::mem::take(&mut self.received);
                let mut at = 0;
                while let Some(head) = received.get(at..at + BARE) {
                    let length = 4 + u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
                    if received.len() - at < length {
                        break;
                    }
                    self.take(head[4], u64::from_be_bytes(head[5..].try_into().unwrap()))?;
                    at += length;
                }
                received.drain(..at);
                self.received = received;
                if !self.rested {
                    self.unbind_when_idle();
                }
            }
            Input::Submit(ticket, _, part) => {
                assert!(self.room() > 0, "submitted without room");
                assert_ne!(&part.data[..], b"bomb", "a bomb among the parts");
                self.transmit(frame(SUBMIT, ticket.0, &part.data));
                self.open.insert(ticket, (self.sent, self.answer_within.map(|within| now.mono + within)));
            }
            Input::Settle(inbound, Settle::Durable) if self.inbounds.remove(&inbound.0) => {
                self.transmit(frame(DELIVER_OK, inbound.0, &[]));
            }
            Input::Settle(..) => {}
            Input::Tick => self.unanswered(Some(now.mono)),
            Input::Probe => self.transmit(frame(PING, 0, &[])),
            Input::Unbind => {
                self.unbinding = true;
                self.unbind_when_idle();
            }
            Input::Lost => return self.end(Fault::Closed),
        }
        Ok(())
    }

    fn output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        self.open.values().filter_map(|open| open.1).min()
    }

    fn room(&self) -> usize {
        if self.unbinding { 0 } else { self.window.saturating_sub(self.open.len()) }
    }
}

/// A channel of the toy protocol.
pub struct Toy {
    pub leg: Leg,
    pub answer_within: Option<Duration>,
    /// Padding of a pong.
    pub pong_size: usize,
    /// On a shared listener.
    pub account: &'static str,
}

/// Of every account.
pub const PASSWORD: u64 = 7;

/// What greets at a door: a login's number is its account, with the password above.
pub struct Greeter;

impl Protocol for Greeter {
    fn name(&self) -> &'static str {
        "toy"
    }
    fn configure(
        &self,
        _: &Common,
        _: toml::Spanned<toml::de::DeValue<'_>>,
        _: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Arc<dyn Profile>, Vec<Problem>> {
        unreachable!("nothing is configured here")
    }
    fn schema(&self) -> schemars::Schema {
        unreachable!("nothing is configured here")
    }
    fn greet(&self, first: &[u8], _: Option<&Head>, _: SocketAddr) -> Greeting {
        let Some(head) = first.get(..BARE) else { return Greeting::More };
        let number = u64::from_be_bytes(head[5..].try_into().unwrap());
        match head[4] {
            BIND => Greeting::Claim {
                account: (number & 0xFF).to_string(),
                refusal: frame(BIND_NO, 1, &[]).to_vec(),
                full: frame(BIND_FULL, 1, &[]).to_vec(),
            },
            _ => Greeting::Refuse(frame(NACK, number, &[]).to_vec()),
        }
    }
}

impl Toy {
    pub fn dialling(target: &str) -> Self {
        let leg = Leg {
            role: Role::Both,
            reach: Reach::Dial(target.to_owned()),
            transport: Transport::Stream,
            life: Life::Held,
            probe: Probe::Pdu,
        };
        Toy { leg, answer_within: None, pong_size: 0, account: "toy" }
    }

    pub fn on_demand(target: &str) -> Self {
        let mut toy = Self::dialling(target);
        toy.leg.life = Life::OnDemand;
        toy
    }

    pub fn listening(address: &str, account: &'static str) -> Self {
        let leg = Leg {
            role: Role::Receive,
            reach: Reach::Listen(address.to_owned()),
            transport: Transport::Stream,
            life: Life::Held,
            probe: Probe::None,
        };
        Toy { leg, answer_within: None, pong_size: 0, account }
    }
}

impl Profile for Toy {
    fn legs(&self) -> &[Leg] {
        std::slice::from_ref(&self.leg)
    }
    fn open(&self, _leg: usize, _seed: u64) -> Box<dyn Session> {
        let hosts = self.account.parse().ok();
        Box::new(ToySession {
            hosts,
            answer_within: self.answer_within,
            pong_size: self.pong_size,
            ..ToySession::default()
        })
    }
    fn quote(&self, _mt: &Mt<'_>) -> Result<Quote, Unsendable> {
        unreachable!("a link splits nothing")
    }
    fn split(&self, _mt: &Mt<'_>) -> Result<Parts, Unsendable> {
        unreachable!("a link splits nothing")
    }
    fn early_id(&self, _attempt: AttemptRef, _part: u8) -> Option<CarrierId> {
        None
    }
    fn account(&self) -> &str {
        self.account
    }
    fn fingerprint(&self) -> String {
        String::new()
    }
}

pub fn submit_data(number: u64, data: Bytes) -> ToLink {
    let part = Part {
        to: "+10000000000".into(),
        sender: None,
        coding: Coding::Binary,
        data,
        udh: false,
        index: 0,
        total: 1,
        reference: 0,
        valid_for: Duration::from_secs(60),
        receipt: false,
        options: String::new(),
    };
    ToLink::Submit(Ticket(number), AttemptRef(number >> 8), part)
}

pub fn submit(number: u64) -> ToLink {
    submit_data(number, Bytes::new())
}

pub fn submits(numbers: std::ops::Range<u64>) -> Vec<ToLink> {
    numbers.map(submit).collect()
}

/// A link and what it said.
pub struct Running {
    pub handle: Handle,
    pub batches: mpsc::Receiver<Batch>,
    held: std::collections::VecDeque<FromLink>,
    pub generation: u64,
}

pub const ID: LinkId = LinkId { channel: 3, link: 1 };

impl Running {
    pub fn start(toy: Toy, settings: Settings) -> Self {
        Self::start_with_places(toy, settings, 64)
    }

    pub fn start_with_places(toy: Toy, settings: Settings, places: usize) -> Self {
        let (events, batches) = mpsc::channel(places);
        let spec =
            Spec { id: ID, name: "toy".to_owned(), profile: Arc::new(toy), leg: 0, seed: 7, settings, entrance: None };
        let handle = link::spawn(spec, events).unwrap();
        Running { handle, batches, held: Default::default(), generation: 0 }
    }

    /// One that the far side dials, with whoever else is at these doors.
    pub fn listen(toy: Toy, doors: &Doors, allow_from: &[&str]) -> Self {
        let (events, batches) = mpsc::channel(64);
        let allow_from = allow_from.iter().map(|net| net.parse().unwrap()).collect();
        let entrance = Some(Entrance { doors: doors.clone(), protocol: &Greeter, allow_from });
        let settings = Settings::default();
        let spec = Spec { id: ID, name: "toy".to_owned(), profile: Arc::new(toy), leg: 0, seed: 7, settings, entrance };
        let handle = link::spawn(spec, events).unwrap();
        Running { handle, batches, held: Default::default(), generation: 0 }
    }

    /// Waits until it listens, and says where.
    pub async fn listens(&mut self) -> SocketAddr {
        match self.next().await {
            Some(FromLink::Up { window: 0, address }) => address,
            other => panic!("it does not listen: {other:?}"),
        }
    }

    /// The next event, whatever batch it is in; ages of unacknowledged octets are another matter, for a busy machine
    /// makes them anywhere.
    pub async fn next(&mut self) -> Option<FromLink> {
        loop {
            match self.any().await {
                Some(FromLink::Unacked(_)) => {}
                event => return event,
            }
        }
    }

    /// The next age of unacknowledged octets.
    pub async fn unacked(&mut self) -> Duration {
        loop {
            if let FromLink::Unacked(age) = self.any().await.unwrap() {
                return age;
            }
        }
    }

    async fn any(&mut self) -> Option<FromLink> {
        while self.held.is_empty() {
            let batch = self.batches.recv().await?;
            assert_eq!(batch.id, ID);
            // A link that listens speaks for itself, as no connection, between its connections' words.
            assert!((batch.generation >= self.generation || batch.generation == 0) && !batch.events.is_empty());
            self.generation = self.generation.max(batch.generation);
            self.held.extend(batch.events);
        }
        self.held.pop_front()
    }

    pub async fn up(&mut self) {
        let event = self.next().await;
        assert!(matches!(event, Some(FromLink::Up { .. })), "{event:?}");
    }

    /// The next `count` events.
    pub async fn take(&mut self, count: usize) -> Vec<FromLink> {
        let mut events = Vec::new();
        for _ in 0..count {
            events.push(self.next().await.unwrap());
        }
        events
    }
}

/// The far side's listener.
pub struct Far {
    pub listener: TcpListener,
    pub target: String,
}

impl Far {
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string();
        Far { listener, target }
    }

    /// One whose connections take next to nothing unless they read.
    pub async fn listen_narrowly() -> Self {
        let far = Self::listen().await;
        SockRef::from(&far.listener).set_recv_buffer_size(4096).unwrap();
        far
    }

    pub async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        Peer { stream }
    }

    /// Accepts and lets the login pass.
    pub async fn bind(&self, window: u64) -> Peer {
        let mut peer = self.accept().await;
        assert_eq!(peer.read().await, (BIND, 0));
        peer.write(&frame(BIND_OK, window, &[])).await;
        peer
    }
}

/// The far side of one connection.
pub struct Peer {
    pub stream: TcpStream,
}

impl Peer {
    /// The far side where it dials.
    pub async fn dial(address: SocketAddr) -> Peer {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Peer { stream }
    }

    /// Its login, and what is said to it; `None` where the connection is closed instead.
    pub async fn log_in(&mut self, account: u64, password: u64) -> Option<u8> {
        self.write(&frame(BIND, password << 8 | account, &[])).await;
        let mut answer = [0; BARE];
        self.stream.read_exact(&mut answer).await.ok().map(|_| answer[4])
    }

    /// Kind and number of the next frame.
    pub async fn read(&mut self) -> (u8, u64) {
        let length = self.stream.read_u32().await.unwrap() as usize;
        let kind = self.stream.read_u8().await.unwrap();
        let number = self.stream.read_u64().await.unwrap();
        self.stream.read_exact(&mut vec![0; length - 9]).await.unwrap();
        (kind, number)
    }

    pub async fn write(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
    }

    pub async fn answer(&mut self, tickets: std::ops::Range<u64>) {
        let answers: Vec<u8> = tickets.flat_map(|number| frame(SUBMIT_OK, number, &[])).collect();
        self.write(&answers).await;
    }

    /// Waits for octets, without taking them, and says how many there are.
    pub async fn arrived(&self) -> usize {
        self.stream.peek(&mut vec![0; 1 << 20]).await.unwrap()
    }

    /// Waits for octets and has the kernel acknowledge them now rather than 40 ms later, by sending something that
    /// carries the acknowledgement. Says how many there were.
    pub async fn acknowledge(&mut self) -> usize {
        let arrived = self.arrived().await;
        self.write(&frame(ODD, 0, &[])).await;
        arrived
    }

    /// What one read brings, as the link's one write.
    pub async fn one_read(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 16];
        let length = self.stream.read(&mut buffer).await.unwrap();
        buffer.truncate(length);
        buffer
    }

    /// Resets the connection.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
