#!/usr/bin/env bats
# serviceserver12: an event loop per core; the one to leave running

# shellcheck disable=SC2153 # helper.bash sets CLIENT and CLIENTS
load helper
load rules
load events

# workers: their process ids, a line each.
workers() {
    child_pids "$PID"
}

# start_workers N [ARGUMENT...]: starts the server with N workers and waits until they sleep, each
# with the descriptors that it has without clients.
start_workers() {
    local pid
    start_server 12 -w "$1" "${@:2}" 0
    want "workers" "$1" children "$PID"
    for pid in $(workers); do
        want "descriptors of worker $pid" 6 worker_descriptors "$pid"
    done
}
# What is inherited from a tracer or a sanitizer has a higher number.
worker_descriptors() {
    find "/proc/$1/fd" -name '[0-5]' 2>/dev/null | wc -l
}

# clients_of PID: how many clients the worker has.
clients_of() {
    find "/proc/$1/fd" -lname 'socket:*' -name '[0-9]*' 2>/dev/null | wc -l | awk '{ print $1 - 1 }'
}

# ends_well: the server ends by itself, with status 0 and no process left.
ends_well() {
    local status=0
    exit_status "$PID" || status=$?
    same "exit status of the server (124: it goes on)" 0 "$status"
    want "processes left over" 0 group_size "$PID"
    want "listening sockets left over" 0 sockets LISTEN
}

# stop_workers, go_on: they stand still; they go on.
stop_workers() {
    local pid
    for pid in $(workers); do
        kill -STOP "$pid"
        eventually stopped "$pid"
    done
}
go_on() {
    # shellcheck disable=SC2046 # a word a process
    kill -CONT $(workers)
}

@test "one worker per core, all with the one listening socket; -w changes it" {
    start_server 12
    want "workers" "$(getconf _NPROCESSORS_ONLN)" children "$PID"
    start_server 12 --workers 5 0
    want "workers" 5 children "$PID"
    # shellcheck disable=SC2046 # a word a process
    same "processes with the listening socket" 6 "$(listening_inodes "$PID" $(workers) | wc -l)"
    same "listening sockets" 1 "$(sockets LISTEN)"
    is_answered
}

@test "two workers have about as many clients each" {
    local pid
    start_workers 2
    a_crowd 100
    for pid in $(workers); do
        (($(clients_of "$pid") >= 20)) || fail "of 100 clients worker $pid has $(clients_of "$pid")"
    done
}

@test "--help names every flag and exits 0" {
    local flag
    run -0 "${BIN}serviceserver12" --help
    for flag in -w --workers -c --connections -i --idle -h --help SIGTERM SIGHUP; do
        [[ $output == *"$flag"* ]] || fail "--help does not name $flag"
    done
    run -0 "${BIN}serviceserver12" -h
}

@test "bad flags are usage errors" {
    usage_error 12 -x
    usage_error 12 --no-such-flag
    usage_error 12 -w
    usage_error 12 -w 0 0
    usage_error 12 -w many 0
    usage_error 12 --workers=-1 0
    usage_error 12 -w 100000 0
    usage_error 12 -c 0 0
    usage_error 12 -c 3x 0
    usage_error 12 -i '' 0
    usage_error 12 -i 99999999999999999999 0
    usage_error 12 -c 5 -c 10 0 0
}

@test "1,000 silent clients and one that asks: it is answered, and while nobody asks, all sleep" {
    local pid
    start_workers 2
    the_silent 1000
    want "connections that wait for accept" 0 queued
    is_answered "one who asks beside 1,000 silent clients"
    for pid in $(workers); do
        sleeps "$pid" 4
    done
    sleeps "$PID"
}

@test "-c 3: the fourth client of a worker waits, and is answered when another leaves" {
    start_workers 1 -c 3
    a_crowd 2
    a_crowd 1 third
    waits_in_vain fourth
    sleeps "$(workers)" 4
    leave third
    is_served_now fourth
}

@test "-c 3: what a full worker can't take, another does" {
    local pid
    start_workers 2 -c 3
    a_crowd 6
    for pid in $(workers); do
        want "clients of worker $pid" 3 clients_of "$pid"
    done
    waits_in_vain seventh
    leave crowd
    is_served_now seventh
}

