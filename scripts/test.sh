#!/usr/bin/env bash
# Every test: debug, documentation, release. Needs stable Rust and a C linker, and fetches what else it needs.
# Arguments go to the tests: `scripts/test.sh leases` runs those whose name contains "leases".
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

need_toolchain
mkdir -p "$evidence"

say "== debug, with overflow checks and debug assertions"
cargo test --all-features --lib --tests --examples -- "$@"
say "== documentation"
cargo test --all-features --doc -- "$@"
say "== release"
cargo test --all-features --release --lib --tests -- "$@"
