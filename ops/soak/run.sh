#!/usr/bin/env bash
# Thousands of worlds of the line in virtual time, then the planted bugs: each must be caught; then endurance with real
# processes. Needs git and some GB of disk; disks of its own want root and loop devices, else those parts are skipped.
#
#   SIM_SEEDS=n SIM_FROM=n   how many worlds (3000 unless told), and the first seed
#   SOAK_BUGS=no             leaves the planted bugs out;  SOAK_WORLDS=no  the worlds, SOAK_ENDURE=no  endurance
#   ENDURE_KILLS=50          kill -9 under load            ENDURE_CUTS=50          power cuts on a disk that is copied
#   ENDURE_MINUTES=10        everything at once, memory and descriptors read; 120 are the two hours, at ENDURE_RATE=300
#   ENDURE_PAUSE=0.5         seconds between two of its faults, on average: at 0.5 most messages expire, at 5 most are delivered
#   ENDURE_DAMAGE=200        octets cut off a journal, and bits flipped in it
#   ENDURE_JUMPS=5           rounds of jumps of the wall clock
#   ENDURE_SLOW_SECONDS=60   load on a disk whose syncs take up to two seconds
#   SEED=n                   the dice of an endurance test again
set -euo pipefail
cd "$(dirname "$0")/../.."

CARGO=${CARGO:-cargo}
if ! command -v "$CARGO" >/dev/null; then
  echo "soak: cargo is missing; install Rust from https://rustup.rs" >&2
  exit 3
fi
status=0
if [ "${SOAK_WORLDS:-yes}" != no ]; then
  echo "== worlds"
  SIM_SEEDS=${SIM_SEEDS:-3000} "$CARGO" test --release --locked --quiet -p gateway --test sim -- --nocapture the_whole_line || status=1
fi
if [ "${SOAK_BUGS:-yes}" != no ]; then
  echo "== planted bugs (target/planted)"
  SIM_SEEDS=1000 "$CARGO" test --locked --quiet -p gateway --test planted -- --ignored --nocapture || status=1
fi
if [ "${SOAK_ENDURE:-yes}" != no ]; then
  echo "== endurance"
  export ENDURE_KILLS=${ENDURE_KILLS:-50} ENDURE_CUTS=${ENDURE_CUTS:-50} ENDURE_MINUTES=${ENDURE_MINUTES:-10}
  export ENDURE_RATE=${ENDURE_RATE:-300} ENDURE_DAMAGE=${ENDURE_DAMAGE:-200} ENDURE_JUMPS=${ENDURE_JUMPS:-5}
  export ENDURE_SLOW_SECONDS=${ENDURE_SLOW_SECONDS:-60}
  "$CARGO" build --release --locked --quiet --bin qiao --bin qiao-sim || status=1
  # One after the other: they measure.
  "$CARGO" test --release --locked --quiet -p conformance --test endure -- --nocapture --test-threads 1 || status=1
fi
exit $status