@test "-i 1: who says nothing is dropped, and so is who sends a byte at a time and never a line" {
    start_workers 1 -i 1
    spawn silent "$CLIENT" "$PORT" eof say dropped
    # shellcheck disable=SC2016 # the inner shell expands this
    spawn dripping bash -c 'while printf x; do sleep 0.1; done | "$@"' bash "$CLIENT" "$PORT" talk
    dripping=$SPAWNED
    # shellcheck disable=SC2016 # the inner shell expands this
    spawn asking bash -c 'while printf "discard\n"; do sleep 0.1; done | "$@"' bash "$CLIENT" "$PORT" talk
    asking=$SPAWNED
    eventually said silent dropped || fail "a silent client is not dropped"
    eventually ended "$dripping" || fail "a client that sends a byte at a time is not dropped"
    same "what that one got" '' "$(<"$RUN_DIR/dripping.out")"
    # One that asks on stays, although it came at the same time.
    lives "$asking" "a client that asks all the time"
    want "clients" 1 clients_of "$(workers)"
}

@test "-i 2: who reads slowly, but steadily, is not dropped" {
    command -v python3 >/dev/null || skip "python3 is not installed"
    start_workers 1 -i 2
    # 160 kB a second, until it has got a megabyte; questions are always waiting.
    timeout 60 python3 -c "import socket, threading, time
s = socket.create_connection(('127.0.0.1', $PORT))
def ask():
    try:
        while True: s.sendall(b'discard\\n' * 1000)
    except OSError: pass
threading.Thread(target=ask, daemon=True).start()
began, got = time.time(), 0
while got < 1000000:
    n = len(s.recv(max(1, int((time.time() - began) * 160000) - got)))
    if n == 0: raise SystemExit(f'end of file after {got} bytes')
    got += n
    time.sleep(0.05)" || fail "it is dropped"
}

@test "-i 1: clients that never read are dropped, and cost little memory until then" {
    local i worker grown floods=20
    sanitized && floods=4
    start_workers 1 -i 1
    worker=$(workers)
    grown=$(memory "$PID")
    for ((i = 1; i <= floods; i++)); do
        spawn "flood$i" "$CLIENT" "$PORT" flood 'discard\nwww\n\n' until "$RUN_DIR/flood.leave"
    done
    for ((i = 1; i <= floods; i++)); do
        eventually grep -qs . "$RUN_DIR/flood$i.out" || fail "flood $i goes on and on"
    done
    is_answered "another client"
    want "clients" 0 clients_of "$worker"
    grown=$(($(memory "$PID") - grown))
    sanitized || ((grown < floods * 300)) || fail "$floods clients that never read made it grow by $grown kB"
    lives "$worker" "the worker"
}

@test "at ulimit -n 64 the client that is one too many waits; it does not spin, and goes on when others leave" {
    unsanitized "needs descriptors for itself"
    LIMITS="-n 64" start_workers 1
    no_descriptor_left 58 "$(workers)"
}

@test "at ulimit -n 64, two workers: who comes to a full one is served by the other, at once" {
    unsanitized "needs descriptors for itself"
    LIMITS="-n 64" start_workers 2
    no_descriptor_left 116 "$(workers | head -n 1)"
}

@test "who has woken a worker without a descriptor is served by the other, be that one busy or not" {
    local full other i
    unsanitized "needs descriptors for itself"
    # Ten descriptors that it does not know of: a worker thinks that it has room.
    # shellcheck disable=SC2016 # the shell that runs it expands this
    echo 'for fd in {20..29}; do eval "exec $fd</dev/null"; done; exec "$@"' >"$RUN_DIR/more"
    LIMITS="-n 32" WITH="bash $RUN_DIR/more" start_workers 2
    { read -r full; read -r other; } < <(workers)
    kill -STOP "$full"
    eventually stopped "$full"
    # shellcheck disable=SC2016 # the inner shell expands this
    spawn busy bash -c 'while printf "discard\n"; do sleep 0.1; done | "$@"' bash "$CLIENT" "$PORT" talk
    want "clients of the other" 1 clients_of "$other"
    kill -STOP "$other"
    eventually stopped "$other"
    kill -CONT "$full"
    a_crowd 16
    waits_in_vain late
    kill -CONT "$other"
    is_served_now late
    for i in {1..4}; do
        hold "client$i" send 'discard\n' lines 1
    done
}

