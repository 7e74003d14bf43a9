#!/usr/bin/env bash
# Planted bugs: does every fault in the table below make the test fail that is there to find it? This tests the tests.
#
# One build with `--cfg planted` (and one for the models) has all faults in it, and the environment variable PLANTED turns
# one of them on: see src/planted.rs. Without any, every test of the table must pass.
# Arguments choose faults: `scripts/planted.sh seat` plants those whose name contains "seat".
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

# fault | who finds it: test BINARY [FILTER], unit FILTER, loom MODEL [| hangs: its time limit finds it]
table() {
    cat <<'TABLE'
    a-freed-seat-keeps-its-lap       | test reference_model
    ready-is-published-relaxed       | loom ring::models::wrap_over_a_gap
    a-skip-leaves-no-mark            | test transitions at_a_close
    a-skipped-seat-is-lost           | test reference_model
    a-lost-lease-settles             | loom ring::models::ack_against_expiry
    the-sweep-takes-a-newer-lease    | test transitions a_lease_is_that
    an-extension-is-swept            | test reference_model
    the-end-marks-no-orphan          | loom ring::models::orphans
    the-end-forgets-a-message        | test handles_dropped_in_any_order
    a-batch-takes-one-too-many       | test reference_model
    a-sleeper-is-counted-relaxed     | loom wait::models::two_sleepers_and_two_calls
    a-woken-sleeper-stays-on-its-way | loom wait::models::two_sleepers_and_two_calls
    no-look-before-sleep             | loom hub::models::sleeping_consumer
    the-woken-one-wakes-nobody       | loom hub::models::the_woken_consumer_wakes_the_next
    a-call-is-not-passed-on          | loom hub::models::the_woken_producer_wakes_the_next
    a-settle-wakes-no-sender         | test whoever_sleeps_is_woken by_every_settle
    a-verdict-wakes-no-sender        | loom hub::models::a_verdict_wakes_a_producer
    a-skip-wakes-nobody              | loom hub::models::the_woken_producer_wakes_the_next
    close-wakes-nobody               | loom hub::models::close_wakes
    quiet-without-a-last-look        | loom hub::models::going_quiet_against_a_hand_over
    the-overflow-is-a-stack          | test transitions behind_the_ring
    one-more-than-the-capacity       | test transitions behind_the_ring
    the-detour-ends-early            | test reference_model
    a-phantom-stays                  | test reference_model
    close-loses-the-overflow         | test transitions behind_the_ring
    over-despite-the-overflow        | test transitions behind_the_ring
    drain-forgets-what-is-delayed    | test transitions whatever_fails
    a-pause-lets-redeliveries-pass   | test reference_model
    the-ring-has-no-turn             | test transitions in_turn
    the-lane-has-no-turn             | test transitions in_turn
    the-lane-is-a-stack              | test transitions in_turn
    an-attempt-is-not-counted        | test transitions whatever_fails
    a-lost-lease-is-no-attempt       | test transitions whatever_fails
    a-snooze-is-an-attempt           | test transitions a_snooze
    one-delivery-too-many            | test reference_model
    nack-after-asks-the-policy       | test reference_model
    a-retry-ignores-its-delay        | test transitions whatever_fails
    the-delay-before-is-forgotten    | test transitions a_policy_is_told
    a-delay-is-rounded-down          | test simulation
    a-lease-ends-early               | test simulation
    a-redeliverys-lease-ends-early   | test reference_model
    an-extension-keeps-the-old-timer | test reference_model
    an-old-lease-counts              | test a_late_handle_never_settles_another_message
    a-late-seat-stays                | test handles_dropped_in_any_order a_seat_is_free_again
    a-redelivery-loses-its-headers   | test misbehaving_consumers
    a-history-forgets-its-end        | test transitions a_history
    a-full-store-drops               | test transitions store_is_full
    a-full-store-takes-one-more      | test transitions store_is_full
    the-parked-are-forgotten         | test transitions store_is_full
    a-redrive-starts-at-two          | test transitions a_rejected_message
    a-death-is-not-told              | test transitions whatever_fails
    a-lost-lease-is-told-twice       | test reference_model
    a-record-outlives-its-success    | test reference_model
    a-record-outlives-its-end        | test reference_model
    a-receipt-is-never-told          | test reference_model
    the-clock-fires-at-its-end       | test reference_model
    an-outcome-of-another-era-counts | test reference_model
    a-second-probe-goes              | loom hub::models::one_probe_at_a_time
    an-open-class-keeps-its-balance  | test a_breaker_holds_back_what_would_fail an_open_class_keeps
    a-snooze-pays-again              | test reference_model
    what-closes-wakes-nobody         | loom hub::models::the_end_of_a_probe_wakes
    a-timer-is-a-tick-early          | unit wheel::tests::a_timer_is_handed_out_once
    a-cascade-loses-a-timer          | unit wheel::tests::the_wheel_does
    far-timers-wrap                  | unit wheel::tests::the_wheel_does
    cancel-cancels-nothing           | unit wheel::tests::cancelled_timers_hold
    a-newcomer-goes-first            | unit wheel::tests::the_wheel_does
    jitter-leaves-its-range          | unit retry::jitter
    an-exponential-wraps             | unit retry::delay
    one-attempt-too-many             | unit retry::tests::tables
    a-delay-has-no-cap               | unit retry::tests::tables
    the-freed-are-not-pinned         | unit journal::life
    a-flush-is-skipped               | test journal a_failed_flush
    everybody-uses-the-reserve       | test journal_crashes a_crash_at_any_call
    the-freed-are-told               | test journal_crashes a_freed_segment
    the-salt-does-not-count          | unit journal::record
    confirmed-before-the-flush       | test journal_crashes no_room_in_a_flush
    a-segment-is-named-before-it-is-whole | test journal_crashes a_crash_at_any_call
    the-name-of-a-segment-is-not-flushed | test journal_crashes a_crash_at_any_call
    a-new-segment-is-not-flushed     | test journal_crashes a_crash_at_any_call
    a-mark-says-more-than-is-safe    | test journal_crashes a_crash_at_any_call
    a-group-is-told-in-part          | test journal_crashes a_crash_at_any_call
    nothing-is-written-again         | test journal_crashes a_crash_at_any_call
    retired-before-it-is-said        | test journal_crashes a_crash_at_any_call
    a-failed-flush-is-tried-again    | test journal_crashes a_call_that_fails
    what-is-given-up-counts-as-safe  | test journal_crashes a_call_that_fails
    a-short-write-counts-as-whole    | test journal_crashes a_call_that_fails
    any-name-is-relied-on            | test journal_crashes a_name_whose_flush
    the-journal-ends-within-a-frame  | test journal_crashes a_frame_without
    a-hole-forgets-the-mark-behind-it | test journal_crashes what_a_mark
    unfinished-files-stay            | test journal_crashes a_half_made
    a-torn-tail-is-not-kept          | test journal_crashes one_flipped_bit
TABLE
}

