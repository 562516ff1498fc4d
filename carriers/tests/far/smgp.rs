//! A small SMGW.

use std::time::Duration;

use bytes::BytesMut;
use codecs::framing::{self, RESPONSE};
use codecs::smgp::report::{ReceiptText, Spelling, write};
use codecs::smgp::{
    Body, Deliver, DeliverResp, LIMITS, Login, LoginResp, Pdu, SubmitResp, command, login_mode, status,
};

use super::{Case, Far, Heard, Say, Serial, Word};

const BOTH: &str = r#"
    address = "smgw.example:8890"
    client_id = "10000001"
    shared_secret = "secret"
    src_term_id = "10690001"
    active_test = "10s"
    answer_timeout = "3s"
    bind_timeout = "2s"
"#;
const PAIR: &str = r#"
    address = "smgw.example:8890"
    client_id = "100"
    shared_secret = "secret"
    src_term_id = "10690001"
    login_mode = "send+receive"
    active_test = "10s"
    answer_timeout = "3s"
    bind_timeout = "2s"
    dialect = { first_sequence = "one", login_digest = "padded", check_server = true }
"#;

pub fn cases() -> Vec<Case> {
    let case = |table, far| Case {
        protocol: "smgp",
        table,
        answer: Duration::from_secs(3),
        bind: Duration::from_secs(2),
        silence: Duration::from_secs(13),
        far,
    };
    vec![
        case(BOTH, || Box::new(Smgw { modes: &[login_mode::BOTH], ..Smgw::default() })),
        case(PAIR, || Box::new(Smgw { modes: &[login_mode::SEND, login_mode::RECEIVE], ..Smgw::default() })),
    ]
}

#[derive(Default)]
struct Smgw {
    /// Logins the account has.
    modes: &'static [u8],
    rest: Vec<u8>,
    /// The digest of the login, which its answer's is made of.
    digest: [u8; 16],
}

fn id_of(id: &str) -> [u8; 10] {
    let mut octets = [0; 10];
    octets.iter_mut().zip(id.bytes()).for_each(|(octet, from)| *octet = from);
    octets
}

impl Far for Smgw {
    fn hear(&mut self, octets: &[u8]) -> Vec<Heard> {
        self.rest.extend_from_slice(octets);
        let mut heard = Vec::new();
        while let Some(whole) = framing::cut(&self.rest, &LIMITS).expect("our session frames well") {
            let pdu: Vec<u8> = self.rest.drain(..whole).collect();
            let pdu = Pdu::read(&pdu, ()).expect("our session writes what can be read");
            let serial = Serial::from(pdu.sequence);
            heard.push(match pdu.body {
                Body::Login(login) => {
                    assert!(login.is_authentic(b"secret") && self.modes.contains(&login.login_mode));
                    self.digest = login.authenticator_client;
                    Heard::Bind(serial)
                }
                Body::Submit(_) => Heard::Submit(serial),
                Body::ActiveTest => Heard::Probe(serial),
                Body::ActiveTestResp => Heard::ProbeAnswer(serial),
                // No request has this number: the last word to a stream that cannot be read.
                Body::Exit if serial == 0 => Heard::Nack,
                Body::Exit => Heard::Unbind(serial),
                Body::ExitResp => Heard::UnbindAnswer(serial),
                Body::DeliverResp(DeliverResp { msg_id, status }) => {
                    let word = match status {
                        status::OK => Some(Word::Yes),
                        status::BUSY => Some(Word::Later),
                        128 => Some(Word::No),
                        _ => None,
                    };
                    let delivery = id_of(&serial.to_string());
                    // The answer repeats the delivery's own id, or settles nothing.
                    word.filter(|_| msg_id == delivery).map_or(Heard::Nack, |word| Heard::Settled(serial, word))
                }
                Body::SubmitResp(SubmitResp { status, .. }) if status != status::OK => Heard::Nack,
                Body::LoginResp(LoginResp { status, .. }) if status != status::OK => Heard::Nack,
                Body::QueryResp(_) => Heard::Nack,
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
                let login = Login { authenticator_client: self.digest, ..Login::default() };
                (serial, Body::LoginResp(LoginResp::accepted(&login, b"secret")))
            }
            Say::BindNo(serial) => (serial, Body::LoginResp(LoginResp::refused(status::AUTHENTICATION))),
            Say::Accept(serial, id) => (serial, Body::SubmitResp(SubmitResp { msg_id: id_of(id), status: 0 })),
            Say::Refuse(serial) => {
                (serial, Body::SubmitResp(SubmitResp { msg_id: [0; 10], status: status::SERVICE_ID }))
            }
            Say::Probe(serial) => (serial, Body::ActiveTest),
            Say::ProbeAnswer(serial) => (serial, Body::ActiveTestResp),
            Say::Receipt(serial, id) => {
                let id = id_of(id);
                let report = ReceiptText {
                    id: Some(&id),
                    sub: Some(b"001"),
                    dlvrd: Some(b"001"),
                    submit_date: Some(b"2611220700"),
                    done_date: Some(b"2611220701"),
                    stat: Some(b"DELIVRD"),
                    err: Some(b"000"),
                    text: Some(b"000                 "),
                };
                write(&report, Spelling::Spaced, &mut content);
                let deliver = Deliver {
                    msg_id: id_of(&serial.to_string()),
                    is_report: 1,
                    src_term_id: b"447700900123",
                    msg_content: &content,
                    ..Deliver::default()
                };
                (serial, Body::Deliver(deliver))
            }
            Say::Mo(serial, text) => {
                let deliver = Deliver {
                    msg_id: id_of(&serial.to_string()),
                    src_term_id: b"447700900123",
                    dest_term_id: b"10690001",
                    msg_content: text.as_bytes(),
                    ..Deliver::default()
                };
                (serial, Body::Deliver(deliver))
            }
            Say::Unbind(serial) => (serial, Body::Exit),
            Say::UnbindAnswer(serial) => (serial, Body::ExitResp),
            Say::Unreadable(serial) => (serial, Body::Unknown { command: command::DELIVER, body: &[b'x'; 9] }),
            Say::Unknown(serial) => (serial, Body::Unknown { command: 0x0666, body: b"?" }),
            Say::Broken => return vec![0, 0, 0, 5, 1, 2, 3, 4, 5],
        };
        let mut out = BytesMut::new();
        Pdu { sequence: serial as u32, body }.write((), &mut out);
        out.to_vec()
    }
}
