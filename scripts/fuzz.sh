#!/usr/bin/env bash
# Coverage-guided fuzzing (libFuzzer) of settings, names, policies, sequences of calls and journals: fuzz/targets/.
#   scripts/fuzz.sh                  all targets, two at a time, FUZZ_SECONDS (default: 60) each
#   scripts/fuzz.sh TARGET           one of them
#   scripts/fuzz.sh TARGET FILE…     replays inputs
#
#   SEED                     libFuzzer's seed (default: fixed, and no run knows of another, so that it can be repeated)
#   REDELIVER_TIER=nightly   goes on from the inputs that earlier runs have found, in target/fuzz/corpus
# An input that breaks a promise is kept in target/fuzz/artifacts. Needs a C++ compiler, and is skipped, visibly, without.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

need_toolchain
mkdir -p "$evidence"
seconds=${FUZZ_SECONDS:-60}
seed=${SEED:-24301}
seed=$((seed % 4294967295))
cxx=${CXX:-c++}
triple=$(host)
if ! command -v "$cxx" >/dev/null 2>&1; then
    skipped "fuzzing: no C++ compiler ('$cxx'), which libFuzzer needs (Debian: apt install g++)"
    exit 0
fi
case $triple in
x86_64-unknown-linux-gnu | aarch64-unknown-linux-gnu | x86_64-apple-darwin | aarch64-apple-darwin) ;;
*)
    skipped "fuzzing: not available for $triple"
    exit 0
    ;;
esac

# Counters of edges and comparisons, as cargo-fuzz asks for them. With --target they reach the crates and not the build
# scripts and macros, which run on the host. Debug assertions and overflow checks are in the package's profile.
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
export CARGO_TARGET_DIR=$target/fuzz
export RUSTFLAGS="$flags ${RUSTFLAGS:-}"
cargo build --locked --release --manifest-path fuzz/Cargo.toml --target "$triple" || die "the fuzz targets do not build"
binaries=$CARGO_TARGET_DIR/$triple/release
artifacts=$root/target/fuzz/artifacts
logs=$CARGO_TARGET_DIR/logs
mkdir -p "$artifacts" "$logs"

targets=()
for file in fuzz/targets/*.rs; do
    targets+=("$(basename "$file" .rs)")
done
if [ "$#" -gt 0 ]; then
    [ -e "fuzz/targets/$1.rs" ] || die "there is no target '$1': ${targets[*]}"
    targets=("$1")
    shift
fi
export RUST_BACKTRACE=0 # the input says more
limits=(-timeout=20 -rss_limit_mb=2048)
if [ "$#" -gt 0 ]; then
    exec "$binaries/${targets[0]}" "${limits[@]}" "$@"
fi

# Begins with the inputs of fuzz/seeds, which are the way to what takes too long to be found by chance.
fuzz() {
    local name=$1 found=$root/target/fuzz/corpus/$1 corpus
    if [ "${REDELIVER_TIER:-}" != nightly ]; then
        found=$CARGO_TARGET_DIR/fresh/$name
        rm -rf "$found"
    fi
    mkdir -p "$found"
    corpus=("$found")
    [ ! -d "fuzz/seeds/$name" ] || corpus+=("fuzz/seeds/$name")
    "$binaries/$name" "${limits[@]}" -max_total_time="$seconds" -seed="$seed" -max_len=1024 -print_final_stats=1 \
        -artifact_prefix="$artifacts/$name-" "${corpus[@]}" >"$logs/$name.log" 2>&1
}

failed=()
for ((at = 0; at < ${#targets[@]}; at += 2)); do
    names=("${targets[@]:at:2}")
    ids=()
    for name in "${names[@]}"; do
        fuzz "$name" &
        ids+=($!)
    done
    for i in "${!ids[@]}"; do
        wait "${ids[$i]}" || failed+=("${names[$i]}")
    done
done

comma=
printf '[' >"$evidence/fuzz.json"
for name in "${targets[@]}"; do
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$logs/$name.log")
    edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$logs/$name.log" | tail -n 1)
    say "$name: ${executions:-0} executions, ${edges:-0} edges"
    printf '%s\n  {"target": "%s", "executions": %s, "seconds": %s, "edges": %s, "seed": %s}' \
        "$comma" "$name" "${executions:-0}" "$seconds" "${edges:-0}" "$seed" >>"$evidence/fuzz.json"
    comma=,
done
printf '\n]\n' >>"$evidence/fuzz.json"

for name in "${failed[@]}"; do
    say "---- $name (all of it: $logs/$name.log)"
    grep -v '^#' "$logs/$name.log" | tail -n 40
    input=$(sed -n 's/.*Test unit written to //p' "$logs/$name.log" | tail -n 1)
    [ -z "$input" ] || say "replay: scripts/fuzz.sh $name $input"
done
[ "${#failed[@]}" -eq 0 ] || die "an input breaks a promise: ${failed[*]}"
