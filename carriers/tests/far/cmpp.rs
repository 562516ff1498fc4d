//! A small ISMG.

use std::time::Duration;

use bytes::BytesMut;
use codecs::cmpp::{
    ActiveTestResp, Body, Connect, ConnectResp, Deliver, DeliverResp, LIMITS, Pdu, Report, SubmitResp, Version,
    command, status,
};
use codecs::framing::{self, RESPONSE};
use codecs::layout::Layout;

use super::{Case, Far, Heard, Say, Serial, Word};

const V30: &str = r#"
    address = "ismg.example:7890"
    source_addr = "901234"
    shared_secret = "secret"
    src_id = "10690001"
    active_test = "10s"
    answer_timeout = "3s"
    bind_timeout = "2s"
"#;
const V20: &str = r#"
    address = "ismg.example:7890"
    source_addr = "901234"
    shared_secret = "secret"
    src_id = "10690001"
    version = "2.0"
    active_test = "10s"
    answer_timeout = "3s"
    bind_timeout = "2s"
    dialect = { first_sequence = "one", check_server = true, tp_udhi = 64 }
"#;

pub fn cases() -> Vec<Case> {
    let case = |table, far| Case {
        protocol: "cmpp",
        table,
        answer: Duration::from_secs(3),
        bind: Duration::from_secs(2),
        silence: Duration::from_secs(13),
        far,
    };
    vec![case(V30, || Box::new(Ismg::of(Version::V30))), case(V20, || Box::new(Ismg::of(Version::V20)))]
}

struct Ismg {
    version: Version,
    rest: Vec<u8>,
    /// The digest of the login, which its answer's is made of.
    digest: [u8; 16],
}

impl Ismg {
    fn of(version: Version) -> Ismg {
        Ismg { version, rest: Vec::new(), digest: [0; 16] }
    }

    fn report(&self, id: &str, content: &mut BytesMut) {
        let report = Report {
            msg_id: id_of(id),
            stat: b"DELIVRD",
            submit_time: b"2611220700",
            done_time: b"2611220701",
            dest_terminal_id: b"447700900123",
            smsc_sequence: 7,
        };
        report.write(self.version, content);
    }
}

fn id_of(id: &str) -> [u8; 8] {
    let mut octets = [0; 8];
    octets.iter_mut().zip(id.bytes()).for_each(|(octet, from)| *octet = from);
    octets
}

impl Far for Ismg {
    fn hear(&mut self, octets: &[u8]) -> Vec<Heard> {
        self.rest.extend_from_slice(octets);
        let mut heard = Vec::new();
        while let Some(whole) = framing::cut(&self.rest, &LIMITS).expect("our session frames well") {
            let pdu: Vec<u8> = self.rest.drain(..whole).collect();
            let pdu = Pdu::read(&pdu, self.version).expect("our session writes what can be read");
            let serial = Serial::from(pdu.sequence);
            heard.push(match pdu.body {
                Body::Connect(connect) => {
                    assert!(connect.is_authentic(b"secret") && connect.version == self.version.octet());
                    self.digest = connect.authenticator_source;
                    Heard::Bind(serial)
                }
                Body::Submit(_) => Heard::Submit(serial),
                Body::ActiveTest => Heard::Probe(serial),
                Body::ActiveTestResp(_) => Heard::ProbeAnswer(serial),
                // No request has this number: the last word to a stream that cannot be read.
                Body::Terminate if serial == 0 => Heard::Nack,
                Body::Terminate => Heard::Unbind(serial),
                Body::TerminateResp => Heard::UnbindAnswer(serial),
                Body::DeliverResp(DeliverResp { msg_id, result }) => {
                    let word = match result {
                        status::result::OK => Some(Word::Yes),
                        status::result::FLOW_CONTROL => Some(Word::Later),
                        9 => Some(Word::No),
                        _ => None,
                    };
                    let delivery = (serial as u64).to_be_bytes();
                    // The answer repeats the delivery's own id, or settles nothing.
                    word.filter(|_| msg_id == delivery).map_or(Heard::Nack, |word| Heard::Settled(serial, word))
                }
                Body::SubmitResp(SubmitResp { result, .. }) if result != status::result::OK => Heard::Nack,
                Body::ConnectResp(ConnectResp { status, .. }) if status != status::connect::OK => Heard::Nack,
                Body::CancelResp(_) | Body::QueryResp(_) | Body::FwdResp(_) => Heard::Nack,
                Body::Unknown { command, .. } if command & RESPONSE != 0 => Heard::Nack,
                other => panic!("our session said {other:?}"),
            });
        }
        heard
    }

    fn say(&self, say: Say<'_>) -> Vec<u8> {
        let mut content = BytesMut::new();
        let (serial, body) = match say {
            Say::Bind(_) | Say::BindWrongly(_) => panic!("the far side never logs in"),
            Say::BindYes(serial) => {
                let connect = Connect { authenticator_source: self.digest, ..Connect::default() };
                (serial, Body::ConnectResp(ConnectResp::accepted(&connect, b"secret", self.version)))
            }
            Say::BindNo(serial) => {
                (serial, Body::ConnectResp(ConnectResp::refused(status::connect::AUTHENTICATION, self.version)))
            }
            Say::Accept(serial, id) => (serial, Body::SubmitResp(SubmitResp { msg_id: id_of(id), result: 0 })),
            Say::Refuse(serial) => {
                (serial, Body::SubmitResp(SubmitResp { msg_id: [0; 8], result: status::result::SERVICE_ID }))
            }
            Say::Probe(serial) => (serial, Body::ActiveTest),
            Say::ProbeAnswer(serial) => (serial, Body::ActiveTestResp(ActiveTestResp::default())),
            Say::Receipt(serial, id) => {
                self.report(id, &mut content);
                let deliver = Deliver {
                    msg_id: (serial as u64).to_be_bytes(),
                    registered_delivery: 1,
                    src_terminal_id: b"447700900123",
                    msg_content: &content,
                    ..Deliver::default()
                };
                (serial, Body::Deliver(deliver))
            }
            Say::Mo(serial, text) => {
                let deliver = Deliver {
                    msg_id: (serial as u64).to_be_bytes(),
                    dest_id: b"10690001",
                    src_terminal_id: b"447700900123",
                    msg_content: text.as_bytes(),
                    ..Deliver::default()
                };
                (serial, Body::Deliver(deliver))
            }
            Say::Unbind(serial) => (serial, Body::Terminate),
            Say::UnbindAnswer(serial) => (serial, Body::TerminateResp),
            Say::Unreadable(serial) => (serial, Body::Unknown { command: command::DELIVER, body: &[b'x'; 9] }),
            Say::Unknown(serial) => (serial, Body::Unknown { command: 0x0666, body: b"?" }),
            Say::Broken => return vec![0, 0, 0, 5, 1, 2, 3, 4, 5],
        };
        let mut out = BytesMut::new();
        Pdu { sequence: serial as u32, body }.write(self.version, &mut out);
        out.to_vec()
    }
}
