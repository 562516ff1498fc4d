//! The least a line can be: posts are read, written down with the others that came meanwhile, synced, answered and
//! submitted; receipts, where they are asked for, are synced, acknowledged and told. Nothing is checked, routed or kept,
//! and no answer of the carrier's is looked at. In single posts it is nearly all the kernel's: what the gateway costs
//! above it is the gateway's own.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::{Buf, BytesMut};
use codecs::framing;
use codecs::smpp::{Body, LIMITS, Pdu, Sm, command};
use gateway::listen::{UNREAD_LIMIT, listen};
use serde::Deserialize;
use simulators::simulator::announce;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, spawn_local, yield_now};

use super::answer::{self, Request};
use super::{Ready, submit};

/// A segment, written over once it is full.
const SEGMENT: u64 = 64 << 20;
/// What an admitted message of twenty characters takes in the journal, and its end.
const RECORD: usize = 144 + 48;
/// What a receipt takes there, and the word that it was told.
const RECEIPT: usize = 48 + 32;
/// About what an event takes in a callback's body.
const EVENT: usize = 320;
/// Most of them in one.
const MOST_EVENTS: usize = 100;

/// Where it reads, writes and submits.
#[derive(Debug, Clone, clap::Args)]
pub struct Wish {
    /// The carrier's address
    #[arg(long)]
    to: SocketAddr,
    /// Where its segment is made, on a real disk
    #[arg(long)]
    dir: PathBuf,
    /// File that gets its address
    #[arg(long)]
    ready_file: PathBuf,
    /// Ask for receipts, and tell them here by HTTP
    #[arg(long)]
    tell: Option<SocketAddr>,
}

/// What came since the last sync.
#[derive(Default)]
struct Came {
    records: Vec<u8>,
    to_carrier: BytesMut,
    answers: Vec<(Rc<OwnedWriteHalf>, String)>,
    receipts: usize,
}

/// Where it waits for the disk.
#[derive(Default)]
struct Waiting {
    came: RefCell<Came>,
    more: Notify,
    messages: Cell<u32>,
    receipts: bool,
}

/// Events on disk that are to be told.
#[derive(Default)]
struct Events {
    count: Cell<usize>,
    more: Notify,
}

/// Many messages.
#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    to: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// Serves on a free port, which goes to the ready file, until the process is ended or the carrier is gone. Must run on a
/// `LocalSet`.
///
/// # Errors
/// It cannot listen, write its segment or reach the carrier; the disk fails.
pub async fn run(wish: &Wish) -> io::Result<()> {
    let waiting = Rc::new(Waiting { receipts: wish.tell.is_some(), ..Waiting::default() });
    let link = link(wish.to, Rc::clone(&waiting)).await?;
    let (to_disk, mut on_disk) = commit(&wish.dir)?;
    let listener = listen(([127, 0, 0, 1], 0).into(), UNREAD_LIMIT).await?;
    announce(&Ready { answer: listener.local_addr()? }, Some(&wish.ready_file))?;
    let events = Rc::new(Events::default());
    let telling = wish.tell.map(|to| spawn_local(tell(to, Rc::clone(&events))));
    let posts = Rc::clone(&waiting);
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // How a connection ended is its peer's affair.
            drop(stream.set_nodelay(true));
            spawn_local(converse(stream, Rc::clone(&posts)));
        }
    });
    loop {
        waiting.more.notified().await;
        // As long as each round of the runtime brings more.
        let mut gathered = 0;
        while gathered < waiting.came.borrow().records.len() {
            gathered = waiting.came.borrow().records.len();
            yield_now().await;
        }
        let Came { records, to_carrier, answers, receipts } = waiting.came.take();
        if records.is_empty() {
            continue;
        }
        let gone = || io::Error::other("the commit thread is gone");
        to_disk.send(records).map_err(|_| gone())?;
        on_disk.recv().await.ok_or_else(gone)??;
        for (client, answer) in answers {
            // A client that is gone has no answer.
            drop(write(&client, answer.as_bytes()).await);
        }
        write(&link, &to_carrier).await?;
        if receipts > 0 && telling.as_ref().is_some_and(JoinHandle::is_finished) {
            return Err(io::Error::other("nobody takes the events any more"));
        }
        if receipts > 0 {
            events.count.set(events.count.get() + receipts);
            events.more.notify_one();
        }
    }
}

