#!/usr/bin/env bash
# Builds the programs and measures the line; arguments go to the program (--help lists them).
set -euo pipefail
cd "$(dirname "$0")/../.."

CARGO=${CARGO:-cargo}
if ! command -v "$CARGO" >/dev/null; then
  echo "bench: cargo is missing; install Rust from https://rustup.rs" >&2
  exit 3
fi
"$CARGO" build --release --locked --bins
exec "${CARGO_TARGET_DIR:-target}/release/bench" "$@"
