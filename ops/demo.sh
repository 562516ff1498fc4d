#!/usr/bin/env bash
# Builds the programs and runs the demo; arguments go to it (--help lists them). About 40 s after the build.
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO=${CARGO:-cargo}
if ! command -v "$CARGO" >/dev/null; then
  echo "demo: cargo is missing; install Rust from https://rustup.rs" >&2
  exit 3
fi
"$CARGO" build --release --locked --bins
exec "${CARGO_TARGET_DIR:-target}/release/demo" "$@"
