#!/usr/bin/env bats
# l23/board: the kernel's side of a server

load helper
load tmux

BOARD=${BIN}l23/board

# value KEY: of `board --once`.
value() {
    "$BOARD" --once "$PORT" | sed -n "s/^$1 //p"
}

# row LABEL: that row of the screen.
row() {
    screen | grep "^ $1 "
}

@test "no server: --once says so, and exits 1" {
    run -1 "$BOARD" --once 1
    [[ $output == *$'\nserver none\n'* ]]
}

@test "03: connected and not accepted is told from accepted" {
    start_server 03
    hold first send 'discard\n' lines 1
    hold second more 4
    run -0 "$BOARD" --once "$PORT"
    for line in "server serviceserver03" "pid $PID" 'listening 1' 'queue 5' 'queue_limit 100' \
        'dropped 0' 'waiting 5' 'accepted 1' 'leaked 0' 'processes 1' 'threads 1' 'zombies 0'; do
        [[ $'\n'$output$'\n' == *$'\n'$line$'\n'* ]] || fail "no line '$line' in: $output"
    done
}

@test "03: clients that a full queue turns away are seen" {
    start_server 03
    hold first more 101
    spawn late "$CLIENT" "$PORT" say never
    want "clients that knock" 1 value knocking
    [ "$(value waiting)" -ge 100 ]
    [ "$(value dropped)" -ge 1 ]
}

@test "04: zombies, and what the parent has not closed" {
    start_server 04
    before=$(value descriptors)
    for _ in {1..5}; do
        "$CLIENT" "$PORT" send 'discard\n' lines 1
    done
    want "zombies" 5 value zombies
    want "leaked" 5 value leaked
    [ "$(value descriptors)" -ge $((before + 5)) ]
}

@test "04: a connection that was reset is in no list, but its descriptor is: leaked" {
    start_server 04
    "$CLIENT" "$PORT" send 'discard\n' lines 1 reset
    want "dead children" 1 children "$PID" Z
    want "leaked" 1 value leaked
}

@test "07: a thread each" {
    unsanitized "has threads of its own"
    start_server 07
    hold some crowd 5 'discard\n'
    want "threads" 7 value threads # main, and the client's first connection, which is silent
    [ "$(value accepted)" -eq 6 ]
    [ "$(value virtual_kib)" -gt 40000 ]
}

@test "08: twenty children, and the 21st client waits" {
    start_server 08
    want "children" 20 value children
    hold some more 20
    want "accepted" 20 value accepted
    want "waiting" 1 value waiting
    # Copy-on-write: of a child's memory the most is its parent's too.
    sanitized || (($(value child_shared_kib) > $(value child_private_kib)))
}

@test "05 at ulimit -n 64: descriptors that are never given back, and how many there may be" {
    unsanitized "needs descriptors for itself"
    LIMITS="-n 64" start_server 05
    for _ in {1..10}; do
        "$CLIENT" "$PORT" send 'discard\n' lines 1
    done
    want "descriptors" 14 value descriptors
    want "descriptors at most" 64 value descriptors_limit
    want "leaked" 10 value leaked
}

@test "09: a burning core" {
    start_server 09
    hold one send 'discard\n' lines 1
    burns() { [ "$(value cpu_percent)" -ge 3 ]; } # its share, where all else runs too
    eventually burns
}

@test "a server that starts before the listening socket is back is seen all the same: 02" {
    start_server 02
    hold one send 'discard\n' lines 1
    run -0 "$BOARD" --once "$PORT"
    [[ $output == *"server serviceserver02"*"listening 0"*"accepted 1"* ]]
}

@test "--tsv: the sockets that a process holds are among the sockets" {
    start_server 04
    hold one send 'discard\n' lines 1
    "$BOARD" --tsv "$PORT" >"$RUN_DIR/tsv"
    same "processes" $'parent\nchild' "$(awk -F '\t' '$1 == "process" { print $4 }' "$RUN_DIR/tsv")"
    same "the sockets of the parent" $'LISTEN\nESTABLISHED' "$(awk -F '\t' -v pid="$PID" '
        NR == FNR { if ($1 == "socket" && $2 == "server") state[$4] = $3; next }
        $1 == "descriptor" && $2 == pid && $4 == "socket" { print state[$5] }
        ' "$RUN_DIR/tsv" "$RUN_DIR/tsv")"
    # An earlier server's clients, on the same port, may be in TIME_WAIT still.
    same "the client's end" ESTABLISHED "$(awk -F '\t' -v peer="127.0.0.1:$PORT" '
        $2 == "client" && $6 == peer && $3 != "TIME_WAIT" { print $3 }' "$RUN_DIR/tsv")"
    # Each row has as many columns as the line with their names.
    awk -F '\t' '{ kind = $1; sub("#", "", kind) }
        /^#/ { n[kind] = NF } NF != n[kind] { print; exit 1 }' "$RUN_DIR/tsv"
}

@test "without a terminal: a line of plain text a second, also while there is no server" {
    start_server 03
    spawn plain "$BOARD" "$PORT"
    eventually grep -q 'waiting 0/100 .* processes 1 ' "$RUN_DIR/plain.out"
    kill -KILL "$PID"
    eventually grep -q 'no server' "$RUN_DIR/plain.out"
    run ! grep -q $'\033' "$RUN_DIR/plain.out"
}

