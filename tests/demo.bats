#!/usr/bin/env bats
# the demos, `make stop` and `make diff`
# shellcheck disable=SC2016 # what a demo shows has $A in it

load helper

setup() {
    [ "$BIN" = ./ ] || skip "the demos run the programs at the top level"
    RUN_DIR=$BATS_TEST_TMPDIR
    MARK=$RANDOM$RANDOM$RANDOM # in the environment of all that a demo starts
    export L23_RUNNING=$RUN_DIR/running
    export L23_HOST=127.0.0.5 # is not for demos
    export TMPDIR=$RUN_DIR # what a demo that was killed has left there goes with the test
}

# A demo that a failing test has killed could not end what it had started.
eval "helper_$(declare -f teardown)"
teardown() {
    local pid
    helper_teardown
    for pid in $(marked); do
        kill -KILL "$pid"
    done
}

# marked: the processes that are there because of this test's demo; zombies have no environment.
marked() {
    grep -lsz "^DEMO_TEST=$MARK\$" /proc/[0-9]*/environ 2>/dev/null | cut -d / -f 3
}

none_marked() {
    [ -z "$(marked)" ]
}

# nothing_left: all that the demo started has ended, and so have its records.
nothing_left() {
    local pid
    if ! patiently none_marked; then
        echo "the demo has left behind:"
        for pid in $(marked); do
            tr '\0' ' ' <"/proc/$pid/cmdline"
            kill -KILL "$pid"
        done
        return 1
    fi
    [ -z "$(ls "$L23_RUNNING" 2>/dev/null)" ]
}

# patiently COMMAND...: as eventually, for a minute: much happens in a demo before it is so far.
patiently() {
    local end=$((SECONDS + 60))
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.02
    done
}

# start_demo NAME: in the background; sets DEMO, its process id.
start_demo() {
    DEMO_TEST=$MARK DEMO_PORT=0 spawn demo "l23/demo/$1"
    DEMO=$SPAWNED
}

