//! What fuzzing asks of codecs and sessions: one function per target, which panics where octets are not borne. The same
//! functions are run by `cargo fuzz` (`conformance/fuzz`) and, without it, by [`chase`] over the corpora and what mutation
//! makes of them.

pub mod chase;
pub mod corpus;
mod mutate;
mod pdu;
mod session;
mod text;

/// One thing to be fuzzed.
#[derive(Clone, Copy)]
pub struct Target {
    /// Also its folder below `conformance/fuzz/corpus` and its file in `fuzz_targets`.
    pub name: &'static str,
    /// Panics where the octets find a mistake.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 7] = [
    Target { name: "pdu_smpp", run: pdu::smpp },
    Target { name: "pdu_cmpp", run: pdu::cmpp },
    Target { name: "pdu_sgip", run: pdu::sgip },
    Target { name: "pdu_smgp", run: pdu::smgp },
    Target { name: "session", run: session::run },
    Target { name: "report", run: text::report },
    Target { name: "text", run: text::text },
];

/// The target of that name.
pub fn target(name: &str) -> Target {
    TARGETS.into_iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target {name}"))
}
