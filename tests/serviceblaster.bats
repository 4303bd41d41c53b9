#!/usr/bin/env bats
# serviceblaster: many clients at once; who is connected, and who is answered?

load helper

unset SERVER # this file tests the client, against servers that are known
BLASTER=${BIN}serviceblaster

# blast STATUS ARGUMENT...: one run against the server, which has to exit with this status. Its
# report is for `reports`, what it says is in $RUN_DIR/blaster.err. Nobody waits more than 20
# seconds for an answer unless the test says so: a busy machine is not a failure.
blast() {
    local wanted=$1 status=0
    shift
    timeout 60 "$BLASTER" --tsv -w 20 -p "$PORT" "$@" \
        >"$RUN_DIR/blaster.out" 2>"$RUN_DIR/blaster.err" </dev/null || status=$?
    [ "$status" = "$wanted" ] && return
    echo "serviceblaster $*: exit status $wanted wanted, but found: $status"
    cat "$RUN_DIR/blaster.out" "$RUN_DIR/blaster.err"
    return 1
}

# blast_on ARGUMENT...: a run in the background, process BLAST, for `end_of_blast STATUS`.
blast_on() {
    spawn blaster "$BLASTER" --tsv -w 20 -p "$PORT" "$@"
    BLAST=$SPAWNED
}

end_of_blast() {
    local status=0
    exit_status "$BLAST" || status=$?
    same "exit status of serviceblaster" "$1" "$status"
}

value() {
    sed -n "s/^$1	//p" "$RUN_DIR/blaster.out"
}