# demo NAME LINE...: it runs through, shows each of these lines in this order, leaves nothing;
# and it is what NOTES.md shows, figures apart.
demo() {
    local name=$1 status=0 line rest
    shift
    DEMO_TEST=$MARK spawn demo timeout -k 20 100 "l23/demo/$name"
    wait "$SPAWNED" || status=$?
    echo "it ended with status $status; its output:"
    cat "$RUN_DIR/demo.out" "$RUN_DIR/demo.err"
    [ "$status" -eq 0 ]
    [ ! -s "$RUN_DIR/demo.err" ]
    run ! grep -q $'\033' "$RUN_DIR/demo.out"
    grep -q '^Question: ' "$RUN_DIR/demo.out"
    grep -q '^Why: ' "$RUN_DIR/demo.out"
    rest=$(cat "$RUN_DIR/demo.out")
    for line; do
        if [[ $rest != *$'\n'"$line"* ]]; then
            echo "this line is missing, or comes too early: $line"
            return 1
        fi
        rest=${rest#*$'\n'"$line"}
    done
    nothing_left
    # 06 has its limit in another way without root.
    if [ "$name" != 06 ] || [ "$(id -u)" -eq 0 ]; then
        run -0 l23/notes --check "$name" "$RUN_DIR/demo.out"
    fi
}

@test "demo parser: sort prints nothing, cat streams, three cats share" {
    demo parser 'discard, 9' \
        '$ timeout 0.3 sh -c "yes | ./serviceparser | sort"'$'\n''exit status 124' \
        'y, unknown' '$ (cat <<<discard; cat' 'discard, 9'$'\n''domain, 53'$'\n''www, 80'
}

@test "demo 00: a listening socket is not connected" {
    demo 00 '$ ./serviceserver00' 'read: Transport endpoint is not connected' 'exit status 1'
}

@test "demo 01: one client, the second refused, and what is typed goes to the shell" {
    demo 01 'discard, 9' 'bash: connect: Connection refused' \
        'sockets   listening: 0, connected: 1' './serviceserver01 has ended: exit status 0' \
        'bash: line 2: discard: command not found'
}

@test "demo 02: one after another, each with a listening socket of its own" {
    demo 02 'socket:[' 'discard, 9' 'bash: connect: Connection refused' \
        'listening on' 'socket:[' 'domain, 53'
    [ "$(grep '^socket:' "$RUN_DIR/demo.out" | sort -u | wc -l)" -eq 2 ]
}

@test "demo 03: three connected, one answered; SIGPIPE ends the server" {
    demo 03 'discard, 9' '$ timeout 0.3 head -n 1 <&$B'$'\n''exit status 124' \
        'sockets   listening: 1, connected: 3, in the queue: 2' 'domain, 53' 'www, 80' \
        'answered            1000' 'connected            102' 'answered               1' \
        './serviceserver03 has ended: exit status 141: killed by SIGPIPE'
}

@test "demo 04: zombies, and sockets that the parent keeps" {
    demo 04 'children  3 sleeping' 'children  1 sleeping, 2 zombie' 'exit status 124' \
        'children  1 sleeping, 103 zombie' \
        'sockets   listening: 1, connected: 1, in the queue: 0, CLOSE_WAIT: 103'
}

@test "demo 05: 500 and 520 are 1020" {
    demo 05 'answered             500' 'children  none' 'answered             520' \
        'connection 1021: accept: Too many open files' \
        './serviceserver05 has ended: exit status 1'
}

@test "demo 06: past 1020, to the limit of processes" {
    crowds 2100
    demo 06 'answered            2000' 'sockets   listening: 1, connected: 0' 'discard, 9' \
        'connection ' 'children  ' '$ (ulimit -u'
    # Another user than root has other processes as well, which come and go.
    [ "$(id -u)" -ne 0 ] || {
        grep -qx 'connection 100: fork: Resource temporarily unavailable' "$RUN_DIR/demo.out"
        grep -qi 'cannot fork\|fork:.*unavailable' <(tail -n 12 "$RUN_DIR/demo.out")
    }
}

@test "demo 07: threads, no death by SIGPIPE, and 482" {
    demo 07 'process ' 'discard, 9' 'connection 483: pthread_create' 'process ' \
        'connection 38'
    grep -q 'threads: 4, ' "$RUN_DIR/demo.out"
    grep -q 'threads: 483, ' "$RUN_DIR/demo.out"
}

@test "demo 08: twenty, whatever happens; the 21st waits" {
    demo 08 'children  20 sleeping' 'answered            1000' 'children  20 sleeping' \
        '$ kill -KILL' 'children  20 sleeping' 'answered               1' \
        'answered               0'
}

@test "demo 09: a silent client stops nobody; an idle server burns a core" {
    demo 09 'www, 80' 'discard, 9' 'sockets   listening: 1, connected: 3' 'cpu  '
    [ "$(sed -n 's/^cpu *\([0-9]*\) .*/\1/p' "$RUN_DIR/demo.out")" -ge 10 ]
}

@test "demo 10: idle it sleeps; idle clients make answers dear" {
    crowds 3100
    demo 10 'discard, 9' 'cpu       0 % of a core' 'answers/s' 'answers/s'
    mapfile -t figures < <(sed -n 's/^answers.s *\([0-9]*\).*/\1/p' "$RUN_DIR/demo.out")
    ((figures[0] > 3 * figures[1]))
}

@test "demo 11: the kernel keeps the list" {
    crowds 3100
    demo 11 'answers/s' 'answers/s' 'sockets   listening: 1, connected: 1000' \
        'cpu       0 % of a core'
}

@test "demo 12: a worker is replaced, SIGHUP, SIGTERM, an idle client" {
    demo 12 'children  2 sleeping' 'answered            1000' 'worker ' 'services read anew' \
        'discard, 9' 'www, 80' './serviceserver12 has ended: exit status 0' \
        '$ timeout 10 cat <&$A'$'\n\n'
}

@test "demo blaster: connected is not answered; what is wrong is told" {
    demo blaster 'attempted           1000' 'answered            1000' \
        'connected             80' 'answered               1' 'wrong                  1' \
        'refused               10' 'serviceblaster: 1000 connections need' 'exit status 2'
}

@test "the tour has every demo, and every program has one" {
    make -s -n demo >"$RUN_DIR/tour"
    for program in serviceparser serviceserver?? serviceblaster; do
        name=${program#service}
        name=${name#server}
        [ -x "l23/demo/$name" ]
        grep -qw "$name" "$RUN_DIR/tour"
    done
}

# signal_demo SIGNAL LINES: to a demo that has printed so many lines; sets STATUS, its exit status.
signal_demo() {
    start_demo 04
    # shellcheck disable=SC2317 # called by `patiently`
    far_enough() {
        ended "$DEMO" || (($(wc -l <"$RUN_DIR/demo.out") >= $1))
    }
    patiently far_enough "$2"
    kill "-$1" -- "-$DEMO" || true # as a terminal does it
    patiently ended "$DEMO"
    STATUS=0
    exit_status "$DEMO" || STATUS=$?
    echo "SIG$1 after $2 lines: exit status $STATUS"
}

@test "a signal ends a demo at any moment, and nothing is left" {
    for moment in 'INT 1' 'TERM 4' 'INT 9' 'HUP 16' 'INT 30' 'TERM 37'; do
        read -r signal lines <<<"$moment"
        for _ in {1..10}; do
            signal_demo "$signal" "$lines"
            nothing_left
            ((STATUS == 0)) || break # 0: it had come to its own end before the signal did
        done
        [ "$STATUS" -eq $((128 + $(kill -l "$signal"))) ] || fail "its output: $(cat "$RUN_DIR"/demo.{out,err})"
    done
}

@test "on a terminal a demo waits for Enter, after the question and after each command" {
    command -v script >/dev/null || skip "script(1) makes the terminal"
    mkfifo "$RUN_DIR/keyboard"
    DEMO_TEST=$MARK DEMO_PORT=0 TERM=xterm NO_COLOR='' spawn terminal \
        bash -c "exec script -qec l23/demo/02 /dev/null <'$RUN_DIR/keyboard'"
    exec {keyboard}>"$RUN_DIR/keyboard"
    # shellcheck disable=SC2317 # called by `patiently`
    waits_or_ends() {
        ended "$SPAWNED" || (($(grep -ao '\[Enter\]' "$RUN_DIR/terminal.out" | wc -l) > pressed))
    }
    pressed=0
    while patiently waits_or_ends && ! ended "$SPAWNED"; do
        waits=$(grep -ao '\[Enter\]' "$RUN_DIR/terminal.out" | wc -l)
        [ "$waits" -eq $((pressed + 1)) ]
        if ((pressed == 0)); then
            run ! grep -q '\$ ./serviceserver02' "$RUN_DIR/terminal.out"
        fi
        printf '\r' >&"$keyboard"
        pressed=$((pressed + 1))
    done
    exec {keyboard}>&-
    patiently ended "$SPAWNED"
    exit_status "$SPAWNED"
    echo "Enter was pressed $pressed times"
    commands=$(grep -ac '^.*\$ ' "$RUN_DIR/terminal.out")
    ((pressed >= 10 && pressed <= commands + 4))
    grep -q $'\033\\[' "$RUN_DIR/terminal.out"
    nothing_left
}

@test "Ctrl-C on a terminal ends a demo; NO_COLOR is heard" {
    command -v script >/dev/null || skip "script(1) makes the terminal"
    mkfifo "$RUN_DIR/keyboard"
    DEMO_TEST=$MARK DEMO_PORT=0 TERM=xterm NO_COLOR=1 spawn terminal \
        bash -c "exec script -qec l23/demo/08 /dev/null <'$RUN_DIR/keyboard'"
    exec {keyboard}>"$RUN_DIR/keyboard"
    printf '\r' >&"$keyboard"
    patiently grep -q '^listening' "$RUN_DIR/terminal.out"
    printf '\003' >&"$keyboard"
    status=0
    patiently ended "$SPAWNED"
    exit_status "$SPAWNED" || status=$?
    exec {keyboard}>&-
    [ "$status" -eq 130 ]
    run ! grep -q $'\033' "$RUN_DIR/terminal.out"
    nothing_left
}

@test "make stop ends what a killed demo has left, and nothing else" {
    start_demo 08
    patiently grep -q '^listening' "$RUN_DIR/demo.out"
    kill -KILL -- "-$DEMO"
    run ! exit_status "$DEMO"
    [ -n "$(marked)" ]

    # The number of a recorded process may belong to another one by now.
    spawn bystander sleep 60
    echo 1 >"$L23_RUNNING/$SPAWNED"
    run -0 make -s stop
    [[ $output == *serviceserver08* && $output != *sleep* ]]
    nothing_left
    run ! ended "$SPAWNED"

    run -0 make -s stop
    [ "$output" = "Nothing was left running." ]
}

@test "make diff-05 shows what 05 changes, headers aside; FROM names another version" {
    run -0 make -s diff-05
    [[ $output == *'--- serviceserver04.c'* ]]
    [[ $output == *$'\n+    signal(SIGCHLD, SIG_IGN);'* ]]
    # The names of the two files, signal.h, and that line.
    [ "$(grep -c '^[-+]' <<<"$output")" -eq 4 ]
    run -0 make -s diff-05 FROM=serviceserver05.c
    [ -z "$output" ]
    run -2 l23/diff 99
}
