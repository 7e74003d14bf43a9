#!/usr/bin/env bash
# The long run: the same tests with nightly counts, all under AddressSanitizer, the loom models with a higher bound, and
# fuzzing, each target for FUZZ_SECONDS (5400).
# Hours on two cores. Every harness leaves its counts and seed in target/evidence.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

export REDELIVER_TIER=nightly
export SEED=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
say "SEED=$SEED"
scripts/test.sh
scripts/kernel.sh
scripts/shuttle.sh
scripts/asan.sh
FUZZ_SECONDS=${FUZZ_SECONDS:-5400} scripts/fuzz.sh
LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-4} LOOM_MAX_DURATION=${LOOM_MAX_DURATION:-3600} REDELIVER_CUT=allow scripts/loom.sh
