#!/usr/bin/env bats
# serviceserver08: twenty processes, made before the first client

load helper
load rules
load events

N=20

@test "twenty children are there before the first client, and share one listening socket" {
    start_server 08
    want "children of the server" $N children "$PID"
    # shellcheck disable=SC2046 # a word a process
    same "processes with the one listening socket" $((N + 1)) \
        "$(listening_inodes "$PID" $(child_pids "$PID") | wc -l)"
    want "listening sockets" 1 sockets LISTEN
}

@test "a blaster of 5,000 connections never makes a 21st child" {
    crowds 5100
    local clients=5000 seen
    sanitized && clients=1000
    start_server 08
    want "children of the server" $N children "$PID"
    child_pids "$PID" >"$RUN_DIR/before"
    blast blaster "$clients"
    until ended "$SPAWNED"; do
        seen=$(children "$PID")
        ((seen <= N)) || fail "$seen children"
    done
    blasted blaster
    same "the children after all that" "$(sort "$RUN_DIR/before")" "$(child_pids "$PID" | sort)"
}

@test "a child killed by SIGKILL is replaced at once" {
    local victim
    start_server 08
    want "children of the server" $N children "$PID"
    for _ in 1 2 3; do
        victim=$(child_pids "$PID" | head -n 1)
        kill -KILL "$victim"
        eventually gone "$victim" || fail "the parent does not bury its child"
        want "children of the server" $N children "$PID"
        want "zombies" 0 children "$PID" Z
    done
    is_answered
}
gone() {
    [ ! -e "/proc/$1" ]
}

@test "20 silent clients hold every child; the 21st is connected, not answered, until one leaves" {
    start_server 08
    the_silent 19
    the_silent 1 last
    want "connections that wait for accept" 0 queued
    waits_in_vain the_21st
    leave last
    is_served_now the_21st
}

@test "clients that reset cost no child" {
    start_server 08
    want "children of the server" $N children "$PID"
    child_pids "$PID" >"$RUN_DIR/before"
    rule_reset
    rule_leaving_in_mid_answer 30
    same "the children after that" "$(sort "$RUN_DIR/before")" "$(child_pids "$PID" | sort)"
}

@test "children that die again and again do not make the parent spin" {
    local pid used made=0 began end=$((SECONDS + 20))
    start_server 08
    want "children of the server" $N children "$PID"
    used=$(ticks "$PID")
    began=${EPOCHREALTIME/[.,]/}
    until ((made >= N + 50)); do
        ((SECONDS < end)) || fail "in 20 seconds it has made $made children only"
        for pid in $(child_pids "$PID"); do
            kill -KILL "$pid" 2>/dev/null || true
            echo "$pid" >>"$RUN_DIR/pids"
        done
        made=$(sort -u "$RUN_DIR/pids" | wc -l)
    done
    # A new one every 10 ms at most, whatever the machine can do.
    began=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
    (((made - N) * 10 <= began + 200)) || fail "it has made $made children in $began ms"
    used=$(($(ticks "$PID") - used))
    ((used * 10 <= began / 2 + 50)) || fail "the parent used $used hundredths of CPU time in $began ms"
    want "children of the server" $N children "$PID"
    is_answered
}

@test "under a process limit fork fails: it serves with the children that it has, and does not spin" {
    [[ $BIN != *thread* ]] || unsanitized "has a thread of its own in every process"
    as_somebody 08 10
    want "children of the server" 9 children "$PID"
    server_says "fork: Resource temporarily unavailable"
    is_answered
    lives "$PID" "the server"
    sleeps "$PID" 3
    "${AS[@]}" prlimit --pid "$PID" --nproc=100:
    want "children of the server, when there is no limit any more," $N children "$PID"
}

@test "without a descriptor for a client it pauses, does not spin, and goes on when it can" {
    unsanitized "needs descriptors for itself"
    local before pid
    LIMITS="-Sn 4" start_server 08
    want "children of the server" $N children "$PID"
    waits_in_vain client
    before=$(group_ticks "$PID")
    sleep 1 # this second is what is measured
    before=$(($(group_ticks "$PID") - before))
    ((before <= 20)) || fail "they use CPU time: $before hundredths in a second"
    want "children of the server" $N children "$PID"
    for pid in $(child_pids "$PID"); do
        prlimit --pid "$pid" --nofile=64:
    done
    is_served_now client
}

