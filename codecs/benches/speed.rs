//! What a SUBMIT and a DELIVER cost to read and to write, per protocol: nanoseconds, and instructions as valgrind counts
//! them, which do not depend on who else uses the machine. Run by `make bench`, or alone: `cargo bench -p codecs`.
#![allow(clippy::unwrap_used, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::time::Instant;

use bytes::BytesMut;
use codecs::cmpp::{self, Version};
use codecs::pdu::{Bodies, Pdu, Sequence};
use codecs::{sgip, smgp, smpp};

/// Calls in a series: shorter than a time slice, so that the best series had the processor to itself.
const ROUNDS: u64 = 5_000;
const SERIES: u32 = 400;
/// What reading or writing a SUBMIT may take, in nanoseconds.
const MOST: f64 = 150.0;
/// Calls under valgrind, of which a first few are taken away with all that is not theirs.
const COUNTED: u64 = 1_000;
const BEFORE: u64 = 100;

/// One PDU; the closures read or write it so often.
struct Case {
    name: &'static str,
    octets: usize,
    read: Box<dyn Fn(u64)>,
    write: Box<dyn Fn(u64)>,
}

/// Reads and writes a vector over and over.
fn case<B, S: Sequence + 'static, E: Copy + 'static>(name: &'static str, row: &str, edition: E) -> Case
where
    B: Bodies<'static, E> + 'static,
{
    let octets: &'static [u8] = vector(row).leak();
    let read = move |times| {
        for _ in 0..times {
            black_box(Pdu::<B, S>::read(black_box(octets), edition).is_ok());
        }
    };
    let write = move |times| {
        let pdu = Pdu::<B, S>::read(octets, edition).ok().unwrap();
        let mut out = BytesMut::with_capacity(4 * octets.len());
        for _ in 0..times {
            out.clear();
            black_box(&pdu).write(edition, &mut out);
            black_box(&out);
        }
    };
    Case { name, octets: octets.len(), read: Box::new(read), write: Box::new(write) }
}

fn smpp_case(name: &'static str, body: smpp::Body<'static>) -> Case {
    let pdu = smpp::Pdu { status: 0, sequence: 1, body };
    let mut octets = BytesMut::new();
    pdu.write(&mut octets);
    let octets: &'static [u8] = octets.to_vec().leak();
    let read = move |times| {
        for _ in 0..times {
            black_box(smpp::Pdu::read(black_box(octets)).is_ok());
        }
    };
    let write = move |times| {
        let mut out = BytesMut::with_capacity(1_024);
        for _ in 0..times {
            out.clear();
            black_box(&pdu).write(&mut out);
            black_box(&out);
        }
    };
    Case { name, octets: octets.len(), read: Box::new(read), write: Box::new(write) }
}

fn vector(name: &str) -> Vec<u8> {
    let rows = include_str!("../tests/vectors/cmpp-sgip-smgp.tsv").lines();
    let row = rows.map(|row| row.split('\t').collect::<Vec<_>>()).find(|row| row[0] == name).unwrap();
    (0..row[3].len()).step_by(2).map(|at| u8::from_str_radix(&row[3][at..at + 2], 16).unwrap()).collect()
}

/// Parts of long messages as other programs sent them, full to the brim, and reports.
fn cases() -> Vec<Case> {
    let sm = smpp::Sm {
        source_addr: b"10690001",
        destination_addr: b"8613800138000",
        short_message: &[0x4e; 140],
        ..smpp::Sm::default()
    };
    let receipt = smpp::Sm {
        esm_class: 4,
        short_message: b"id:0123456789 sub:001 dlvrd:001 submit date:2611220730 done date:2611220731 stat:DELIVRD \
            err:000 text:",
        tlvs: smpp::Tlvs::new(b"\0\x1e\0\x0b0123456789\0\x04\x27\0\x01\x02"),
        ..sm
    };
    vec![
        smpp_case("SMPP 3.4 submit_sm", smpp::Body::SubmitSm(sm)),
        case::<cmpp::Body<'_>, u32, _>("CMPP 2.0 SUBMIT", "C2-SUBMIT-5a", Version::V20),
        case::<cmpp::Body<'_>, u32, _>("CMPP 3.0 SUBMIT", "C3-SUBMIT-2a", Version::V30),
        case::<sgip::Body<'_>, sgip::Sequence, _>("SGIP 1.2 Submit", "S-SUBMIT-3a", ()),
        case::<smgp::Body<'_>, u32, _>("SMGP 3.0 Submit", "T-SUBMIT-3a", ()),
        smpp_case("SMPP 3.4 deliver_sm", smpp::Body::DeliverSm(receipt)),
        case::<cmpp::Body<'_>, u32, _>("CMPP 2.0 DELIVER", "C2-DELIVER-RPT-1", Version::V20),
        case::<cmpp::Body<'_>, u32, _>("CMPP 3.0 DELIVER", "C3-DELIVER-RPT-1", Version::V30),
        case::<sgip::Body<'_>, sgip::Sequence, _>("SGIP 1.2 Deliver", "S-DELIVER-2", ()),
        case::<sgip::Body<'_>, sgip::Sequence, _>("SGIP 1.2 Report", "S-REPORT-1", ()),
        case::<smgp::Body<'_>, u32, _>("SMGP 3.0 Deliver", "T-DELIVER-RPT-1", ()),
    ]
}

/// Nanoseconds per call, in the best series.
fn nanoseconds(call: &dyn Fn(u64)) -> f64 {
    let series = (0..SERIES).map(|_| {
        let start = Instant::now();
        call(ROUNDS);
        start.elapsed().as_nanos() as f64 / ROUNDS as f64
    });
    series.fold(f64::INFINITY, f64::min)
}

/// Instructions per call; none where there is no valgrind.
fn instructions(case: &Case, what: &str) -> Option<u64> {
    let count = |times: u64| {
        let me = std::env::current_exe().ok()?;
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(me);
        let told = valgrind.args(["--count", case.name, what, &times.to_string()]).output().ok()?.stderr;
        let told = String::from_utf8_lossy(&told).into_owned();
        told.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<u64>().ok())
    };
    Some(count(BEFORE + COUNTED)?.saturating_sub(count(BEFORE)?) / COUNTED)
}

