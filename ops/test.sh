#!/usr/bin/env bash
# Everything CI runs, in the order of what fails soonest. Tools that cannot be had are skipped loudly and named again
# at the end; everything else that fails, fails the run.
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO=${CARGO:-cargo}
skipped=()

step() { printf '\n== %s\n' "$*"; }
skip() { printf '\n!! SKIPPED: %s\n' "$*" >&2; skipped+=("$*"); }

step "format"
"$CARGO" fmt --all --check

step "clippy"
"$CARGO" clippy --workspace --all-targets --locked -- -D warnings

step "structural rules"
"$CARGO" run --quiet --locked -p tidy

if ! "$CARGO" nextest --version >/dev/null 2>&1; then
  step "installing cargo-nextest"
  "$CARGO" install --locked cargo-nextest || true
fi
if "$CARGO" nextest --version >/dev/null 2>&1; then
  step "tests"
  "$CARGO" nextest run --workspace --locked
else
  step "tests, without cargo-nextest"
  "$CARGO" test --workspace --locked --lib --bins --tests
  skip "cargo-nextest cannot be installed: the tests ran under cargo test, without its time limits"
fi

step "examples in the documentation"
"$CARGO" test --workspace --locked --doc --quiet

if "$CARGO" deny --version >/dev/null 2>&1; then
  step "licences, bans, sources"
  "$CARGO" deny --log-level error check licenses bans sources
else
  skip "cargo-deny is not installed (cargo install --locked cargo-deny): licences, bans and sources are unchecked"
fi

printf '\n'
if ((${#skipped[@]})); then
  printf 'skipped: %s\n' "${skipped[@]}"
fi
echo "all that ran has passed"
