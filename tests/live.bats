#!/usr/bin/env bats
# l23/live, l23/lecture: live coding, in a copy of the project, for yours may have a live.c

load helper
load rules
load tmux

# project: copies what live coding needs; goes there. Servers listen on an address that no
# other test uses, so that the port can be the same for all of a test.
project() {
    cp -a Makefile serviceserver*.c l23 "$RUN_DIR/"
    mkdir -p "$RUN_DIR/tests" "$RUN_DIR/build/plain/obj"
    cp -a "$CLIENT" "$RUN_DIR/tests/"
    cp -a "${BIN}l23/board" "$RUN_DIR/l23/"
    cp -a build/plain/obj/l23 build/plain/obj/l23.a "$RUN_DIR/build/plain/obj/" 2>/dev/null || true
    cd "$RUN_DIR" || return
    L23_HOST=$(an_address)
    export L23_WAIT=${L23_WAIT:-30} # a compiler takes its time when all else runs too
    export L23_HOST PORT=$((RANDOM % 10000 + 20000))
    export CLIENT=./tests/client
}

# live NN [WITH...]: live coding in the background, by this command; what it says is in live.out.
live() {
    spawn live "${@:2}" l23/live "$1"
    LIVE=$SPAWNED
}

# The server has a process group of its own: live coding itself has to end it, or make stop.
eval "tmux_$(declare -f teardown)"
teardown() {
    if [ -n "${LIVE:-}" ]; then
        kill "$LIVE" 2>/dev/null || true
        exit_status "$LIVE" || true
        make -s stop
    fi
    tmux_teardown
}

# says PATTERN: live coding says so; if it never does, what it says instead.
says() {
    eventually grep -qE -- "$1" live.out && return
    echo "it does not say '$1', but:"
    cat live.out live.err
    return 1
}

pid_of_server() {
    sed -n 's/.*runs: pid \([0-9]*\).*/\1/p' "${1:-live.out}" | tail -n 1
}

@test "a copy is made, built and started; at a save the old server ends and the new one runs" {
    project
    live 04
    says 'live.c is new: a copy of serviceserver04.c'
    says 'runs: pid'
    cmp live.c serviceserver04.c
    first=$(pid_of_server)
    eventually is_answered
    hold one send 'discard\n' lines 1 # with a child of the first server
    same "records of what runs" "$first" "$(cd build/running && echo *)"

    sed -i 's|int fd = make_listen(port);|fprintf(stderr, "second edition\\n");\n    &|' live.c
    eventually grep -q 'second edition' live.err || fail "$(cat live.out live.err)"
    want "processes of the old server" 0 group_size "$first"
    run ! grep -q 'in use' live.err
    eventually is_answered
    second=$(pid_of_server)

    kill "$LIVE"
    exit_status "$LIVE" || [ $? -eq 143 ]
    want "processes left" 0 group_size "$second"
    is_refused
    same "records left" '' "$(ls build/running)"
}

@test "while it does not compile the errors are shown and the old server keeps running" {
    project
    live 03
    says 'runs: pid'
    first=$(pid_of_server)
    echo 'int x = ;' >>live.c
    says 'does not compile'
    says 'live.c:[0-9]+:[0-9]+: .*error'
    says "pid $first. keeps running"
    lives "$first" "the server before"
    is_answered
    sed -i '$d' live.c
    other() { [ "$(pid_of_server)" != "$first" ]; }
    eventually other
    eventually is_answered
    # No such function: the compiler only warns, the linker fails, ./live stays.
    second=$(pid_of_server)
    sed -i 's|load_services()|load_servces()|' live.c
    says 'undefined reference|error: .*load_servces'
    lives "$second" "the server before"
    [ -x live ]
}

@test "a server that ends is told of, and how" {
    project
    sed 's|make_listen(port)|(exit(7), make_listen(port))|' serviceserver03.c >live.c
    live 03
    says 'live.c was there .from 03. and is kept'
    says 'has ended, exit status 7'
    sed 's|make_listen(port)|(exit(255), make_listen(port))|' serviceserver03.c >live.c
    says 'has ended, exit status 255'
    cp serviceserver03.c live.c
    says 'runs: pid .*'
    eventually is_answered
    hang_up_on=$(pid_of_server)
    kill -SEGV "$hang_up_on"
    says 'was killed: SIGSEGV'
    same "records left" '' "$(ls build/running)"
}