/// Under valgrind: nothing but the calls asked for.
fn counted(name: &str, what: &str, times: u64) {
    let case = cases().into_iter().find(|case| case.name == name).unwrap();
    if what == "read" { (case.read)(times) } else { (case.write)(times) }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, what, times] = &arguments[..] {
        assert_eq!(flag, "--count");
        counted(name, what, times.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    println!(
        "{:20} {:>6}   {:>8} {:>12}   {:>8} {:>12}",
        "", "octets", "read ns", "instructions", "write ns", "instructions"
    );
    let (mut late, mut uncounted, mut rows) = (Vec::new(), false, Vec::new());
    for case in cases() {
        let (read, write) = (nanoseconds(&*case.read), nanoseconds(&*case.write));
        let [reading, writing] = ["read", "write"].map(|what| instructions(&case, what));
        uncounted |= reading.is_none();
        let shown = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
        let (name, octets) = (case.name, case.octets);
        for (what, count, ns) in [("read", reading, read), ("write", writing, write)] {
            let count = count.map_or("null".to_owned(), |count| count.to_string());
            rows.push(format!("    {{\"name\": \"{name} {what}\", \"instructions\": {count}, \"ns\": {ns:.1}}}"));
        }
        println!("{name:20} {octets:6}   {read:8.1} {:>12}   {write:8.1} {:>12}", shown(reading), shown(writing));
        if name.to_lowercase().contains("submit") && (read > MOST || write > MOST) {
            late.push(name);
        }
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench/codecs.json");
    std::fs::create_dir_all(std::path::Path::new(file).parent().unwrap()).unwrap();
    std::fs::write(file, format!("{{\n  \"rows\": [\n{}\n  ]\n}}\n", rows.join(",\n"))).unwrap();
    println!("\nwritten to target/bench/codecs.json");
    if uncounted {
        println!("instructions are not counted: valgrind is not there");
    }
    if !late.is_empty() {
        println!("more than {MOST} ns: {}", late.join(", "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
