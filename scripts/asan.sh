#!/usr/bin/env bash
# The suite under AddressSanitizer (with leak detection): the detector for a seat that is used after it was freed.
# Needs the nightly toolchain (`rustup toolchain install nightly`), and is skipped, visibly, without it.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

need_toolchain
mkdir -p "$evidence"
triple=$(host)
if ! has_toolchain nightly; then
    skipped "AddressSanitizer: the nightly toolchain is not installed"
    exit 0
fi
case $triple in
x86_64-unknown-linux-gnu | aarch64-unknown-linux-gnu | x86_64-apple-darwin | aarch64-apple-darwin) ;;
*)
    skipped "AddressSanitizer: not available for $triple"
    exit 0
    ;;
esac

export CARGO_TARGET_DIR=$target/asan
# With --target the flags reach the crates and not the build scripts and macros, which run on the host.
# `cfg(asan)` is for what cannot be built this way: a value of 2^36 bytes, with a shadow for each of them.
export RUSTFLAGS="-Zsanitizer=address --cfg asan ${RUSTFLAGS:-}"
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:detect_stack_use_after_return=1}
# A report names lines, and no variables: less to write, and to read.
export CARGO_PROFILE_DEV_DEBUG=line-tables-only
# Unsafe code lives in the ring alone. What tests the journal, which has none and does not know the ring, need not be here.
suite=(--lib)
for file in tests/*.rs; do
    case $(basename "$file") in
    journal* | golden*) ;;
    *) suite+=(--test "$(basename "$file" .rs)") ;;
    esac
done
log=$target/asan/asan.log
mkdir -p "$target/asan"
status=0
# Built under a limit of 12 GiB, for such a value in a test would have the compiler take all memory there is. The run has
# none: the sanitizer reserves terabytes of addresses.
(
    ulimit -v $((12 * 1024 * 1024)) 2>/dev/null || true
    cargo +nightly test --no-run --all-features --target "$triple" "${suite[@]}"
) || die "the suite does not build under AddressSanitizer (a huge type in a test belongs under cfg(not(asan)))"
cargo +nightly test --all-features --target "$triple" "${suite[@]}" -- "$@" 2>&1 | tee "$log" || status=$?
[ "$status" -eq 0 ] || die "the suite fails under AddressSanitizer"
passed=$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
[ "$passed" -gt 0 ] || die "no test ran under AddressSanitizer"
printf '{"tests": %s, "reports": 0, "toolchain": "%s"}\n' "$passed" "$(rustc +nightly --version)" >"$evidence/asan.json"
