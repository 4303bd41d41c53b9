#!/usr/bin/env bats
# serviceremote: getservbyname() of programs that know nothing of it becomes a remote call
#
# The server runs with a services database of its own, with names that this machine does not
# have: who gets them has asked the server. tests/calls makes the calls that a test needs;
# python3, perl and the others are as their makers made them.

load helper

ELSEWHERE='discard 9/tcp sink null
discard 9/udp
elsewhere 23459/tcp over-there
elsewhere 23460/udp
udponly 23461/udp
sctponly 23462/sctp
ddponly 23463/ddp'

# start_elsewhere NN [PORT]: serviceserverNN with that database.
start_elsewhere() {
    local file=$BATS_TEST_TMPDIR/elsewhere
    echo "$ELSEWHERE" >"$file"
    l23/with-services "$file" true 2>/dev/null || skip "user and mount namespaces are not permitted here"
    WITH="l23/with-services $file" start_server "$@"
    export L23_PORT=$PORT
}

# preloaded: the whole path of serviceremote.so, by way of one without blanks, where ld.so would cut it.
preloaded() {
    ln -sf "$PWD/serviceremote.so" "$BATS_TEST_TMPDIR/"
    echo "$BATS_TEST_TMPDIR/serviceremote.so"
}

# remote COMMAND...: runs it with the call turned. A sanitizer cannot be preloaded, but
# tests/calls has the same built in then.
remote() {
    if sanitized; then
        "$@"
    else
        timeout 60 env "LD_PRELOAD=$(preloaded)" "$@"
    fi
}

# installed PROGRAM: skips the test where there is none, and with a sanitizer.
installed() {
    unsanitized "cannot be preloaded into other programs"
    command -v "$1" >/dev/null || skip "$1 is not installed"
}

calls() {
    remote "${BIN}tests/calls" "$@"
}

# spawn_calls NAME ACTION...: in the background.
spawn_calls() {
    local name=$1 preload=(env "LD_PRELOAD=$(preloaded)")
    shift
    sanitized && preload=()
    spawn "$name" "${preload[@]}" "${BIN}tests/calls" "$@"
}

# lines_are N FILE: it has so many lines by now.
lines_are() {
    [ "$(wc -l <"$2")" -eq "$1" ]
}

one_line_of_regret() {
    same "what the caller says on stderr" \
        "serviceremote: no server answers ($1): local answers" "$(cat "$2")"
}

@test "python3 gets a name that only the server knows" {
    installed python3
    start_elsewhere 07
    run -0 remote python3 -c 'import socket
print(socket.getservbyname("elsewhere"), socket.getservbyname("elsewhere", "udp"))
try: socket.getservbyname("http")
except OSError as e: print(e)'
    same "python3's answers" $'23459 23460\nservice/proto not found' "$output"
}

@test "the command that NOTES.md shows prints what it shows, and has asked the server" {
    installed python3
    start_elsewhere 07
    local command
    [[ $PWD != *[[:blank:]:]* ]] || skip "ld.so cuts this directory's name at blanks and colons"
    command=$(sed -n 's/^\$ \(LD_PRELOAD=.*\)/\1/p' NOTES.md)
    run -0 bash -c "$command"
    same "what it prints" "$(grep -A 1 '^\$ LD_PRELOAD' NOTES.md | tail -n 1)" "$output"
    run -0 bash -c "${command//discard/elsewhere}"
    same "what it prints for a name that only the server knows" 23459 "$output"
}

@test "perl gets a name that only the server knows, and the name it asked for as s_name" {
    installed perl
    start_elsewhere 07
    run -0 remote perl -e 'print join("|", getservbyname("over-there", "tcp")), "\n"'
    same "perl's answer" 'over-there||23459|tcp' "$output"
}

@test "getent gets a name that only the server knows" {
    installed getent
    start_elsewhere 07
    run -0 remote getent services elsewhere/udp
    same "getent's answer" 'elsewhere 23460/udp' "$(tr -s ' ' <<<"$output")"
}

@test "ss finds a listener by a service name that only the server knows" {
    installed ss
    start_server 03
    local listener
    listener=$(ss -Htln "sport = :$PORT" | tr -s ' ')
    ELSEWHERE="mine $PORT/tcp" start_elsewhere 07
    run -0 remote ss -Htln 'sport = :mine'
    same "the listener that ss finds" "$listener" "$(tr -s ' ' <<<"$output")"
}

