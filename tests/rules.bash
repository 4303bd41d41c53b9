# shellcheck shell=bash
# rules.bash: what every server of the lecture promises, whatever it is made of. Loaded after
# helper.bash; a test is one line: @test "…" { start_server 03; rule_names; }
#
# A rule knows the question and the answer and nothing of the program. What differs is said by
# variables, for one rule (NO_EOF=1 rule_names) or at the top of a test file:
#   ASK=COMMAND   asks in another way than over a connection, see over_tcp
#   NO_EOF=1      the server's clients never see end of file: count the answers
#   REOPENS=1     the server listens anew for every client: wait until it does
#
# shellcheck disable=SC2153 # CLIENT and PORT are helper.bash's

# Asking.

# client ACTION...: one client of the server, in the foreground.
client() {
    [ -z "${REOPENS:-}" ] || eventually is 1 sockets LISTEN
    "$CLIENT" "$PORT" "$@"
}

# over_tcp LINES ACTION...: one client does the actions, closes its sending side and prints
# what comes: LINES lines, then whatever there is until end of file.
over_tcp() {
    local lines=$1 eof=(eof)
    shift
    [ -z "${NO_EOF:-}" ] || eof=()
    client "$@" half lines "$lines" "${eof[@]}"
}

# utter ACTION...: prints what a client would send; knows send and times.
utter() {
    while [ $# -gt 0 ]; do
        case $1 in
        send)
            printf %b "$2"
            shift 2
            ;;
        times)
            printf %b "$(yes -- "$3" | head -n "$2" | tr -d '\n')"
            shift 3
            ;;
        *)
            fail "utter: what is '$1'?"
            ;;
        esac
    done
}

# answers WHAT WANTED ACTION...: the actions, on one connection, are answered with exactly
# WANTED (escapes as for printf %b; what follows `error: ` does not count).
answers() {
    local what=$1 wanted=$2 lines status=0
    shift 2
    printf %b "$wanted" >"$RUN_DIR/wanted"
    lines=$(wc -l <"$RUN_DIR/wanted")
    "${ASK:-over_tcp}" "$lines" "$@" >"$RUN_DIR/found" 2>"$RUN_DIR/asking.err" || status=$?
    sed -i 's/^error: .*/error: .../' "$RUN_DIR/wanted" "$RUN_DIR/found"
    if cmp -s "$RUN_DIR/wanted" "$RUN_DIR/found" && ((status == 0)); then
        return
    fi
    echo "$what: not answered as it should be."
    echo "asked (\`send' is followed by what was sent): $*" | cut -c 1-400
    echo "answers wanted (-) and found (+), $lines lines wanted:"
    diff -U 2 "$RUN_DIR/wanted" "$RUN_DIR/found" | tail -n +3 | cut -c 1-200 | cat -v | head -n 30
    cat "$RUN_DIR/asking.err"
    ((status == 0)) || echo "the client's exit status: $status"
    return 1
}

# numbered N: N different questions, and their answers, in NUMBERED and NUMBERED_ANSWERS.
numbered() {
    local numbers
    mapfile -t numbers < <(seq "$1")
    # shellcheck disable=SC2059 # of a format: as many times as there are numbers
    NUMBERED=$(printf 'q%d\\n' "${numbers[@]}")
    NUMBERED_ANSWERS=$(printf 'q%d, unknown\\n' "${numbers[@]}")
}

# is_answered [WHO]: a new client gets its answer.
is_answered() {
    local found
    found=$(client send 'discard\n' lines 1 2>&1) || true
    same "the answer to ${1:-a new client}" 'discard, 9' "$found"
}

# own_address: this test's servers and clients meet on an address of their own, where no other
# test's server can take a port that has become free, or be mistaken for this one. A program
# of somebody's own need not know of L23_HOST: it stays on 127.0.0.1.
own_address() {
    if [ -z "${SERVER:-}" ]; then
        L23_HOST=$(an_address)
        export L23_HOST
    fi
}

