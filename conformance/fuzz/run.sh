#!/usr/bin/env bash
# Runs every fuzz target: guided by cargo-fuzz where it and a nightly compiler are, else over the corpora and what mutation
# makes of them, optimised, with overflows checked. What is found is kept below conformance/fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/../.."

CARGO=${CARGO:-cargo}
export FUZZ_SECONDS=${FUZZ_SECONDS:-60}

if "$CARGO" +nightly fuzz --version >/dev/null 2>&1; then
  for target in conformance/fuzz/fuzz_targets/*.rs; do
    "$CARGO" +nightly fuzz run --fuzz-dir conformance/fuzz "$(basename "$target" .rs)" -- -max_total_time="$FUZZ_SECONDS"
  done
else
  echo "cargo-fuzz is not installed (cargo install --locked cargo-fuzz, rustup toolchain install nightly): mutation without guidance"
  export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true
  "$CARGO" test --release --locked -p conformance --test fuzz -- --nocapture
fi
