# Sourced by the scripts beside it: the project's root, where things are built, and how a missing tool is reported.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# rustup's tools, also where a shell was opened before rustup put them on the path.
if ! command -v cargo >/dev/null 2>&1 && [ -r "$HOME/.cargo/env" ]; then
    # shellcheck disable=SC1091
    . "$HOME/.cargo/env"
fi

target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$root/$target ;; esac
export CARGO_TARGET_DIR=$target

# The harnesses write their counts and seeds here, wherever things are built.
evidence=$root/target/evidence

say() { printf '%s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# What is left out is said in this form, so that it can be searched for.
skipped() { say "SKIPPED: $*"; }

msrv=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)

# `older 1.90.0 1.95`: is the first version older than the second?
older() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# All that the tests need beside this repository: a cargo that is new enough, and a linker.
need_toolchain() {
    command -v cargo >/dev/null 2>&1 || die "cargo is not installed; https://rustup.rs has it"
    local version
    version=$(cargo --version | cut -d ' ' -f 2)
    ! older "${version%%-*}" "$msrv" || die "cargo $version is older than $msrv: run 'rustup update stable'"
    command -v cc >/dev/null 2>&1 || die "no C linker ('cc'): install gcc or clang (Debian: apt install build-essential)"
}

has_toolchain() { command -v rustup >/dev/null 2>&1 && rustup toolchain list 2>/dev/null | grep -q "^$1-"; }

host() { rustc -vV | sed -n 's/^host: //p'; }