need_toolchain
mkdir -p "$evidence" "$target/planted"
log=$target/planted/catch.log
# A planted bug is no regression to write down, and need not be made small.
export PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 PROPTEST_MAX_SHRINK_ITERS=0 CARGO_INCREMENTAL=0
# Most of the time goes into two builds, and a fault is found within seconds: what makes the builds quicker is worth it.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=0
seconds_max=60

# Builds with these flags, into a directory of its own, and prints `NAME PATH` for each test binary.
build() {
    local folder=$1 flags=$2 built=$target/planted/$1.log
    shift 2
    CARGO_TARGET_DIR=$target/planted/$folder RUSTFLAGS="$flags ${RUSTFLAGS:-}" cargo test --release --no-run "$@" >"$built" 2>&1 ||
        { tail -n 40 "$built" >&2; die "the planted build fails"; }
    sed -n 's/^ *Executable .*[ /]\([a-z_]*\)\.rs (\(.*\))$/\1 \2/p' "$built"
}

rows=$(table | sed 's/ *| */|/g; s/^ *//' | grep -- "^[^|]*${1:-}" || true)
[ -n "$rows" ] || die "no such fault: ${1:-}"
tests=$(sed -n 's/^[^|]*|test \([a-z_]*\).*/--test \1/p' <<<"$rows" | sort -u)
# shellcheck disable=SC2086
binaries=$(build real "--cfg planted" --lib $tests)
models=$(build loom "--cfg loom --cfg planted" --lib)

# `catcher KIND NAME [FILTER]` runs the test under a time limit; its output goes to the log.
catcher() {
    local command
    case $1 in
    test) command=("$(sed -n "s/^$2 //p" <<<"$binaries")" ${3:+"$3"}) ;;
    unit) command=("$(sed -n 's/^lib //p' <<<"$binaries")" "$2") ;;
    loom) command=("$(sed -n 's/^lib //p' <<<"$models")" --exact "$2") ;;
    *) die "no way to catch: $1" ;;
    esac
    # A model that finds a deadlock aborts, and the shell says so: into the log, from a subshell.
    (timeout -k 1 "$seconds_max" "${command[@]}"; exit $?) >"$log" 2>&1
}

while IFS= read -r how; do
    # shellcheck disable=SC2086
    catcher $how </dev/null || { tail -n 40 "$log"; die "fails without a planted bug: $how"; }
    grep -q '^test result: ok\. [1-9]' "$log" || die "runs no test: $how"
done < <(cut -d '|' -f 2 <<<"$rows" | sort -u)

seconds_max=20
facts=() missed=()
while IFS='|' read -r fault how hangs; do
    status=0 began=$(date +%s%N)
    # shellcheck disable=SC2086
    PLANTED=$fault catcher $how </dev/null || status=$?
    seconds=$(awk -v from="$began" -v to="$(date +%s%N)" 'BEGIN { printf "%.2f", (to - from) / 1e9 }')
    if [ "$status" -eq 0 ]; then
        caught=no
    elif [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
        if [ "$hangs" = hangs ]; then caught="time limit"; else caught=no; fi
    elif grep -q 'panicked at' "$log"; then
        caught=assertion
    else
        caught=no
    fi
    printf '%-34s %-66s %6s s  %s\n' "$fault" "$how" "$seconds" "$caught"
    [ "$caught" != no ] || missed+=("$fault (exit $status)")
    facts+=("  {\"fault\": \"$fault\", \"catcher\": \"$how\", \"seconds\": $seconds, \"caught\": \"$caught\"}")
done <<<"$rows"

printf -v all '%s,\n' "${facts[@]}"
printf '[\n%s\n]\n' "${all%$',\n'}" >"$evidence/planted.json"
say "planted: ${#facts[@]} faults, $((${#facts[@]} - ${#missed[@]})) caught"
[ "${#missed[@]}" -eq 0 ] || die "not caught: ${missed[*]}"
