//! CMPP, SGIP and SMGP from outside, by PDUs that other programs sent: each means what is said beside it and is written
//! again octet by octet; cut, damaged and glued ones cost an answer at most.
//!
//! Rows whose origin is a unit test of gocmpp are data of that project (Apache-2.0); all others were captured on loopback.
#![allow(clippy::unwrap_used, missing_docs)]

mod cmpp;
mod far;
mod sgip;
mod smgp;

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::BytesMut;
use codecs::framing::{Broken, RESPONSE, cut};
use codecs::text::Alphabet;
use proptest::prelude::*;

use far::{Read, Wire};

/// Vectors that are read and not written so: their programs send a body too short or too long.
const NOT_AS_WRITTEN: [&str; 2] = ["S-BIND_RESP-2", "S-UNBIND_RESP-2"];

/// A PDU some program sent.
struct Vector {
    name: &'static str,
    wire: Wire,
    octets: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let lines = include_str!("cmpp-sgip-smgp.tsv").lines().skip(1);
    let vectors: Vec<Vector> = lines
        .map(|line| {
            let columns: Vec<&'static str> = line.split('\t').collect();
            Vector { name: columns[0], wire: Wire::named(columns[1]), octets: hex(columns[3]) }
        })
        .collect();
    assert_eq!(vectors.len(), 74);
    vectors
}

/// Octets from hexadecimal digits.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Content as long as the test.
fn kept(octets: Vec<u8>) -> &'static [u8] {
    Box::leak(octets.into_boxed_slice())
}

fn encoded(alphabet: Alphabet, text: &str) -> &'static [u8] {
    part(&[], alphabet, text)
}

/// A part of a long message.
fn part(header: &[u8], alphabet: Alphabet, text: &str) -> &'static [u8] {
    let mut out = BytesMut::from(header);
    alphabet.encode(text, &mut out);
    assert_eq!(alphabet.decode(&out[header.len()..]), text);
    kept(out.to_vec())
}

/// What vectors of long messages say, in parts.
const LONG: &str = "【测试签名】这是一条用来验证长短信拆分与合并的测试内容，总长度超过七十个汉字，因此网关必须把它拆成两个分片来发送，\
    每个分片都带有用户数据头部，接收方再按参考号与序号重新组装成完整的消息文本。";

/// [`LONG`] before and after its character `at`.
fn long(at: usize) -> (&'static str, &'static str) {
    LONG.split_at(LONG.char_indices().nth(at).unwrap().0)
}

/// Holds what was read to what was meant; the vector's octets follow from either.
fn holds<P: PartialEq + Debug>(vector: &Vector, read: Result<P, impl Debug>, meant: P, written: &[u8]) {
    assert_eq!(read.as_ref().ok(), Some(&meant), "{}: {read:?}", vector.name);
    if !NOT_AS_WRITTEN.contains(&vector.name) {
        assert_eq!(written, vector.octets, "{}", vector.name);
    }
}

#[test]
fn every_vector_means_what_is_said_and_is_written_again() {
    let mut counts = BTreeMap::<&str, (usize, usize)>::new();
    for vector in vectors() {
        vector.wire.means(&vector);
        let (read, as_written) = counts.entry(vector.wire.name()).or_default();
        *read += 1;
        *as_written += usize::from(!NOT_AS_WRITTEN.contains(&vector.name));
    }
    for (protocol, (read, as_written)) in counts {
        println!("{protocol}: {read} vectors read, {as_written} written again octet by octet");
    }
}

/// The PDU ends anywhere and its header says so: requests are skipped with what is needed to answer, or understood.
#[test]
fn every_truncation_is_answered_or_understood() {
    for Vector { name, wire, octets } in vectors() {
        let header = wire.header();
        let (command, request) = (&octets[4..8], octets[4] & 0x80 == 0);
        for end in header..octets.len() {
            let mut short = octets[..end].to_vec();
            short[..4].copy_from_slice(&(end as u32).to_be_bytes());
            match wire.read(&short) {
                Read::Understood { again, .. } => assert_eq!(again[4..header], octets[4..header], "{name} {end}"),
                Read::Skipped { skip, sequence, nack } => {
                    assert_eq!((&skip.to_be_bytes()[..], &sequence[..]), (command, &octets[8..header]), "{name} {end}");
                    assert!(request || nack.is_none(), "{name} {end}: answers are never answered");
                    if let Some(nack) = nack {
                        assert_eq!(nack[8..header], octets[8..header]);
                        assert_eq!(u32::from_be_bytes(nack[4..8].try_into().unwrap()), skip | RESPONSE);
                        assert!(matches!(wire.read(&nack), Read::Understood { .. }), "{name} {end}");
                    }
                }
            }
        }
        for end in 0..octets.len() {
            assert_eq!(cut(&octets[..end], &wire.limits()), Ok(None), "{name} {end}");
            assert!(matches!(wire.read(&octets[..end]), Read::Skipped { .. }), "{name} {end}");
        }
    }
}

