//! A small SMSC.

use std::time::Duration;

use bytes::BytesMut;
use codecs::framing;
use codecs::smpp::{BindResp, Body, LIMITS, Pdu, Sm, SmResp, Tlvs, command, put_tlv, status, tag};

use super::{Case, Far, Heard, Say, Serial, Word};

const ACCOUNT: &str = r#"
    address = "smsc.example:2775"
    system_id = "qiao"
    password = "secret"
    enquire_link = "10s"
    answer_timeout = "3s"
    bind_timeout = "2s"
"#;
const PAIR: &str = r#"
    address = "smsc.example:2775"
    system_id = "qiao"
    password = "secret"
    enquire_link = "10s"
    answer_timeout = "3s"
    bind_timeout = "2s"
    bind = "transmitter+receiver"
    version = "5.0"
    long = "sar"
    message_id = { answer = "hex", receipt = "hex" }
"#;

pub fn cases() -> Vec<Case> {
    let case = |table| Case {
        protocol: "smpp",
        table,
        answer: Duration::from_secs(3),
        bind: Duration::from_secs(2),
        silence: Duration::from_secs(13),
        far: || Box::new(Smsc::default()),
    };
    vec![case(ACCOUNT), case(PAIR)]
}

#[derive(Default)]
struct Smsc {
    rest: Vec<u8>,
    /// command_id of the bind, to be repeated in its answer.
    bind: u32,
}

impl Far for Smsc {
    fn hear(&mut self, octets: &[u8]) -> Vec<Heard> {
        self.rest.extend_from_slice(octets);
        let mut heard = Vec::new();
        while let Some(whole) = framing::cut(&self.rest, &LIMITS).expect("our session frames well") {
            let pdu: Vec<u8> = self.rest.drain(..whole).collect();
            let pdu = Pdu::read(&pdu).expect("our session writes what can be read");
            let serial = Serial::from(pdu.sequence);
            heard.push(match pdu.body {
                Body::BindReceiver(_) | Body::BindTransmitter(_) | Body::BindTransceiver(_) => {
                    self.bind = pdu.body.command();
                    Heard::Bind(serial)
                }
                Body::SubmitSm(_) => Heard::Submit(serial),
                Body::EnquireLink => Heard::Probe(serial),
                Body::EnquireLinkResp => Heard::ProbeAnswer(serial),
                Body::Unbind => Heard::Unbind(serial),
                Body::UnbindResp => Heard::UnbindAnswer(serial),
                Body::DeliverSmResp(_) => match pdu.status {
                    status::ROK => Heard::Settled(serial, Word::Yes),
                    status::RX_T_APPN => Heard::Settled(serial, Word::Later),
                    _ => Heard::Settled(serial, Word::No),
                },
                Body::GenericNack => Heard::Nack,
                _ if pdu.status != status::ROK => Heard::Nack,
                other => panic!("our session said {other:?}"),
            });
        }
        heard
    }

    fn say(&self, say: Say<'_>) -> Vec<u8> {
        let mut tlvs = BytesMut::new();
        put_tlv(&mut tlvs, tag::SC_INTERFACE_VERSION, &[0x34]);
        let text;
        let (serial, status, body) = match say {
            Say::BindYes(serial) | Say::BindNo(serial) => {
                let answer = BindResp { system_id: b"smsc", tlvs: Tlvs::new(&tlvs) };
                let body = match self.bind {
                    command::BIND_RECEIVER => Body::BindReceiverResp(answer),
                    command::BIND_TRANSMITTER => Body::BindTransmitterResp(answer),
                    _ => Body::BindTransceiverResp(answer),
                };
                let status = if matches!(say, Say::BindYes(_)) { status::ROK } else { status::RINVPASWD };
                (serial, status, body)
            }
            Say::Accept(serial, id) => {
                (serial, status::ROK, Body::SubmitSmResp(SmResp { message_id: id.as_bytes(), ..SmResp::default() }))
            }
            Say::Refuse(serial) => (serial, status::RSYSERR, Body::SubmitSmResp(SmResp::default())),
            Say::Probe(serial) => (serial, status::ROK, Body::EnquireLink),
            Say::ProbeAnswer(serial) => (serial, status::ROK, Body::EnquireLinkResp),
            Say::Receipt(serial, id) => {
                text = format!(
                    "id:{id} sub:001 dlvrd:001 submit date:2611220700 done date:2611220701 stat:DELIVRD err:000 text:"
                );
                let sm = Sm {
                    esm_class: 0x04,
                    source_addr: b"447700900123",
                    short_message: text.as_bytes(),
                    ..Sm::default()
                };
                (serial, status::ROK, Body::DeliverSm(sm))
            }
            Say::Mo(serial, text) => {
                let sm = Sm { source_addr: b"447700900123", short_message: text.as_bytes(), ..Sm::default() };
                (serial, status::ROK, Body::DeliverSm(sm))
            }
            Say::Unbind(serial) => (serial, status::ROK, Body::Unbind),
            Say::UnbindAnswer(serial) => (serial, status::ROK, Body::UnbindResp),
            Say::Unreadable(serial) => {
                (serial, status::ROK, Body::Unknown { command: command::DELIVER_SM, body: &[b'x'; 9] })
            }
            Say::Unknown(serial) => (serial, status::ROK, Body::Unknown { command: 0x0666, body: b"?" }),
            Say::Bind(_) | Say::BindWrongly(_) => panic!("the far side never logs in"),
            Say::Broken => return vec![0, 0, 0, 5, 1, 2, 3, 4, 5],
        };
        let mut out = BytesMut::new();
        Pdu { status, sequence: serial as u32, body }.write(&mut out);
        out.to_vec()
    }
}
