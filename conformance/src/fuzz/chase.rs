//! Runs a target for a while without a fuzzer: over its corpus, then over mutations of it. What it finds is made smaller and
//! written where `cargo fuzz` would write it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::{Target, corpus, mutate};
use crate::proofs::root;

/// An input that a target does not bear.
#[derive(Debug)]
pub struct Found {
    /// The smallest form of it that was found.
    pub input: Vec<u8>,
    /// What the target said.
    pub said: String,
    /// Where it lies.
    pub file: PathBuf,
}

/// Runs the target over all of its corpus, then over mutations until the time is over; says how many inputs it bore.
pub fn chase(target: Target, time: Duration, seed: u64) -> Result<u64, Box<Found>> {
    let inputs = corpus::files(target.name);
    let (mut rng, mut runs, start) = (Rng::with_seed(seed), 0, Instant::now());
    for input in &inputs {
        bears(target, input).map_err(|said| found(target, input, said))?;
        runs += 1;
    }
    let empty = Vec::new();
    while start.elapsed() < time {
        for _ in 0..64 {
            let mut input = rng.choice(&inputs).unwrap_or(&empty).clone();
            mutate::mutate(&mut input, rng.choice(&inputs).unwrap_or(&empty), &mut rng);
            bears(target, &input).map_err(|said| found(target, &input, said))?;
            runs += 1;
        }
    }
    Ok(runs)
}

/// Runs the target once; what it said where it panicked.
fn bears(target: Target, input: &[u8]) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

fn found(target: Target, input: &[u8], said: String) -> Box<Found> {
    let input = smaller(target, input);
    let folder = root().join("conformance/fuzz/artifacts").join(target.name);
    let name = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, o| (h ^ u64::from(*o)).wrapping_mul(0x0100_0000_01b3));
    let file = folder.join(format!("crash-{name:016x}"));
    let _ = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, &input));
    Box::new(Found { input, said, file })
}

/// Takes away what is not needed for the panic: halves, then less, then single octets.
fn smaller(target: Target, input: &[u8]) -> Vec<u8> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut input = input.to_vec();
    let mut piece = input.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at + piece <= input.len() {
            let mut less = input.clone();
            less.drain(at..at + piece);
            match bears(target, &less) {
                Err(_) => input = less,
                Ok(()) => at += piece,
            }
        }
        piece /= 2;
    }
    std::panic::set_hook(hook);
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_found_made_small_and_kept() {
        let planted = |input: &[u8]| assert!(!input.windows(2).any(|pair| pair == [0xff, 0x07]), "seven after 0xff");
        let target = Target { name: "text", run: planted };
        let found = chase(target, Duration::from_secs(60), 1).expect_err("a mistake nobody finds");
        assert_eq!((&found.input[..], found.said.as_str()), (&[0xff, 0x07][..], "seven after 0xff"));
        assert_eq!(std::fs::read(&found.file).unwrap(), found.input);
        std::fs::remove_file(&found.file).unwrap();
    }
}