# reports KEY VALUE [KEY VALUE]...: the report has these.
reports() {
    while [ $# -gt 0 ]; do
        same "$1" "$2" "$(value "$1")" || {
            cat "$RUN_DIR/blaster.out"
            return 1
        }
        shift 2
    done
}

# said_nothing: no word on stderr.
said_nothing() {
    same "what it says on stderr" "" "$(cat "$RUN_DIR/blaster.err")"
}

holds() {
    eventually said_on_stderr "holding $1 connections"
}

said_on_stderr() {
    grep -qsF -- "$1" "$RUN_DIR/blaster.err"
}

# stop_server: it stands still; the kernel goes on making its connections.
stop_server() {
    kill -STOP "$PID"
    eventually stopped "$PID"
}

# nobody_listens: PORT becomes one at which there is no server any more.
nobody_listens() {
    start_server 03
    kill -KILL "$PID"
    want "listening sockets" 0 sockets LISTEN
}

# unread: bytes that lie unread in the kernel, of all the server's connections.
unread() {
    local sum=0 queue
    while read -r queue; do
        sum=$((sum + 16#$queue))
    done < <(sed -n "s/^ *[0-9]*: [0-9A-F]*:$(printf %04X "$PORT") [0-9A-F:]* 01 [0-9A-F]*:\([0-9A-F]*\) .*/\1/p" /proc/net/tcp)
    echo "$sum"
}

# client_addresses: how many different addresses the server's clients have.
client_addresses() {
    sed -n "s/^ *[0-9]*: \([0-9A-F]*\):[0-9A-F]* [0-9A-F]*:$(printf %04X "$PORT") 01 .*/\1/p" /proc/net/tcp |
        sort -u | wc -l
}

# All is well.

@test "1000 connections to the iterative server: all are answered, each closes then" {
    start_server 03
    blast 0 1000
    reports attempted 1000 connected 1000 answered 1000 answers 1000 timed_out 0 wrong 0
    said_nothing
}

@test "1000 connections to the forking server: all are answered" {
    start_server 06
    blast 0 1000
    reports attempted 1000 connected 1000 answered 1000
}

@test "1000 connections to the threaded server: all are answered" {
    start_server 07
    blast 0 1000
    reports attempted 1000 connected 1000 answered 1000
}

@test "the names that it asks are the database's own: 600 questions, checked one by one" {
    start_server 07
    blast 0 -n 600 -P 20 2
    reports answers 1200 wrong 0
}

@test "-f: names from a file, known or not, with blanks, a protocol, a line without a newline" {
    start_server 07
    printf 'discard\ndomain/udp\nwww \r\nnobody\n\n\001x\nwww/nothing\n%01024d\nlast' 7 >"$RUN_DIR/names"
    blast 0 -f "$RUN_DIR/names" -n 9 9
    reports answered 9 answers 81
}

@test "-q and -e: another server's words, and an answer of two lines" {
    start_server 07
    blast 0 -q 'discard\nwww\t\r\n' -e 'discard, 9\nwww, 80\n' -n 5 -P 3 4
    reports answered 4 answers 20
}

@test "-H: over IPv6" {
    grep -q '^0*1 .* lo$' /proc/net/if_inet6 2>/dev/null || skip "there is no ::1 here"
    L23_HOST=::1 start_server 06
    blast 0 -H ::1 50
    reports answered 50
}

# How much is asked.

@test "-n: so many questions on each connection" {
    start_server 06
    blast 0 -n 7 20
    reports attempted 20 answered 20 answers 140
}

@test "-P: so many of them in flight, before the first is answered" {
    start_server 03
    stop_server
    blast_on -q 'discard\n' -e 'discard, 9\n' -n 100 -P 12 1
    want "bytes that lie unread in the kernel" 96 unread
    kill -CONT "$PID"
    end_of_blast 0
    reports answered 1 answers 100
}

@test "-d: each connection asks again and again until the time is over" {
    start_server 07
    blast 0 -d 0.3 5
    reports attempted 5 answered 5 seconds 0.300
    [ "$(value answers)" -gt 5 ] || fail "only $(value answers) answers"
}

@test "-c: a connection for every question" {
    start_server 06
    blast 0 -c -n 20 -T "$RUN_DIR/timeline" 5
    reports attempted 100 connected 100 answered 100 answers 100
    same "connections in the timeline" 100 "$(sed 1d "$RUN_DIR/timeline" | cut -f 1 | sort -u | wc -l)"
}

@test "-c -d: until the time is over" {
    start_server 06
    blast 0 -c -d 0.3 5
    reports attempted "$(value answered)"
    [ "$(value attempted)" -gt 5 ] || fail "only $(value attempted) connections"
}

@test "-t: it thinks between an answer and the next question" {
    start_server 07
    blast 0 -n 4 -t 50 3
    reports answers 12
    # Three times 50 ms at least; how much more is the machine's affair.
    awk "BEGIN { exit !($(value seconds) >= 0.15) }" || fail "only $(value seconds) seconds"
}

# What is kept.

@test "-i: a silent connection more, and the iterative server answers nobody" {
    start_server 03
    blast 1 -w 1 -i 1 5
    reports idle 1 attempted 5 connected 5 answered 0 timed_out 5 timed_out_connecting 0
}

@test "-i: beside 200 silent ones the threaded server answers all" {
    start_server 07
    before=$(descriptors "$PID")
    blast_on -i 200 -s 60 10
    holds 10
    want "descriptors of the server" $((before + 210)) descriptors "$PID"
    kill -INT "$BLAST"
    end_of_blast 0
    reports idle 200 answered 10 again 10
}

@test "-k: connections stay open, and connected is told from answered" {
    start_server 03
    blast 1 -k -w 3 150
    # One is served; the kernel's queue takes 101, or a few more if several come in at a time.
    reports attempted 150 answered 1 timed_out 149 wrong 0 refused 0 reset 0
    (($(value connected) >= 102 && $(value connected) < 110)) ||
        fail "connected: 102 wanted, but found: $(value connected)"
    reports timed_out_connecting $((150 - $(value connected)))
}

@test "-k: how many the leaking server serves at ulimit -n 64" {
    LIMITS="-n 64" start_server 05
    blast 1 -k 100
    reports attempted 100 answered 60
    same "reset or refused" 40 $(($(value reset) + $(value refused)))
}

@test "-s: it says that it holds them, and asks all once more when the time is over" {
    start_server 06
    blast 0 -s 0.3 50
    reports answered 50 again 50 lost 0
    same "what it says" "holding 50 connections" "$(cat "$RUN_DIR/blaster.err")"
}

@test "-s: a connection that is lost while it is held is told" {
    start_server 07
    blast_on -s 60 20
    holds 20
    kill -KILL "$PID"
    want "connections of the server" 0 connections
    kill -TERM "$BLAST"
    end_of_blast 1
    reports answered 20 again 0 lost 20
}

@test "-C: connections come from several addresses" {
    start_server 07
    blast_on -C 5 -s 60 20
    holds 20
    same "addresses of the clients" 5 "$(client_addresses)"
    kill -INT "$BLAST"
    end_of_blast 0
}

# What goes wrong.

@test "nobody listens: all are refused, and the first failure has its errno" {
    nobody_listens
    blast 1 30
    reports attempted 30 connected 0 answered 0 refused 30 answers 0
    [[ $(value first_failure) == "connection 1, connecting: Connection refused" ]]
}

@test "nobody listens: who comes from the very port that he goes to has not met a server, but himself" {
    local status=0
    with_two_ports timeout 60 "$BLASTER" --tsv -p 40000 -C 1 -c -n 20 1 >"$RUN_DIR/blaster.out" \
        2>"$RUN_DIR/blaster.err" || status=$?
    same "exit status" 1 "$status"
    reports attempted 20 connected 0 refused 20 wrong 0
    said_nothing
}

@test "a server that never accepts: all are connected, none is answered in time" {
    start_server 03
    stop_server
    blast 1 -w 0.5 30
    reports connected 30 answered 0 timed_out 30 timed_out_connecting 0
    [[ $(value first_failure) == *"waiting for an answer: Connection timed out" ]]
}

@test "a server that dies resets those that wait in its queue" {
    start_server 03
    stop_server
    blast_on 30
    want "connections that wait for accept" 30 queued
    want "those whose question has come" "yes" questions_of 30
    kill -KILL "$PID"
    end_of_blast 1
    reports attempted 30 connected 30 answered 0 reset 30
}

# questions_of N: yes if N connections have something unread.
questions_of() {
    local n
    n=$(grep -cE "^ *[0-9]+: [0-9A-F]*:$(printf %04X "$PORT") [0-9A-F:]+ 01 [0-9A-F]+:0*[1-9A-F]" /proc/net/tcp)
    [ "$n" = "$1" ] && echo yes || echo "$n"
}

@test "a server that dies before it has answered closes or resets its connections" {
    start_server 07
    blast_on -q 'half a line' -e 'half a line, unknown\n' 3
    want "those who are connected" 3 connections
    want "connections that wait for accept" 0 queued
    kill -KILL "$PID"
    end_of_blast 1
    same "closed or reset" 3 $(($(value closed) + $(value reset)))
}

@test "wrong answers are counted, and the first is named once" {
    start_server 07
    blast 1 -q 'discard\n' -e 'discard, 10\n' 8
    reports connected 8 answered 0 wrong 8
    same "what it says" 'serviceblaster: wrong answer: asked "discard\n", expected "discard, 10\n", got "discard, 9\n"' \
        "$(cat "$RUN_DIR/blaster.err")"
}

@test "of several who are told what they have not asked, the first is named, and once" {
    command -v python3 >/dev/null || skip "python3 is not installed"
    spawn server python3 -c "import os, socket, sys, time
s = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1 port', s.getsockname()[1], file=sys.stderr)
all = []
while True:
    c = s.accept()[0]
    c.recv(100)
    c.sendall(b'A\\n')
    all.append(c)
    if len(all) == 6:
        while not os.path.exists('$RUN_DIR/on'): time.sleep(0.01)
        for c in all: c.sendall(b'more\\n')"
    eventually listening
    blast_on -s 3 -q 'q\n' -e 'A\n' 6
    holds 6
    touch "$RUN_DIR/on"
    end_of_blast 1
    reports answered 6 lost 6
    same "what it says" 'serviceblaster: wrong answer: asked "", expected "", got "more\n"' \
        "$(grep -v '^holding' "$RUN_DIR/blaster.err")"
}

@test "an answer that is right but for its end is wrong: too short or too long" {
    start_server 07
    blast 1 -q 'discard\n' -e 'discard, ' 2
    reports wrong 2
    blast 1 -w 0.5 -q 'discard\n' -e 'discard, 9\nand more' 2
    reports wrong 0 timed_out 2
    blast 1 -q 'discard\nwww\n' -e 'discard, 9\n' 2
    reports answered 0 wrong 2
}

@test "SIGINT and SIGTERM end it with the report so far" {
    start_server 03
    stop_server
    for signal in INT TERM; do
        blast_on 10
        eventually unfinished_business
        kill "-$signal" "$BLAST"
        end_of_blast 1
        reports attempted 10 connected 10 answered 0 unfinished 10
    done
}

unfinished_business() {
    [ "$(questions_of 10)" = yes ] || [ "$(questions_of 20)" = yes ]
}

# What it says.

@test "the report is for people: a line each, aligned, nothing on stderr" {
    start_server 06
    run -0 --separate-stderr timeout 60 "$BLASTER" -p "$PORT" 30
    # shellcheck disable=SC2154 # bats sets it
    same "on stderr" "" "$stderr"
    for key in attempted connected answered refused reset closed 'timed out' wrong seconds \
        answers answers/s 'p50 ms' 'p90 ms' 'p99 ms' 'max ms'; do
        grep -qE "^$key +[0-9.]+( |$)" <<<"$output" || fail "no line '$key' in: $output"
    done
    same "different places where numbers end" 1 \
        "$(sed -E 's/^(.{14} *[0-9.]+).*/\1/' <<<"$output" | awk '{ print length }' | sort -u | wc -l)"
}

@test "--tsv: every line is a key, a tab and a value" {
    start_server 06
    blast 0 30
    run -1 grep -vE '^[a-z0-9_/]+	[^	]+$' "$RUN_DIR/blaster.out"
}

@test "latencies: of 50 answers to each of 20 clients one waits for a server that stands still: p99 and max tell, p90 does not" {
    start_server 07
    before=$(descriptors "$PID")
    blast_on -n 50 -t 60 -T "$RUN_DIR/timeline" 20
    want "descriptors of the server" $((before + 20)) descriptors "$PID"
    kill -STOP "$PID"
    sleep 2 # so long it stands still
    kill -CONT "$PID"
    end_of_blast 0
    reports answers 1000
    awk "BEGIN { exit !(0 < $(value p50_ms) && $(value p50_ms) <= $(value p90_ms) &&
        $(value p90_ms) < 1000 && $(value p99_ms) >= 1000 && $(value p99_ms) <= $(value max_ms)) }" ||
        fail "$(grep _ms "$RUN_DIR/blaster.out")"
}

@test "latencies: no answer took longer than p99 says, when there is one answer" {
    start_server 03
    stop_server
    blast_on 1
    want "connections that wait for accept" 1 queued
    kill -CONT "$PID"
    end_of_blast 0
    same "p50, p99" "$(value max_ms) $(value max_ms)" "$(value p50_ms) $(value p99_ms)"
}

@test "a progress line while it runs, but only on a terminal" {
    command -v script >/dev/null || skip "script(1) is not installed"
    start_server 06
    run -0 timeout 60 script -qec "$BLASTER -p $PORT 20" /dev/null </dev/null
    [[ $output == *"attempted, "*" connected, "*" answered, "*" failed"* ]] || fail "$output"
    blast 0 20
    said_nothing
}

@test "-T: a row for each connection, when it began, was connected, first answered, closed" {
    start_server 06
    blast 0 -T "$RUN_DIR/timeline" 40
    same "the header" $'connection\tbegan\tconnected\tanswered\tclosed' "$(head -n 1 "$RUN_DIR/timeline")"
    same "connections" "$(seq 40)" "$(sed 1d "$RUN_DIR/timeline" | cut -f 1 | sort -n)"
    sed 1d "$RUN_DIR/timeline" |
        awk -F '\t' '!(NF == 5 && 0 <= $2 && $2 <= $3 && $3 <= $4 && $4 <= $5) { bad = 1; print } END { exit bad }'
}

@test "-T: what never happened is a -" {
    start_server 03
    stop_server
    blast 1 -w 0.5 -T "$RUN_DIR/timeline" 3
    same "answered" $'-\n-\n-' "$(sed 1d "$RUN_DIR/timeline" | cut -f 4)"
    kill -KILL "$PID"
    want "listening sockets" 0 sockets LISTEN
    blast 1 -T "$RUN_DIR/timeline" 3
    same "connected and answered" $'-\t-\n-\t-\n-\t-' "$(sed 1d "$RUN_DIR/timeline" | cut -f 3,4)"
}

@test "a report or a timeline that cannot be written makes it fail, with a word on stderr" {
    start_server 07
    # shellcheck disable=SC2016 # the inner shell expands this
    run -1 timeout 60 sh -c '"$1" -p "$2" 3 >/dev/full' sh "$BLASTER" "$PORT"
    [[ $output == *"No space left on device"* ]] || fail "$output"
    blast 1 -T /dev/full 3
    said_on_stderr "No space left on device"
}

# Before it begins.

@test "it raises its own descriptor limit as far as it may" {
    start_server 07
    run -0 timeout 60 bash -c 'ulimit -Sn 32 && exec "$@"' bash "$BLASTER" -p "$PORT" -s 0.1 100
}

@test "descriptors that it has inherited are not among those for connections" {
    start_server 07
    # shellcheck disable=SC2016 # the inner shell expands this
    run -0 timeout 60 bash -c '
        for fd in {20..59}; do eval "exec $fd</dev/null"; done
        ulimit -Sn 64 && exec "$@"' bash "$BLASTER" -p "$PORT" -s 0.1 100
}

@test "more connections than it may have descriptors: an error before the first one" {
    start_server 03
    blast 2 100000000
    grep -q '100000000 connections need 1000000[1-9][0-9] descriptors; this process may have [0-9]* ' "$RUN_DIR/blaster.err"
    same "its report" "" "$(cat "$RUN_DIR/blaster.out")"
}

@test "a wrong command line is an error with exit status 2 and says what is wrong" {
    PORT=1
    for line in "" "0" "x" "10x" "-5" "1 2" "-n 0 1" "-n x 1" "-d 0 1" "-d x 1" "-w 0 1" "-t -1 1" \
        "-p 65536 1" "-p 0 1" "-P 0 1" "-n 1 -d 1 1" "-c -k 1" "-c -P 2 1" "-q x 1" "-e x 1" \
        "-q x -e y -f /dev/null 1" "-Z 1" "--nothing 1" "-n" "-f /nonexistent 1" "-f /dev/null 1" \
        "-T /nonexistent/file 1" "-H nobody.invalid 1" "-H ::1 -C 2 1"; do
        read -ra words <<<"$line"
        blast 2 "${words[@]}"
        grep -q serviceblaster "$RUN_DIR/blaster.err" || fail "'$line': it does not say why"
        same "'$line': its report" "" "$(cat "$RUN_DIR/blaster.out")"
    done
}

@test "--help and -h name every option, on stdout" {
    for option in --help -h; do
        run -0 --separate-stderr timeout 60 "$BLASTER" "$option"
        same "on stderr" "" "$stderr"
        for o in -H -p -f -q -e -n -d -P -t -c -b -k -s -i -C -w --tsv -T; do
            [[ $output == *" $o "* ]] || fail "$option does not name $o"
        done
    done
}