# is_refused [WHO]: a new client is refused: the kernel knows of nobody who listens.
is_refused() {
    local found status=0
    found=$("$CLIENT" "$PORT" 2>&1) || status=$?
    [[ $status -eq 1 && $found == *"Connection refused"* ]] && return
    fail "${1:-a new client} should be refused, but: exit status $status ${found:-(connected)}"
}

# Rules for lines.

rule_names() {
    answers "a name, an alias, a protocol" \
        'discard, 9\nsink, 9\nwww, 80\ndiscard/tcp, 9\nsink/udp, 9\ndomain/udp, 53\nhttp, 80\n' \
        send 'discard\nsink\nwww\ndiscard/tcp\nsink/udp\ndomain/udp\nhttp\n'
}

rule_unknown() {
    local names=(nobody nobody/udp DISCARD ' discard' 'discard tcp' 9 discard/nosuch discard/
        /tcp / discard/tcp/tcp discard/TCP 'discard /tcp')
    answers "what is not in the database, or not with this protocol" \
        "$(printf '%s, unknown\\n' "${names[@]}")" send "$(printf '%s\\n' "${names[@]}")"
}

rule_trailing_blanks() {
    answers "carriage return and blanks at the end of a line" \
        'discard, 9\ndomain/udp, 53\ndiscard, 9\nwww, 80\nnobody, unknown\ndiscard, 9\n' \
        send 'discard\r\ndomain/udp\r\ndiscard \t \r\nwww\x0b\x0c\r\r\nnobody  \ndiscard\r'
}

rule_empty_lines() {
    answers "empty lines: one answer each" \
        ', unknown\n, unknown\n, unknown\ndiscard, 9\n, unknown\n' \
        send '\n\r\n \t\ndiscard\n\n'
}

rule_nul_bytes() {
    answers "NUL bytes" \
        'dis?card, unknown\ndiscard?, unknown\n?, unknown\n???, unknown\ndiscard, 9\n' \
        send 'dis\x00card\ndiscard\x00\n\x00\n\x00\x00\x00\ndiscard\n'
}

rule_bytes_that_do_not_print() {
    answers "bytes that do not print come back as ?" \
        '?[31mred?, unknown\n?, unknown\nstra??e, unknown\n???, unknown\ndiscard, 9\n' \
        send '\x1b[31mred\x7f\n\x01\nstra\xc3\x9fe\n\x80\xff\xfe\ndiscard\n'
}

rule_long_lines() {
    answers "lines of 1023 bytes are answered, of 1024 they are an error, and the next line is a line" \
        "$(printf 'x%.0s' {1..1023}), unknown\nerror: ...\ndiscard, 9\ndiscard, 9\nerror: ...\nwww, 80\n" \
        times 1023 x send '\n' times 1024 x send '\ndiscard\n' \
        send discard times 1016 ' ' send '\n' send discard times 1017 ' ' send '\nwww\n'
}

rule_long_line_at_the_end() {
    answers "a line that is too long, and the last, without a newline" \
        'discard, 9\nerror: ...\n' send 'discard\n' times 5000 x
}

rule_megabyte() {
    answers "a line of a megabyte is one error, and the next line is a line" \
        'discard, 9\nerror: ...\ndiscard, 9\n' \
        send 'discard\n' times 1048576 x send '\ndiscard\n'
}

rule_no_newline_at_the_end() {
    answers "the last line, without its newline" \
        'discard, 9\ndomain/udp, 53\n' send 'discard\ndomain/udp'
}

rule_pipelined() {
    numbered 500
    answers "hundreds of requests in one packet: each once, in order" \
        "$NUMBERED_ANSWERS" send "$NUMBERED"
}

rule_ten_thousand() {
    numbered 10000
    answers "10,000 requests in one write: each once, in order" \
        "$NUMBERED_ANSWERS" send "$NUMBERED"
}

# Rules for connections.

# A complete line is answered though half a line follows it, and the rest is not forgotten.
rule_half_line() {
    local found
    found=$(client send 'discard\ndoma' lines 1 say later send 'in/udp\r\nww' lines 1 \
        say later send 'w\n' lines 1 2>&1) || true
    same "lines that come in two halves" \
        $'discard, 9\nlater\ndomain/udp, 53\nlater\nwww, 80' "$found"
}

