//! A CMPP 3.0 dialogue with the simulated ISMG, written down as a capture and read by Wireshark's dissector: a reader
//! of octets that is not ours.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::BytesMut;
use codecs::cmpp::{Body, Connect, DeliverResp, LIMITS, Pdu, Submit, Version, command};
use codecs::framing;
use codecs::layout::Items;
use conformance::far::Simulator;
use conformance::foreign;

const RESP: u32 = command::RESPONSE;
const SECRET: &[u8] = b"secret";
/// CMPP's well-known port, by which the dissector is told.
const PORT: u16 = 7890;

/// A client that keeps all octets of both directions.
struct Taped {
    stream: TcpStream,
    input: BytesMut,
    /// Whether the client said it, and what, in order.
    tape: Vec<(bool, Vec<u8>)>,
}

impl Taped {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { stream, input: BytesMut::new(), tape: Vec::new() }
    }

    fn say(&mut self, sequence: u32, body: Body<'_>) {
        let mut octets = BytesMut::new();
        Pdu { sequence, body }.write(Version::V30, &mut octets);
        self.stream.write_all(&octets).unwrap();
        self.tape.push((true, octets.to_vec()));
    }

    /// The next PDU, which is of that command.
    fn hear(&mut self, wanted: u32) -> Vec<u8> {
        loop {
            if let Some(length) = framing::cut(&self.input, &LIMITS).unwrap() {
                let pdu = self.input.split_to(length).to_vec();
                assert_eq!(u32::from_be_bytes(pdu[4..8].try_into().unwrap()), wanted);
                self.tape.push((false, pdu.clone()));
                return pdu;
            }
            let mut piece = [0; 4096];
            let octets = self.stream.read(&mut piece).unwrap();
            assert!(octets > 0, "the simulator closed the connection");
            self.input.extend_from_slice(&piece[..octets]);
        }
    }
}

/// The tape as a capture file: each PDU a segment of TCP over IPv4, checksums left at 0.
fn capture(tape: &[(bool, Vec<u8>)]) -> Vec<u8> {
    const RAW_IP: u32 = 101;
    let mut file = Vec::new();
    file.extend([0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 65_535, RAW_IP].iter().flat_map(|word| word.to_be_bytes()));
    let mut sent = [1_u32, 1];
    for (index, (ours, pdu)) in tape.iter().enumerate() {
        let (from, to) = if *ours { (40_000, PORT) } else { (PORT, 40_000) };
        let (here, there) = if *ours { (1, 2) } else { (2, 1) };
        let length = 40 + pdu.len() as u32;
        for word in [1_700_000_000, index as u32 * 1_000, length, length] {
            file.extend(u32::to_be_bytes(word));
        }
        file.extend([0x45, 0, (length >> 8) as u8, length as u8, 0, 0, 0, 0, 64, 6, 0, 0]);
        file.extend([10, 0, 0, here, 10, 0, 0, there]);
        file.extend(u16::to_be_bytes(from).into_iter().chain(u16::to_be_bytes(to)));
        let (mine, other) = (usize::from(!ours), usize::from(*ours));
        file.extend(u32::to_be_bytes(sent[mine]).into_iter().chain(u32::to_be_bytes(sent[other])));
        file.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
        file.extend(pdu);
        sent[mine] += pdu.len() as u32;
    }
    file
}

/// The columns that tshark finds, a row per PDU.
fn dissected(file: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(file).args(["-d", &format!("tcp.port=={PORT},cmpp"), "-T", "fields", "-E", "separator=;"]);
    tshark.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = tshark.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split(';').map(str::to_owned).collect()).collect()
}

