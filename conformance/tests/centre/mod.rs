//! A message centre a test plays by hand: every octet on the wire is the test's own.
#![allow(dead_code, unreachable_pub)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use codecs::framing::cut;
use codecs::smpp::{BindResp, Body, LIMITS, Pdu};
use conformance::stage::SOON;
use conformance::wait::until;

/// A listener; connections are taken one by one.
pub struct Centre(TcpListener);

impl Centre {
    pub fn open() -> Centre {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Centre(listener)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// The next connection, with nothing said on it.
    pub fn dialled(&self) -> Link {
        let (stream, _) = until("the gateway to dial", SOON, || self.0.accept().ok());
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        Link { stream, input: Vec::new(), sequence: 1_000 }
    }

    /// The next connection, bound.
    pub fn bound(&self) -> Link {
        let mut link = self.dialled();
        let bind = link.read();
        let pdu = Pdu::read(&bind).unwrap();
        assert!(matches!(pdu.body, Body::BindTransceiver(_)), "{:?}", pdu.body);
        let answer = BindResp { system_id: b"centre", ..BindResp::default() };
        link.send(pdu.sequence, 0, Body::BindTransceiverResp(answer));
        link
    }

    /// Whether the gateway dials again within `time`.
    pub fn dialled_within(&self, time: Duration) -> bool {
        conformance::wait::found(time, || self.0.accept().ok()).is_some()
    }
}

/// One connection.
pub struct Link {
    stream: TcpStream,
    input: Vec<u8>,
    sequence: u32,
}

impl Link {
    pub fn write(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).unwrap();
    }

    pub fn send(&mut self, sequence: u32, status: u32, body: Body<'_>) {
        self.write(&octets(sequence, status, body));
    }

    /// The next PDU's octets.
    pub fn read(&mut self) -> Vec<u8> {
        loop {
            if let Some(length) = cut(&self.input, &LIMITS).unwrap() {
                return self.input.drain(..length).collect();
            }
            let mut piece = [0; 4096];
            let count = self.stream.read(&mut piece).unwrap_or_else(|error| panic!("no PDU came: {error}"));
            assert!(count > 0, "the gateway closed the link");
            self.input.extend_from_slice(&piece[..count]);
        }
    }

    /// Reads until the answer to `sequence`: its command and status. Probes are answered meanwhile.
    pub fn answer(&mut self, sequence: u32) -> (u32, u32) {
        loop {
            let octets = self.read();
            let pdu = Pdu::read(&octets).unwrap();
            match pdu.body {
                Body::EnquireLink => self.send(pdu.sequence, 0, Body::EnquireLinkResp),
                body if pdu.sequence == sequence => return (body.command(), pdu.status),
                body => panic!("waited for the answer to {sequence}, got {body:?}"),
            }
        }
    }

    /// Proves that the link still stands and is heard.
    pub fn stands(&mut self) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.send(sequence, 0, Body::EnquireLink);
        assert_eq!(self.answer(sequence), (codecs::smpp::command::ENQUIRE_LINK_RESP, 0));
    }

    /// Closes the link from this side.
    pub fn shut(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Both).unwrap();
    }

    /// Waits for the gateway to give the link up; what it still says is passed over.
    pub fn given_up(&mut self) {
        let mut piece = [0; 4096];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) => panic!("the gateway keeps a broken link: {error}"),
            }
        }
    }
}

/// The octets of a PDU.
pub fn octets(sequence: u32, status: u32, body: Body<'_>) -> Vec<u8> {
    let mut out = BytesMut::new();
    Pdu { status, sequence, body }.write(&mut out);
    out.to_vec()
}

/// A PDU with any header and body; its length is true unless `length` says otherwise.
pub fn raw(length: Option<u32>, command: u32, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = length.unwrap_or(16 + body.len() as u32);
    let head = [length, command, 0, sequence].map(u32::to_be_bytes).concat();
    [&head, body].concat()
}
