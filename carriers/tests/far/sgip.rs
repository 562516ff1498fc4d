//! A small SMG, on our connection or its own.

use std::time::Duration;

use bytes::BytesMut;
use codecs::framing::{self, RESPONSE};
use codecs::sgip::{
    Bind, Body, Deliver, LIMITS, Pdu, Report, Resp, Sequence, UserRpt, command, login_type, result, user_condition,
};

use super::{Case, Far, Heard, Say, Serial, Word};

/// With a listener, and so a leg for each direction.
const TWO_WAYS: &str = r#"
    address = "smg.example:8801"
    listen = "127.0.0.1:8801"
    login_name = "sp"
    login_password = "secret"
    corp_id = "12345"
    area = "010"
    sp_number = "10690001"
    idle = "10s"
    answer_timeout = "3s"
    bind_timeout = "2s"
"#;
/// An aggregator that says everything on our connection.
const ONE_WAY: &str = r#"
    address = "smg.example:8801"
    login_name = "sp"
    login_password = "secret"
    corp_id = "12345"
    area = "010"
    sp_number = "10690001"
    idle = "10s"
    answer_timeout = "3s"
    bind_timeout = "2s"
"#;

pub fn cases() -> Vec<Case> {
    let case = |table| Case {
        protocol: "sgip",
        table,
        answer: Duration::from_secs(3),
        bind: Duration::from_secs(2),
        silence: Duration::from_secs(10),
        far: || Box::new(Smg::default()),
    };
    vec![case(TWO_WAYS), case(ONE_WAY)]
}

#[derive(Default)]
struct Smg {
    rest: Vec<u8>,
}

fn serial(sequence: Sequence) -> Serial {
    sequence.octets().into_iter().fold(0, |serial, octet| serial << 8 | Serial::from(octet))
}

fn sequence(serial: Serial) -> Sequence {
    Sequence { node: (serial >> 64) as u32, time: (serial >> 32) as u32, counter: serial as u32 }
}

fn settled(serial: Serial, result: u8) -> Heard {
    match result {
        result::OK => Heard::Settled(serial, Word::Yes),
        result::BUSY => Heard::Settled(serial, Word::Later),
        result::NOT_PROVIDED => Heard::Settled(serial, Word::No),
        _ => Heard::Nack,
    }
}

impl Far for Smg {
    fn hear(&mut self, octets: &[u8]) -> Vec<Heard> {
        self.rest.extend_from_slice(octets);
        let mut heard = Vec::new();
        while let Some(whole) = framing::cut(&self.rest, &LIMITS).expect("our session frames well") {
            let pdu: Vec<u8> = self.rest.drain(..whole).collect();
            let pdu = Pdu::read(&pdu, ()).expect("our session writes what can be read");
            let serial = serial(pdu.sequence);
            heard.push(match pdu.body {
                Body::Bind(login) => {
                    assert_eq!(
                        (login.login_type, login.login_name, login.login_password),
                        (1, &b"sp"[..], &b"secret"[..])
                    );
                    Heard::Bind(serial)
                }
                Body::BindResp(Resp { result, .. }) => Heard::BindAnswer(serial, result == result::OK),
                Body::Submit(_) => Heard::Submit(serial),
                // No request has this number: the last word to a stream that cannot be read.
                Body::Unbind if serial == 0 => Heard::Nack,
                Body::Unbind => Heard::Unbind(serial),
                Body::UnbindResp => Heard::UnbindAnswer(serial),
                Body::DeliverResp(Resp { result, .. }) | Body::ReportResp(Resp { result, .. }) => {
                    settled(serial, result)
                }
                Body::UserRptResp(Resp { result: result::OK, .. }) => Heard::ProbeAnswer(serial),
                // A request of ours that was harmed on its way is answered with what is wrong with it.
                Body::UserRptResp(_) => Heard::Nack,
                Body::SubmitResp(Resp { result, .. }) if result != result::OK => Heard::Nack,
                Body::Unknown { command, .. } if command & RESPONSE != 0 => Heard::Nack,
                other => panic!("our session said {other:?}"),
            });
        }
        heard
    }

    fn say(&self, say: Say<'_>) -> Vec<u8> {
        let bind = |login_password| {
            let login_type = login_type::SMG_TO_SP;
            Body::Bind(Bind { login_type, login_name: b"sp", login_password, ..Bind::default() })
        };
        let (serial, body) = match say {
            Say::Bind(serial) => (serial, bind(b"secret")),
            Say::BindWrongly(serial) => (serial, bind(b"guess")),
            Say::BindYes(serial) => (serial, Body::BindResp(Resp::new(result::OK))),
            Say::BindNo(serial) => (serial, Body::BindResp(Resp::new(result::LOGIN))),
            Say::Accept(serial, _) => (serial, Body::SubmitResp(Resp::new(result::OK))),
            Say::Refuse(serial) => (serial, Body::SubmitResp(Resp::new(result::FORMAT))),
            // Nothing is a probe; this is what is answered at once.
            Say::Probe(serial) => {
                let told = UserRpt { user_condition: user_condition::NORMAL, ..UserRpt::default() };
                (serial, Body::UserRpt(told))
            }
            Say::ProbeAnswer(serial) => (serial, Body::UserRptResp(Resp::new(result::OK))),
            Say::Receipt(serial, id) => {
                let submit_sequence = Sequence { counter: u32::from_str_radix(id, 16).unwrap(), ..sequence(serial) };
                let report = Report { submit_sequence, user_number: b"447700900123", ..Report::default() };
                (serial, Body::Report(report))
            }
            Say::Mo(serial, text) => {
                let deliver = Deliver {
                    user_number: b"447700900123",
                    sp_number: b"10690001",
                    message_content: text.as_bytes(),
                    ..Deliver::default()
                };
                (serial, Body::Deliver(deliver))
            }
            Say::Unbind(serial) => (serial, Body::Unbind),
            Say::UnbindAnswer(serial) => (serial, Body::UnbindResp),
            Say::Unreadable(serial) => (serial, Body::Unknown { command: command::DELIVER, body: &[b'x'; 9] }),
            Say::Unknown(serial) => (serial, Body::Unknown { command: 0x0666, body: b"?" }),
            Say::Broken => return vec![0, 0, 0, 5, 1, 2, 3, 4, 5],
        };
        let mut out = BytesMut::new();
        Pdu { sequence: sequence(serial), body }.write((), &mut out);
        out.to_vec()
    }
}
