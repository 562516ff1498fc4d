#!/usr/bin/env bash
# Builds the programs and measures failover; arguments go to the program (--help lists them). What needs root or a
# package that cannot be had is skipped, and said to be.
set -euo pipefail
cd "$(dirname "$0")/../.."

CARGO=${CARGO:-cargo}
if ! command -v "$CARGO" >/dev/null; then
  echo "bench-failover: cargo is missing; install Rust from https://rustup.rs" >&2
  exit 3
fi
# nft drops packets at a carrier's input: without it there are no blackhole rows.
if ! command -v nft >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "installing nftables" >&2
  apt-get install -y --no-install-recommends nftables >/dev/null || true
fi
"$CARGO" build --release --locked --bins
exec "${CARGO_TARGET_DIR:-target}/release/failover" "$@"
