//! Simulated carriers of China over real sockets: a login, a submit, a receipt in each protocol, the faults that only a
//! socket shows, and SGIP's connection back.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use codecs::framing;
use codecs::layout::Items;
use codecs::{cmpp, sgip, smgp};
use simulators::Simulator;
use simulators::fault::Kind;

const SOON: Duration = Duration::from_secs(5);
const TIMESTAMP: u32 = 1_122_034_716;

/// A plain blocking peer.
struct Peer {
    stream: TcpStream,
    input: BytesMut,
}

impl Peer {
    fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(SOON)).unwrap();
        Self { stream, input: BytesMut::new() }
    }

    fn connect(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    fn say(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let mut octets = BytesMut::new();
        write(&mut octets);
        self.stream.write_all(&octets).unwrap();
    }

    /// The next PDU.
    fn hear(&mut self) -> std::io::Result<Vec<u8>> {
        loop {
            match framing::cut(&self.input, &cmpp::LIMITS) {
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

    fn cmpp(&mut self, sequence: u32, body: cmpp::Body<'_>) {
        self.say(|out| cmpp::Pdu { sequence, body }.write(cmpp::Version::V30, out));
    }

    fn smgp(&mut self, sequence: u32, body: smgp::Body<'_>) {
        self.say(|out| smgp::Pdu { sequence, body }.write((), out));
    }

    fn sgip(&mut self, sequence: sgip::Sequence, body: sgip::Body<'_>) {
        self.say(|out| sgip::Pdu { sequence, body }.write((), out));
    }
}

fn command(pdu: &[u8]) -> u32 {
    u32::from_be_bytes(pdu[4..8].try_into().unwrap())
}

fn start(carrier: &str) -> (Simulator, SocketAddr) {
    let simulator = Simulator::start(&format!("[[carrier]]\nname = 'a'\n{carrier}\n")).unwrap();
    let address = simulator.address("a").unwrap();
    (simulator, address)
}

const CMPP: &str = "protocol = 'cmpp'\nsource_addr = '901234'\nshared_secret = 'secret'\n";

fn cmpp_submit() -> cmpp::Body<'static> {
    cmpp::Body::Submit(cmpp::Submit {
        registered_delivery: 1,
        msg_src: b"901234",
        dest_terminal_id: Items::one(b"13800138000"),
        msg_content: b"hello",
        ..cmpp::Submit::default()
    })
}

fn cmpp_bound(address: SocketAddr) -> Peer {
    let mut peer = Peer::connect(address);
    let connect = cmpp::Connect::new(b"901234", b"secret", cmpp::Version::V30, TIMESTAMP);
    peer.cmpp(1, cmpp::Body::Connect(connect));
    assert_eq!(peer.hear().unwrap()[12..16], [0; 4]);
    peer
}

#[test]
fn an_ismg_takes_submits_and_its_log_is_whole() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let more = format!(
        "log = '{}'\nanswer_latency = {{ min = 0, max = 5 }}\nreceipts = {{ after = 5 }}",
        log.path().display()
    );
    let (simulator, address) = start(&format!("{CMPP}{more}"));
    let mut peer = cmpp_bound(address);
    (2..52).for_each(|sequence| peer.cmpp(sequence, cmpp_submit()));
    let (mut answers, mut reports) = (0, 0);
    while answers < 50 || reports < 50 {
        let pdu = peer.hear().unwrap();
        match cmpp::Pdu::read(&pdu, cmpp::Version::V30).unwrap().body {
            cmpp::Body::SubmitResp(resp) => answers += u32::from(resp.result == 0),
            cmpp::Body::Deliver(deliver) => {
                reports += 1;
                let sequence = u32::from_be_bytes(pdu[8..12].try_into().unwrap());
                let resp = cmpp::DeliverResp { msg_id: deliver.msg_id, result: 0 };
                peer.cmpp(sequence, cmpp::Body::DeliverResp(resp));
            }
            other => panic!("{other:?}"),
        }
    }
    peer.cmpp(99, cmpp::Body::Terminate);
    assert_eq!(command(&peer.hear().unwrap()), 0x8000_0002);
    assert_eq!(peer.hear().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    simulator.stop().unwrap();
    let text = std::fs::read_to_string(log.path()).unwrap();
    let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    assert_eq!((count("\"kind\":\"submit\""), count("\"acked\":true")), (50, 50));
}

#[test]
fn faults_are_felt_on_every_protocols_socket() {
    let smgp = "protocol = 'smgp'\nclient_id = '10000001'\nshared_secret = 'secret'\n";
    let sgip = "protocol = 'sgip'\nlogin = 'sp'\npassword = 'secret'\n";
    for carrier in [CMPP, smgp, sgip] {
        let (simulator, address) = start(carrier);
        let mut peer = Peer::connect(address);
        assert!((0..100_000).any(|_| simulator.report()[0].counters.connections > 0));
        simulator.fault("a", Kind::Reset, None);
        assert_eq!(peer.hear().unwrap_err().kind(), ErrorKind::ConnectionReset);
        let mut peer = Peer::connect(address);
        assert!((0..100_000).any(|_| simulator.report()[0].counters.connections > 0));
        simulator.fault("a", Kind::Garbage, None);
        assert_eq!(peer.hear().unwrap_err().kind(), ErrorKind::Other);
        simulator.fault("a", Kind::Refuse, None);
        let refused =
            || TcpStream::connect(address).err().map(|error| error.kind()) == Some(ErrorKind::ConnectionRefused);
        assert!((0..10_000).any(|_| refused()), "the listener goes");
    }
}

#[test]
fn a_hanging_ismg_wakes_and_split_octets_arrive_one_by_one() {
    let (simulator, address) = start(&format!("{CMPP}receipts = {{ none = 1 }}"));
    let mut peer = cmpp_bound(address);
    simulator.fault("a", Kind::Hang, None);
    assert_eq!(simulator.report()[0].faults, [Kind::Hang]);
    peer.cmpp(2, cmpp_submit());
    peer.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(peer.hear().unwrap_err().kind(), ErrorKind::WouldBlock);
    simulator.clear_faults();
    peer.stream.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(command(&peer.hear().unwrap()), 0x8000_0004);
    simulator.fault("a", Kind::SplitBytes, None);
    assert_eq!(simulator.report()[0].faults, [Kind::SplitBytes]);
    peer.cmpp(3, cmpp_submit());
    let (mut octets, mut pieces) = (0, 0);
    while octets < 24 {
        octets += peer.stream.read(&mut [0; 64]).unwrap();
        pieces += 1;
    }
    assert!(pieces > 1, "the answer came in one piece");
}

#[test]
fn an_smgw_answers_and_reports() {
    let (_simulator, address) =
        start("protocol = 'smgp'\nclient_id = '10000001'\nshared_secret = 'secret'\nreceipts = { after = 5 }");
    let mut peer = Peer::connect(address);
    peer.smgp(1, smgp::Body::Login(smgp::Login::new(b"10000001", b"secret", smgp::login_mode::BOTH, TIMESTAMP)));
    assert_eq!(peer.hear().unwrap()[12..16], [0; 4]);
    let submit = smgp::Submit {
        need_report: 1,
        dest_term_id: Items::one(b"13300133000"),
        msg_content: b"hello",
        ..smgp::Submit::default()
    };
    peer.smgp(2, smgp::Body::Submit(submit));
    let (answer, report) = (peer.hear().unwrap(), peer.hear().unwrap());
    let smgp::Body::Deliver(deliver) = smgp::Pdu::read(&report, ()).unwrap().body else { panic!("{report:?}") };
    assert_eq!(smgp::report::msg_id(&deliver.report().unwrap()).unwrap()[..], answer[12..22]);
}

/// The SMG calls our listener, which is not there at first, with report and message from a handset.
#[test]
fn an_smg_calls_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let callback = listener.local_addr().unwrap();
    drop(listener);
    let (simulator, address) = start(&format!(
        "protocol = 'sgip'\nlogin = 'sp'\npassword = 'secret'\ncallback = '{callback}'\ncallback_idle = 50\n\
         receipts = {{ after = 5, retry_after = 20 }}"
    ));
    let mut peer = Peer::connect(address);
    let at = |counter| sgip::Sequence { node: 3_010_012_345, time: TIMESTAMP, counter };
    let bind = sgip::Bind { login_type: 1, login_name: b"sp", login_password: b"secret", reserve: &[] };
    peer.sgip(at(1), sgip::Body::Bind(bind));
    assert_eq!(peer.hear().unwrap()[20], 0);
    let submit = sgip::Submit {
        report_flag: sgip::report_flag::ALWAYS,
        user_number: Items::one(b"8613000130000"),
        message_content: b"hello",
        ..sgip::Submit::default()
    };
    peer.sgip(at(2), sgip::Body::Submit(submit));
    assert_eq!(peer.hear().unwrap()[20], 0);
    assert!((0..100_000).any(|_| simulator.report()[0].counters.dials > 0));
    let listener = TcpListener::bind(callback).unwrap();
    let mut called = Peer::of(listener.accept().unwrap().0);
    let ok = |called: &mut Peer, wanted: u32| {
        let pdu = called.hear().unwrap();
        assert_eq!(command(&pdu), wanted);
        let sequence = sgip::Pdu::read(&pdu, ()).unwrap().sequence;
        let body = sgip::Body::Unknown { command: wanted | 0x8000_0000, body: &[0; 9] };
        called.sgip(sequence, body);
        pdu
    };
    let bind = ok(&mut called, sgip::command::BIND);
    assert_eq!(bind[20], sgip::login_type::SMG_TO_SP);
    assert_eq!(ok(&mut called, sgip::command::REPORT)[20..32], at(2).octets());
    simulator.send_mo("a", "8613000130000", "10690001", "TD");
    ok(&mut called, sgip::command::DELIVER);
    ok(&mut called, sgip::command::UNBIND);
    assert_eq!(called.hear().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    let counters = simulator.report().remove(0).counters;
    assert_eq!((counters.receipts_acked, counters.mo_acked), (1, 1));
}