@test "at ulimit -n 6 it says that descriptors are too few, does not spin, and can be ended" {
    unsanitized "needs descriptors for itself"
    local used
    LIMITS="-n 6" start_server 12 -w 1 0
    eventually grep -q "too few descriptors" "$RUN_DIR/server.err" || fail "it does not say so"
    used=$(group_ticks "$PID")
    sleep 1 # this second is what is measured
    used=$(($(group_ticks "$PID") - used))
    ((used <= 20)) || fail "it spins: $used hundredths of CPU time in a second"
    kill "$PID"
    ends_well
}

@test "SIGTERM: who waits in the accept queue is answered, then it exits 0" {
    local i
    start_workers 2
    stop_workers
    for i in {1..20}; do
        spawn "waiting$i" "$CLIENT" "$PORT" send 'discard\nwww\n' lines 2 eof say bye
    done
    want "connections that wait for accept" 20 queued
    kill "$PID"
    go_on
    for i in {1..20}; do
        eventually said "waiting$i" bye || fail "client $i: $(cat "$RUN_DIR/waiting$i".{out,err})"
        same "what client $i got" $'discard, 9\nwww, 80\nbye' "$(<"$RUN_DIR/waiting$i.out")"
    done
    ends_well
}

@test "SIGTERM: who waits because of -c is answered as well" {
    local i
    start_workers 1 -c 2
    for i in {1..6}; do
        spawn "waiting$i" "$CLIENT" "$PORT" send 'discard\n' eof say bye
    done
    want "connections that wait for accept" 4 queued
    kill "$PID"
    for i in {1..6}; do
        eventually said "waiting$i" bye || fail "client $i: $(cat "$RUN_DIR/waiting$i".{out,err})"
        same "what client $i got" $'discard, 9\nbye' "$(<"$RUN_DIR/waiting$i.out")"
    done
    ends_well
}

@test "SIGTERM: pipelines are answered to their end, also where the client has not read yet" {
    local i
    start_workers 2
    stop_workers
    for i in {1..5}; do
        spawn "pipeline$i" "$CLIENT" "$PORT" times 10000 'discard\n' say sent \
            until "$RUN_DIR/read" eof say bye
    done
    for i in {1..5}; do
        eventually said "pipeline$i" sent || fail "pipeline $i can't be sent"
    done
    want "connections that wait for accept" 5 queued
    kill "$PID"
    go_on
    touch "$RUN_DIR/read"
    for i in {1..5}; do
        eventually said "pipeline$i" bye || fail "client $i: $(cat "$RUN_DIR/pipeline$i.err")"
        same "answers to client $i" 10000 "$(grep -cx 'discard, 9' "$RUN_DIR/pipeline$i.out")"
    done
    ends_well
}

@test "SIGTERM: what follows a line that is too long is answered as well" {
    start_workers 1
    stop_workers
    spawn long "$CLIENT" "$PORT" times 60000 x send '\ndiscard\n' say sent eof say bye
    eventually said long sent
    kill "$PID"
    go_on
    eventually said long bye || fail "$(cat "$RUN_DIR/long".{out,err})"
    same "answers" 1 "$(grep -cx 'discard, 9' "$RUN_DIR/long.out")"
    ends_well
}

@test "SIGTERM: who has sent half a question has a second for the other half, also when answered before" {
    local new old took
    for _ in {1..10}; do
        rm -f "$RUN_DIR/on"
        start_workers 1
        spawn new "$CLIENT" "$PORT" send 'disc' say sent until "$RUN_DIR/on" send 'ard\n' eof
        new=$SPAWNED
        spawn old "$CLIENT" "$PORT" send 'www\ndisc' lines 1 say sent until "$RUN_DIR/on" send 'ard\n' eof
        old=$SPAWNED
        eventually said new sent
        eventually said old sent
        took=-${EPOCHREALTIME/[.,]/}
        kill "$PID"
        want "listening sockets" 0 sockets LISTEN # the worker has heard of it
        touch "$RUN_DIR/on"
        exit_status "$new" || true
        exit_status "$old" || true
        took=$((${EPOCHREALTIME/[.,]/} + took))
        ends_well
        ((took > 1000000)) || break # else that second may have been over
    done
    ((took <= 1000000)) || skip "the machine is too slow"
    same "what the new one got" $'sent\ndiscard, 9' "$(<"$RUN_DIR/new.out")"
    same "what the old one got" $'www, 80\nsent\ndiscard, 9' "$(<"$RUN_DIR/old.out")"
}