@test "a wrong argument is a usage error" {
    for wrong in --all x 0 '1 2'; do
        # shellcheck disable=SC2086 # two words in one case
        run -2 "$BOARD" $wrong
        [[ $output == *usage* ]]
    done
}

@test "the screen waits for a server, shows it, and its end; q puts the terminal back" {
    terminal
    start_server 04
    first=$PID
    type_line "$BOARD $PORT; echo status \$?"
    want_screen "serviceserver04 +port $PORT +pid $PID" '^ WAITING +0 of 100'
    rows=$(screen | grep -nE '^ [A-Z]{3}' | cut -c 1-14)
    "$CLIENT" "$PORT" send 'discard\n' lines 1
    want_screen '^ LEAKED +1 ' '1 zombie' '^ Z'
    kill -KILL "$first"
    want_screen 'NO SERVER: waiting'
    start_server 03 "$PORT"
    want_screen "serviceserver03 .*pid $PID"
    same "the rows, which never move" "$rows" "$(screen | grep -nE '^ [A-Z]{3}' | cut -c 1-14)"
    key q
    want_screen 'status 0'
    same "other screen, cursor" '0 1' "$(tm display -p '#{alternate_on} #{cursor_flag}')"
    type_line 'stty -a'
    want_screen '( |^)icanon' '( |^)isig' '( |^)echo '
}

@test "Ctrl-C, SIGTERM and SIGHUP end it, and the terminal is as it was" {
    terminal
    for end in C-c TERM HUP; do
        type_line "$BOARD 1"
        want_screen 'NO SERVER'
        case $end in
        C-c) key C-c ;;
        *) kill "-$end" "$(child_pids "$PANES")" ;;
        esac
        want_screen 'ready>'
        same "other screen, cursor, after $end" '0 1' "$(tm display -p '#{alternate_on} #{cursor_flag}')"
    done
    type_line 'stty -a'
    want_screen '( |^)icanon' '( |^)isig' '( |^)echo '
}

@test "Ctrl-Z stops it, fg brings it back" {
    terminal
    type_line "$BOARD 1"
    want_screen 'NO SERVER'
    key C-z
    want_screen 'Stopped' 'ready>'
    type_line fg
    want_screen 'NO SERVER'
    key q
    want_screen 'ready> *$'
}

@test "it resizes with the terminal, down to a few lines" {
    terminal
    start_server 08
    type_line "$BOARD $PORT"
    want_screen '^ +[0-9]+ child ' 'q quits'
    tm resize-window -x 50 -y 13
    few() { [ "$(screen | wc -l)" -eq 13 ] && ! shows '[0-9] child ' && shows 'q quits'; }
    eventually few
    tm resize-window -x 20 -y 4
    want_screen '^ ACCEPTED'
    tm resize-window -x 120 -y 50
    all() { [ "$(screen | grep -c ' child  sleeping')" -eq 20 ]; }
    eventually all
    same "the first line" 1 "$(screen | head -n 1 | grep -c serviceserver08)"
}

@test "hundreds of processes are counted, and a mark each" {
    terminal
    start_server 04
    "$CLIENT" "$PORT" send 'discard\n' lines 1 crowd 299 'discard\n'
    want "zombies" 300 children "$PID" Z
    type_line "$BOARD $PORT"
    want_screen '^ PROCESSES +301 ' '300 zombies' '^ Z{40}' 'and [0-9]+ more' 'a mark is 2'
}

@test "NO_COLOR: no colour; what is bad stands out by being reversed" {
    terminal
    start_server 04
    "$CLIENT" "$PORT" send 'discard\n' lines 1
    type_line "NO_COLOR=1 $BOARD $PORT"
    want_screen '1 zombie'
    run -1 grep -E $'\033\\[[0-9;]*3[0-7]m' <(tm capture-pane -p -e)
    tm capture-pane -p -e | grep -q $'\033\\[[0-9;]*7m.*zombie'
    key q
    want_screen 'ready> *$'
    type_line "$BOARD $PORT"
    want_screen '1 zombie'
    tm capture-pane -p -e | grep -qE $'\033\\[[0-9;]*31m.*zombie'
}

@test "two thousand connections cost the board a tenth of a core at most" {
    unsanitized "costs more"
    start_server 11
    crowds 2100
    LIMITS="-n $(ulimit -Hn)" hold crowd more 2000
    eventually is 2001 value accepted
    terminal
    type_line "$BOARD $PORT"
    want_screen '^ ACCEPTED +2001 '
    board=$(child_pids "$PANES")
    ticks() { sed 's/.*) //' "/proc/$board/stat" | awk '{ print $12 + $13 }'; }
    before=$(ticks)
    start=${EPOCHREALTIME/./}
    two_seconds() { ((${EPOCHREALTIME/./} - start > 2000000)); }
    eventually two_seconds
    seconds=$(((${EPOCHREALTIME/./} - start) / 1000000))
    [ $((($(ticks) - before) * 100)) -le $((10 * seconds * $(getconf CLK_TCK))) ]
}
