#!/usr/bin/env bash
# The loom models: every schedule of the lock-free pieces, within a bound of preemptions.
#
#   LOOM_MAX_PREEMPTIONS  preemptions a schedule may have (default: 2)
#   LOOM_MAX_DURATION     seconds for one model (default: 120; the models say CUT SHORT when it was not enough)
#   REDELIVER_CUT=allow   a model that was cut short is reported, and is no failure
# Arguments choose models: `scripts/loom.sh ring` runs those whose path contains "ring".
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

need_toolchain
mkdir -p "$evidence" "$target/loom"
log=$target/loom/models.log

# A directory of its own: `--cfg loom` changes every crate.
export CARGO_TARGET_DIR=$target/loom
export RUSTFLAGS="--cfg loom ${RUSTFLAGS:-}"
status=0
# One model at a time, or the time limit of each depends on the others.
cargo test --release --lib "${1:-models}" -- --nocapture --test-threads 1 2>&1 | tee "$log" || status=$?
[ "$status" -eq 0 ] || die "a model found a schedule that fails (its trace is above)"

# `model: NAME: bound Some(2), 123 executions, 0.4 s[, CUT SHORT]`; the harness may print before it on the same line.
awk '
    match($0, /model: .*/) {
        line = substr($0, RSTART + 7)
        cut = line ~ /CUT SHORT/
        bound = line; sub(/.*bound (Some\()?/, "", bound); sub(/[^0-9].*/, "", bound)
        count = line; sub(/ executions.*/, "", count); sub(/.* /, "", count)
        seconds = line; sub(/.* executions, /, "", seconds); sub(/ s.*/, "", seconds)
        name = line; sub(/: bound .*/, "", name); gsub(/[\\"]/, "", name)
        printf "%s  {\"model\": \"%s\", \"bound\": %s, \"executions\": %s, \"seconds\": %s, \"exhausted\": %s}",
            n++ ? ",\n" : "[\n", name, bound, count, seconds, cut ? "false" : "true"
    }
    END { print n ? "\n]" : "[]" }
' "$log" >"$evidence/loom.json"

models=$(grep -c '"model"' "$evidence/loom.json" || true)
cut=$(grep -c '"exhausted": false' "$evidence/loom.json" || true)
[ "$models" -gt 0 ] || die "no model ran"
say "loom: $models models, $((models - cut)) exhausted, $cut cut short"
if [ "$cut" -gt 0 ]; then
    grep '"exhausted": false' "$evidence/loom.json"
    [ "${REDELIVER_CUT:-}" = allow ] || die "not exhausted: give them more time (LOOM_MAX_DURATION) or a smaller bound"
fi
