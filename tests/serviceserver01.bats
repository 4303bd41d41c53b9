#!/usr/bin/env bats
# serviceserver01: accept, once

load helper
load rules
own_address

# What it does.

@test "one client gets an answer to every line, and when it leaves the program ends" {
    start_server 01
    run -0 ask 'discard\ndomain/udp\nnobody\n'
    same "answers" $'discard, 9\ndomain/udp, 53\nnobody, unknown' "$output"
    status=0
    exit_status "$PID" || status=$?
    same "exit status of the server (124: it goes on)" 0 "$status"
}

# How it breaks.

@test "the second client is refused while the first is served: nobody listens any more" {
    start_server 01
    want "listening sockets before the first client" 1 sockets LISTEN
    spawn first "$CLIENT" "$PORT" send 'discard\n' lines 1 until "$RUN_DIR/on" send 'www\n' lines 1
    eventually said first 'discard, 9' || fail "the first client is not answered"
    want "listening sockets while the first is served" 0 sockets LISTEN
    want "descriptors of the server (stdin, stdout, stderr, the client)" 4 descriptors "$PID"
    is_refused "the second client"

    touch "$RUN_DIR/on"
    eventually said first 'www, 80' || fail "the first client is not answered any more"
}

@test "after the first has left the program is gone, and whoever connects is refused" {
    start_server 01
    hold first send 'discard\n' lines 1
    lives "$PID" "the server"
    leave first
    status=0
    exit_status "$PID" || status=$?
    same "exit status of the server (124: it goes on)" 0 "$status"
    is_refused "a client after the first"
    # Why the lecture's shell said `discard: command not found` then: nobody else was reading
    # the terminal.
}

@test "a reset is as good an end as any" {
    start_server 01
    "$CLIENT" "$PORT" send 'discard\n' lines 1 reset
    status=0
    exit_status "$PID" || status=$?
    same "exit status of the server (124: it goes on)" 0 "$status"
}

# The rules that need no second client.

@test "names, aliases, protocols" { start_server 01; rule_names; }
@test "what is not known is unknown" { start_server 01; rule_unknown; }
@test "CR LF and blanks at the end of a line do not count" { start_server 01; rule_trailing_blanks; }
@test "an empty line gets an answer" { start_server 01; rule_empty_lines; }
@test "NUL bytes come back as ?" { start_server 01; rule_nul_bytes; }
@test "bytes that do not print come back as ?" { start_server 01; rule_bytes_that_do_not_print; }
@test "a line of 1024 bytes is an error, and the next line is a line" { start_server 01; rule_long_lines; }
@test "the last line needs no newline" { start_server 01; rule_no_newline_at_the_end; }
@test "a half line waits for its other half; the line before it does not" { start_server 01; rule_half_line; }
@test "hundreds of requests in one packet are answered, once and in order" { start_server 01; rule_pipelined; }
@test "10,000 requests in one write are answered, once and in order" { start_server 01; rule_ten_thousand; }
@test "requests cut at every byte are answered" { start_server 01; rule_cut_at_every_byte; }
@test "a client that closes its sending side gets all answers, then end of file" { start_server 01; rule_half_close; }
@test "a client that sends and never reads costs no memory" { start_server 01; rule_flood; }

@test "port 0: the kernel picks one, the server says which" { rule_port_0 01; }
@test "the port is 6168 unless given" { rule_default_port 01; }
@test "started with descriptors 0, 1 and 2 closed it serves all the same" { rule_closed_descriptors 01; }
@test "a bad port is a usage error" { rule_bad_port 01; }
@test "a second argument is a usage error" { rule_second_argument 01; }
@test "a port that is taken: the holder is named" { start_server 01; rule_taken_port 01; }
@test "SIGINT ends it" { start_server 01; rule_ends_by INT; }
@test "SIGTERM ends it" { start_server 01; rule_ends_by TERM; }
@test "nobody is let in from outside" { unset L23_HOST; start_server 01; rule_loopback_only; }
@test "L23_HOST names another address" { rule_host 01; }
@test "L23_HOST may be an IPv6 address" { rule_ipv6 01; }
