# common.bash: what the demos share. A demo is a script of a few lines:
#
#   title TEXT             the headline
#   ask TEXT               a question; on a terminal, waits for Enter: let the class predict
#   server NN [COMMAND]    starts ./serviceserverNN in the background, or a COMMAND in which
#                          SERVER stands for it; sets PORT and SERVER (the process id)
#   run COMMAND...         shows each command as one would type it, runs it, shows its output
#   start COMMAND          the same in the background; `finish` ends it
#   evidence PATTERN [S]   runs l23/demo/look until its output matches the pattern
#   server_says PATTERN    shows what the server has written since, when it matches
#   server_ends [WHO]      waits for the server to end, and tells how it did
#   why TEXT...            the reason, in two or three lines
#
# In a COMMAND, $PORT and $SERVER are the server's port and process id. Clients are named descriptors of this shell:
# `exec {A}<>/dev/tcp/127.0.0.1/$PORT` connects client A, `echo discard >&$A` asks,
# `head -n 1 <&$A` takes the answer, `exec {A}>&-` leaves. What telnet does, any bash can.
#
# Not on a terminal nothing waits, and the kernel picks the ports. On one, the lecture's
# port 6168 is used when it is free. DEMO_PORT=0 or 6168 overrides. Everything that is started
# runs in a process group of its own, is recorded for `make stop`, and ends with the demo.

# shellcheck shell=bash
# shellcheck disable=SC2034 # the demos use these variables
set -u
cd "$(dirname "$0")/../.." || exit 1

# A bash that waits for a command may lose a SIGINT that comes just when the command ends; it
# never loses a SIGTERM. So the demo runs in a child that gets no SIGINT, and this bash, which
# does nothing but wait, ends it with SIGTERM.
if [ -z "${DEMO_CHILD:-}" ]; then
    signal='' child=''
    trap 'signal=130; ${child:+kill -TERM "$child"}' INT
    trap 'signal=143; ${child:+kill -TERM "$child"}' TERM
    trap 'signal=129; ${child:+kill -TERM "$child"}' HUP
    DEMO_CHILD=1 "l23/demo/${0##*/}" <&0 &
    child=$!
    [ -z "$signal" ] || kill -TERM "$child"
    while kill -0 "$child" 2>/dev/null; do
        wait "$child"
        status=$?
    done
    exit "${signal:-$status}"
fi
unset DEMO_CHILD

unset L23_HOST # all is on 127.0.0.1
A='' B='' C='' D=''
export A B C D
PORT='' SERVER='' PROGRAM=''
STARTED=() # process groups
RECORDS=${L23_RUNNING:-build/running}
LIMIT=30 # seconds, for any command

interactive=false color=false
[ -t 0 ] && [ -t 1 ] && interactive=true
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ] && color=true
terminal=''
if $interactive; then terminal=$(stty -g); fi
if $interactive; then DEMO_PORT=${DEMO_PORT:-6168}; else DEMO_PORT=${DEMO_PORT:-0}; fi

# ---- the screen ------------------------------------------------------------------------

# No line of ours is longer than 88 columns, nor than the terminal is wide.
width=88
if $interactive && read -r _ columns < <(stty size) && ((columns > 20 && columns <= width)); then
    width=$((columns - 1))
fi

# paint CODE TEXT: a paragraph in this colour.
paint() {
    local line
    fold -s -w $width <<<"$2" | while IFS= read -r line; do
        if $color; then printf '\033[%sm%s\033[0m\n' "$1" "${line% }"; else echo "${line% }"; fi
    done
}

pause() {
    $interactive || return 0
    printf '[Enter]'
    read -r -s _ || true
    printf '\r       \r'
}

title() {
    echo
    paint '1;34' "== $1"
}

ask() {
    echo
    paint '1;33' "Question: $*"
    pause
}

why() {
    echo
    paint 32 "Why: $*"
    pause
}

say() {
    echo
    printf '%s\n' "$@" | fold -s -w $width | sed 's/ $//'
}

prompt() {
    if $color; then printf '\033[1m$ %s\033[0m\n' "$1"; else printf '$ %s\n' "$1"; fi
}

give_up() {
    echo "demo: $1" >&2
    exit 1
}

# ---- what runs, and its end ------------------------------------------------------------

tmp=$(mktemp -d) || exit 1

# The time a process started tells it from a later one with the same number.
record() {
    local stat
    STARTED+=("$1")
    mkdir -p "$RECORDS"
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    read -ra stat <<<"${stat##*) }"
    echo "${stat[19]}" >"$RECORDS/$1"
}

# end_group PID: kills the group, and the process should it not have got one yet.
end_group() {
    kill -KILL -- "-$1" "$1" 2>/dev/null
    wait "$1" 2>/dev/null
    rm -f "$RECORDS/$1"
}

# clean_up STATUS: ends all, and this demo. A second signal that comes before the first line
# is through does the whole of it, too.
clean_up() {
    trap '' INT TERM HUP
    trap - EXIT
    local p
    for p in "${STARTED[@]}" ${!:+"$!"}; do
        end_group "$p"
    done
    rm -rf "$tmp"
    if [ -n "$terminal" ]; then
        stty "$terminal"
        [ "$1" -eq 0 ] || echo # what comes next has a line of its own
    fi
    exit "$1"
}
trap 'clean_up $?' EXIT
trap 'clean_up 143' TERM
trap 'clean_up 129' HUP

