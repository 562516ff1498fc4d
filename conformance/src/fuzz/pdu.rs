//! Octets as PDUs: they are read or skipped, whatever they are; what was read is written as octets that mean the same; what
//! is skipped is answered by something that can be read.

use bytes::BytesMut;
use codecs::cmpp::Version;
use codecs::framing::{Limits, cut};
use codecs::{cmpp, sgip, smgp, smpp};

/// What writing makes of what was read, and what did not fit.
type Again = Option<(Vec<u8>, Option<&'static str>)>;

pub(super) fn smpp(octets: &[u8]) {
    let read = |octets: &[u8]| {
        let pdu = smpp::Pdu::read(octets).ok()?;
        let mut out = BytesMut::new();
        pdu.write(&mut out);
        assert_eq!(out.len(), pdu.octets());
        let _ = format!("{pdu:?}");
        Some((out.to_vec(), pdu.unfit()))
    };
    pdus(octets, &smpp::LIMITS, read);
}

/// A protocol whose PDUs are `codecs::pdu`'s.
macro_rules! common {
    ($octets:expr, $protocol:ident, $edition:expr, $nack:expr) => {{
        let written = |pdu: &$protocol::Pdu<'_>| {
            let mut out = BytesMut::new();
            pdu.write($edition, &mut out);
            assert_eq!(out.len(), pdu.octets($edition));
            out.to_vec()
        };
        let read = |octets: &[u8]| match $protocol::Pdu::read(octets, $edition) {
            Ok(pdu) => {
                let _ = format!("{pdu:?}");
                Some((written(&pdu), pdu.unfit($edition)))
            }
            Err(skip) => {
                #[allow(clippy::redundant_closure_call, reason = "each protocol has its own arguments")]
                if let Some(nack) = ($nack)(&skip, octets) {
                    assert!($protocol::Pdu::read(&written(&nack), $edition).is_ok(), "an answer that cannot be read");
                }
                None
            }
        };
        pdus($octets, &$protocol::LIMITS, read);
    }};
}

pub(super) fn cmpp(octets: &[u8]) {
    for version in [Version::V20, Version::V30] {
        common!(octets, cmpp, version, |skip, octets| cmpp::nack(skip, octets, version));
    }
}

pub(super) fn sgip(octets: &[u8]) {
    common!(octets, sgip, (), |skip, _| sgip::nack(skip));
}

pub(super) fn smgp(octets: &[u8]) {
    common!(octets, smgp, (), smgp::nack);
}

/// The octets as they are, with a length that is true, and as a stream.
fn pdus(octets: &[u8], limits: &Limits, read: impl Fn(&[u8]) -> Again) {
    means_the_same(octets, &read);
    let mut framed = octets.to_vec();
    if let (Some(length), Ok(whole)) = (framed.first_chunk_mut(), u32::try_from(octets.len())) {
        *length = whole.to_be_bytes();
        means_the_same(&framed, &read);
    }
    let mut rest = octets;
    while let Ok(Some(whole)) = cut(rest, limits) {
        let (pdu, after) = rest.split_at(whole);
        means_the_same(pdu, &read);
        rest = after;
    }
}

fn means_the_same(octets: &[u8], read: &impl Fn(&[u8]) -> Again) {
    let Some((again, unfit)) = read(octets) else { return };
    let Some((twice, left)) = read(&again) else { panic!("what was written cannot be read") };
    if unfit.is_none() {
        assert_eq!((&twice, left), (&again, None), "written twice, it is not the same");
    }
}
