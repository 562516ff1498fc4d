#!/usr/bin/env bash
# Thousands of worlds of the line in virtual time, then the planted bugs: each must be caught. SIM_SEEDS says how many
# worlds (3000 unless told), SIM_FROM the first seed; SOAK_BUGS=no leaves the bugs out. Needs git and some GB of disk.
set -euo pipefail
cd "$(dirname "$0")/../.."

CARGO=${CARGO:-cargo}
if ! command -v "$CARGO" >/dev/null; then
  echo "soak: cargo is missing; install Rust from https://rustup.rs" >&2
  exit 3
fi
status=0
echo "== worlds"
SIM_SEEDS=${SIM_SEEDS:-3000} "$CARGO" test --release --locked --quiet -p gateway --test sim -- --nocapture the_whole_line || status=1
if [ "${SOAK_BUGS:-yes}" != no ]; then
  echo "== planted bugs (target/planted)"
  SIM_SEEDS=1000 "$CARGO" test --locked --quiet -p gateway --test planted -- --ignored --nocapture || status=1
fi
exit $status