/// Connect, submit with report, a message from a handset, a test of the link, the end.
fn dialogue(simulator: &Simulator) -> (Vec<(bool, Vec<u8>)>, u64) {
    let mut peer = Taped::connect(simulator.carriers["a"]);
    peer.say(1, Body::Connect(Connect::new(b"901234", SECRET, Version::V30, 1_122_034_716)));
    peer.hear(command::CONNECT | RESP);
    let submit = Submit {
        pk_total: 1,
        pk_number: 1,
        registered_delivery: 1,
        service_id: b"HELP",
        msg_src: b"901234",
        fee_type: b"02",
        fee_code: b"10",
        src_id: b"10690001",
        dest_terminal_id: Items::one(b"13800138000"),
        msg_content: b"hello",
        ..Submit::default()
    };
    peer.say(2, Body::Submit(submit));
    let answer = peer.hear(command::SUBMIT | RESP);
    for uplink in [false, true] {
        if uplink {
            simulator.uplink("a", "13800138000", "10690001", "TD");
        }
        let pdu = peer.hear(command::DELIVER);
        let sequence = u32::from_be_bytes(pdu[8..12].try_into().unwrap());
        let msg_id = pdu[12..20].try_into().unwrap();
        peer.say(sequence, Body::DeliverResp(DeliverResp { msg_id, result: 0 }));
    }
    peer.say(3, Body::ActiveTest);
    peer.hear(command::ACTIVE_TEST | RESP);
    peer.say(4, Body::Terminate);
    peer.hear(command::TERMINATE | RESP);
    (peer.tape, u64::from_be_bytes(answer[12..20].try_into().unwrap()))
}

#[test]
fn tshark_reads_our_cmpp_3_dialogue() {
    if Command::new("tshark").arg("-v").output().is_err() {
        return foreign::skip("tshark_reads_our_cmpp_3_dialogue", "tshark is not installed (apt-get install tshark)");
    }
    let dir = tempfile::tempdir().unwrap();
    let scenario = "[[carrier]]\nname = 'a'\nprotocol = 'cmpp'\nsource_addr = '901234'\nshared_secret = 'secret'\n\
        receipts = { after = 0 }\n";
    let simulator = Simulator::start("carriers", dir.path(), scenario);
    let (tape, id) = dialogue(&simulator);
    let file = dir.path().join("cmpp.pcap");
    std::fs::write(&file, capture(&tape)).unwrap();

    let heads = dissected(&file, &["cmpp.Command_Id", "cmpp.Sequence_Id", "cmpp.Total_Length", "_ws.malformed"]);
    assert_eq!(heads.len(), tape.len());
    for (head, (_, pdu)) in heads.iter().zip(&tape) {
        let word = |at: usize| u32::from_be_bytes(pdu[at..at + 4].try_into().unwrap());
        let number = |column: usize| match head[column].strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).unwrap(),
            None => head[column].parse().unwrap(),
        };
        assert_eq!((number(0), number(1), number(2)), (word(4), word(8), pdu.len() as u32));
        assert_eq!(head[3], "", "malformed, says the dissector");
    }
    let rows = |wanted: u32, fields: &[&str]| -> Vec<Vec<String>> {
        let found = dissected(&file, fields).into_iter().zip(&tape);
        found.filter(|(_, (_, pdu))| pdu[4..8] == wanted.to_be_bytes()).map(|(row, _)| row).collect()
    };
    let submit = rows(command::SUBMIT, &["cmpp.Dest_terminal_Id", "cmpp.submit.Src_Id", "cmpp.Msg_Length"]);
    assert_eq!(submit, [["13800138000", "10690001", "5"]]);
    let logins = rows(command::CONNECT | RESP, &["cmpp.connect_resp.Status", "cmpp.Version"]);
    assert_eq!(logins, [["0", "03.00"]]);
    let answers = rows(command::SUBMIT | RESP, &["cmpp.Msg_Id", "cmpp.submit_resp.Result"]);
    assert_eq!(answers, [[format!("0x{id:016x}"), "0".to_owned()]]);
    let delivers = rows(command::DELIVER, &["cmpp.deliver.Registered_Delivery", "cmpp.deliver.Report.Status"]);
    assert!(delivers.iter().any(|row| row[1] == "DELIVRD"), "{delivers:?}");
    eprintln!("tshark read {} PDUs: {heads:?}", tape.len());
}