@test "make live-reset puts the copy back and keeps yours; another version's copy is said to be one" {
    project
    cp serviceserver03.c live.c
    echo '// mine' >>live.c
    run -0 make live-reset
    same "it says" $'Your live.c is now live.c.bak.\nlive.c is serviceserver03.c again.' "$output"
    cmp live.c serviceserver03.c
    same "the last line of live.c.bak" '// mine' "$(tail -n 1 live.c.bak)"
    echo '// mine, too' >>live.c
    run -0 make live-reset
    same "the last lines of both" $'// mine, too\n// mine' "$(tail -qn 1 live.c.bak live.c.bak.~1~)"
    live 04
    says 'live.c was there .from 03, not 04. and is kept'
    kill "$LIVE"
    run -0 make live-reset VERSION=05
    cmp live.c serviceserver05.c
    run -2 make live-99
    [[ $output == *'no serviceserver99.c'* ]]
}

@test "ended while it starts its server, it leaves none" {
    project
    # It takes a minute for the process to have a group of its own and be the server.
    mkdir slow
    printf '#!/bin/sh\nsleep 60; exec %s "$@"\n' "$(command -v setsid)" >slow/setsid
    chmod +x slow/setsid
    live 03 env PATH="$PWD/slow:$PATH"
    says 'runs: pid'
    server=$(pid_of_server)
    run ! kill -0 -- "-$server"
    kill "$LIVE"
    exit_status "$LIVE" || [ $? -eq 143 ]
    ended "$server" || fail "the server has been left"
    same "records left" '' "$(ls build/running)"
}

@test "./live is live.c as it stands, also where that is an old file, and when two build it" {
    project
    cp serviceserver03.c live.c
    make -s live
    echo 'int main(void) { return 7; }' >live.c
    touch -d yesterday live.c
    make -s live &
    make -s live
    wait $!
    run -7 ./live
}

@test "make stop ends what a live session that was killed has left" {
    project
    live 03
    says 'runs: pid'
    server=$(pid_of_server)
    eventually is_answered
    kill -KILL "$LIVE"
    lives "$server" "the server, which nobody could end,"
    run -0 make stop
    want "processes left" 0 group_size "$server"
    same "records left" '' "$(ls build/running)"
}

@test "make stop ends the children of a server that has been killed" {
    project
    sed 's|end_with_parent();||' serviceserver06.c >live.c
    live 06
    says 'runs: pid'
    server=$(pid_of_server)
    eventually is_answered
    hold one send 'discard\n' lines 1
    kill -KILL "$LIVE"
    kill -KILL "$server"
    eventually is 1 group_size "$server"
    run -0 make stop
    [[ $output == "ends: process group $server"* ]] || fail "$output"
    want "processes left" 0 group_size "$server"
}

@test "on a terminal: errors stand at the top, Enter starts it anew, Ctrl-C leaves nothing" {
    project
    terminal
    type_line "make live-03 PORT=$PORT"
    want_screen 'live.c is new' 'runs: pid' 'listening on'
    screen >first.screen
    first=$(pid_of_server first.screen)
    eventually is_answered
    sed -i 's|int port = .*|int port = parse(argc, argv;|' live.c
    want_screen 'does not compile' "pid $first. keeps running"
    same "the first line" 1 "$(screen | head -n 1 | grep -c 'does not compile')"
    sed -i 's|int port = .*|int port = parse_port(argc, argv);|' live.c
    want_screen 'runs: pid'
    screen >second.screen
    key Enter
    anew() { screen >third.screen && [ "$(pid_of_server third.screen)" -gt 0 ] &&
        [ "$(pid_of_server third.screen)" != "$(pid_of_server second.screen)" ]; }
    eventually anew || fail "$(screen)"
    key C-c
    want_screen '^ready> *$'
    want "processes left" 0 group_size "$(pid_of_server third.screen)"
    is_refused
    same "records left" '' "$(ls build/running)"
}

@test "make lecture: the three commands to type, or three panes with live server, client, board" {
    project
    run -0 l23/lecture 04 </dev/null
    same "commands" 3 "$(grep -cE "^    (make live-04 PORT=$PORT L23_HOST=$L23_HOST( CC=.*)?|make board PORT=$PORT|.* $PORT.*)$" <<<"$output")"
    command -v telnet || command -v nc || skip "neither telnet nor nc"

    terminal 120 40
    type_line "PORT=$PORT l23/lecture 03"
    lecture() { tm has-session -t "=lecture-$PORT"; }
    eventually lecture 2>/dev/null || fail "$(screen)"
    pane() { tm capture-pane -p -t "=lecture-$PORT:.$1" 2>/dev/null; }
    pane_shows() { pane "$1" | grep -qE -- "$2"; }
    eventually pane_shows 0 'runs: pid' || fail "$(pane 0)"
    eventually pane_shows 2 '^ ACCEPTED +1 ' || fail "$(pane 2)"
    tm send-keys -t "=lecture-$PORT:.1" discard Enter
    eventually pane_shows 1 '^discard, 9' || fail "$(pane 1)"
    server=$(pane 0 | pid_of_server /dev/stdin)
    tm kill-session -t "=lecture-$PORT"
    want "processes left" 0 group_size "$server"
}