@test "SIGINT: the same; silent clients are told to go, and those that do go do not hold it up" {
    local i
    start_workers 2
    for i in {1..5}; do
        spawn "silent$i" "$CLIENT" "$PORT" eof say bye
        spawn "asked$i" "$CLIENT" "$PORT" send 'discard\n' lines 1 eof say bye
        eventually said "asked$i" 'discard, 9'
    done
    want "connections that wait for accept" 0 queued
    kill -INT "$PID"
    for i in {1..5}; do
        eventually said "silent$i" bye || fail "silent client $i sees no end of file"
        eventually said "asked$i" bye || fail "client $i sees no end of file"
    done
    ends_well
    is_refused "a client after the end"
}

@test "SIGTERM: clients that do not go, and floods, can't hold it up for ever" {
    local i
    start_workers 2
    hold deaf send 'discard\n' lines 1
    for i in {1..4}; do
        # shellcheck disable=SC2016 # the inner shell expands this
        spawn "flood$i" bash -c 'yes discard | "$@" | tail -n 1' bash "$CLIENT" "$PORT" talk
        want "clients" $((i + 1)) all_clients
    done
    kill "$PID"
    ends_well
}
all_clients() {
    local pid sum=0
    for pid in $(workers); do
        sum=$((sum + $(clients_of "$pid")))
    done
    echo "$sum"
}

@test "SIGTERM while clients come and go: nobody is reset, nobody is sent away unanswered" {
    [ "$(id -u)" -eq 0 ] || skip "only root may set the packet filter; without, one may be reset"
    for _ in {1..8}; do
        start_workers 2
        spawn load "${BIN}serviceblaster" --tsv -p "$PORT" -c -d 20 -w 10 100
        eventually more_clients "$(workers | head -n 1)" 0
        kill "$PID"
        ends_well
        kill "$SPAWNED" || true
        exit_status "$SPAWNED" || true # most are refused by now
        [ "$(sed -n 's/^answered\t//p' "$RUN_DIR/load.out")" -gt 0 ]
        for how in reset closed wrong; do
            same "$how" 0 "$(sed -n "s/^$how\t//p" "$RUN_DIR/load.out")"
        done
    done
}

@test "a child that waits for its end, and a stderr that nobody reads, do not keep it" {
    # shellcheck disable=SC2016 # the inner shell expands this
    echo 'exec "$@" 2> >(head -n 1 >&2; exec cat "$0.wait")' >"$RUN_DIR/parent"
    mkfifo "$RUN_DIR/parent.wait" # that child waits for somebody who never comes
    WITH="bash $RUN_DIR/parent" start_server 12 -w 1 0
    want "children" 2 children "$PID"
    yes | dd of="/proc/$PID/fd/2" oflag=nonblock bs=4096 2>/dev/null || true # till it is full
    for _ in {1..10}; do
        kill -HUP "$PID"
    done
    is_answered
    kill "$PID"
    status=0
    exit_status "$PID" || status=$?
    same "exit status of the server (124: it goes on)" 0 "$status"
}

# Of the database, a copy that the server alone sees.
with_services() {
    cp /etc/services "$RUN_DIR/services"
    l23/with-services "$RUN_DIR/services" true 2>/dev/null ||
        skip "user and mount namespaces are not permitted here"
    WITH="l23/with-services $RUN_DIR/services" start_workers "$@"
}

@test "SIGHUP: the database is read anew, old workers go when their clients have gone" {
    with_services 2
    workers >"$RUN_DIR/before"
    hold old send 'l23-test\n' lines 1
    same "the answer before" 'l23-test, unknown' "$(head -n 1 "$RUN_DIR/old.out")"
    echo 'l23-test 60123/tcp' >>"$RUN_DIR/services"
    kill -HUP "$PID"
    server_says "services read anew"
    # The one without a client goes at once.
    want "workers, and one that still has a client" 3 children "$PID"
    same "the answer to a new client" 'l23-test, 60123' "$(client send 'l23-test\n' lines 1)"
    leave old
    want "workers" 2 children "$PID"
    ! workers | grep -qxF -f "$RUN_DIR/before" || fail "an old worker is still there"
}

@test "SIGHUP without a database: the old one is kept, and the server says so" {
    with_services 2
    workers >"$RUN_DIR/before"
    : >"$RUN_DIR/services"
    kill -HUP "$PID"
    server_says "no services found: the old ones stay"
    is_answered
    same "workers" "$(sort "$RUN_DIR/before")" "$(workers | sort)"
}

