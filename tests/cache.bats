#!/usr/bin/env bats
# cache: the cache's lesson: less work, answers without the database, stale ones when it changes
#
# In namespaces: the machine's own /etc/services is never touched.

load helper
load lab

# start_with TEXT NN: serviceserverNN, whose services database is the file $FILE with this text.
start_with() {
    FILE=$RUN_DIR/services
    echo "$1" >"$FILE"
    l23/with-services "$FILE" true 2>/dev/null || skip "user and mount namespaces are not permitted here"
    WITH="l23/with-services $FILE" start_server "$2"
}

answers() {
    same "the answer to $1" "$2" "$(ask "$1\n")"
}

@test "the lab: read once, there when the database is gone, stale until SIGHUP, and no trace" {
    local before
    before=$(stat -c '%i %Y %s' /etc/services; sum /etc/services)
    start_lab cache
    lab_succeeded
    if command -v strace >/dev/null; then
        shows '$ strace -e trace=openat tests/calls repeat 1000 discard 2>&1 | grep -c /etc/services' 1000
        shows '$ grep -c /etc/services /run/trace' 1
    fi
    shows '$ getent services discard' 'exit status 2'
    shows '$ getent services discard' 'discard               4009/tcp'
    same "what the server says" 'discard, 9
no services found: the old ones stay
discard, 9
discard, 9
services read anew
discard, 4009
www, unknown' "$(grep -E '^(discard|www), |^no services|^services read' "$RUN_DIR/lab.out")"
    no_trace
    same "the machine's own database" "$before" "$(stat -c '%i %Y %s' /etc/services; sum /etc/services)"
}

@test "a cache answers without its database, and goes on with what it has read when that changes" {
    start_with 'discard 9/tcp' 07
    answers discard 'discard, 9'
    : >"$FILE"
    answers discard 'discard, 9'
    echo 'discard 4009/tcp
late 4010/tcp' >"$FILE"
    answers discard 'discard, 9'
    answers late 'late, unknown'
    # Only a new server knows.
    kill -TERM "$PID"
    WITH="l23/with-services $FILE" start_server 07
    answers discard 'discard, 4009'
    answers late 'late, 4010'
}

@test "SIGHUP makes 12 read the database anew; a client that is connected stays so" {
    start_with 'discard 9/tcp' 12
    hold client send 'discard\n' lines 1
    echo 'discard 4009/tcp' >"$FILE"
    answers discard 'discard, 9'
    kill -HUP "$PID"
    server_says 'services read anew'
    eventually answers discard 'discard, 4009' >/dev/null
    leave client
    same "what the connected client got" $'discard, 9\nheld' "$(cat "$RUN_DIR/client.out")"
}
