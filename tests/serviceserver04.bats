#!/usr/bin/env bats
# serviceserver04: a process per connection

load helper
load rules

# shellcheck disable=SC2034 # rules.bash reads it
NO_EOF=1 # that is one of the flaws, see below

@test "three clients at once are all answered, each by a process of its own" {
    start_server 04
    hold first send 'discard\n' lines 1
    hold second send 'domain/udp\n' lines 1
    hold third send 'www\n' lines 1
    same "what the first got" 'discard, 9' "$(head -n 1 "$RUN_DIR/first.out")"
    same "what the second got" 'domain/udp, 53' "$(head -n 1 "$RUN_DIR/second.out")"
    same "what the third got" 'www, 80' "$(head -n 1 "$RUN_DIR/third.out")"
    want "children of the server" 3 children "$PID"
    want "connections that wait for accept" 0 queued
}

@test "a silent client stops nobody" {
    start_server 04
    hold silent
    is_answered "the next client"
    hold half_a_line send 'disc'
    is_answered "the next client"
}

@test "a reset kills one child, by SIGPIPE; the server and the other clients live" {
    start_server 04
    spawn other "$CLIENT" "$PORT" send 'discard\n' lines 1 until "$RUN_DIR/on" \
        send 'www\n' lines 1 until "$RUN_DIR/leave"
    eventually said other 'discard, 9'
    other=$(child_pids "$PID")

    hang_up 1
    want "dead children of the server" 1 children "$PID" Z
    killed=$(child_pids "$PID" | grep -vx "$other")
    # stat's last field is the status that wait would return: 13, killed by SIGPIPE.
    same "how the child of the broken connection ended" 13 \
        "$(sed 's/.* //' "/proc/$killed/stat")"
    lives "$PID" "the server"
    touch "$RUN_DIR/on"
    eventually said other 'www, 80' || fail "another client is not answered any more"
    is_answered
}

@test "a child that has served its client stays as a zombie: nobody asks how it ended" {
    start_server 04
    for _ in {1..5}; do
        is_answered
    done
    want "zombies after 5 clients" 5 children "$PID" Z
    for _ in {1..5}; do
        is_answered
    done
    want "zombies after 10 clients" 10 children "$PID" Z
    want "children that are no zombies" 0 children "$PID" A-Y
}

@test "a client that shuts down its sending side is answered, but never sees end of file" {
    start_server 04
    spawn half "$CLIENT" "$PORT" send 'discard\n' half lines 1 say answered eof say eof
    half=$SPAWNED
    eventually said half answered || fail "the client is not answered"

    # Its child has closed the connection and is gone. The parent alone holds it open.
    want "dead children of the server" 1 children "$PID" Z
    want "connections in CLOSE_WAIT" 1 sockets CLOSE_WAIT
    lives "$half" "the client, which cannot have seen end of file,"

    # It was the parent: when that ends, there is end of file.
    kill "$PID"
    exit_status "$half" && said half eof ||
        fail "the client does not even see end of file when the server is gone"
}

@test "the parent keeps every connected socket: one descriptor and one CLOSE_WAIT a connection" {
    start_server 04
    before=$(descriptors "$PID")
    for _ in {1..10}; do
        is_answered
    done
    want "children that still serve a client" 0 children "$PID" A-Y
    want "descriptors of the server" $((before + 10)) descriptors "$PID"
    want "connections in CLOSE_WAIT" 10 sockets CLOSE_WAIT
}

# The rules.

@test "names, aliases, protocols" { start_server 04; rule_names; }
@test "what is not known is unknown" { start_server 04; rule_unknown; }
@test "CR LF and blanks at the end of a line do not count" { start_server 04; rule_trailing_blanks; }
@test "an empty line gets an answer" { start_server 04; rule_empty_lines; }
@test "NUL bytes come back as ?" { start_server 04; rule_nul_bytes; }
@test "bytes that do not print come back as ?" { start_server 04; rule_bytes_that_do_not_print; }
@test "a line of 1024 bytes is an error, and the next line is a line" { start_server 04; rule_long_lines; }
@test "a line of a megabyte is one error" { start_server 04; rule_megabyte; }
@test "the last line needs no newline" { start_server 04; rule_no_newline_at_the_end; }
@test "a half line waits for its other half; the line before it does not" { start_server 04; rule_half_line; }
@test "hundreds of requests in one packet are answered, once and in order" { start_server 04; rule_pipelined; }
@test "10,000 requests in one write are answered, once and in order" { start_server 04; rule_ten_thousand; }
@test "requests cut at every byte are answered" { start_server 04; rule_cut_at_every_byte; }
@test "a client that sends and never reads costs no memory, and no other client's turn" { start_server 04; rule_flood others; }
@test "a reset between two questions ends one connection alone" { start_server 04; rule_reset; }
@test "clients that leave in mid-answer take nobody along" { start_server 04; rule_leaving_in_mid_answer; }

@test "port 0: the kernel picks one, the server says which" { rule_port_0 04; }
@test "the port is 6168 unless given" { rule_default_port 04; }
@test "started by who ignores SIGCHLD: its dead children stay all the same" {
    WITH="env --ignore-signal=CHLD" start_server 04
    for _ in 1 2 3; do
        is_answered
    done
    want "zombies" 3 children "$PID" Z
}
@test "started with descriptors 0, 1 and 2 closed it serves all the same" { rule_closed_descriptors 04; }
@test "killed, it takes its children along, also when SIGTERM was ignored at its start" { rule_children_end_with_it 04; }
@test "a bad port is a usage error" { rule_bad_port 04; }
@test "a second argument is a usage error" { rule_second_argument 04; }
@test "a port that is taken: the holder is named" { start_server 04; rule_taken_port 04; }
@test "SIGINT ends it, and all that serve its clients" { start_server 04; rule_ends_by INT 130 3; }
@test "SIGTERM ends it, and all that serve its clients" { start_server 04; rule_ends_by TERM 143 3; }
@test "nobody is let in from outside" { start_server 04; rule_loopback_only; }
@test "L23_HOST names another address" { rule_host 04; }
@test "L23_HOST may be an IPv6 address" { rule_ipv6 04; }
