#!/usr/bin/env bats
# serviceserver03: one listening socket for all, one client at a time

load helper
load rules
own_address

# What it does.

@test "a client gets an answer to every line" {
    start_server 03
    run -0 ask 'discard\ndomain/udp\nnobody\n'
    same "answers" $'discard, 9\ndomain/udp, 53\nnobody, unknown' "$output"
}

@test "of three clients at once all are connected and one is answered; the others wait their turn" {
    start_server 03
    hold first send 'discard\n' lines 1
    hold second send 'domain\n'
    L23_WAIT=60 spawn third "$CLIENT" "$PORT" send 'www\n' say asked lines 1 say answered
    eventually said third asked || fail "the third client is not connected"

    # Connected, all three; two of them only as far as the kernel's queue. The server has one
    # connected socket: three descriptors it was born with, the listening one, the client's.
    want "connections that the kernel has made" 3 sockets ESTABLISHED
    want "connections that wait for accept" 2 queued
    want "descriptors of the server" 5 descriptors "$PID"
    ! said third answered || fail "the third was answered before its turn"

    leave first
    want "connections that wait, when the first client has left" 1 queued
    leave second
    eventually said third answered || fail "the third is not answered though it is its turn"
    said third 'www, 80'
}

@test "one listening socket serves them all" {
    start_server 03
    socket=$(listening_inode)
    for i in 1 2 3 4 5; do
        is_answered "client $i"
    done
    same "the listening socket's inode, five clients later" "$socket" "$(listening_inode)"
    same "times it said where it listens" 1 "$(grep -c '^listening on' "$RUN_DIR/server.err")"
}

# Clients that somebody else has written.

@test "telnet is a client" {
    command -v telnet >/dev/null || skip "telnet is not installed"
    start_server 03
    mkfifo "$RUN_DIR/keys"
    exec {keys}<>"$RUN_DIR/keys"
    # shellcheck disable=SC2016 # the inner shell expands this
    spawn telnet bash -c 'exec telnet "$1" "$2" <"$3"' bash "${L23_HOST:-127.0.0.1}" "$PORT" "$RUN_DIR/keys"
    eventually grep -q '^Connected' "$RUN_DIR/telnet.out" || fail "telnet does not connect"
    for question in discard domain/udp; do
        echo "$question" >&"$keys"
        eventually grep -q "^$question, [0-9]" "$RUN_DIR/telnet.out" ||
            fail "telnet gets no answer to '$question': $(<"$RUN_DIR/telnet.out")"
    done
}

@test "nc is a client" {
    nc -h 2>&1 | grep -q -- -N || skip "no nc that can close its sending side (-N) is installed"
    start_server 03
    run -0 timeout 10 nc -N "${L23_HOST:-127.0.0.1}" "$PORT" <<<$'discard\nwww'
    same "answers" $'discard, 9\nwww, 80' "$output"
}

@test "a shell is a client: two lines of bash" {
    start_server 03
    (: <>"/dev/tcp/${L23_HOST:-127.0.0.1}/$PORT") 2>"$RUN_DIR/bash.err" || skip "this bash has no /dev/tcp"
    exec {connection}<>"/dev/tcp/${L23_HOST:-127.0.0.1}/$PORT"
    echo discard >&"$connection"
    read -r -t 10 answer <&"$connection" || fail "no answer"
    same "answer" 'discard, 9' "$answer"
    exec {connection}>&-
}

# How it breaks.

@test "a silent client stops everyone" {
    start_server 03
    hold silent
    want "connections that wait for accept" 0 queued
    for name in a b c; do
        L23_WAIT=60 spawn "$name" "$CLIENT" "$PORT" send 'discard\n' say asked lines 1 say answered
        eventually said "$name" asked || fail "client $name is not connected"
    done
    # They are connected, and what they ask has come as far as the kernel: 8 bytes each.
    want "connections that wait for accept" 3 queued
    want "clients whose question lies unread in the kernel" 3 unread 8
    for name in a b c; do
        ! said "$name" answered || fail "client $name was answered beside the silent one"
    done
    grep -q '^State:.S' "/proc/$PID/status" || fail "the server does not sleep"

    leave silent
    for name in a b c; do
        eventually said "$name" answered || fail "client $name is not answered in the end"
    done
}

# unread BYTES: connections of the server that have so many bytes in their receive queue.
unread() {
    grep -c "^ *[0-9]*: $(local_end) [0-9A-F:]* 01 [0-9A-F]*:$(printf %08X "$1") " \
        /proc/net/tcp
}

