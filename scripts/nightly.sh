#!/usr/bin/env bash
# The long run: the same tests with nightly counts, the loom models with a higher bound, all under AddressSanitizer.
# Hours on two cores. Every harness leaves its counts and seed in target/evidence.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

export REDELIVER_TIER=nightly
export SEED=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
say "SEED=$SEED"
scripts/test.sh
scripts/shuttle.sh
scripts/asan.sh
LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-4} LOOM_MAX_DURATION=${LOOM_MAX_DURATION:-3600} REDELIVER_CUT=allow scripts/loom.sh
