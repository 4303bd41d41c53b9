#!/usr/bin/env bats
# Of the benchmark and the figures: that they run from end to end, on tiny sizes. How fast
# anything is, no test says.

load helper

# left_running: servers and clients that have been started with this test's TMPDIR.
left_running() {
    local file
    grep -lsz "^TMPDIR=$RUN_DIR/tmp\$" /proc/[0-9]*/environ | while read -r file; do
        tr '\0' ' ' <"${file%environ}cmdline" | grep -E 'serviceserver|serviceblaster|l23/bench'
    done 2>/dev/null
}

# bench COMMAND...: it runs as a benchmark, writing here.
bench() {
    mkdir -p "$RUN_DIR/tmp"
    # L23_HOST is not for benchmarks.
    env FIGURES="$RUN_DIR/figures" TMPDIR="$RUN_DIR/tmp" L23_HOST=127.0.0.5 "$@"
}

nothing_is_left() {
    eventually is "" left_running || fail "left running: $(left_running)"
    same "files in TMPDIR" "" "$(ls "$RUN_DIR/tmp")"
}

@test "make bench: every part measures and writes its table, make figures draws them, nothing is left running" {
    unsanitized "measures nothing of use"
    local figures=$RUN_DIR/figures
    BENCH=tiny run bench timeout 300 l23/bench
    [ "$status" -eq 0 ] || fail "$output"
    for table in stevens load load_p99 load_n peers two memory cost idle wall filter call timeline goals; do
        rows=$(wc -l <"$figures/$table.tsv") || fail "no $table.tsv; it said: $output"
        ((rows > 1)) || fail "$table.tsv has no row; it said: $output"
    done
    grep -q $'^machine\t' "$figures/machine.tsv"
    # What was measured was answered: no row of zeros.
    same "rows of zeros" 0 "$(sed 1d "$figures/load.tsv" | grep -cE $'\t0\t0\t0\t0\t0\t0$')"
    # Each goal says whether it was met; nobody complains.
    [[ $output != *awk:* ]] || fail "$output"
    same "goals that do not say so" 0 "$(sed 1d "$figures/goals.tsv" |
        grep -cvE $'\t(yes|no|by CPU time|not measured here)$')"
    for step in 00 01 02 03 04 05 06 07 08 09 10 11 12; do
        grep -q "^process"$'\t' "$figures/step-$step.tsv" || fail "step-$step.tsv shows no process"
    done
    # What the tables say about what is no matter of speed.
    [[ $output == *'06 is left out'* ]] || # without a control group
        grep -q $'^06\tfork\t.*\t20.9\t4180\t1\t' "$figures/stevens.tsv" || fail "$(cat "$figures/stevens.tsv")"
    grep -q $'^08\t.*\t20\t' "$figures/wall.tsv" || fail "$(cat "$figures/wall.tsv")"
    same "columns of timeline-03.tsv" $'client\tkind\tbegan\tconnected\tanswered\tclosed' "$(head -n 1 "$figures/timeline-03.tsv")"
    same "clients in timeline-11.tsv" 37 "$(wc -l <"$figures/timeline-11.tsv")"
    nothing_is_left

    run bench timeout 60 l23/figures
    [ "$status" -eq 0 ] || fail "$output"
    for step in 00 04 08 12; do
        tail -n 1 "$figures/step-$step.svg" | grep -qx '</svg>' || fail "step-$step.svg is not whole"
    done
    command -v gnuplot >/dev/null || skip "without gnuplot the diagrams alone (apt-get install gnuplot-nox)"
    for figure in utilization memory answers cost idle; do
        tail -n 2 "$figures/$figure.svg" | grep -q '</svg>' || fail "$figure.svg is not whole"
    done
}

@test "make bench, ended by a signal or several, leaves no server, no client and no file" {
    unsanitized "measures nothing of use"
    mkdir "$RUN_DIR/tmp"
    BENCH=quick spawn bench env FIGURES="$RUN_DIR/figures" TMPDIR="$RUN_DIR/tmp" l23/bench load
    eventually server_is_there || fail "it has started no server: $(cat "$RUN_DIR/bench.err")"
    eventually ends_by_signals
    local ended_with=0
    exit_status "$SPAWNED" || ended_with=$?
    same "exit status" 143 "$ended_with"
    nothing_is_left
}

# One after another: they must not cut short what the first has it do.
ends_by_signals() {
    for _ in {1..200}; do
        kill -TERM "$SPAWNED" 2>/dev/null
    done
    ended "$SPAWNED"
}

server_is_there() {
    grep -qs '^listening' "$RUN_DIR"/tmp/*/err
}

@test "make million: each is answered twice, and none is lost" {
    run timeout 100 l23/million 300
    [ "$status" -eq 0 ] || fail "$output"
    [[ "$output" == *"300 connections"* ]] || fail "$output"
    same "lines that count the lost" 2 "$(grep -c '^lost  *0$' <<<"$output")"
}

@test "bench refuses a part and a size that it does not have" {
    run -1 l23/bench nonsense
    [[ "$output" == *"no part nonsense"* ]]
    BENCH=huge run -1 l23/bench
    [[ "$output" == *"full, quick or tiny"* ]]
    run -2 l23/million many
}
