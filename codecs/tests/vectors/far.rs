//! The protocols under one roof, so that a test can loop over them.

use bytes::BytesMut;
use codecs::cmpp::Version;
use codecs::framing::{Limits, Skip};
use codecs::layout::Field;
use codecs::pdu::{Bodies, Pdu, Sequence};
use codecs::{cmpp, sgip, smgp};

use crate::Vector;

/// A protocol in one version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wire {
    Cmpp(Version),
    Sgip,
    Smgp,
}

/// What became of octets.
#[derive(Debug, PartialEq)]
pub(crate) enum Read {
    /// Read; what writing makes of it, and what would be cut.
    Understood { again: Vec<u8>, unfit: Option<&'static str> },
    /// Skipped: the command, the sequence number, and the answer if there is one.
    Skipped { skip: u32, sequence: Vec<u8>, nack: Option<Vec<u8>> },
}

impl Wire {
    pub(crate) const ALL: [Wire; 4] = [Wire::Cmpp(Version::V20), Wire::Cmpp(Version::V30), Wire::Sgip, Wire::Smgp];

    pub(crate) fn named(name: &str) -> Wire {
        Wire::ALL.into_iter().find(|wire| wire.name() == name).unwrap()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Wire::Cmpp(Version::V20) => "cmpp2",
            Wire::Cmpp(Version::V30) => "cmpp3",
            Wire::Sgip => "sgip",
            Wire::Smgp => "smgp",
        }
    }

    pub(crate) fn header(self) -> usize {
        match self {
            Wire::Cmpp(_) => cmpp::HEADER,
            Wire::Sgip => sgip::HEADER,
            Wire::Smgp => smgp::HEADER,
        }
    }

    pub(crate) fn limits(self) -> Limits {
        match self {
            Wire::Cmpp(_) => cmpp::LIMITS,
            Wire::Sgip => sgip::LIMITS,
            Wire::Smgp => smgp::LIMITS,
        }
    }

    /// A PDU of any body, its length right.
    pub(crate) fn framed(self, command: u32, body: &[u8]) -> Vec<u8> {
        let length = (self.header() + body.len()) as u32;
        [&length.to_be_bytes()[..], &command.to_be_bytes(), &[7; 12][..self.header() - 8], body].concat()
    }

    pub(crate) fn read(self, octets: &[u8]) -> Read {
        match self {
            Wire::Cmpp(version) => {
                let nack = |skip: &Skip| cmpp::nack(skip, octets, version).map(|pdu| written(&pdu, version));
                outcome(cmpp::Pdu::read(octets, version), version, nack)
            }
            Wire::Sgip => {
                outcome(sgip::Pdu::read(octets, ()), (), |skip| sgip::nack(skip).map(|pdu| written(&pdu, ())))
            }
            Wire::Smgp => {
                outcome(smgp::Pdu::read(octets, ()), (), |skip| smgp::nack(skip, octets).map(|pdu| written(&pdu, ())))
            }
        }
    }

    pub(crate) fn shown(self, octets: &[u8]) -> String {
        match self {
            Wire::Cmpp(version) => format!("{:?}", cmpp::Pdu::read(octets, version)),
            Wire::Sgip => format!("{:?}", sgip::Pdu::read(octets, ())),
            Wire::Smgp => format!("{:?}", smgp::Pdu::read(octets, ())),
        }
    }

    /// Holds a vector to its meaning.
    pub(crate) fn means(self, vector: &Vector) {
        let octets = &vector.octets[..];
        match self {
            Wire::Cmpp(version) => {
                let meant = crate::cmpp::meaning(vector.name);
                let written = written(&meant, version);
                crate::holds(vector, cmpp::Pdu::read(octets, version), meant, &written);
            }
            Wire::Sgip => {
                let meant = crate::sgip::meaning(vector.name);
                let written = written(&meant, ());
                crate::holds(vector, sgip::Pdu::read(octets, ()), meant, &written);
            }
            Wire::Smgp => {
                let meant = crate::smgp::meaning(vector.name);
                let written = written(&meant, ());
                crate::holds(vector, smgp::Pdu::read(octets, ()), meant, &written);
            }
        }
    }
}

pub(crate) fn written<'a, B, S: Sequence, E: Copy>(pdu: &Pdu<B, S>, edition: E) -> Vec<u8>
where
    B: Bodies<'a, E>,
{
    let mut out = BytesMut::new();
    pdu.write(edition, &mut out);
    assert_eq!(out.len(), pdu.octets(edition));
    out.to_vec()
}

fn outcome<'a, B, S: Sequence, E: Copy>(
    read: Result<Pdu<B, S>, Skip<S>>,
    edition: E,
    nack: impl Fn(&Skip<S>) -> Option<Vec<u8>>,
) -> Read
where
    B: Bodies<'a, E>,
{
    match read {
        Ok(pdu) => Read::Understood { again: written(&pdu, edition), unfit: pdu.unfit(edition) },
        Err(skip) => {
            assert_ne!(skip.status, 0);
            let mut sequence = BytesMut::new();
            <S as Field<'_>>::write(skip.sequence, (), &mut sequence);
            Read::Skipped { skip: skip.command, sequence: sequence.to_vec(), nack: nack(&skip) }
        }
    }
}