/// Posts the events, those that came since the last answer at once.
async fn tell(to: SocketAddr, events: Rc<Events>) -> io::Result<()> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (mut answers, posts) = stream.into_split();
    let (mut out, mut input) = (Vec::new(), BytesMut::new());
    loop {
        events.more.notified().await;
        while let count @ 1.. = events.count.get().min(MOST_EVENTS) {
            events.count.set(events.count.get() - count);
            out.clear();
            let head = format!("POST /events HTTP/1.1\r\nHost: sink\r\nContent-Length: {}\r\n\r\n", count * EVENT);
            out.extend_from_slice(head.as_bytes());
            out.resize(out.len() + count * EVENT, b' ');
            write(&posts, &out).await?;
            input.clear();
            if answers.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
        }
    }
}

/// One connection: what is posted waits for the disk.
async fn converse(stream: TcpStream, waiting: Rc<Waiting>) {
    let (mut posts, answers) = stream.into_split();
    let (mut input, answers) = (BytesMut::with_capacity(1 << 16), Rc::new(answers));
    loop {
        while let Some(request) = answer::request(&input) {
            waiting.take(&answers, &request);
            let length = request.length;
            input.advance(length);
        }
        if !posts.read_buf(&mut input).await.is_ok_and(|octets| octets > 0) {
            return;
        }
    }
}

impl Waiting {
    fn take(&self, client: &Rc<OwnedWriteHalf>, request: &Request<'_>) {
        let Came { records, to_carrier, answers, .. } = &mut *self.came.borrow_mut();
        // The load client posts nothing else.
        let messages = if request.batch {
            serde_json::from_slice(request.body).map_or_else(|_| Vec::new(), |Batch { messages }| messages)
        } else {
            serde_json::from_slice(request.body).into_iter().collect()
        };
        for message in messages {
            let at = records.len();
            records.extend_from_slice(message.to.as_bytes());
            records.extend_from_slice(message.text.as_bytes());
            records.resize((at + RECORD).max(records.len()), 0);
            put(to_carrier, self.messages.get(), &message, self.receipts);
            self.messages.set(self.messages.get().wrapping_add(1));
        }
        let mut answer = String::new();
        answer::write_answer(request, &mut answer);
        answers.push((Rc::clone(client), answer));
        self.more.notify_one();
    }

    /// A receipt, which the carrier is told is taken once that is on disk.
    fn receipt(&self, sequence: u32) {
        let came = &mut *self.came.borrow_mut();
        came.records.resize(came.records.len() + RECEIPT, 0);
        submit::taken(sequence, &mut came.to_carrier);
        came.receipts += 1;
        self.more.notify_one();
    }
}

type Disk = (std::sync::mpsc::Sender<Vec<u8>>, mpsc::UnboundedReceiver<io::Result<()>>);

/// The thread that writes and syncs, a list at a time, in a segment it has written before.
fn commit(dir: &Path) -> io::Result<Disk> {
    std::fs::create_dir_all(dir)?;
    let segment = OpenOptions::new().create(true).truncate(true).write(true).open(dir.join("segment"))?;
    let zeros = vec![0; 1 << 20];
    for at in (0..SEGMENT).step_by(1 << 20) {
        segment.write_all_at(&zeros, at)?;
    }
    segment.sync_all()?;
    let (to_disk, lists) = std::sync::mpsc::channel::<Vec<u8>>();
    let (done, on_disk) = mpsc::unbounded_channel();
    std::thread::Builder::new().name("commit".to_owned()).spawn(move || {
        let mut at = 0;
        for list in lists {
            if done.send(write_down(&segment, &list, &mut at)).is_err() {
                return;
            }
        }
    })?;
    Ok((to_disk, on_disk))
}

fn write_down(segment: &File, list: &[u8], at: &mut u64) -> io::Result<()> {
    if *at + list.len() as u64 > SEGMENT {
        *at = 0;
    }
    segment.write_all_at(list, *at)?;
    *at += list.len() as u64;
    segment.sync_data()
}

/// A link that asks to be let in; of what the carrier says only receipts are looked at.
async fn link(to: SocketAddr, waiting: Rc<Waiting>) -> io::Result<OwnedWriteHalf> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (mut said, link) = stream.into_split();
    let mut out = BytesMut::new();
    submit::bind(&mut out);
    write(&link, &out).await?;
    spawn_local(async move {
        let mut input = BytesMut::with_capacity(1 << 20);
        while said.read_buf(&mut input).await.is_ok_and(|octets| octets > 0) {
            while let Ok(Some(length)) = framing::cut(&input, &LIMITS) {
                if let Some([_, _, _, _, id @ .., _, _, _, _, a, b, c, d]) = input.first_chunk::<16>()
                    && *id == command::DELIVER_SM.to_be_bytes()
                {
                    waiting.receipt(u32::from_be_bytes([*a, *b, *c, *d]));
                }
                input.advance(length);
            }
        }
    });
    Ok(link)
}

