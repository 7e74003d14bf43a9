#!/usr/bin/env bash
# Whole-queue scenarios under random schedules (tests/schedules.rs).
#
#   REDELIVER_SCHEDULES  how many in all (default: 20000; nightly: 10000000)
#   SEED                 of the first
# Arguments choose scenarios, as with `cargo test`.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

need_toolchain
mkdir -p "$evidence"
if [ "${REDELIVER_TIER:-}" = nightly ]; then
    export REDELIVER_SCHEDULES=${REDELIVER_SCHEDULES:-10000000}
fi
# A directory of its own: `--cfg shuttle` changes every crate.
export CARGO_TARGET_DIR=$target/shuttle
export RUSTFLAGS="--cfg shuttle ${RUSTFLAGS:-}"
cargo test --release --test schedules -- --nocapture "$@" || die "a schedule fails (it is printed above)"