#[test]
fn a_stream_cut_anywhere_or_glued_gives_the_same_pdus() {
    let all = vectors();
    let stream: Vec<u8> = all.iter().flat_map(|vector| vector.octets.clone()).collect();
    for step in (1..200).step_by(3) {
        let (mut buffer, mut found) = (Vec::new(), Vec::new());
        for piece in stream.chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(length) = cut(&buffer, &Wire::Smgp.limits()).unwrap() {
                found.push(buffer.drain(..length).collect::<Vec<u8>>());
            }
        }
        assert!(buffer.is_empty() && found.iter().eq(all.iter().map(|vector| &vector.octets)), "{step}");
    }
}

#[test]
fn octets_after_a_body_are_passed_over() {
    for Vector { name, wire, octets } in vectors() {
        // SMGP's TLVs are all that is left; a status in the other version's width is told by its length.
        if wire == Wire::Smgp || octets[4] & 0x80 != 0 {
            continue;
        }
        let mut longer = [&octets[..], b"\0\0??\xff"].concat();
        let length = longer.len() as u32;
        longer[..4].copy_from_slice(&length.to_be_bytes());
        let Read::Understood { again, unfit } = wire.read(&longer) else { panic!("{name}") };
        assert_eq!((again, unfit), (octets, None), "{name}");
    }
}

#[test]
fn a_header_alone_or_eight_kibioctets_are_framed_and_nothing_else() {
    for wire in Wire::ALL {
        let claim = |length: u32| cut(&length.to_be_bytes(), &wire.limits());
        let least = wire.header() as u32;
        assert_eq!(claim(least - 1), Err(Broken { length: least - 1 }));
        assert_eq!(claim(least), Ok(None));
        assert_eq!(claim(8_192), Ok(None));
        assert_eq!(claim(8_193), Err(Broken { length: 8_193 }));
    }
}

#[test]
fn commands_that_are_not_known_are_kept() {
    for wire in Wire::ALL {
        for command in [0_u32, 0x03ff, 0x8000_03ff, 0x0012_3456, u32::MAX] {
            let octets = wire.framed(command, b"any body\0");
            let Read::Understood { again, unfit } = wire.read(&octets) else { panic!() };
            assert_eq!((again, unfit), (octets, None), "{wire:?} {command:#x}");
        }
    }
}

#[test]
fn logs_show_neither_passwords_nor_numbers_nor_text() {
    let names =
        ["13800138000", "8613800138000", "13500002696", "13412340000", "13300133000", "1234\\0", "hello", "MO."];
    for Vector { name, wire, octets } in vectors() {
        let shown = wire.shown(&octets);
        for private in names {
            assert!(!shown.contains(private), "{name}: {shown}");
        }
        assert!(!shown.contains("login_password: \"") && !shown.contains("authenticator_source: 9"), "{name}: {shown}");
    }
}

fn octets(most: usize) -> impl Strategy<Value = Vec<u8>> {
    // Mostly small values: they make lengths and NULs that lead deeper.
    proptest::collection::vec(prop_oneof![3 => 0..5_u8, 2 => any::<u8>()], 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_octets_are_read_or_refused(octets in octets(300)) {
        for wire in Wire::ALL {
            let _ = cut(&octets, &wire.limits());
            let _ = wire.read(&octets);
        }
    }

    /// What was read is written again as octets that read the same, whatever came in.
    #[test]
    fn any_body_read_survives_writing(body in octets(300), command in 0..0x18_u32, answer in any::<bool>()) {
        for wire in Wire::ALL {
            let octets = wire.framed(if answer { command | RESPONSE } else { command }, &body);
            if let Read::Understood { again, unfit: None } = wire.read(&octets) {
                prop_assert_eq!(wire.read(&again), Read::Understood { again: again.clone(), unfit: None });
            }
        }
    }

    /// Damaged anywhere, even in several places, a PDU is read or skipped; reading never depends on what lies after it.
    #[test]
    fn damage_is_survived(which in 0..74_usize, flips in proptest::collection::vec((4..400_usize, any::<u8>()), 1..6)) {
        let Vector { wire, mut octets, .. } = vectors().swap_remove(which);
        let whole = octets.len();
        flips.into_iter().for_each(|(at, value)| octets[4 + (at - 4) % (whole - 4)] = value);
        let read = wire.read(&octets);
        let mut glued = octets.clone();
        glued.extend([0xff; 64]);
        prop_assert_eq!(wire.read(&glued[..whole]), read);
    }
}
