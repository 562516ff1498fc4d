#!/usr/bin/env bash
# Everything CI runs, in the order of what fails soonest. Tools that cannot be had are skipped loudly and named again
# at the end; everything else that fails, fails the run.
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO=${CARGO:-cargo}
skipped=()
# Tests that need peers from npm or PyPI leave a line here where those cannot be had.
foreign=${CARGO_TARGET_DIR:-target}/foreign/skipped
rm -f "$foreign"

step() { printf '\n== %s\n' "$*"; }
skip() { printf '\n!! SKIPPED: %s\n' "$*" >&2; skipped+=("$*"); }

step "format"
"$CARGO" fmt --all --check

step "clippy"
"$CARGO" clippy --workspace --all-targets --locked -- -D warnings

step "structural rules"
"$CARGO" run --quiet --locked -p tidy

# A test has Wireshark's dissector read a capture; without it that test is skipped and says so.
if ! command -v tshark >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  step "installing tshark"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends tshark >/dev/null 2>&1 || true
fi

# A test moves the wall clock under the gateway.
if ! compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  step "installing libfaketime"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libfaketime >/dev/null 2>&1 || true
fi

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

while IFS= read -r line; do skip "$line"; done < <(cat "$foreign" 2>/dev/null || true)

step "vectors per protocol, clauses of the books, quirks, dialogues"
"$CARGO" test --workspace --locked --test vectors --test ledger --test dialogues -- --nocapture every_ 2>/dev/null |
  grep -oE '(smpp|cmpp[23]?|sgip|smgp|quirks): .*|[0-9]+ dialogues .*' | sort

step "examples in the documentation"
"$CARGO" test --workspace --locked --doc --quiet

if "$CARGO" deny --version >/dev/null 2>&1; then
  step "licences, bans, sources"
  "$CARGO" deny --log-level error check licenses bans sources
else
  skip "cargo-deny is not installed (cargo install --locked cargo-deny): licences, bans and sources are unchecked"
fi

command -v promtool >/dev/null || skip "promtool is not installed (Debian's package prometheus): the syntax of ops/alerts is unchecked"

printf '\n'
if ((${#skipped[@]})); then
  printf 'skipped: %s\n' "${skipped[@]}"
fi
echo "all that ran has passed"
