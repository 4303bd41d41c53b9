#!/usr/bin/env bats
# serviceserver05: no zombies

load helper
load rules

# shellcheck disable=SC2034 # rules.bash reads it
NO_EOF=1 # that is one of the flaws, see below

@test "three clients at once are all answered, each by a process of its own" {
    start_server 05
    hold first send 'discard\n' lines 1
    hold second send 'domain/udp\n' lines 1
    hold third send 'www\n' lines 1
    same "what the first got" 'discard, 9' "$(head -n 1 "$RUN_DIR/first.out")"
    same "what the second got" 'domain/udp, 53' "$(head -n 1 "$RUN_DIR/second.out")"
    same "what the third got" 'www, 80' "$(head -n 1 "$RUN_DIR/third.out")"
    want "children of the server" 3 children "$PID"
}

@test "no zombie is left of 100 clients" {
    start_server 05
    for _ in {1..100}; do
        is_answered
    done
    want "children of the server (dead ones, too)" 0 children "$PID"
}

@test "a reset ends its own connection alone" {
    start_server 05
    spawn other "$CLIENT" "$PORT" send 'discard\n' lines 1 until "$RUN_DIR/on" \
        send 'www\n' lines 1 until "$RUN_DIR/leave"
    eventually said other 'discard, 9'
    hang_up 20
    lives "$PID" "the server"
    want "children of the server" 1 children "$PID"
    touch "$RUN_DIR/on"
    eventually said other 'www, 80' || fail "another client is not answered any more"
    is_answered
}

@test "the parent keeps every connected socket: one descriptor and one CLOSE_WAIT a connection" {
    start_server 05
    before=$(descriptors "$PID")
    for _ in {1..10}; do
        is_answered
    done
    want "children of the server" 0 children "$PID"
    want "descriptors of the server" $((before + 10)) descriptors "$PID"
    want "connections in CLOSE_WAIT" 10 sockets CLOSE_WAIT
}

# the_wall N: N connections are answered and held, by two clients; the server stops at the
# next one, says why, and ends when those it serves have left.
the_wall() {
    local half=$(($1 / 2)) status=0
    L23_WAIT=60 hold one send 'discard\n' lines 1 crowd $((half - 1)) 'discard\n'
    L23_WAIT=60 hold two send 'discard\n' lines 1 crowd $(($1 - half - 1)) 'discard\n'
    same "answers" "$1" "$(cat "$RUN_DIR"/{one,two}.out | grep -cxF 'discard, 9')"
    server_says "connection $(($1 + 1)): accept: Too many open files"
    want "children of the server" "$1" children "$PID"

    want "listening sockets" 0 sockets LISTEN
    is_refused "one more client"
    leave one
    want "children of the server" $(($1 - half)) children "$PID"
    lives "$PID" "the server, which still serves clients,"
    leave two
    exit_status "$PID" || status=$?
    same "exit status of the server" 1 "$status"
}

@test "at ulimit -n 1024 it serves exactly 1020 connections, then names the 1021st and the reason" {
    LIMITS="-n 1024" start_server 05
    the_wall 1020
}

@test "two descriptors that were left open make it 1018" {
    # shellcheck disable=SC2016 # the inner shell expands this
    echo 'exec "$@" 3</dev/null 4</dev/null' >"$RUN_DIR/leaky"
    LIMITS="-n 1024" WITH="sh $RUN_DIR/leaky" start_server 05
    the_wall 1018
}

@test "connections that have left count as well: 60 clients one after another use up ulimit -n 64" {
    LIMITS="-n 64" start_server 05
    "$CLIENT" "$PORT" send 'discard\n' lines 1
    for _ in {2..60}; do
        is_answered
    done
    server_says "connection 61: accept: Too many open files"
    exit_status "$PID" || status=$?
    same "exit status of the server" 1 "$status"
}

# The rules.

@test "names, aliases, protocols" { start_server 05; rule_names; }
@test "what is not known is unknown" { start_server 05; rule_unknown; }
@test "CR LF and blanks at the end of a line do not count" { start_server 05; rule_trailing_blanks; }
@test "an empty line gets an answer" { start_server 05; rule_empty_lines; }
@test "NUL bytes come back as ?" { start_server 05; rule_nul_bytes; }
@test "bytes that do not print come back as ?" { start_server 05; rule_bytes_that_do_not_print; }
@test "a line of 1024 bytes is an error, and the next line is a line" { start_server 05; rule_long_lines; }
@test "a line of a megabyte is one error" { start_server 05; rule_megabyte; }
@test "the last line needs no newline" { start_server 05; rule_no_newline_at_the_end; }
@test "a half line waits for its other half; the line before it does not" { start_server 05; rule_half_line; }
@test "hundreds of requests in one packet are answered, once and in order" { start_server 05; rule_pipelined; }
@test "10,000 requests in one write are answered, once and in order" { start_server 05; rule_ten_thousand; }
@test "requests cut at every byte are answered" { start_server 05; rule_cut_at_every_byte; }
@test "a client that sends and never reads costs no memory, and no other client's turn" { start_server 05; rule_flood others; }
@test "a reset between two questions ends one connection alone" { start_server 05; rule_reset; }
@test "clients that leave in mid-answer take nobody along" { start_server 05; rule_leaving_in_mid_answer; }

@test "port 0: the kernel picks one, the server says which" { rule_port_0 05; }
@test "the port is 6168 unless given" { rule_default_port 05; }
@test "at its wall it waits for those who serve its clients, not for other children: 2> >(cat)" {
    unsanitized "needs descriptors for itself"
    # shellcheck disable=SC2016 # the inner shell expands this
    echo 'exec "$@" 2> >(exec cat >&2)' >"$RUN_DIR/logged"
    LIMITS="-n 70" WITH="bash $RUN_DIR/logged" start_server 05
    hold stays send 'discard\n' lines 1
    "$CLIENT" "$PORT" crowd 70 'discard\n' >"$RUN_DIR/answers" 2>&1 || true
    eventually grep -q 'accept: Too many open files' "$RUN_DIR/server.err"
    lives "$PID" "the server, while it has a client,"
    leave stays
    status=0
    exit_status "$PID" || status=$?
    same "exit status (124: it goes on)" 1 "$status"
}
@test "started with descriptors 0, 1 and 2 closed it serves all the same" { rule_closed_descriptors 05; }
@test "killed, it takes its children along, also when SIGTERM was ignored at its start" { rule_children_end_with_it 05; }
@test "a bad port is a usage error" { rule_bad_port 05; }
@test "a second argument is a usage error" { rule_second_argument 05; }
@test "a port that is taken: the holder is named" { start_server 05; rule_taken_port 05; }
@test "SIGINT ends it, and all that serve its clients" { start_server 05; rule_ends_by INT 130 3; }
@test "SIGTERM ends it, and all that serve its clients" { start_server 05; rule_ends_by TERM 143 3; }
@test "nobody is let in from outside" { start_server 05; rule_loopback_only; }
@test "L23_HOST names another address" { rule_host 05; }
@test "L23_HOST may be an IPv6 address" { rule_ipv6 05; }
