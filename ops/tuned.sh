#!/usr/bin/env bash
# Builds the gateway by what it does under load: once with counters in it, then the benchmark's load over every protocol
# to fill these, then again with what they say (rustc's profile-guided optimisation). Takes a quarter of an hour on two
# cores; target/tuned has the programs. Sources and options are those of `make build`.
#
#   LLVM_PROFDATA=path   merges the counters; of rustc's LLVM or a newer one. Without it rustup's component llvm-tools is used
#   AGAIN=yes            loads once more, though nothing has changed since the last time
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO=${CARGO:-cargo}
RUSTC=${RUSTC:-rustc}
if ! command -v "$CARGO" >/dev/null; then
  echo "tuned: cargo is missing; install Rust from https://rustup.rs" >&2
  exit 3
fi
host=$("$RUSTC" -vV | sed -n 's/^host: //p')
merge=${LLVM_PROFDATA:-$("$RUSTC" --print sysroot)/lib/rustlib/$host/bin/llvm-profdata}
if [ ! -x "$merge" ] && command -v rustup >/dev/null; then
  rustup component add llvm-tools >&2 || true
fi
if [ ! -x "$merge" ]; then
  echo "tuned: llvm-profdata is missing ($merge): rustup component add llvm-tools, or name one with LLVM_PROFDATA" >&2
  exit 3
fi
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
out=$target/tuned
mkdir -p "$out"

# With --target the flags are the gateway's only, not those of what runs while it is built.
gateway() {
  RUSTFLAGS="${RUSTFLAGS:-} $1" "$CARGO" build --release --locked --target "$host" --target-dir "$out/build" -p gateway --bin qiao
}
step() { printf '\n== %s\n' "$*" >&2; }

step "1 of 4: load, carriers and benchmark"
"$CARGO" build --release --locked --bins

step "2 of 4: the gateway with counters"
gateway "-Cprofile-generate=$out/counted"
counting=$out/build/$host/release/qiao
profile=$out/$(sha256sum "$counting" | cut -c1-16).profdata

if [ -s "$profile" ] && [ "${AGAIN:-no}" = no ]; then
  step "3 of 4: nothing has changed, so the counts of the last time stand"
else
  step "3 of 4: load, three minutes"
  rm -rf "$out/counted" "$out/load" && mkdir -p "$out/load"
  cp "$target/release/"{bench,alone,qiao-sim} "$counting" "$out/load/"
  cases=(single single-receipts batch batch-receipts light long slow-carrier queued-1m)
  "$out/load/bench" --runs 1 --no-kannel --out "$out/load/bench-out" "${cases[@]/#/--case=}" >"$out/load/figures"
  "$merge" merge -o "$profile.new" "$out/counted"
  rm -rf "$out/counted" "$out/load" "$out"/*.profdata
  mv "$profile.new" "$profile"
fi

step "4 of 4: the gateway by these counts"
gateway "-Cprofile-use=$profile"
cp "$target/release/"{bench,alone,demo,failover,qiao-sim} "$counting" "$out/"
echo "$out/qiao, and beside it the other programs; ops/bench/run.sh --tuned measures it" >&2