/// Writes everything.
async fn write(stream: &OwnedWriteHalf, mut octets: &[u8]) -> io::Result<()> {
    while !octets.is_empty() {
        match stream.try_write(octets) {
            Ok(written) => octets = octets.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A message's submit.
fn put(out: &mut BytesMut, number: u32, message: &Message<'_>, receipt: bool) {
    let sm = Sm {
        source_addr: b"10690001",
        destination_addr: message.to.trim_start_matches('+').as_bytes(),
        short_message: message.text.as_bytes(),
        registered_delivery: u8::from(receipt),
        ..Sm::default()
    };
    Pdu { status: 0, sequence: number % 0x7fff_0000 + 2, body: Body::SubmitSm(sm) }.write(out);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use conformance::wait::{seconds, until};

    use super::*;

    #[tokio::test]
    async fn what_is_posted_is_written_down_and_submitted() {
        let dir = tempfile::tempdir().unwrap();
        let carrier = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let sink = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let wish = Wish {
            to: carrier.local_addr().unwrap(),
            dir: dir.path().join("segment"),
            ready_file: dir.path().join("ready.json"),
            tell: Some(sink.local_addr().unwrap()),
        };
        let ready_file = wish.ready_file.clone();
        let seen = tokio::task::spawn_blocking(move || {
            let (mut link, _) = carrier.accept().unwrap();
            let Ready { answer } =
                until("its ready file", seconds(30), || serde_json::from_slice(&std::fs::read(&ready_file).ok()?).ok());
            let mut client = std::net::TcpStream::connect(answer).unwrap();
            let mut answers = Vec::new();
            for (path, body) in [
                ("/v1/messages", r#"{"to":"+8613800000001","text":"one"}"#),
                (
                    "/v1/batches",
                    r#"{"messages":[{"to":"+8613800000002","text":"two"},{"to":"3","text":"th\u0072ee"}]}"#,
                ),
            ] {
                write!(client, "POST {path} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
                let mut answer = [0; 512];
                let read = client.read(&mut answer).unwrap();
                answers.push(String::from_utf8_lossy(&answer[..read]).into_owned());
            }
            let (mut input, mut sent) = (Vec::new(), Vec::new());
            while sent.len() < 5 {
                let mut octets = [0; 512];
                let read = link.read(&mut octets).unwrap();
                assert!(read > 0, "{sent:?}");
                input.extend_from_slice(&octets[..read]);
                while let Some(length) = framing::cut(&input, &LIMITS).unwrap() {
                    sent.push(input.drain(..length).collect::<Vec<u8>>());
                    if sent.len() == 4 {
                        let mut receipt = BytesMut::new();
                        Pdu { status: 0, sequence: 77, body: Body::DeliverSm(Sm::default()) }.write(&mut receipt);
                        link.write_all(&receipt).unwrap();
                    }
                }
            }
            let (mut told, mut events) = (sink.accept().unwrap().0, vec![0; 512]);
            let read = told.read(&mut events).unwrap();
            events.truncate(read);
            (answers, sent, events)
        });
        let local = tokio::task::LocalSet::new();
        let (answers, sent, events) = local
            .run_until(async {
                tokio::select! {
                    ended = run(&wish) => panic!("{ended:?}"),
                    seen = seen => seen.unwrap(),
                }
            })
            .await;
        assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 202 ")), "{answers:?}");
        assert_eq!(answers[1].matches("\"index\"").count(), 2, "{answers:?}");
        for (pdu, words) in sent.iter().zip([&b"qiao"[..], b"8613800000001", b"8613800000002", b"three"]) {
            assert!(pdu.windows(words.len()).any(|window| window == words), "{pdu:?}");
        }
        assert_eq!(sent[4][4..16], [0x80, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 77], "the receipt is acknowledged");
        let told = format!("Content-Length: {EVENT}\r\n");
        assert!(events.starts_with(b"POST /events ") && String::from_utf8_lossy(&events).contains(&told));
        let segment = std::fs::read(dir.path().join("segment/segment")).unwrap();
        assert!(segment.starts_with(b"+8613800000001one") && segment[RECORD..].starts_with(b"+8613800000002two"));
    }
}
