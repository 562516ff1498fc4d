//! How long a SUBMIT takes to read and to write, per protocol. Measured on demand, in release:
//! `cargo test -p codecs --release --test speed -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::hint::black_box;
use std::time::Instant;

use bytes::BytesMut;
use codecs::cmpp::{self, Version};
use codecs::pdu::{Bodies, Pdu, Sequence};
use codecs::{sgip, smgp, smpp};

/// Calls in a series: shorter than a time slice, so that the best series had the processor to itself.
const ROUNDS: u32 = 5_000;
const SERIES: u32 = 400;
/// What reading or writing one may take, in nanoseconds.
const MOST: f64 = 150.0;

/// Nanoseconds per call, in the best series.
fn measure(mut call: impl FnMut()) -> f64 {
    let series = (0..SERIES).map(|_| {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| call());
        start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
    });
    series.fold(f64::INFINITY, f64::min)
}

fn report(name: &str, octets: usize, read: f64, write: f64) -> bool {
    println!("{name:10} {octets:4} octets   read {read:6.1} ns   write {write:6.1} ns");
    read <= MOST && write <= MOST
}

/// Reads and writes a vector over and over.
fn case<'a, B, S: Sequence, E: Copy>(name: &str, octets: &'a [u8], edition: E) -> bool
where
    B: Bodies<'a, E>,
{
    let read = measure(|| {
        black_box(Pdu::<B, S>::read(black_box(octets), edition).is_ok());
    });
    let pdu = Pdu::<B, S>::read(octets, edition).ok().unwrap();
    let mut out = BytesMut::with_capacity(4 * octets.len());
    let write = measure(|| {
        out.clear();
        black_box(&pdu).write(edition, &mut out);
        black_box(&out);
    });
    report(name, octets.len(), read, write)
}

fn vector(name: &str) -> Vec<u8> {
    let line = include_str!("vectors/cmpp-sgip-smgp.tsv").lines().find(|line| line.starts_with(name)).unwrap();
    let digits = line.split('\t').nth(3).unwrap();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn smpp_case() -> bool {
    let sm = smpp::Sm {
        source_addr: b"10690001",
        destination_addr: b"8613800138000",
        short_message: &[0x4e; 140],
        ..smpp::Sm::default()
    };
    let mut octets = BytesMut::new();
    smpp::Pdu { status: 0, sequence: 1, body: smpp::Body::SubmitSm(sm) }.write(&mut octets);
    let read = measure(|| {
        black_box(smpp::Pdu::read(black_box(&octets)).is_ok());
    });
    let pdu = smpp::Pdu::read(&octets).unwrap();
    let mut out = BytesMut::with_capacity(1_024);
    let write = measure(|| {
        out.clear();
        black_box(&pdu).write(&mut out);
        black_box(&out);
    });
    report("SMPP 3.4", octets.len(), read, write)
}

#[test]
#[ignore = "a measurement, of which debug builds say nothing"]
fn a_submit_is_read_and_written_in_time() {
    let in_time = [
        smpp_case(),
        case::<cmpp::Body<'_>, u32, _>("CMPP 2.0", &vector("C2-SUBMIT-5a"), Version::V20),
        case::<cmpp::Body<'_>, u32, _>("CMPP 3.0", &vector("C3-SUBMIT-2a"), Version::V30),
        case::<sgip::Body<'_>, sgip::Sequence, _>("SGIP 1.2", &vector("S-SUBMIT-3a"), ()),
        case::<smgp::Body<'_>, u32, _>("SMGP 3.0", &vector("T-SUBMIT-3a"), ()),
    ];
    assert!(!in_time.contains(&false), "more than {MOST} ns");
}
