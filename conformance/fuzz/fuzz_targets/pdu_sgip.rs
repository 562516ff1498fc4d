//! cargo-fuzz's entrance to the target of that name.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| (conformance::fuzz::target("pdu_sgip").run)(octets));