@test "101 clients fit into the queue, for its length is 100; the others' connects time out" {
    (($(</proc/sys/net/core/somaxconn) >= 100)) || skip "the kernel allows no backlog of 100"
    start_server 03
    hold served send 'discard\n' lines 1
    hold waiting more 100 # itself and 100 more
    want "connections that wait for accept" 101 queued

    for name in a b c; do
        L23_WAIT=60 spawn "$name" "$CLIENT" "$PORT" send 'discard\n' say connected
    done
    want "clients that knock (SYN_SENT) and are not answered" 3 knocking
    status=0
    found=$(L23_WAIT=1 "$CLIENT" "$PORT" 2>&1) || status=$?
    same "exit status of a client that knocks for a second (3: its connect timed out)" 3 "$status"
    same "what it says" 'client: connect: nothing happened in time' "$found"
    want "clients that knock still" 3 knocking
    want "connections that wait for accept, afterwards" 101 queued
    lives "$PID" "the server"
}

# knocking: how many clients wait for the server's kernel to answer their SYN.
knocking() {
    grep -c "^ *[0-9]*: [0-9A-F:]* $(local_end) 02 " /proc/net/tcp
}

@test "a client that hangs up in mid-answer kills the server: SIGPIPE" {
    start_server 03
    hold first
    want "connections that wait for accept" 0 queued
    # Asks 6000 times, more than one block, and is gone before its turn comes. To the server's
    # first write its kernel answers with a reset; after that the second is SIGPIPE.
    "$CLIENT" "$PORT" times 6000 'discard\n'
    want "connections whose client has hung up" 1 sockets CLOSE_WAIT
    lives "$PID" "the server"
    leave first
    status=0
    exit_status "$PID" || status=$?
    same "exit status of the server (141: killed by signal 13, SIGPIPE; 124: it goes on)" \
        141 "$status"
    is_refused "the next client"
}

# The rules.

@test "names, aliases, protocols" { start_server 03; rule_names; }
@test "what is not known is unknown" { start_server 03; rule_unknown; }
@test "CR LF and blanks at the end of a line do not count" { start_server 03; rule_trailing_blanks; }
@test "an empty line gets an answer" { start_server 03; rule_empty_lines; }
@test "NUL bytes come back as ?" { start_server 03; rule_nul_bytes; }
@test "bytes that do not print come back as ?" { start_server 03; rule_bytes_that_do_not_print; }
@test "a line of 1024 bytes is an error, and the next line is a line" { start_server 03; rule_long_lines; }
@test "a line that is too long may be the last" { start_server 03; rule_long_line_at_the_end; }
@test "a line of a megabyte is one error" { start_server 03; rule_megabyte; }
@test "the last line needs no newline" { start_server 03; rule_no_newline_at_the_end; }
@test "a half line waits for its other half; the line before it does not" { start_server 03; rule_half_line; }
@test "hundreds of requests in one packet are answered, once and in order" { start_server 03; rule_pipelined; }
@test "10,000 requests in one write are answered, once and in order" { start_server 03; rule_ten_thousand; }
@test "requests cut at every byte are answered" { start_server 03; rule_cut_at_every_byte; }
@test "requests in packets of a byte are answered" { start_server 03; rule_packets_of_a_byte; }
@test "a client that closes its sending side gets all answers, then end of file" { start_server 03; rule_half_close; }
@test "a client that asks nothing and closes its sending side gets end of file" { start_server 03; rule_end_of_file; }
@test "a client that sends and never reads costs no memory" { start_server 03; rule_flood; }
@test "a reset between two questions ends one connection alone" { start_server 03; rule_reset; }

@test "port 0: the kernel picks one, the server says which" { rule_port_0 03; }
@test "the port is 6168 unless given" { rule_default_port 03; }
@test "started with descriptors 0, 1 and 2 closed it serves all the same" { rule_closed_descriptors 03; }
@test "a bad port is a usage error" { rule_bad_port 03; }
@test "a second argument is a usage error" { rule_second_argument 03; }
@test "a port that is taken: the holder is named" { start_server 03; rule_taken_port 03; }
@test "SIGINT ends it" { start_server 03; rule_ends_by INT; }
@test "SIGTERM ends it" { start_server 03; rule_ends_by TERM; }
@test "nobody is let in from outside" { unset L23_HOST; start_server 03; rule_loopback_only; }
@test "L23_HOST names another address" { rule_host 03; }
@test "L23_HOST may be an IPv6 address" { rule_ipv6 03; }
