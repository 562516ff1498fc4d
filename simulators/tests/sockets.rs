//! Simulators over real sockets, in this process: faults as a peer feels them, and the log they leave.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use codecs::framing;
use codecs::smpp::{Bind, Body, LIMITS, Pdu, Sm, SmResp, Tlvs};
use simulators::Simulator;
use simulators::fault::Kind;

/// A plain blocking peer.
struct Peer {
    stream: TcpStream,
    input: BytesMut,
}

impl Peer {
    fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(Self { stream, input: BytesMut::new() })
    }

    fn bound(address: SocketAddr) -> Self {
        let mut peer = Self::connect(address).unwrap();
        let bind = Bind { system_id: b"id", password: b"pw", interface_version: 0x34, ..Bind::default() };
        peer.say(1, Body::BindTransceiver(bind));
        assert_eq!(peer.hear().unwrap()[11], 0);
        peer
    }

    fn say(&mut self, sequence: u32, body: Body<'_>) {
        let mut octets = BytesMut::new();
        Pdu { status: 0, sequence, body }.write(&mut octets);
        self.stream.write_all(&octets).unwrap();
    }

    fn submit(&mut self, sequence: u32) {
        let to = format!("86138{sequence:08}");
        let sm = Sm {
            source_addr: b"1069",
            destination_addr: to.as_bytes(),
            registered_delivery: 1,
            short_message: b"hello",
            ..Sm::default()
        };
        self.say(sequence, Body::SubmitSm(sm));
    }

    /// The next PDU.
    fn hear(&mut self) -> std::io::Result<Vec<u8>> {
        loop {
            match framing::cut(&self.input, &LIMITS) {
                Ok(Some(length)) => return Ok(self.input.split_to(length).to_vec()),
                Ok(None) => {}
                Err(broken) => return Err(std::io::Error::other(broken)),
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                n => self.input.extend_from_slice(&piece[..n]),
            }
        }
    }
}

const SUBMIT_SM_RESP: u32 = 0x8000_0004;
const DELIVER_SM: u32 = 5;

fn command(pdu: &[u8]) -> u32 {
    u32::from_be_bytes(pdu[4..8].try_into().unwrap())
}

fn start(more: &str) -> (Simulator, SocketAddr) {
    let scenario = format!("[[carrier]]\nname = 'a'\nprotocol = 'smpp'\nsystem_id = 'id'\npassword = 'pw'\n{more}\n");
    let simulator = Simulator::start(&scenario).unwrap();
    let address = simulator.address("a").unwrap();
    (simulator, address)
}

#[test]
fn submits_are_answered_receipts_come_and_the_log_is_whole() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let (simulator, address) = start(&format!(
        "log = '{}'\nanswer_latency = {{ min = 0, max = 5 }}\nreceipts = {{ after = 5, failed = 0.5 }}",
        log.path().display()
    ));
    let mut peer = Peer::bound(address);
    (2..102).for_each(|sequence| peer.submit(sequence));
    let (mut answers, mut receipts) = (0, 0);
    while answers < 100 || receipts < 100 {
        let pdu = peer.hear().unwrap();
        match command(&pdu) {
            SUBMIT_SM_RESP => answers += 1,
            DELIVER_SM => {
                receipts += 1;
                let sequence = u32::from_be_bytes(pdu[12..16].try_into().unwrap());
                peer.say(sequence, Body::DeliverSmResp(SmResp { message_id: b"", tlvs: Tlvs::default() }));
            }
            other => panic!("{other:#x}"),
        }
    }
    peer.say(500, Body::Unbind);
    assert_eq!(command(&peer.hear().unwrap()), 0x8000_0006);
    assert_eq!(peer.hear().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    let counters = simulator.report().remove(0).counters;
    assert_eq!((counters.submits, counters.answered, counters.receipts_acked), (100, 100, 100));
    simulator.stop().unwrap();
    let text = std::fs::read_to_string(log.path()).unwrap();
    let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    assert_eq!((count("\"kind\":\"submit\""), count("\"kind\":\"receipt\"")), (100, 100));
    assert_eq!(count("\"acked\":true"), 100);
}