@test "SIGHUP while memory is short: the old database is kept; when there is memory again it is read" {
    unsanitized "takes terabytes of addresses"
    start_workers 2
    workers >"$RUN_DIR/before"
    prlimit --pid "$PID" --as="$(($(sed -n 's/^VmSize:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$PID/status") * 1024)):"
    kill -HUP "$PID"
    server_says "no services read for want of memory: the old ones stay"
    is_answered
    same "workers" "$(sort "$RUN_DIR/before")" "$(workers | sort)"
    prlimit --pid "$PID" --as=unlimited:
    kill -HUP "$PID"
    server_says "services read anew"
    is_answered
}

@test "SIGHUP again and again while clients ask and come and go: none is refused, reset or misled" {
    local i seconds=2
    start_workers 2
    workers >"$RUN_DIR/before"
    blast stay -d "$seconds" -P 8 20
    blast come_and_go -d "$seconds" -c 20
    for ((i = 1; i <= 8; i++)); do
        kill -HUP "$PID"
        want "times that the database has been read" "$i" reads
    done
    blasted stay
    blasted come_and_go
    want "workers" 2 children "$PID"
    ! workers | grep -qxF -f "$RUN_DIR/before" || fail "an old worker is still there"
    is_answered
}
reads() {
    grep -c "services read anew" "$RUN_DIR/server.err"
}

@test "SIGHUP and SIGTERM at once, many of them: it ends, and nothing is left" {
    start_workers 2
    touch "$RUN_DIR/crowd.leave" # it need not stay: teardown does not know of it
    a_crowd 10 &
    for _ in {1..20}; do
        kill -HUP "$PID"
    done
    kill "$PID"
    kill -HUP "$PID" 2>/dev/null || true # it may have ended by now
    kill -INT "$PID" 2>/dev/null || true
    wait $! || true
    ends_well
}

@test "a worker killed under load is replaced, and only its own clients are lost" {
    local i victim had lost=0 pids=()
    start_workers 2
    for i in {1..12}; do
        spawn "client$i" "$CLIENT" "$PORT" send 'discard\n' lines 1 until "$RUN_DIR/on" \
            send 'www\n' lines 1 say served
        pids[i]=$SPAWNED
        eventually said "client$i" 'discard, 9' || fail "client $i is not answered"
    done
    victim=$(workers | head -n 1)
    had=$(clients_of "$victim")
    blast load -d 5 -k 100
    # In the midst of it, with clients of the load in its hands.
    eventually more_clients "$victim" "$had" || fail "the load does not reach worker $victim"
    kill -KILL "$victim"
    want "workers" 2 children "$PID"
    ! workers | grep -qx "$victim" || fail "the worker is still there"
    exit_status "${CLIENTS[load]}" || true # some were the victim's
    touch "$RUN_DIR/on"
    for i in {1..12}; do
        exit_status "${pids[i]}" || lost=$((lost + 1))
    done
    same "clients lost" "$had" "$lost"
    grep -q "^worker $victim has died" "$RUN_DIR/server.err" || fail "it does not say so"
    is_answered
}
more_clients() {
    (($(clients_of "$1") > $2))
}

@test "a worker that stands still stops its own clients only; new ones are served by the other" {
    local pid i
    start_workers 2
    pid=$(workers | head -n 1)
    kill -STOP "$pid"
    eventually stopped "$pid"
    for i in {1..20}; do
        is_answered "client $i, while one worker stands still"
    done
    kill -CONT "$pid"
    kill "$PID"
    ends_well
}

@test "a parent that is killed takes its workers along" {
    start_workers 3
    is_answered
    kill -KILL "$PID"
    want "processes left over" 0 group_size "$PID"
    want "listening sockets left over" 0 sockets LISTEN
}

@test "started by who ignores SIGCHLD, with nobody who reads its stderr: it replaces its dead" {
    local pid
    mkfifo "$RUN_DIR/fifo"
    # shellcheck disable=SC2016 # the inner shell expands this
    echo 'exec "$@" 2> >(sed -u 1q >&2)' >"$RUN_DIR/deaf"
    WITH="env --ignore-signal=CHLD bash $RUN_DIR/deaf" start_server 12 -w 2 0
    want "children" 2 servers
    for pid in $(servers_pids); do
        kill -KILL "$pid"
        eventually ended "$pid"
    done
    want "children" 2 servers
    is_answered
}
servers_pids() {
    local pid
    for pid in $(workers); do
        [ "$(readlink "/proc/$pid/exe")" != "$(readlink "/proc/$PID/exe")" ] || echo "$pid"
    done
}
servers() {
    servers_pids | wc -l
}

