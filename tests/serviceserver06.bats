#!/usr/bin/env bats
# serviceserver06: the parent closes its copy

load helper
load rules

@test "three clients at once are all answered, each by a process of its own" {
    start_server 06
    hold first send 'discard\n' lines 1
    hold second send 'domain/udp\n' lines 1
    hold third send 'www\n' lines 1
    same "what the first got" 'discard, 9' "$(head -n 1 "$RUN_DIR/first.out")"
    same "what the second got" 'domain/udp, 53' "$(head -n 1 "$RUN_DIR/second.out")"
    same "what the third got" 'www, 80' "$(head -n 1 "$RUN_DIR/third.out")"
    want "children of the server" 3 children "$PID"
}

@test "a client that shuts down its sending side is answered and sees end of file" {
    start_server 06
    run -0 ask 'discard\ndomain/udp\nnobody\n'
    same "what it got until end of file" $'discard, 9\ndomain/udp, 53\nnobody, unknown' "$output"
}

@test "5,000 clients one after another at ulimit -n 64 leave nothing behind" {
    local clients=5000
    sanitized && clients=1000 # each is a fork of some MB more
    LIMITS="-n 64" start_server 06
    before=$(descriptors "$PID")
    "$CLIENT" "$PORT" send 'discard\n' lines 1 churn $((clients - 1)) 'discard\n' \
        >"$RUN_DIR/answers" ||
        fail "no answer, or no end of file, after $(wc -l <"$RUN_DIR/answers") answers"
    same "answers" "$clients" "$(grep -cxF 'discard, 9' "$RUN_DIR/answers")"
    want "descriptors of the server" "$before" descriptors "$PID"
    want "children of the server (dead ones, too)" 0 children "$PID"
    want "connections in CLOSE_WAIT" 0 sockets CLOSE_WAIT
    lives "$PID" "the server"
}

@test "more clients at once than the server may have descriptors: 100 at ulimit -n 64" {
    LIMITS="-n 64" start_server 06
    before=$(descriptors "$PID")
    hold all send 'discard\n' lines 1 crowd 99 'discard\n'
    same "answers" 100 "$(grep -cxF 'discard, 9' "$RUN_DIR/all.out")"
    want "children of the server" 100 children "$PID"
    want "descriptors of the server" "$before" descriptors "$PID"
    leave all
    want "children of the server" 0 children "$PID"
}

@test "a reset ends its own connection alone" {
    start_server 06
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

# The limit counts all processes of a user, and does not bind root. So root starts the server
# as a user that nobody is, with a limit of 20 processes: itself and 19 for clients. Another
# user's count is anything; its server gets its limit, one process, with the 19th client.
@test "under a process limit fork fails: the server says at which connection, and why" {
    [[ $BIN != *thread* ]] || unsanitized "has a thread of its own in every process"
    local status=0 dir
    if [ "$(id -u)" -eq 0 ]; then
        somebody
        dir=$(mktemp -d)
        chmod 755 "$dir"
        cp "${SERVER:-${BIN}serviceserver06}" "$dir/server"
        if "${AS[@]}" "$dir/server" "no port" 2>/dev/null; [ $? -ne 2 ]; then
            rm -r "$dir"
            skip "cannot run a program in $dir as another user than root"
        fi
        LIMITS="-u 20" WITH="${AS[*]}" SERVER=$dir/server start_server 06 || status=$?
        rm -r "$dir"
        [ "$status" -eq 0 ]
    else
        start_server 06
    fi

    hold served send 'discard\n' lines 1 crowd 18 'discard\n'
    [ "$(id -u)" -eq 0 ] || prlimit --nproc=1:1 --pid "$PID"
    spawn last "$CLIENT" "$PORT" send 'discard\n' gone
    server_says "connection 20: fork: Resource temporarily unavailable"
    same "answers" 19 "$(grep -cxF 'discard, 9' "$RUN_DIR/served.out")"
    want "children of the server" 19 children "$PID"
    if [ "$(id -u)" -eq 0 ]; then
        # Nor is there a shell now to put it right: it could not start a program, but for its own kill.
        (ulimit -u 20 && "${AS[@]}" sh -c 'ls / >/dev/null; exit $?') 2>"$RUN_DIR/shell.err" &&
            fail "this user's shell can still start a program"
        (ulimit -u 20 && "${AS[@]}" sh -c "kill -0 $PID") || fail "a shell that is there has no kill of its own"
    fi

    lives "$PID" "the server, which still serves clients,"
    leave served
    exit_status "$PID" || status=$?
    same "exit status of the server" 1 "$status"
}

# Sets AS to a command that runs others as a user who has no process and no name.
somebody() {
    local uid
    for _ in {1..100}; do
        uid=$((20000 + RANDOM))
        getent passwd "$uid" >/dev/null ||
            [ -n "$(find /proc -maxdepth 1 -uid "$uid" -print -quit 2>/dev/null)" ] || break
    done
    AS=(setpriv "--reuid=$uid" "--regid=$uid" --clear-groups)
}

# The rules.

@test "names, aliases, protocols" { start_server 06; rule_names; }
@test "what is not known is unknown" { start_server 06; rule_unknown; }
@test "CR LF and blanks at the end of a line do not count" { start_server 06; rule_trailing_blanks; }
@test "an empty line gets an answer" { start_server 06; rule_empty_lines; }
@test "NUL bytes come back as ?" { start_server 06; rule_nul_bytes; }
@test "bytes that do not print come back as ?" { start_server 06; rule_bytes_that_do_not_print; }
@test "a line of 1024 bytes is an error, and the next line is a line" { start_server 06; rule_long_lines; }
@test "a line of a megabyte is one error" { start_server 06; rule_megabyte; }
@test "the last line needs no newline" { start_server 06; rule_no_newline_at_the_end; }
@test "a half line waits for its other half; the line before it does not" { start_server 06; rule_half_line; }
@test "hundreds of requests in one packet are answered, once and in order" { start_server 06; rule_pipelined; }
@test "10,000 requests in one write are answered, once and in order" { start_server 06; rule_ten_thousand; }
@test "requests cut at every byte are answered" { start_server 06; rule_cut_at_every_byte; }
@test "a client that closes its sending side gets all answers, then end of file" { start_server 06; rule_half_close; }
@test "a client that sends and never reads costs no memory, and no other client's turn" { start_server 06; rule_flood others; }
@test "a reset between two questions ends one connection alone" { start_server 06; rule_reset; }
@test "clients that leave in mid-answer take nobody along" { start_server 06; rule_leaving_in_mid_answer; }

@test "port 0: the kernel picks one, the server says which" { rule_port_0 06; }
@test "the port is 6168 unless given" { rule_default_port 06; }
@test "started with descriptors 0, 1 and 2 closed it serves all the same" { rule_closed_descriptors 06; }
@test "killed, it takes its children along, also when SIGTERM was ignored at its start" { rule_children_end_with_it 06; }
@test "a bad port is a usage error" { rule_bad_port 06; }
@test "a second argument is a usage error" { rule_second_argument 06; }
@test "a port that is taken: the holder is named" { start_server 06; rule_taken_port 06; }
@test "SIGINT ends it, and all that serve its clients" { start_server 06; rule_ends_by INT 130 3; }
@test "SIGTERM ends it, and all that serve its clients" { start_server 06; rule_ends_by TERM 143 3; }
@test "nobody is let in from outside" { start_server 06; rule_loopback_only; }
@test "L23_HOST names another address" { rule_host 06; }
@test "L23_HOST may be an IPv6 address" { rule_ipv6 06; }
