//! A raw generator of SMPP submits: a window of them is always unanswered, nothing is written down, and receipts are
//! answered as they come. It costs so little that what it reaches is what the far side can do.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use codecs::framing;
use codecs::smpp::{Bind, Body, LIMITS, Pdu, Sm, SmResp, Tlvs, command};
use conformance::account::PASSWORD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Result;
use crate::process::cpu;

/// Destinations count up from here.
const FIRST: u64 = 8_613_800_000_000;
const SUBMIT_SM_RESP: u32 = command::SUBMIT_SM | command::RESPONSE;
const BIND_RESP: u32 = command::BIND_TRANSCEIVER | command::RESPONSE;
/// Silence after which the far side is given up.
const SILENCE: Duration = Duration::from_secs(10);

/// What is to be sent.
#[derive(Debug, Clone, clap::Args)]
pub struct Wish {
    /// The carrier's address
    #[arg(long)]
    to: SocketAddr,
    /// Submits in all
    #[arg(long)]
    count: u32,
    /// Unanswered submits at a time
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    window: u32,
    /// Ask for receipts, and end when all have come
    #[arg(long)]
    receipts: bool,
}

#[derive(Default)]
struct State {
    sent: u32,
    answered: u32,
    receipts: u32,
    out: BytesMut,
}

/// Sends everything; what it came to.
///
/// # Errors
/// The carrier does not let us in, refuses a submit or falls silent.
pub async fn run(wish: &Wish) -> Result<Value> {
    let mut stream = TcpStream::connect(wish.to).await?;
    stream.set_nodelay(true)?;
    let (mut input, mut state) = (BytesMut::with_capacity(1 << 20), State::default());
    bind(&mut state.out);
    let (started, before) = (Instant::now(), cpu(std::process::id()));
    while state.answered < wish.count || (wish.receipts && state.receipts < wish.count) {
        if !state.out.is_empty() {
            stream.write_all(&state.out).await?;
            state.out.clear();
        }
        if timeout(SILENCE, stream.read_buf(&mut input)).await?? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        while let Some(length) = framing::cut(&input, &LIMITS)? {
            state.take(&input[..length])?;
            input.advance(length);
        }
        state.fill(wish);
    }
    let (took, spent) = (started.elapsed(), cpu(std::process::id()) - before);
    Ok(json!({
        "messages": wish.count,
        "messages_per_s": f64::from(wish.count) / took.as_secs_f64().max(1e-9),
        "cpu_us_per_message": spent.as_secs_f64() * 1e6 / f64::from(wish.count.max(1)),
    }))
}

/// Asks to be let in, as sequence 1.
pub(super) fn bind(out: &mut BytesMut) {
    let bind = Bind { system_id: b"qiao", password: PASSWORD.as_bytes(), interface_version: 0x34, ..Bind::default() };
    Pdu { status: 0, sequence: 1, body: Body::BindTransceiver(bind) }.write(out);
}

/// A receipt is taken.
pub(super) fn taken(sequence: u32, out: &mut BytesMut) {
    let body = Body::DeliverSmResp(SmResp { message_id: b"", tlvs: Tlvs::default() });
    Pdu { status: 0, sequence, body }.write(out);
}

impl State {
    /// One PDU of the carrier's.
    fn take(&mut self, pdu: &[u8]) -> Result<()> {
        let word =
            |at: usize| pdu.get(at..at + 4).and_then(|octets| octets.try_into().ok()).map_or(0, u32::from_be_bytes);
        let (id, status, sequence) = (word(4), word(8), word(12));
        match id {
            SUBMIT_SM_RESP if status == 0 => self.answered += 1,
            SUBMIT_SM_RESP => return Err(format!("a submit was refused: {status:#x}").into()),
            command::DELIVER_SM => {
                self.receipts += 1;
                taken(sequence, &mut self.out);
            }
            BIND_RESP if status != 0 => return Err("the carrier does not let us in".into()),
            _ => {}
        }
        Ok(())
    }

    /// As many submits as the window has room for.
    fn fill(&mut self, wish: &Wish) {
        while self.sent < wish.count && self.sent - self.answered < wish.window {
            let to = (FIRST + u64::from(self.sent)).to_string();
            let sm = Sm {
                source_addr: b"10690001",
                destination_addr: to.as_bytes(),
                registered_delivery: u8::from(wish.receipts),
                short_message: b"Your code is 428301",
                ..Sm::default()
            };
            self.sent += 1;
            Pdu { status: 0, sequence: self.sent + 1, body: Body::SubmitSm(sm) }.write(&mut self.out);
        }
    }
}
