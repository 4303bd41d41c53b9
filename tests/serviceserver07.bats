#!/usr/bin/env bats
# serviceserver07: a thread per connection

load helper
load rules

# What runs beside the threads for connections: main; a sanitizer has a thread of its own, too.
case $BIN in
*thread*) SPARE=2 ;;
*) SPARE=1 ;;
esac

@test "20 clients at once are 20 threads of one process, besides main" {
    start_server 07
    hold all send 'discard\n' lines 1 crowd 19 'discard\n'
    same "answers" 20 "$(grep -cxF 'discard, 9' "$RUN_DIR/all.out")"
    want "threads of the server" $((SPARE + 20)) threads "$PID"
    want "children of the server" 0 children "$PID"
    leave all
    want "threads of the server when all have left" "$SPARE" threads "$PID"
}

@test "a silent client stops nobody" {
    start_server 07
    hold silent
    hold half_a_line send 'disc'
    run -0 ask 'discard\ndomain/udp\nnobody\n'
    same "what the next client got" $'discard, 9\ndomain/udp, 53\nnobody, unknown' "$output"
}

@test "clients that ask all at once get their own answers, each one" {
    start_server 07
    local names=(discard domain www ftp smtp pop3 nobody ntp/udp) i
    for i in "${!names[@]}"; do
        spawn "$i" "$CLIENT" "$PORT" times 2000 "${names[i]}\n" half eof
        clients[i]=$SPAWNED
    done
    for i in "${!names[@]}"; do
        exit_status "${clients[i]}" || fail "${names[i]}: $(cat "$RUN_DIR/$i.err")"
        same "answers to ${names[i]}" 2000 "$(grep -c "^${names[i]}, " "$RUN_DIR/$i.out")"
        same "lines to the client that asks ${names[i]}" 2000 "$(wc -l <"$RUN_DIR/$i.out")"
    done
}

@test "500 clients one after another at ulimit -n 64 leave nothing behind" {
    LIMITS="-n 64" start_server 07
    before=$(descriptors "$PID")
    "$CLIENT" "$PORT" send 'discard\n' lines 1 churn 499 'discard\n' >"$RUN_DIR/answers" ||
        fail "no answer, or no end of file, after $(wc -l <"$RUN_DIR/answers") answers"
    same "answers" 500 "$(grep -cxF 'discard, 9' "$RUN_DIR/answers")"
    want "threads of the server" "$SPARE" threads "$PID"
    want "descriptors of the server" "$before" descriptors "$PID"
    want "connections in CLOSE_WAIT" 0 sockets CLOSE_WAIT
    # Nor a stack each: those of threads that nobody waits for go with them. A few are kept.
    sanitized || (($(addresses) < 1000000)) || fail "its addresses have grown to $(addresses) KiB"
}
addresses() {
    sed -n 's/^VmSize:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$PID/status"
}

@test "an answer does not wait for the acknowledgement of the one before: TCP_NODELAY" {
    unsanitized "cannot be traced"
    command -v strace >/dev/null || skip "strace is not installed"
    WITH="strace -f -e trace=setsockopt -o $RUN_DIR/trace" start_server 07
    grep -q '_TCP, TCP_NODELAY, \[1\]' "$RUN_DIR/trace" || fail "$(cat "$RUN_DIR/trace")"
}

@test "resets by the hundred do not end it: each ends its own connection alone" {
    start_server 07
    before=$(descriptors "$PID")
    spawn other "$CLIENT" "$PORT" send 'discard\n' lines 1 until "$RUN_DIR/on" \
        send 'www\n' lines 1 until "$RUN_DIR/leave"
    eventually said other 'discard, 9'
    for _ in 1 2 3; do
        hang_up 100
        lives "$PID" "the server"
        want "threads of the server" $((SPARE + 1)) threads "$PID"
    done
    want "descriptors of the server" $((before + 1)) descriptors "$PID"
    touch "$RUN_DIR/on"
    eventually said other 'www, 80' || fail "another client is not answered any more"
    is_answered
}

