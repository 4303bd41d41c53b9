#!/usr/bin/env bats
# serviceserver10: it sleeps until a connection is ready: poll(2)

load helper
load rules
load events

@test "1,000 silent clients and one that asks: it is answered" {
    start_server 10
    note_descriptors
    the_silent 1000
    holds 1000
    is_answered "one who asks beside 1,000 silent clients"
    want "children of the server" 0 children "$PID"
}

@test "while nothing happens it sleeps, with 1,000 silent clients as well" {
    start_server 10
    sleeps "$PID"
    note_descriptors
    the_silent 1000
    holds 1000
    sleeps "$PID"
}

@test "at ulimit -n 64 the client that is one too many waits; it does not spin, and goes on when others leave" {
    unsanitized "needs descriptors for itself"
    LIMITS="-n 64" start_server 10
    no_descriptor_left 60
}

@test "a limit lowered below what it holds: it serves them on, and does not spin" {
    unsanitized "needs descriptors for itself"
    start_server 10
    hold crowd send 'discard\n' lines 1 crowd 39 'discard\n'
    spawn asks "$CLIENT" "$PORT" send 'discard\n' lines 1 until "$RUN_DIR/on" send 'www\n' lines 1 \
        until "$RUN_DIR/off"
    eventually said asks 'discard, 9'
    prlimit --pid "$PID" --nofile=10:
    waits_in_vain late
    sleeps "$PID" 20
    touch "$RUN_DIR/on"
    eventually said asks 'www, 80' || fail "a client that it has is not answered any more"
    prlimit --pid "$PID" --nofile=100:
    is_served_now late
}

@test "every wake-up looks at all connections: with 3,000 silent ones, answers cost several times as much" {
    unsanitized "takes its own time"
    local alone beside
    start_server 10
    note_descriptors
    alone=$(cost_of 10000)
    the_silent 3000
    holds 3000
    beside=$(cost_of 10000)
    ((beside > 2 * alone)) ||
        fail "10,000 answers cost $alone hundredths of CPU time, and beside 3,000 silent clients $beside"
}

@test "3,000 clients one after another leave nothing behind" {
    start_server 10
    note_descriptors
    "$CLIENT" "$PORT" send 'discard\n' lines 1 churn 2999 'discard\n' >"$RUN_DIR/answers"
    same "answers" 3000 "$(grep -cxF 'discard, 9' "$RUN_DIR/answers")"
    holds 0
}

# The rules.

@test "names, aliases, protocols" { start_server 10; rule_names; }
@test "what is not known is unknown" { start_server 10; rule_unknown; }
@test "CR LF and blanks at the end of a line do not count" { start_server 10; rule_trailing_blanks; }
@test "an empty line gets an answer" { start_server 10; rule_empty_lines; }
@test "NUL bytes come back as ?" { start_server 10; rule_nul_bytes; }
@test "bytes that do not print come back as ?" { start_server 10; rule_bytes_that_do_not_print; }
@test "a line of 1024 bytes is an error, and the next line is a line" { start_server 10; rule_long_lines; }
@test "a line that is too long may be the last" { start_server 10; rule_long_line_at_the_end; }
@test "a line of a megabyte is one error" { start_server 10; rule_megabyte; }
@test "the last line needs no newline" { start_server 10; rule_no_newline_at_the_end; }
@test "a half line waits for its other half; the line before it does not" { start_server 10; rule_half_line; }
@test "hundreds of requests in one packet are answered, once and in order" { start_server 10; rule_pipelined; }
@test "10,000 requests in one write are answered, once and in order" { start_server 10; rule_ten_thousand; }
@test "requests cut at every byte are answered" { start_server 10; rule_cut_at_every_byte; }
@test "requests in packets of a byte are answered" { start_server 10; rule_packets_of_a_byte; }
@test "a client that closes its sending side gets all answers, then end of file" { start_server 10; rule_half_close; }
@test "a client that asks nothing and closes its sending side gets end of file" { start_server 10; rule_end_of_file; }
@test "a client that sends and never reads costs little memory, and stops nobody" { start_server 10; rule_flood others; }
@test "a reset between two questions ends one connection alone" { start_server 10; rule_reset; }
@test "clients that leave in mid-answer end their own connections alone" { start_server 10; rule_leaving_in_mid_answer; }
@test "clients that leave in the middle of a line leave nothing behind" { start_server 10; rule_half_lines_leave_nothing; }

@test "port 0: the kernel picks one, the server says which" { rule_port_0 10; }
@test "the port is 6168 unless given" { rule_default_port 10; }
@test "started with descriptors 0, 1 and 2 closed it serves all the same" { rule_closed_descriptors 10; }
@test "a bad port is a usage error" { rule_bad_port 10; }
@test "a second argument is a usage error" { rule_second_argument 10; }
@test "a port that is taken: the holder is named" { start_server 10; rule_taken_port 10; }
@test "SIGINT ends it" { start_server 10; rule_ends_by INT; }
@test "SIGTERM ends it" { start_server 10; rule_ends_by TERM; }
@test "nobody is let in from outside" { start_server 10; rule_loopback_only; }
@test "L23_HOST names another address" { rule_host 10; }
@test "L23_HOST may be an IPv6 address" { rule_ipv6 10; }
