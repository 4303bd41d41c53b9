#!/usr/bin/env bats
# serviceserver03: one listening socket for all, one client at a time

load helper

@test "a client gets an answer to every line" {
    start_server 03
    run -0 ask 'discard\ndomain/udp\nnobody\n'
    [ "$output" = $'discard, 9\ndomain/udp, 53\nnobody, unknown' ]
}

@test "of three clients at once all are connected and one is answered; the others wait their turn" {
    start_server 03
    hold first send 'discard\n' lines 1
    hold second send 'domain\n'
    spawn third "$CLIENT" "$PORT" send 'www\n' say asked lines 1 say answered
    eventually said third asked

    # Connected, all three; two of them only as far as the kernel's queue.
    [ "$(sockets ESTABLISHED)" -eq 3 ]
    [ "$(queued)" -eq 2 ]
    run ! said third answered

    leave first
    eventually is 1 queued
    leave second
    eventually said third answered
    said third 'www, 80'
}