# eventually COMMAND...: repeats it until it succeeds, for 10 seconds at most.
eventually() {
    local end=$((SECONDS + 10))
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.02
    done
}

# ---- commands --------------------------------------------------------------------------

typed() {
    local command=${1//\$PORT/$PORT}
    command=${command//\$SERVER/$SERVER}
    [ "$PORT" != 6168 ] || command=${command// -p 6168/}
    printf '%s' "$command"
}

tell_status() {
    local what=
    case $1 in
    0) return ;;
    124) what=': timeout has ended it' ;;
    129 | 13? | 14? | 15?) what=": killed by SIG$(kill -l "$1")" ;;
    esac
    echo "exit status $1$what"
}

# run: what changes this shell's descriptors runs in this shell; all else in a process group
# of its own, so that Ctrl-C is ours.
run() {
    local command status
    echo
    for command; do
        command=$(typed "$command")
        prompt "$command"
        case $command in
        exec\ *)
            eval "$command" 2>"$tmp/err"
            status=$?
            sed 's|^[^ ]*: \(line [0-9]*: \)*|bash: |' "$tmp/err"
            ;;
        *)
            setsid env --default-signal=INT,QUIT,PIPE \
                timeout -s KILL $LIMIT bash -c "$command" </dev/null 2>&1 &
            record $!
            wait $!
            status=$?
            end_group $!
            [ $status -ne 137 ] || give_up "this did not end in $LIMIT seconds: $command"
            ;;
        esac
        tell_status $status
    done
    pause
}

start() {
    local command
    command=$(typed "$1")
    echo
    prompt "$command &"
    setsid env --default-signal=INT,QUIT,PIPE bash -c "exec $command" \
        </dev/null >/dev/null 2>&1 &
    BACKGROUND=$!
    record "$BACKGROUND"
}

# finish: ends what `start` started.
finish() {
    echo
    prompt "kill %%"
    end_group "$BACKGROUND"
    pause
}

# ---- the server ------------------------------------------------------------------------

# port_argument: what to start a server with: nothing when the lecture's port is free, or 0.
port_argument() {
    if [ "$DEMO_PORT" != 6168 ] || grep -q ':1818 [0-9A-F:]* 0A' /proc/net/tcp /proc/net/tcp6; then
        echo " 0"
    fi
}

# server NN [COMMAND]: in COMMAND, SERVER stands for the server and its port.
server() {
    local command
    stop_server
    PROGRAM=./serviceserver$1
    command=$PROGRAM$(port_argument)
    [ $# -eq 1 ] || command=${2//SERVER/$command}
    echo
    prompt "$command &"
    case $command in # so that SERVER is the server, and no shell before it
    "(ulimit "*")") command=${command:1:-1} ;;
    "./"*) command="exec $command" ;;
    esac
    : >"$tmp/server"
    # Servers count descriptors from 3 on: they inherit no others.
    setsid env --default-signal=INT,QUIT,PIPE bash -c '
        for fd in /proc/self/fd/*; do
            fd=${fd##*/}
            ((fd <= 2)) || eval "exec $fd>&-"
        done
        eval "$1"' bash "$command" </dev/null >"$tmp/server" 2>&1 &
    SERVER=$!
    record "$SERVER"
    shown=0
    eventually listens || { cat "$tmp/server"; give_up "$PROGRAM does not listen"; }
    PORT=$(sed -n 's/^listening on .* port //p' "$tmp/server" | tail -n 1)
    show_server
    pause
}

listens() {
    grep -q '^listening' "$tmp/server"
}

# What the server has written since it was last shown.
show_server() {
    tail -n "+$((shown + 1))" "$tmp/server"
    shown=$(wc -l <"$tmp/server")
}

server_says() {
    eventually server_has_said "$1" || give_up "$PROGRAM does not say \"$1\""
    say "The server says:"
    show_server
    pause
}

server_has_said() {
    tail -n "+$((shown + 1))" "$tmp/server" | grep -q -- "$1"
}

# ended PID: it is gone or a zombie.
ended() {
    ! grep -qs '^State:.[^ZX]' "/proc/$1/status"
}

# shellcheck disable=SC2120 # WHO may be left out
server_ends() {
    local status
    eventually ended "$SERVER" || give_up "$PROGRAM does not end"
    wait "$SERVER"
    status=$?
    echo
    show_server
    echo "${1:-$PROGRAM} has ended: $(tell_status $status | grep . || echo exit status 0)"
    rm -f "$RECORDS/$SERVER"
    SERVER=
    pause
}

stop_server() {
    local client
    for client in A B C D; do
        [ -z "${!client}" ] || eval "exec {$client}>&-"
        printf -v "$client" ''
    done 2>/dev/null
    [ -z "$SERVER" ] || end_group "$SERVER"
    SERVER=
}

# evidence PATTERN [SECONDS]: the pattern says what we wait for; shown is what there is. With
# SECONDS, look tells how much of a core the server used in them.
evidence() {
    echo
    prompt "l23/demo/look $PORT${2:+ $2}"
    eventually looks_like "$@" || { cat "$tmp/look"; give_up "this does not match \"$1\""; }
    cat "$tmp/look"
    pause
}

looks_like() {
    l23/demo/look "$PORT" ${2:+"$2"} >"$tmp/look" 2>&1
    tr '\n' ' ' <"$tmp/look" | grep -q -- "$1"
}