# The requests in two packets, cut at every place there is; the answer to a line before the
# first half tells that the server has read that.
rule_cut_at_every_byte() {
    local bytes=(d i s c a r d / u d p '\r' '\n' '\n' w w w ' ' '\n' n o '\n')
    local answers=$'discard/udp, 9\n, unknown\nwww, 80\nno, unknown\n' actions=() i head tail wanted='' found
    for ((i = 0; i <= ${#bytes[@]}; i++)); do
        printf -v head %s "${bytes[@]:0:i}"
        printf -v tail %s "${bytes[@]:i}"
        actions+=(send "cut$i\\n$head" lines 1 send "$tail" lines 4)
        wanted+="cut$i, unknown"$'\n'$answers
    done
    found=$(client "${actions[@]}" 2>&1) || true
    same "requests cut in two" "${wanted%$'\n'}" "$found"
}

rule_packets_of_a_byte() {
    local found
    found=$(client bytes 'discard/udp\r\n\nwww \nno\n' lines 4 2>&1) || true
    same "requests in packets of a byte" $'discard/udp, 9\n, unknown\nwww, 80\nno, unknown' "$found"
}

# Half-close: all is answered, and then comes end of file.
rule_half_close() {
    local status=0
    client times 1000 'discard\n' half eof >"$RUN_DIR/found" 2>"$RUN_DIR/asking.err" || status=$?
    same "answers to 1000 requests of a client that has closed its sending side" \
        1000 "$(grep -cx 'discard, 9' "$RUN_DIR/found")"
    same "end of file after them" "0 " "$status $(<"$RUN_DIR/asking.err")"
}

rule_end_of_file() {
    client half eof >"$RUN_DIR/found" 2>&1 ||
        fail "a client that asks nothing sees no end of file: $(<"$RUN_DIR/found")"
}

# A client that sends and never reads: the server stops reading from it, in time. With
# `others`, the server serves others meanwhile.
rule_flood() {
    local before after flood
    [ "${1:-}" != others ] || is_answered "a client before the flood"
    before=$(memory "$PID")
    spawn flood "$CLIENT" "$PORT" flood 'discard\nwww\n\n' say held until "$RUN_DIR/flood.leave"
    flood=$SPAWNED
    eventually said flood held ||
        fail "a client sends without end and reads nothing: the server goes on taking its requests"
    if [ "${1:-}" = others ]; then
        is_answered "another client, while one sends and never reads"
    fi
    lives "$PID" "the server"
    after=$(memory "$PID")
    # A sanitizer's own memory is no part of the matter.
    if ! sanitized && ((after - before > 16384)); then
        fail "a client that never reads has made the server grow from $before to $after kB"
    fi
    touch "$RUN_DIR/flood.leave"
    exit_status "$flood"
}

# memory PID: the most that a process of its group has had in memory, in kB.
memory() {
    local pid most=0 kb
    for pid in $(group "$1"); do
        kb=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status" 2>/dev/null)
        ((${kb:-0} <= most)) || most=$kb
    done
    echo "$most"
}

# group PGID: the processes of the group that are not dead, a line each.
group() {
    cat /proc/[0-9]*/stat 2>/dev/null |
        sed -n "s/^\([0-9]*\) (.*) [^ZX ] [0-9]* $1 .*/\1/p"
}
group_size() {
    group "$1" | wc -l
}

# A reset between two questions is the end of that connection and of nothing else.
rule_reset() {
    local i
    for ((i = 0; i < 5; i++)); do
        client send 'discard\n' lines 1 reset >"$RUN_DIR/found" 2>&1 ||
            fail "client $i is not answered: $(<"$RUN_DIR/found")"
        client send 'disc' reset
    done
    is_answered "a client after ten resets"
    lives "$PID" "the server"
}

# Clients that ask for much, read nothing and leave. Not for 03 and before: see there.
rule_leaving_in_mid_answer() {
    local i
    for ((i = 0; i < ${1:-20}; i++)); do
        client times 6000 'discard\n' >"$RUN_DIR/found" 2>&1 || true
        client times 6000 'discard\n' reset >"$RUN_DIR/found" 2>&1 || true
    done
    is_answered "a client after many that left in mid-answer"
    lives "$PID" "the server"
}

# Rules for the command line. NN is the server's number.

# program NN: the file that start_server NN runs.
program() {
    echo "${SERVER:-${BIN}serviceserver$1}"
}

# an_address: an address of this machine that no other test listens on, whatever the port.
an_address() {
    echo "127.$((RANDOM % 200 + 20)).$((RANDOM % 200 + 20)).$((RANDOM % 200 + 20))"
}

# Port 0: the kernel picks one, the server says which, and that is the truth.
rule_port_0() {
    local first
    start_server "$1" 0
    ((PORT > 0 && PORT < 65536)) || fail "no port number: $PORT"
    want "listening sockets on the port that the server names" 1 sockets LISTEN
    first=$PORT
    start_server "$1" 0
    want "listening sockets on the second server's port" 1 sockets LISTEN
    [ "$PORT" != "$first" ] || fail "two servers have the same port: $PORT"
}

# Without a port it is the lecture's; on an address where no other test can be in the way.
rule_default_port() {
    grep -qE '^ *[0-9]+: 00000000:1818 .{14} 0A' /proc/net/tcp && skip "port 6168 is taken here"
    L23_HOST=$(an_address) spawn server "$(program "$1")"
    export PID=$SPAWNED
    eventually listening || fail "the server does not say where it listens: $(<"$RUN_DIR/server.err")"
    same "the port, when none is given" 6168 "$PORT"
}

# usage_error NN ARGUMENT...: exit 2 and a usage on stderr.
usage_error() {
    local status=0 program
    program=$(program "$1")
    shift
    timeout 20 "$program" "$@" </dev/null >"$RUN_DIR/usage.out" 2>"$RUN_DIR/usage.err" || status=$?
    same "exit status of: $program$(printf " '%s'" "$@") (124: it goes on)" 2 "$status"
    same "its standard output" '' "$(<"$RUN_DIR/usage.out")"
    grep -qi usage "$RUN_DIR/usage.err" ||
        fail "no usage on stderr after$(printf " '%s'" "$@"), but: $(<"$RUN_DIR/usage.err")"
}

rule_bad_port() {
    local bad
    for bad in http -1 65536 99999999999999999999 '' 0x10 80x 1.5; do
        usage_error "$1" "$bad"
    done
}

rule_second_argument() {
    usage_error "$1" 0 0
}

# A port that is taken: exit 1, and whoever holds it is named, not who has the same port of
# another address.
rule_taken_port() {
    local status=0 err=$RUN_DIR/taken.err holder name
    L23_HOST=$(an_address) spawn namesake "${BIN}serviceserver03" "$PORT"
    eventually grep -q "port $PORT\$" "$RUN_DIR/namesake.err" || fail "$(<"$RUN_DIR/namesake.err")"
    timeout 20 "$(program "$1")" "$PORT" </dev/null >/dev/null 2>"$err" || status=$?
    same "exit status of a second server on the same port (124: it goes on)" 1 "$status"
    grep -q 'Address already in use' "$err" || fail "not said that the port is in use: $(<"$err")"
    holder=$(sed -n 's/.*process \([0-9]*\) (\(.*\)).*/\1/p' "$err")
    name=$(sed -n 's/.*process \([0-9]*\) (\(.*\)).*/\2/p' "$err")
    group "$PID" | grep -qx "${holder:-none}" ||
        fail "the holder, process $PID, is not named: $(<"$err")"
    same "the holder's name" "$(<"/proc/$holder/comm")" "$name"
}

# rule_ends_by SIGNAL [STATUS [CLIENTS]]: the signal ends the server and its children, while
# it serves CLIENTS clients (1) who have been answered; STATUS is 128 + the signal unless given.
rule_ends_by() {
    local signal=$1 status=${2:-$((128 + $(kill -l "$1")))} i found=0
    for ((i = 1; i <= ${3:-1}; i++)); do
        hold "client$i" send 'discard\n' lines 1 || fail "client $i is not answered"
    done
    kill "-$signal" "$PID"
    exit_status "$PID" || found=$?
    same "exit status after SIG$signal (124: it goes on)" "$status" "$found"
    want "processes left over" 0 group_size "$PID"
    want "listening sockets left over" 0 sockets LISTEN
}

# listens_on PID: the addresses of its listening sockets, as in /proc/net/tcp and tcp6.
listens_on() {
    local fd link
    for fd in "/proc/$1/fd/"*; do
        link=$(readlink "$fd") || continue
        [[ $link == socket:* ]] || continue
        link=${link//[^0-9]/}
        sed -n "s/^ *[0-9]*: \([0-9A-F]*\):[0-9A-F]* [0-9A-F:]* 0A \([^ ]* *\)\{5\}$link .*/\1/p" \
            /proc/net/tcp /proc/net/tcp6 2>/dev/null
    done | sort -u
}

# rule_closed_descriptors NN: started with nothing at 0, 1 and 2, it serves all the same: no
# socket gets such a number, or a client what is meant for stderr.
rule_closed_descriptors() {
    local fd
    L23_HOST=$(an_address)
    export L23_HOST
    PORT=$((RANDOM % 10000 + 20000))
    # shellcheck disable=SC2016 # the inner shell expands this
    spawn server bash -c 'exec "$@" <&- >&- 2>&-' bash "$(program "$1")" "$PORT"
    export PID=$SPAWNED
    want "listening sockets" 1 sockets LISTEN
    for fd in 0 1 2; do
        same "descriptor $fd" /dev/null "$(readlink "/proc/$PID/fd/$fd")"
    done
    is_answered
}

# rule_children_end_with_it NN: killed, it takes its children along, though it was started by
# who ignores SIGTERM, or blocks it.
rule_children_end_with_it() {
    local way
    for way in ignore block; do
        WITH="env --$way-signal=TERM" start_server "$1"
        hold $way send 'discard\n' lines 1
        kill -KILL "$PID"
        want "processes left over, started with --$way-signal=TERM" 0 group_size "$PID"
        want "listening sockets left over" 0 sockets LISTEN
    done
}

# Only this machine's own clients come in, unless L23_HOST says otherwise.
rule_loopback_only() {
    case $(listens_on "$PID") in
    0100007F | 7F000001) ;;
    *) fail "it should listen on 127.0.0.1 alone; its sockets in /proc/net: $(listens_on "$PID")" ;;
    esac
    L23_HOST=$(an_address) is_refused "a client that comes to another address"
}

# rule_host NN: another address is honoured; a name that is none ends the server.
rule_host() {
    local status=0 host
    host=$(an_address)
    L23_HOST=$host start_server "$1"
    grep -q "^listening on $host port" "$RUN_DIR/server.err" ||
        fail "the server does not listen where L23_HOST says: $(<"$RUN_DIR/server.err")"
    L23_HOST=$(an_address) is_refused "a client that comes to another address"
    L23_HOST=$host is_answered "a client that comes to L23_HOST"
    L23_HOST=1.2.3.4.5 timeout 20 "$(program "$1")" 0 >/dev/null 2>"$RUN_DIR/host.err" || status=$?
    same "exit status with an L23_HOST that is none (124: it goes on)" 1 "$status"
    grep -q 'L23_HOST=1\.2\.3\.4\.5' "$RUN_DIR/host.err" ||
        fail "the address that is none is not named: $(<"$RUN_DIR/host.err")"
}

rule_ipv6() {
    grep -qs '^00000000000000000000000000000001 ' /proc/net/if_inet6 || skip "no IPv6 here"
    L23_HOST=::1 start_server "$1"
    grep -q '^listening on ::1 port' "$RUN_DIR/server.err" ||
        fail "the server does not listen where L23_HOST says: $(<"$RUN_DIR/server.err")"
    L23_HOST=::1 is_answered "a client that comes to ::1"
}