@test "the answer is that of the local call, for every name, alias and protocol" {
    start_server 07
    export L23_PORT=$PORT
    unsanitized "cannot be preloaded into other programs"
    "${BIN}tests/getserv" answers >"$RUN_DIR/local"
    remote "${BIN}tests/getserv" answers >"$RUN_DIR/remote" 2>"$RUN_DIR/remote.err"
    [ -s "$RUN_DIR/local" ]
    cmp "$RUN_DIR/local" "$RUN_DIR/remote"
    [ ! -s "$RUN_DIR/remote.err" ]
}

@test "a protocol of NULL is any: tcp, then udp, sctp, ddp; no name, no result; errno is kept" {
    start_elsewhere 07
    run -0 calls ask elsewhere ask udponly ask sctponly ask ddponly ask udponly/tcp ask http \
        ask sink ask nobody/udp
    same "the answers" 'elsewhere, 23459/tcp
udponly, 23461/udp
sctponly, 23462/sctp
ddponly, 23463/ddp
udponly, unknown
http, unknown
sink, 9/tcp
nobody, unknown' "$output"
}

@test "getservbyname_r fills the caller's buffer, or says ERANGE" {
    start_elsewhere 07
    run -0 calls ask_r 100 elsewhere/udp ask_r 8 elsewhere ask_r 29 elsewhere ask_r 21 elsewhere \
        ask_r 100 nobody
    same "the answers" 'elsewhere, 23460/udp
error ERANGE
elsewhere, 23459/tcp
error ERANGE
nobody, unknown' "$output"
}