@test "started by who ignores SIGCHLD, it replaces its dead nevertheless" {
    WITH="env --ignore-signal=CHLD" start_server 08
    want "children of the server" $N children "$PID"
    # shellcheck disable=SC2046 # a word a process
    kill -KILL $(child_pids "$PID")
    want "children of the server" $N children "$PID"
    is_answered
}

# The rules.

@test "names, aliases, protocols" { start_server 08; rule_names; }
@test "what is not known is unknown" { start_server 08; rule_unknown; }
@test "CR LF and blanks at the end of a line do not count" { start_server 08; rule_trailing_blanks; }
@test "an empty line gets an answer" { start_server 08; rule_empty_lines; }
@test "NUL bytes come back as ?" { start_server 08; rule_nul_bytes; }
@test "bytes that do not print come back as ?" { start_server 08; rule_bytes_that_do_not_print; }
@test "a line of 1024 bytes is an error, and the next line is a line" { start_server 08; rule_long_lines; }
@test "a line that is too long may be the last" { start_server 08; rule_long_line_at_the_end; }
@test "a line of a megabyte is one error" { start_server 08; rule_megabyte; }
@test "the last line needs no newline" { start_server 08; rule_no_newline_at_the_end; }
@test "a half line waits for its other half; the line before it does not" { start_server 08; rule_half_line; }
@test "hundreds of requests in one packet are answered, once and in order" { start_server 08; rule_pipelined; }
@test "10,000 requests in one write are answered, once and in order" { start_server 08; rule_ten_thousand; }
@test "requests cut at every byte are answered" { start_server 08; rule_cut_at_every_byte; }
@test "requests in packets of a byte are answered" { start_server 08; rule_packets_of_a_byte; }
@test "a client that closes its sending side gets all answers, then end of file" { start_server 08; rule_half_close; }
@test "a client that asks nothing and closes its sending side gets end of file" { start_server 08; rule_end_of_file; }
@test "a client that sends and never reads costs little memory, and stops nobody" { start_server 08; rule_flood others; }
@test "a reset between two questions ends one connection alone" { start_server 08; rule_reset; }
@test "clients that leave in mid-answer end their own connections alone" { start_server 08; rule_leaving_in_mid_answer; }

@test "port 0: the kernel picks one, the server says which" { rule_port_0 08; }
@test "the port is 6168 unless given" { rule_default_port 08; }
@test "children that are not its own end, and there are twenty all the same" {
    # shellcheck disable=SC2016 # the inner shell expands this
    echo 'for _ in {1..5}; do until [ -e "$0.go" ]; do sleep 0.02; done & done; exec "$@"' >"$RUN_DIR/parent"
    WITH="bash $RUN_DIR/parent" start_server 08
    want "children" 25 children "$PID"
    touch "$RUN_DIR/parent.go"
    want "children" 20 children "$PID"
    is_answered
    same "children" 20 "$(children "$PID")"
}
@test "started with descriptors 0, 1 and 2 closed it serves all the same" { rule_closed_descriptors 08; }
@test "killed, it takes its children along, also when SIGTERM was ignored at its start" { rule_children_end_with_it 08; }
@test "a bad port is a usage error" { rule_bad_port 08; }
@test "a second argument is a usage error" { rule_second_argument 08; }
@test "a port that is taken: the holder is named" { start_server 08; rule_taken_port 08; }
@test "SIGINT ends it" { start_server 08; rule_ends_by INT; }
@test "SIGTERM ends it" { start_server 08; rule_ends_by TERM; }
@test "nobody is let in from outside" { start_server 08; rule_loopback_only; }
@test "L23_HOST names another address" { rule_host 08; }
@test "L23_HOST may be an IPv6 address" { rule_ipv6 08; }