# the_wall LIMIT STACK [VISITORS]: with this much address space, and stacks of this size (both
# KiB), the server stops where their ratio says, and ends when those it serves have left. Before
# them some (0 or 1) visitors have come and gone.
the_wall() {
    unsanitized "needs address space for itself"
    local base formula failed answers status=0 visitors=${3:-0} stack
    # A stack has one page more, which nobody may touch: the guard.
    stack=$(($2 + $(getconf PAGE_SIZE) / 1024))
    LIMITS="-v $1 -s $2" start_server 07
    if ((visitors)); then
        same "answer" 'discard, 9' "$(ask 'discard\n')"
        want "threads when the visitor has left" 1 threads "$PID"
    fi
    base=$(sed -n 's/^VmSize:[^0-9]*\([0-9]*\) kB$/\1/p' "/proc/$PID/status")
    ((!visitors)) || [ -n "${SERVER:-}" ] || ((base - stack > 65536)) ||
        fail "after a visitor the program itself takes $((base - stack)) KiB"
    # A visitor's stack is kept for the next thread.
    formula=$((($1 - base) / stack + visitors))

    L23_WAIT=60 spawn crowd "$CLIENT" "$PORT" send 'discard\n' lines 1 crowd 2000 'discard\n'
    crowd=$SPAWNED
    failed=$(L23_WAIT=60 wall) || fail "the server meets no wall at $formula connections; it says:
$(cat "$RUN_DIR/server.err")"
    answers=$(grep -cxF 'discard, 9' "$RUN_DIR/crowd.out")
    echo "base $base KiB, by the formula $formula connections, found $answers"
    same "answers before connection $failed" $((failed - 1 - visitors)) "$answers"
    ((answers >= formula - 3 && answers <= formula + 3))
    want "children of the server" 0 children "$PID"

    kill "$crowd"
    exit_status "$PID" || status=$?
    same "exit status of the server" 1 "$status"
}

# wall: waits until the server tells at which connection it fails for want of memory; prints
# that. In vain when the crowd has all been served.
wall() {
    eventually wall_or_ended
    sed -n "$WALL" "$RUN_DIR/server.err" | grep .
}
wall_or_ended() {
    sed -n "$WALL" "$RUN_DIR/server.err" | grep -q . || ended "$crowd"
}
WALL='s/^connection \([0-9]*\): pthread_create: Resource temporarily unavailable$/\1/p'

@test "at ulimit -v 3960000, stacks of 8 MiB: the wall stands at (limit - base) / stack" {
    the_wall 3960000 8192
}

@test "when a thread has ended the wall stands at 474: the program itself is larger by 64 MiB" {
    the_wall 3960000 8192 1
}

@test "stacks of 1 MiB move the wall as the formula says" {
    the_wall 400000 1024
}

# The rules.

@test "names, aliases, protocols" { start_server 07; rule_names; }
@test "what is not known is unknown" { start_server 07; rule_unknown; }
@test "CR LF and blanks at the end of a line do not count" { start_server 07; rule_trailing_blanks; }
@test "an empty line gets an answer" { start_server 07; rule_empty_lines; }
@test "NUL bytes come back as ?" { start_server 07; rule_nul_bytes; }
@test "bytes that do not print come back as ?" { start_server 07; rule_bytes_that_do_not_print; }
@test "a line of 1024 bytes is an error, and the next line is a line" { start_server 07; rule_long_lines; }
@test "a line of a megabyte is one error" { start_server 07; rule_megabyte; }
@test "the last line needs no newline" { start_server 07; rule_no_newline_at_the_end; }
@test "a half line waits for its other half; the line before it does not" { start_server 07; rule_half_line; }
@test "hundreds of requests in one packet are answered, once and in order" { start_server 07; rule_pipelined; }
@test "10,000 requests in one write are answered, once and in order" { start_server 07; rule_ten_thousand; }
@test "requests cut at every byte are answered" { start_server 07; rule_cut_at_every_byte; }
@test "a client that closes its sending side gets all answers, then end of file" { start_server 07; rule_half_close; }
@test "a client that sends and never reads costs no memory, and no other client's turn" { start_server 07; rule_flood others; }
@test "a reset between two questions ends one connection alone" { start_server 07; rule_reset; }
@test "clients that leave in mid-answer take nobody along" { start_server 07; rule_leaving_in_mid_answer; }

@test "port 0: the kernel picks one, the server says which" { rule_port_0 07; }
@test "the port is 6168 unless given" { rule_default_port 07; }
@test "started with descriptors 0, 1 and 2 closed it serves all the same" { rule_closed_descriptors 07; }
@test "a bad port is a usage error" { rule_bad_port 07; }
@test "a second argument is a usage error" { rule_second_argument 07; }
@test "a port that is taken: the holder is named" { start_server 07; rule_taken_port 07; }
@test "SIGINT ends it, and all that serve its clients" { start_server 07; rule_ends_by INT 130 3; }
@test "SIGTERM ends it, and all that serve its clients" { start_server 07; rule_ends_by TERM 143 3; }
@test "nobody is let in from outside" { start_server 07; rule_loopback_only; }
@test "L23_HOST names another address" { rule_host 07; }
@test "L23_HOST may be an IPv6 address" { rule_ipv6 07; }
