#!/usr/bin/env bash
# Licences, sources, duplicate versions and advisories of every dependency, after deny.toml: the crate's own and those of
# the packages for comparison and fuzzing.
# With cargo-deny installed that is what runs. Without it, the same rules but the advisories, by cargo itself and awk.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

need_toolchain

if cargo deny --version >/dev/null 2>&1; then
    # The database of advisories is fetched; where that cannot be done the other checks still count.
    if ! cargo deny fetch db >/dev/null 2>&1; then
        skipped "advisories: their database cannot be fetched here"
        exec cargo deny check licenses bans sources
    fi
    exec cargo deny check
fi

skipped "advisories: cargo-deny is not installed (cargo install cargo-deny)"

tree() { cargo tree --all-features --target all --prefix none "$@"; }

# Sources: nothing but the registry and this repository.
strange=$(grep -h '^source = ' Cargo.lock benches/compare/Cargo.lock fuzz/Cargo.lock | grep -v 'registry+https://github.com/rust-lang/crates.io-index' || true)
[ -z "$strange" ] || die "a dependency does not come from crates.io: $strange"

# Duplicates are a warning.
doubles=$(tree --duplicates --depth 0 | sort -u | sed '/^$/d')
[ -z "$doubles" ] || say "warning: more than one version of: $(echo "$doubles" | cut -d ' ' -f 1,2 | tr '\n' ',' | sed 's/,$//; s/,/, /g')"

# Licences: each expression (MIT OR (Apache-2.0 AND Zlib)) is reduced with the allowed names as true.
allowed=$(sed -n '/^\[licenses\]/,/^\[bans\]/ s/^ *"\([^"]*\)",.*/\1/p' deny.toml | tr '\n' ' ')
[ -n "$allowed" ] || die "deny.toml has no list of allowed licences"
{
    tree --format '{p}|{l}'
    tree --format '{p}|{l}' --manifest-path benches/compare/Cargo.toml
    # libFuzzer itself is under the NCSA licence, as LLVM was: it is run here, and part of nothing that is given away.
    tree --format '{p}|{l}' --manifest-path fuzz/Cargo.toml | grep -v '^libfuzzer-sys '
} | sed 's/ (proc-macro)//' |
    sed 's/ (\*)$//' | sort -u |
    awk -F '|' -v allowed="$allowed" '
        # Recursive descent, with OR below AND below a name or parentheses; `at` is the next of `words`.
        function either(   left, right) {
            left = both()
            while (words[at] == "OR") { at++; right = both(); left = left || right }
            return left
        }
        function both(   left, right) {
            left = name()
            while (words[at] == "AND") { at++; right = name(); left = left && right }
            return left
        }
        function name(   value) {
            if (words[at] == "(") { at++; value = either(); at++; return value }
            return words[at++] in ok
        }
        function holds(text,   n) {
            gsub(/\//, " OR ", text); gsub(/\(/, "( ", text); gsub(/\)/, " )", text)
            gsub(/ WITH /, "-WITH-", text)
            delete words
            n = split(text, words, / +/); at = 1
            return n > 0 && either() && at > n
        }
        BEGIN { n = split(allowed, names, " "); for (i = 1; i <= n; i++) ok[names[i]] }
        $1 == "" { next }
        { count++ }
        !holds($2) { print "  " $1 ": " ($2 == "" ? "no licence" : $2); bad++ }
        END {
            print "licences: " count " packages, " bad + 0 " not allowed by deny.toml"
            exit (bad > 0 || count == 0)
        }
    ' || die "a licence that deny.toml does not allow (above)"