@test "what no request can carry is answered locally, and nothing goes out of step" {
    start_elsewhere 07
    local long
    long=$(printf 'x%.0s' {1..300})
    printf 'sm\303\266rg\303\245s 77/tcp\n%s 78/tcp\nelse where 79/tcp\n' "$long" >"$RUN_DIR/local"
    run -0 l23/with-services "$RUN_DIR/local" \
        env LD_PRELOAD="$(sanitized || preloaded)" "${BIN}tests/calls" \
        ask $'sm\303\266rg\303\245s' ask "$long" ask $'discard\nelsewhere' ask 'elsewhere ' \
        ask '' ask elsewhere/tcp/ ask elsewhere
    # The local answers need not keep errno: the C library's own do not.
    same "the answers" "sm"$'\303\266rg\303\245'"s, 77/tcp
$long, 78/tcp
discard
elsewhere, unknown
elsewhere , unknown
, unknown
elsewhere, unknown
elsewhere, 23459/tcp" "${output// errno!/}"
}

@test "a server that dies and comes back: local answers in between, one line, and no SIGPIPE" {
    start_elsewhere 07
    spawn_calls caller ask elsewhere say asked until "$RUN_DIR/dead" ask elsewhere ask elsewhere \
        say alone until "$RUN_DIR/back" ask elsewhere ask elsewhere
    local caller=$SPAWNED
    eventually said caller asked
    kill -KILL -- "-$PID"
    eventually no_group "$PID"
    touch "$RUN_DIR/dead"
    eventually said caller alone
    start_elsewhere 07 "$PORT"
    touch "$RUN_DIR/back"
    exit_status "$caller"
    same "the answers" 'elsewhere, 23459/tcp
asked
elsewhere, unknown
elsewhere, unknown
alone
elsewhere, 23459/tcp
elsewhere, 23459/tcp' "$(sed 's/ errno!//' "$RUN_DIR/caller.out")"
    one_line_of_regret 'Connection refused' "$RUN_DIR/caller.err"
}

@test "a server that is started anew between two calls is not missed" {
    start_elsewhere 07
    spawn_calls caller ask elsewhere say asked until "$RUN_DIR/anew" ask elsewhere
    local caller=$SPAWNED
    eventually said caller asked
    kill -KILL -- "-$PID"
    eventually no_group "$PID"
    start_elsewhere 07 "$PORT"
    touch "$RUN_DIR/anew"
    exit_status "$caller"
    same "the answers" $'elsewhere, 23459/tcp\nasked\nelsewhere, 23459/tcp' "$(cat "$RUN_DIR/caller.out")"
    [ ! -s "$RUN_DIR/caller.err" ]
}

@test "without a server: one line on stderr, and the local answers" {
    start_server 07
    kill -KILL -- "-$PID"
    eventually no_group "$PID"
    L23_PORT=$PORT calls ask discard/udp ask nobody/tcp ask discard/udp >"$RUN_DIR/out" 2>"$RUN_DIR/err"
    "${BIN}tests/getserv" answers | grep -x 'discard/udp, 9'
    same "the answers, aliases and all" "$(getent services discard/udp | tr -s ' ' | sed 's/ /, /')" \
        "$(sed -n '1s/ errno!//p' "$RUN_DIR/out")"
    lines_are 3 "$RUN_DIR/out"
    one_line_of_regret 'Connection refused' "$RUN_DIR/err"
}

@test "a silent server: the call waits a second for it, the next ones do not" {
    start_elsewhere 07
    kill -STOP "$PID" # the kernel goes on taking connections
    eventually stopped "$PID"
    local begin=$SECONDS
    calls ask discard ask discard ask discard ask discard ask discard ask discard ask discard \
        ask discard ask discard ask discard >"$RUN_DIR/out" 2>"$RUN_DIR/err"
    local took=$((SECONDS - begin))
    ((took <= 5)) || fail "ten calls took $took seconds"
    lines_are 10 "$RUN_DIR/out"
    run ! grep -v '^discard, 9/tcp' "$RUN_DIR/out"
    one_line_of_regret 'Connection timed out' "$RUN_DIR/err"
}

@test "ten seconds after it was silent the server is asked again" {
    start_elsewhere 07
    kill -STOP "$PID"
    eventually stopped "$PID"
    spawn_calls caller ask elsewhere say silent until "$RUN_DIR/on" ask elsewhere say resting \
        until "$RUN_DIR/later" ask elsewhere
    eventually said caller silent
    kill -CONT "$PID"
    touch "$RUN_DIR/on"
    eventually said caller resting
    # It rests for ten seconds from the end of the call that waited in vain.
    sleep 10.5
    touch "$RUN_DIR/later"
    exit_status "$SPAWNED"
    same "the answers" $'elsewhere, unknown\nsilent\nelsewhere, unknown\nresting\nelsewhere, 23459/tcp' \
        "$(sed 's/ errno!$//' "$RUN_DIR/caller.out")" # the C library's own
    one_line_of_regret 'Connection timed out' "$RUN_DIR/caller.err"
}

@test "what the C library asks itself, as in getaddrinfo, stays local" {
    installed python3
    start_elsewhere 07
    run -0 remote python3 -c 'import socket
print(socket.getservbyname("elsewhere"), socket.getaddrinfo("127.0.0.1", "discard", type=socket.SOCK_STREAM)[0][4][1])
try: socket.getaddrinfo("127.0.0.1", "elsewhere")
except OSError as e: print("getaddrinfo does not know it")'
    same "python3's answers" $'23459 9\ngetaddrinfo does not know it' "$output"
}

@test "threads get their own answers without a server, too" {
    L23_PORT=1 run -0 calls threads 4 2000 discard
    [[ $output == *'8000 calls, 0 wrong'* ]] || fail "$output"
}

# asks_another ANSWER: calls where a server of another kind says ANSWER, Python's, in which q is the
# question, to each; discard's port has to be the local one.
asks_another() {
    command -v python3 >/dev/null || skip "python3 is not installed"
    spawn other python3 -c "import socket
s = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1 port', s.getsockname()[1], flush=True)
while True:
    c = s.accept()[0]
    q = c.recv(100).strip()
    c.sendall($1)"
    eventually grep -q listening "$RUN_DIR/other.out"
    L23_PORT=$(grep -o '[0-9]*$' "$RUN_DIR/other.out") calls ask discard >"$RUN_DIR/out" 2>"$RUN_DIR/err"
    grep '^discard, 9/tcp' "$RUN_DIR/out"
}

@test "a port that is none is no answer" {
    asks_another 'q + b", 70000\n"'
}

@test "a port number that is none is asked at no other port: 70000 is not 4464" {
    for L23_PORT in 70000 0 -1 6168x x; do
        L23_PORT=$L23_PORT calls ask discard >"$RUN_DIR/out" 2>"$RUN_DIR/err"
        grep '^discard, 9/tcp' "$RUN_DIR/out"
        one_line_of_regret 'Cannot assign requested address' "$RUN_DIR/err"
    done
}

@test "nobody listens: it does not take itself for the server, and keeps no such connection" {
    local preload=(env "LD_PRELOAD=$(preloaded)")
    sanitized && preload=()
    # shellcheck disable=SC2016 # the inner shell expands this
    L23_PORT=40000 with_two_ports timeout 60 "${preload[@]}" bash -c '
        "$@" >"$0/out" & until grep -qsx over "$0/out"; do sleep 0.02; done
        grep -c " 01 " /proc/net/tcp >"$0/connections"; touch "$0/enough"; wait' "$RUN_DIR" \
        "${BIN}tests/calls" repeat 30 discard say over until "$RUN_DIR/enough"
    same "connections" 0 "$(<"$RUN_DIR/connections")"
}

@test "what a program has closed of 0, 1 and 2 stays closed: what it prints is no question" {
    start_elsewhere 07
    spawn_calls caller close 0 close 2 ask elsewhere say over until "$RUN_DIR/enough"
    eventually said caller over
    same "the answer" 'elsewhere, 23459/tcp' "$(head -n 1 "$RUN_DIR/caller.out")"
    want "connections that are kept" 1 sockets ESTABLISHED
    for fd in 0 2; do
        same "descriptor $fd" '' "$(readlink "/proc/$SPAWNED/fd/$fd")"
    done
}

@test "a server of another kind: the local answer, and a line" {
    asks_another 'b"220 smtp.example.com at your service\r\n"'
    one_line_of_regret 'Protocol error' "$RUN_DIR/err"
}

@test "threads call at the same time, get their own answers, and one connection is kept" {
    start_elsewhere 07
    spawn_calls caller threads 8 300 elsewhere say over until "$RUN_DIR/enough"
    local caller=$SPAWNED
    eventually said caller over
    said caller '2400 calls, 0 wrong'
    want "connections that are kept" 1 sockets ESTABLISHED
    touch "$RUN_DIR/enough"
    exit_status "$caller"
    [ ! -s "$RUN_DIR/caller.err" ]
}

@test "a child of fork has a connection of its own" {
    start_elsewhere 07
    spawn_calls caller ask elsewhere fork ask elsewhere ask discard until "$RUN_DIR/enough"
    local caller=$SPAWNED
    eventually lines_are 5 "$RUN_DIR/caller.out"
    want "connections" 2 sockets ESTABLISHED
    touch "$RUN_DIR/enough"
    exit_status "$caller"
    same "the answers of both" 'discard, 9/tcp
discard, 9/tcp
elsewhere, 23459/tcp
elsewhere, 23459/tcp
elsewhere, 23459/tcp' "$(sort "$RUN_DIR/caller.out")"
}

@test "a child of fork does not hold its parent's connection open" {
    start_elsewhere 07
    spawn_calls caller ask elsewhere orphan say child until "$RUN_DIR/enough"
    local caller=$SPAWNED
    eventually said caller child
    exit_status "$caller"
    want "connections" 0 connections
    touch "$RUN_DIR/enough"
}

@test "a program that closes our descriptor and reuses its number gets nothing of ours" {
    start_elsewhere 07
    run -0 calls ask elsewhere steal ask elsewhere stolen
    same "what happened" $'elsewhere, 23459/tcp\nelsewhere, 23459/tcp\nstolen: ' "$output"
}

@test "bench-call compares the call uncached, remote and cached, and counts its system calls" {
    unsanitized "would be measured"
    run -0 l23/bench-call 1 0.05
    local way
    for way in 'uncached: reads the file' 'remote: serviceserver07' 'remote: serviceserver12' \
        'remote, 32 in flight: 12' 'cached: serviceparser'; do
        grep -E "^$way +[0-9]+ +[0-9]+ +[0-9.]+$" <<<"$output" || fail "no figure for $way: $output"
    done
    command -v strace >/dev/null || skip "strace is not installed: no system calls to see"
    # The remote call opens no file; the other one opens it each time.
    grep -A 1 '^  uncached' <<<"$output" | grep -w 'openat 1'
    grep -A 1 '^  remote' <<<"$output" | grep -w 'recvfrom 1, sendto 1'
    [[ $(grep -A 1 '^  remote' <<<"$output") != *openat* ]]
}
