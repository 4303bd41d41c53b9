#!/usr/bin/env bats
# serviceserver02: a loop around it all, one client after another

load helper
load rules
own_address
# shellcheck disable=SC2034 # for rules.bash
REOPENS=1

# What it does.

@test "one client after another is served, all on the same port" {
    start_server 02
    listens=$(<"$RUN_DIR/server.err")
    for i in 1 2 3 4 5; do
        is_answered "client $i"
    done
    want "lines that say where it listens" 6 grep -cx "$listens" "$RUN_DIR/server.err"
    lives "$PID" "the server"
}

# How it breaks.

@test "a client that comes while another is served is refused" {
    start_server 02
    hold first send 'discard\n' lines 1
    want "listening sockets while the first is served" 0 sockets LISTEN
    is_refused "the second client"
    is_refused "the second client, when it tries again,"

    leave first
    want "listening sockets after the first has left" 1 sockets LISTEN
    is_answered "the next client"
}

@test "every connection costs a listening socket of its own" {
    start_server 02
    inodes=$(listening_inode)
    for i in 1 2 3 4 5; do
        is_answered "client $i"
        want "listening sockets after client $i" 1 sockets LISTEN
        inodes+=$'\n'$(listening_inode)
    done
    same "different listening sockets over five clients" 6 "$(sort -u <<<"$inodes" | wc -l)"
    want "times it said where it listens" 6 grep -c '^listening on' "$RUN_DIR/server.err"
    want "descriptors of the server: none of them is left open" 4 descriptors "$PID"
}

@test "a client that was in the queue when the listening socket was closed is reset" {
    start_server 02
    kill -STOP "$PID"
    hold first send 'discard\n'
    L23_WAIT=60 spawn second "$CLIENT" "$PORT" send 'discard\n' say asked lines 1
    second=$SPAWNED
    eventually said second asked
    want "connections that wait for accept" 2 queued
    kill -CONT "$PID"
    status=0
    exit_status "$second" || status=$?
    same "exit status of the second client" 1 "$status"
    same "what the second client got" asked "$(<"$RUN_DIR/second.out")"
    grep -q 'Connection reset' "$RUN_DIR/second.err" ||
        fail "the second client was not reset, but: $(<"$RUN_DIR/second.err")"
    lives "$PID" "the server"
}

# Tip 1.

# closed_by_the_server: a server ends before its client does. The kernel keeps the connection,
# on the server's port, in one of its last states.
closed_by_the_server() {
    local overflows
    overflows=$(time_wait_overflows)
    start_server 02
    hold client send 'discard\n' lines 1
    kill -TERM "$PID"
    exit_status "$PID" || true
    leave client
    if ! eventually is 1 sockets TIME_WAIT; then
        same "connections that the kernel could not keep" "$overflows" "$(time_wait_overflows)" ||
            skip "the kernel has so many connections in TIME_WAIT that it takes no more"
        fail "the server's connection is not in TIME_WAIT"
    fi
}

# time_wait_overflows: how often the kernel's table of TIME_WAIT was full.
time_wait_overflows() {
    local names values i
    {
        read -ra names
        read -ra values
    } < <(grep '^TcpExt' /proc/net/netstat)
    for ((i = 0; i < ${#names[@]}; i++)); do
        [ "${names[i]}" != TCPTimeWaitOverflow ] || echo "${values[i]}"
    done
}

@test "tip 1: restarted at once, on the port of a connection in TIME_WAIT, it listens" {
    closed_by_the_server
    start_server 02 "$PORT"
    is_answered "a client of the restarted server"
}

@test "tip 1: without SO_REUSEADDR bind fails there" {
    sanitized && skip "not under a sanitizer: it wants to be loaded first"
    closed_by_the_server
    status=0
    LD_PRELOAD=${BIN}tests/noreuse.so timeout 20 "$(program 02)" "$PORT" \
        </dev/null >/dev/null 2>"$RUN_DIR/bind.err" || status=$?
    same "exit status without SO_REUSEADDR (124: it goes on)" 1 "$status"
    grep -q 'Address already in use' "$RUN_DIR/bind.err" ||
        fail "bind should fail with 'Address already in use', but: $(<"$RUN_DIR/bind.err")"
    ! grep -q 'held by' "$RUN_DIR/bind.err" || fail "no process holds the port: $(<"$RUN_DIR/bind.err")"
    # On a port where nothing was, it works.
    WITH="env LD_PRELOAD=${BIN}tests/noreuse.so" start_server 02
}

# The rules.

@test "names, aliases, protocols" { start_server 02; rule_names; }
@test "what is not known is unknown" { start_server 02; rule_unknown; }
@test "CR LF and blanks at the end of a line do not count" { start_server 02; rule_trailing_blanks; }
@test "an empty line gets an answer" { start_server 02; rule_empty_lines; }
@test "NUL bytes come back as ?" { start_server 02; rule_nul_bytes; }
@test "bytes that do not print come back as ?" { start_server 02; rule_bytes_that_do_not_print; }
@test "a line of 1024 bytes is an error, and the next line is a line" { start_server 02; rule_long_lines; }
@test "the last line needs no newline" { start_server 02; rule_no_newline_at_the_end; }
@test "a half line waits for its other half; the line before it does not" { start_server 02; rule_half_line; }
@test "hundreds of requests in one packet are answered, once and in order" { start_server 02; rule_pipelined; }
@test "10,000 requests in one write are answered, once and in order" { start_server 02; rule_ten_thousand; }
@test "requests cut at every byte are answered" { start_server 02; rule_cut_at_every_byte; }
@test "a client that closes its sending side gets all answers, then end of file" { start_server 02; rule_half_close; }
@test "a client that sends and never reads costs no memory" { start_server 02; rule_flood; }
@test "a reset between two questions ends one connection alone" { start_server 02; rule_reset; }

@test "port 0: the kernel picks one, the server says which" { rule_port_0 02; }
@test "the port is 6168 unless given" { rule_default_port 02; }
@test "started with descriptors 0, 1 and 2 closed it serves all the same" { rule_closed_descriptors 02; }
@test "a bad port is a usage error" { rule_bad_port 02; }
@test "a second argument is a usage error" { rule_second_argument 02; }
@test "a port that is taken: the holder is named" { start_server 02; rule_taken_port 02; }
@test "SIGINT ends it" { start_server 02; rule_ends_by INT; }
@test "SIGTERM ends it" { start_server 02; rule_ends_by TERM; }
@test "nobody is let in from outside" { unset L23_HOST; start_server 02; rule_loopback_only; }
@test "L23_HOST names another address" { rule_host 02; }
@test "L23_HOST may be an IPv6 address" { REOPENS='' rule_ipv6 02; }
