#!/usr/bin/env bats
# serviceserver04: a process per connection

load helper

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
    same "what the next client got" 'discard, 9' "$(ask_one discard)"
    hold half_a_line send 'disc'
    same "what the next client got" 'discard, 9' "$(ask_one discard)"
}

@test "a reset kills one child, by SIGPIPE; the server and the other clients live" {
    start_server 04
    hold other send 'discard\n' lines 1
    other=$(child_pids "$PID")

    hang_up 1
    want "dead children of the server" 1 children "$PID" Z
    killed=$(child_pids "$PID" | grep -vx "$other")
    # stat's last field is the status that wait would return: 13, killed by SIGPIPE.
    same "how the child of the broken connection ended" 13 \
        "$(sed 's/.* //' "/proc/$killed/stat")"
    lives "$PID" "the server"
    lives "$other" "the other client's child"
    same "what a new client got" 'domain, 53' "$(ask_one domain)"
}

@test "a child that has served its client stays as a zombie: nobody asks how it ended" {
    start_server 04
    for _ in {1..5}; do
        ask_one discard
    done
    want "zombies after 5 clients" 5 children "$PID" Z
    for _ in {1..5}; do
        ask_one discard
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
        ask_one discard
    done
    want "children that still serve a client" 0 children "$PID" A-Y
    want "descriptors of the server" $((before + 10)) descriptors "$PID"
    want "connections in CLOSE_WAIT" 10 sockets CLOSE_WAIT
}
