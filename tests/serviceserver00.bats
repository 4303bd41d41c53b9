#!/usr/bin/env bats
# serviceserver00: a listening socket, and nothing more

load helper
load rules

@test "it listens, reads the listening socket and ends: Transport endpoint is not connected" {
    start_server 00
    status=0
    exit_status "$PID" || status=$?
    same "exit status" 1 "$status"
    server_says "read: Transport endpoint is not connected"
    same "standard output" '' "$(<"$RUN_DIR/server.out")"
}

@test "nobody is served: the socket was a stake in the ground, connected to nobody" {
    start_server 00
    exit_status "$PID" || true
    want "listening sockets left over" 0 sockets LISTEN
    is_refused "a client"
}

@test "port 0: the kernel picks one, the server says which" {
    start_server 00 0
    ((PORT > 0 && PORT < 65536)) || fail "no port number: $PORT"
}

@test "a bad port is a usage error" { rule_bad_port 00; }
@test "a second argument is a usage error" { rule_second_argument 00; }

@test "a port that is taken: the holder is named" {
    SERVER='' start_server 03
    rule_taken_port 00
}
