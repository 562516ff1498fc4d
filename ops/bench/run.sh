#!/usr/bin/env bash
# Builds the programs and measures the line; --tuned as the first argument: those of ops/tuned.sh. The other arguments go
# to the program (--help lists them).
set -euo pipefail
cd "$(dirname "$0")/../.."

CARGO=${CARGO:-cargo}
if ! command -v "$CARGO" >/dev/null; then
  echo "bench: cargo is missing; install Rust from https://rustup.rs" >&2
  exit 3
fi
if [ "${1:-}" = --tuned ]; then
  shift
  ops/tuned.sh
  exec "${CARGO_TARGET_DIR:-target}/tuned/bench" "$@"
fi
"$CARGO" build --release --locked --bins
exec "${CARGO_TARGET_DIR:-target}/release/bench" "$@"
