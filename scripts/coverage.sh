#!/usr/bin/env bash
# Branch coverage of the suite, folder by folder. Ledger, wheel, ring and journal must have COVERAGE_MIN % (default: 90)
# each. What is missed of the commit are sides that only a race of threads takes: its models take them, and do not count here.
# Needs the nightly toolchain with its llvm-tools, and is skipped, visibly, without them.
#
# What is counted: the two sides of every condition, and of every operand of `&&` and `||`, once for a place in the source,
# however many types it is compiled for; a side is covered if a test has taken it for any of them. The arms of a `match`
# are no branches to the compiler, so lines are counted too. Code that is there for tests only does not count.
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

need_toolchain
mkdir -p "$evidence"
minimum=${COVERAGE_MIN:-90}
judged="ledger wheel ring journal"

if ! has_toolchain nightly; then
    skipped "coverage: the nightly toolchain is not installed (rustup toolchain install nightly)"
    exit 0
fi
tools=$(rustc +nightly --print target-libdir)/../bin
[ -x "$tools/llvm-cov" ] || rustup component add llvm-tools --toolchain nightly >/dev/null 2>&1 || true
if ! [ -x "$tools/llvm-cov" ] || ! [ -x "$tools/llvm-profdata" ]; then
    skipped "coverage: the nightly toolchain has no llvm-tools (rustup component add llvm-tools --toolchain nightly)"
    exit 0
fi

export CARGO_TARGET_DIR=$target/coverage
export CARGO_INCREMENTAL=0
mkdir -p "$CARGO_TARGET_DIR"
profiles=$CARGO_TARGET_DIR/profiles
rm -rf "$profiles"
export LLVM_PROFILE_FILE=$profiles/%m-%p.profraw

# Counters in this crate and its tests (which compile the generic code), not in what they depend on. They are put in before
# anything is inlined, so that a little optimisation, without which they cost more than the tests, moves no figure.
export RUSTC_WORKSPACE_WRAPPER=$CARGO_TARGET_DIR/rustc-with-counters
printf '#!/bin/sh\nexec "$@" -Cinstrument-coverage -Zcoverage-options=condition\n' >"$RUSTC_WORKSPACE_WRAPPER"
chmod +x "$RUSTC_WORKSPACE_WRAPPER"
export CARGO_PROFILE_TEST_OPT_LEVEL=1 CARGO_PROFILE_DEV_OPT_LEVEL=1
export CARGO_PROFILE_TEST_DEBUG=0 CARGO_PROFILE_DEV_DEBUG=0

log=$CARGO_TARGET_DIR/coverage.log
status=0
cargo +nightly test --all-features --lib --tests -- "$@" >"$log" 2>&1 || status=$?
if [ "$status" -ne 0 ]; then
    tail -n 80 "$log"
    die "the suite fails when it is built for coverage"
fi

objects=()
while IFS= read -r binary; do
    objects+=(-object "$binary")
done < <(sed -n 's/^ *Running .* (\(.*\))$/\1/p' "$log")
[ "${#objects[@]}" -gt 0 ] || die "no test ran"
"$tools/llvm-profdata" merge -sparse "$profiles"/*.profraw -o "$CARGO_TARGET_DIR/suite.profdata"
"$tools/llvm-cov" export -format=lcov -instr-profile "$CARGO_TARGET_DIR/suite.profdata" "${objects[@]}" \
    -sources "$root/src" >"$CARGO_TARGET_DIR/suite.lcov" 2>>"$log"

# lcov: `SF:` opens a file, `DA:line,count` is a line, `BRDA:line,condition,side,count` one side of a condition, already
# summed over all types.
awk -v root="$root/src/" -v judged="$judged" -v minimum="$minimum" -v json="$evidence/coverage.json" '
    # The lines of a file that are compiled for tests only: from the attribute to the end of the item below it.
    function read_tests(path,   number, text, indent, inside) {
        split("", is_test)
        while ((getline text <path) > 0) {
            number++
            # The other side of a planted bug is there only where bugs are planted.
            if (text ~ /planted!\(/) is_test[number] = 1
            if (!inside && text ~ /^ *#\[cfg\((all\()?test[,)]/) {
                inside = 1
                indent = text
                sub(/#.*/, "", indent)
            }
            if (!inside) continue
            is_test[number] = 1
            if (text == indent "}" || (substr(text, length(indent) + 1, 1) != " " && text ~ /;$/)) inside = 0
        }
        close(path)
    }
    function percent(covered, total) { return total ? 100 * covered / total : 100 }

    /^SF:/ {
        file = substr($0, 4)
        counts = index(file, root) == 1
        name = substr(file, length(root) + 1)
        if (name ~ /(^|\/)(tests|models|model_runner|lock_free)(\/|\.rs$)/) counts = 0
        folder = name
        if (!sub(/\/.*/, "", folder)) folder = "the rest"
        if (counts) read_tests(file)
    }
    !counts { next }
    /^DA:/ {
        split(substr($0, 4), part, ",")
        if (part[1] in is_test) next
        seen[folder] = 1
        lines[folder]++
        if (part[2] > 0) lines_covered[folder]++
        else missed_lines[folder] = missed_lines[folder] " " name ":" part[1]
    }
    /^BRDA:/ {
        split(substr($0, 6), part, ",")
        if (part[1] in is_test) next
        branches[folder]++
        if (part[4] != "-" && part[4] > 0) branches_covered[folder]++
        else missed[folder] = missed[folder] "    src/" name ":" part[1] "\n"
    }
    END {
        n = split(judged " commit hub retry lifecycle", order, " ")
        order[++n] = "the rest"
        printf "%-12s %9s %9s %8s %11s %9s %8s\n", "", "branches", "covered", "%", "lines", "covered", "%"
        printf "[" >json
        for (i = 1; i <= n; i++) {
            name = order[i]
            if (!seen[name]) { print "error: nothing is known of " name; bad = 1; continue }
            b = percent(branches_covered[name], branches[name])
            l = percent(lines_covered[name], lines[name])
            printf "%-12s %9d %9d %7.1f%% %11d %9d %7.1f%%\n", name, branches[name], branches_covered[name], b, \
                lines[name], lines_covered[name], l
            printf "%s\n  {\"folder\": \"%s\", \"branches\": %d, \"branches_covered\": %d, \"branches_percent\": %.1f, ", \
                (i > 1 ? "," : ""), name, branches[name], branches_covered[name], b >json
            printf "\"lines\": %d, \"lines_covered\": %d, \"lines_percent\": %.1f}", \
                lines[name], lines_covered[name], l >json
            if (index(" " judged " ", " " name " ") && b < minimum) { low = low " " name; bad = 1 }
        }
        print "\n]" >json
        for (i = 1; i <= split(judged, order, " "); i++) {
            name = order[i]
            printf "%s: sides of branches that no test takes:\n%s", name, missed[name] ? missed[name] : "    none\n"
            printf "%s: lines that no test runs:%s\n", name, missed_lines[name] ? missed_lines[name] : " none"
        }
        if (low) print "error: below " minimum " % of branches:" low
        exit bad
    }
' "$CARGO_TARGET_DIR/suite.lcov"