@test "under a process limit fork fails: it serves with the workers that it has, and does not spin" {
    [[ $BIN != *thread* ]] || unsanitized "has a thread of its own in every process"
    as_somebody 12 3 -w 4 0
    want "workers" 2 children "$PID"
    server_says "fork: Resource temporarily unavailable"
    is_answered
    sleeps "$PID" 3
    "${AS[@]}" prlimit --pid "$PID" --nproc=100:
    want "workers, when there is no limit any more," 4 children "$PID"
}

@test "thousands of connections later, descriptors, memory and processes are where they began" {
    local pid before clients=6000
    crowds $((clients + 100))
    sanitized && clients=2000
    start_workers 2
    blast warm -d 1 -c 20
    blasted warm
    workers >"$RUN_DIR/before"
    before=$(private_of_workers)
    blast blaster "$clients"
    rule_leaving_in_mid_answer 20
    blasted blaster
    for pid in $(workers); do
        want "clients of worker $pid" 0 clients_of "$pid"
    done
    same "workers" "$(sort "$RUN_DIR/before")" "$(workers | sort)"
    sanitized || (($(private_of_workers) <= before + 1024)) || fail "memory: $before kB before, $(private_of_workers) now"
}

private_of_workers() {
    # shellcheck disable=SC2046 # a word a process
    private $(workers)
}

# The rules.

@test "names, aliases, protocols" { start_server 12; rule_names; }
@test "what is not known is unknown" { start_server 12; rule_unknown; }
@test "CR LF and blanks at the end of a line do not count" { start_server 12; rule_trailing_blanks; }
@test "an empty line gets an answer" { start_server 12; rule_empty_lines; }
@test "NUL bytes come back as ?" { start_server 12; rule_nul_bytes; }
@test "bytes that do not print come back as ?" { start_server 12; rule_bytes_that_do_not_print; }
@test "a line of 1024 bytes is an error, and the next line is a line" { start_server 12; rule_long_lines; }
@test "a line that is too long may be the last" { start_server 12; rule_long_line_at_the_end; }
@test "a line of a megabyte is one error" { start_server 12; rule_megabyte; }
@test "the last line needs no newline" { start_server 12; rule_no_newline_at_the_end; }
@test "a half line waits for its other half; the line before it does not" { start_server 12; rule_half_line; }
@test "hundreds of requests in one packet are answered, once and in order" { start_server 12; rule_pipelined; }
@test "10,000 requests in one write are answered, once and in order" { start_server 12; rule_ten_thousand; }
@test "requests cut at every byte are answered" { start_server 12; rule_cut_at_every_byte; }
@test "requests in packets of a byte are answered" { start_server 12; rule_packets_of_a_byte; }
@test "a client that closes its sending side gets all answers, then end of file" { start_server 12; rule_half_close; }
@test "a client that asks nothing and closes its sending side gets end of file" { start_server 12; rule_end_of_file; }
@test "a client that sends and never reads costs little memory, and stops nobody" { start_server 12; rule_flood others; }
@test "a reset between two questions ends one connection alone" { start_server 12; rule_reset; }
@test "clients that leave in mid-answer end their own connections alone" { start_server 12; rule_leaving_in_mid_answer; }
@test "clients that leave in the middle of a line leave nothing behind" { start_workers 1; rule_half_lines_leave_nothing "$(workers)"; }

@test "port 0: the kernel picks one, the server says which" { rule_port_0 12; }
@test "the port is 6168 unless given" { rule_default_port 12; }
@test "started with descriptors 0, 1 and 2 closed it serves all the same" { rule_closed_descriptors 12; }
@test "a bad port is a usage error" { rule_bad_port 12; }
@test "a second argument is a usage error" { rule_second_argument 12; }
@test "a port that is taken: the holder is named" { start_server 12; rule_taken_port 12; }
@test "nobody is let in from outside" { start_server 12; rule_loopback_only; }
@test "L23_HOST names another address" { rule_host 12; }
@test "L23_HOST may be an IPv6 address" { rule_ipv6 12; }
