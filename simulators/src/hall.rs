//! For tests: a whole centre without sockets. What a peer sends, what comes back, what is written down. Time jumps.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use codecs::framing;
use codecs::pdu::{Bodies, Pdu, Sequence};

use crate::centre::{Centre, Link, Order};
use crate::clock::Clock;
use crate::desk::Desk;
use crate::fault::Spec;
use crate::lines::Lines;
use crate::scenario::Scenario;

/// A centre, its clock and its log.
pub(crate) struct Hall {
    pub(crate) centre: Centre,
    pub(crate) now: Instant,
    log: tempfile::NamedTempFile,
}

impl Hall {
    /// The first carrier of a scenario; `account` is its protocol and credentials, `more` the rest.
    pub(crate) fn new(account: &str, more: &str) -> Self {
        let scenario = Scenario::read(&format!("[[carrier]]\nname = 'a'\n{account}\n{more}\n"), "s").unwrap();
        let config = scenario.carriers().next().unwrap().clone();
        let log = tempfile::NamedTempFile::new().unwrap();
        let clock = Clock::start();
        let desk = Desk::new(config, 1, clock, Lines::open(log.path()).unwrap());
        Self { centre: Centre::new(desk), now: clock.started(), log }
    }

    /// A connection from the other side.
    pub(crate) fn open(&mut self) -> Link {
        self.centre.opened(self.now).unwrap()
    }

    /// What comes back for a PDU, each in its octets.
    pub(crate) fn say<'a, B, S, E>(&mut self, link: Link, sequence: S, body: B, edition: E) -> Vec<Vec<u8>>
    where
        B: Bodies<'a, E> + Debug,
        S: Sequence,
        E: Copy,
    {
        let mut octets = BytesMut::new();
        Pdu { sequence, body }.write(edition, &mut octets);
        self.octets(link, &octets)
    }

    /// What comes back for octets.
    pub(crate) fn octets(&mut self, link: Link, octets: &[u8]) -> Vec<Vec<u8>> {
        self.centre.octets(self.now, link, &mut BytesMut::from(octets));
        self.heard(link)
    }

    /// What was said since.
    pub(crate) fn heard(&mut self, link: Link) -> Vec<Vec<u8>> {
        let mut out = BytesMut::new();
        self.centre.take_out(link, &mut out);
        let mut said = Vec::new();
        while let Ok(Some(length)) = framing::cut(&out, &codecs::cmpp::LIMITS) {
            said.push(out.split_to(length).to_vec());
        }
        assert!(out.is_empty(), "{out:?}");
        said
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.centre.tick(self.now);
    }

    pub(crate) fn fault(&mut self, text: &str) {
        let spec: Spec = toml::from_str(text).unwrap();
        self.centre.start_fault(self.now, spec);
    }

    /// Whether a connection to the other side is ordered.
    pub(crate) fn dials(&mut self) -> bool {
        self.centre.take_orders().iter().any(|order| matches!(order, Order::Dial(_)))
    }

    pub(crate) fn log(&mut self) -> Vec<serde_json::Value> {
        self.centre.flush();
        let text = std::fs::read_to_string(self.log.path()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The four octets at `at`.
pub(crate) fn word(octets: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(octets[at..at + 4].try_into().unwrap())
}

/// Octets of a text.
pub(crate) fn written(alphabet: codecs::text::Alphabet, text: &str) -> Vec<u8> {
    let mut octets = BytesMut::new();
    alphabet.encode(text, &mut octets);
    octets.to_vec()
}