#[test]
fn reset_and_refuse_are_felt_and_pass() {
    let (simulator, address) = start("");
    let mut peer = Peer::bound(address);
    simulator.fault("a", Kind::Reset, None);
    assert_eq!(peer.hear().unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut peer = Peer::bound(address);
    simulator.fault("a", Kind::Refuse, None);
    assert_eq!(peer.hear().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    let refused = || Peer::connect(address).err().map(|error| error.kind()) == Some(ErrorKind::ConnectionRefused);
    assert!((0..10_000).any(|_| refused()), "the listener goes");
    simulator.clear_faults();
    assert!((0..10_000).any(|_| Peer::connect(address).is_ok()), "and comes back");
}

#[test]
fn a_hanging_carrier_answers_when_it_wakes() {
    let (simulator, address) = start("receipts = { none = 1 }");
    let mut peer = Peer::bound(address);
    simulator.fault("a", Kind::Hang, None);
    assert_eq!(simulator.report()[0].faults, [Kind::Hang]);
    peer.submit(2);
    peer.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(peer.hear().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(simulator.report()[0].counters.submits, 0);
    simulator.clear_faults();
    peer.stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(command(&peer.hear().unwrap()), SUBMIT_SM_RESP);
}

#[test]
fn split_octets_and_garbage_arrive_as_such() {
    let (simulator, address) = start("receipts = { none = 1 }");
    let mut peer = Peer::bound(address);
    simulator.fault("a", Kind::SplitBytes, None);
    assert_eq!(simulator.report()[0].faults, [Kind::SplitBytes]);
    peer.submit(2);
    // An answer with an id of ten digits is 27 octets long.
    let (mut octets, mut pieces) = (0, 0);
    while octets < 27 {
        octets += peer.stream.read(&mut [0; 64]).unwrap();
        pieces += 1;
    }
    assert!(pieces > 1, "the answer came in one piece");
    simulator.clear_faults();
    let mut peer = Peer::bound(address);
    simulator.fault("a", Kind::Garbage, None);
    assert_eq!(peer.hear().unwrap_err().kind(), ErrorKind::Other);
}

#[test]
fn the_control_port_switches_faults_and_sends_uplink_messages() {
    let (simulator, address) = start("");
    let mut peer = Peer::bound(address);
    let call = |request: &str, body: &str| {
        let mut stream = TcpStream::connect(simulator.control()).unwrap();
        let length = body.len();
        write!(stream, "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(call("POST /mo", r#"{"carrier":"a","from":"8613","to":"1069","text":"STOP"}"#).contains(" 204 "));
    assert_eq!(command(&peer.hear().unwrap()), DELIVER_SM);
    assert!(call("POST /faults", r#"{"carrier":"a","kind":"throttle","for":"1h"}"#).contains(" 204 "));
    peer.submit(2);
    assert_eq!(peer.hear().unwrap()[11], 0x58);
    let carriers = call("GET /carriers", "");
    assert!(carriers.contains(r#""faults":["throttle"]"#) && carriers.contains(r#""throttled":1"#), "{carriers}");
    assert!(call("DELETE /faults", "").contains(" 204 "));
    for (body, problem) in [
        (r#"{"carrier":"b","kind":"mute"}"#, "no carrier named `b`"),
        (r#"{"kind":"sulk"}"#, "unknown variant `sulk`"),
        (r#"{"kind":"mute","fro":"1s"}"#, "unknown field `fro`"),
    ] {
        let answer = call("POST /faults", body);
        assert!(answer.contains(" 400 ") && answer.contains(problem), "{answer}");
    }
    assert!(call("GET /nothing", "").contains(" 404 "));
}

#[test]
fn a_scenario_that_cannot_start_says_why() {
    let (_simulator, address) = start("");
    let taken = format!("[[carrier]]\nname='b'\nprotocol='smpp'\nsystem_id='i'\npassword='p'\nlisten='{address}'");
    let error = Simulator::start(&taken).unwrap_err().to_string();
    assert!(error.contains(&address.to_string()), "{error}");
    assert!(Simulator::start("nonsense").unwrap_err().to_string().starts_with("scenario:1:"));
}
