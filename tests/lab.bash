# lab.bash: for the tests of the labs: nat, balance, cache. `load lab` after the helper.

# shellcheck shell=bash
# shellcheck disable=SC2154 # bats and the helper set them

# start_lab NAME: starts it, with a mark in the environment of all its processes.
start_lab() {
    unsanitized "shows the programs as they are"
    mkdir "$RUN_DIR/tmp"
    cat /proc/self/mounts >"$RUN_DIR/mounts"
    spawn lab env "MARK=$BATS_TEST_TMPDIR" "TMPDIR=$RUN_DIR/tmp" "l23/demo/$1"
    LAB=$SPAWNED
}

lab_says() {
    ! ended "$LAB" || skip_or_fail
    grep -qs -- "$1" "$RUN_DIR/lab.out"
}

# For a lab that has ended before it was asked to.
skip_or_fail() {
    grep -q ': skipped: ' "$RUN_DIR/lab.out" && skip "$(sed -n 's/.*skipped: //p' "$RUN_DIR/lab.out")"
    cat "$RUN_DIR/lab.out" "$RUN_DIR/lab.err"
    fail "the lab has ended"
}

# lab_ended: within a minute, for the machine may have other things to do.
lab_ended() {
    local end=$((SECONDS + 60))
    while ((SECONDS < end)); do
        eventually ended "$LAB" && return
    done
    cat "$RUN_DIR/lab.out"
    fail "the lab does not end"
}

# lab_succeeded: it ends, has no complaint, and was not skipped.
lab_succeeded() {
    lab_ended
    ! grep -q ': skipped: ' "$RUN_DIR/lab.out" || skip_or_fail
    [ ! -s "$RUN_DIR/lab.err" ] || fail "$(cat "$RUN_DIR/lab.err")"
    exit_status "$LAB"
}

marked() {
    cat /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' | grep -cxF "MARK=$BATS_TEST_TMPDIR"
}

no_trace() {
    want "processes of the lab" 0 marked
    same "mounts" "$(cat "$RUN_DIR/mounts")" "$(cat /proc/self/mounts)"
    same "temporary files" "" "$(ls -A "$RUN_DIR/tmp")"
}

# shows LINE...: the output has these lines, one after the other.
shows() {
    local wanted
    printf -v wanted '%s\n' "$@"
    [[ $(<"$RUN_DIR/lab.out")$'\n' == *$'\n'"$wanted"* ]] || {
        cat "$RUN_DIR/lab.out"
        fail "the lab does not show: $wanted"
    }
}
