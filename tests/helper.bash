# helper.bash: what the tests share. Loaded by every bats file: `load helper`.
#
# A server under test is started on a port that the kernel picks, in a process group of
# its own, with none of bats' descriptors; teardown ends the group. Tests look for their
# evidence in /proc and wait for it with `eventually`, never with a bare sleep.

bats_require_minimum_version 1.7.0

cd "$BATS_TEST_DIRNAME/.." || exit 1
BIN=${BIN:-./}
CLIENT=${BIN}tests/client
RUN_DIR=
PIDS=()              # process groups that teardown ends
declare -gA CLIENTS # what `hold` started, by name

setup() {
    RUN_DIR=$BATS_TEST_TMPDIR
}

teardown() {
    local pid reports
    {
        for pid in "${PIDS[@]}"; do
            eventually kill_group "$pid"
        done
        for pid in "${PIDS[@]}"; do
            wait "$pid"
            eventually no_group "$pid" || echo "process group $pid is still there"
        done
    } 2>/dev/null # bash tells there who was killed, at great length
    # What a sanitizer reports in any program that a test has spawned fails the test.
    if reports=$(grep -sE -A 30 'WARNING: ThreadSanitizer|ERROR: [A-Za-z]*Sanitizer|runtime error:' \
        "$RUN_DIR"/*.err); then
        echo "$reports"
        return 1
    fi
    return 0
}

# kill_group PID: false when it has just been started and has no group yet.
kill_group() {
    kill -KILL -- "-$1" || ended "$1"
}

# no_group PID: nobody in this process group is alive. Zombies whose parent has ended are left
# to init, which may take its time.
no_group() {
    ! kill -0 -- "-$1" 2>/dev/null ||
        ! cat /proc/[0-9]*/stat 2>/dev/null | grep -qE "^[0-9]+ \(.*\) [^ZX] [0-9]+ $1 "
}

# eventually COMMAND...: repeats it until it succeeds; fails after 10 seconds (or L23_WAIT) without.
eventually() {
    local end=$((SECONDS + ${L23_WAIT:-10}))
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.02
    done
}

# spawn NAME COMMAND...: starts it in a process group of its own, which teardown ends; its
# output goes to $RUN_DIR/NAME.out and NAME.err. Sets SPAWNED. The inner shell closes every
# descriptor that bats has left open, for servers count theirs from 3; env takes back that a
# shell starts background commands with SIGINT ignored. LIMITS="-n 64 -s 1024" sets limits.
spawn() {
    local name=$1
    shift
    # What an earlier one of this name has said is gone from here on, not only once this runs.
    : >"$RUN_DIR/$name.out" 2>"$RUN_DIR/$name.err"
    # shellcheck disable=SC2016 # the inner shell expands this
    LIMITS=${LIMITS:-} setsid env --default-signal=INT,QUIT,PIPE bash -c '
        for fd in /proc/self/fd/*; do
            fd=${fd##*/}
            ((fd <= 2)) || eval "exec $fd>&-"
        done
        read -ra limits <<<"$LIMITS"
        for ((i = 0; i < ${#limits[@]}; i += 2)); do
            ulimit "${limits[i]}" "${limits[i + 1]}" || exit 99
        done
        unset LIMITS
        exec "$@"' bash "$@" </dev/null >"$RUN_DIR/$name.out" 2>"$RUN_DIR/$name.err" &
    SPAWNED=$!
    PIDS+=("$SPAWNED")
}

# start_server NN [ARGUMENT...]: starts serviceserverNN, or $SERVER, with these arguments (0
# unless given: a port that the kernel picks) and waits until it listens. WITH="nice -n 5"
# is a command to run it by. Sets PID and PORT; what it says is in $RUN_DIR/server.err.
start_server() {
    local program=${SERVER:-${BIN}serviceserver$1} with
    shift
    read -ra with <<<"${WITH:-}"
    spawn server "${with[@]}" "$program" "${@:-0}"
    export PID=$SPAWNED
    PORT=
    if ! eventually listening; then
        echo "the server does not say which port it listens on; it said:" >&2
        cat "$RUN_DIR/server.err" >&2
        return 1
    fi
}

listening() {
    PORT=$(sed -n 's/^listening on .* port \([0-9]*\)$/\1/p' "$RUN_DIR/server.err" | tail -n 1)
    [ -n "$PORT" ]
}

# ask TEXT: one client sends the text (printf escapes), closes its sending side and prints
# what comes until end of file.
ask() {
    # shellcheck disable=SC2059 # the text is meant as a format
    printf "$1" | "$CLIENT" "$PORT" talk
}

# hold NAME ACTION...: a client in the background does the actions and keeps its connection
# until `leave NAME`. Returns when the actions are done. $RUN_DIR/NAME.out has its output.
hold() {
    local name=$1
    shift
    spawn "$name" "$CLIENT" "$PORT" "$@" say held until "$RUN_DIR/$name.leave"
    CLIENTS[$name]=$SPAWNED
    eventually held_or_ended "$name"
    said "$name" held && return
    fail "client $name: not done in time: $*; it has got" "$(tail -n 3 "$RUN_DIR/$name.out")," \
        "and says: $(<"$RUN_DIR/$name.err")"
}

held_or_ended() {
    said "$1" held || ended "${CLIENTS[$1]}"
}

# said NAME LINE: NAME has printed this line.
said() {
    grep -qsxF -- "$2" "$RUN_DIR/$1.out"
}

# leave NAME: that client closes its connection; returns when it has ended.
leave() {
    touch "$RUN_DIR/$1.leave"
    exit_status "${CLIENTS[$1]}"
}

# hang_up N: N clients (100 at most: the backlog) ask and break their connections off, while
# the server stands still: it finds the request and can't answer it any more. With an end of
# file before the reset, its first write meets EPIPE, and so SIGPIPE, without fail.
hang_up() {
    local before
    before=$(connections)
    kill -STOP "$PID"
    eventually stopped "$PID"
    "$CLIENT" "$PORT" abandon $(($1 - 1)) 'discard\n' send 'discard\n' half reset
    # The kernel has seen the resets as well.
    want "connections while the server stands still" "$before" connections
    kill -CONT "$PID"
    want "connections that wait for accept" 0 queued
}

stopped() {
    grep -qs '^State:.T' "/proc/$1/status"
}

# Evidence, from the kernel.

# children PID [STATES]: how many children it has, or how many in these states (Z: zombies).
children() {
    cat /proc/[0-9]*/stat 2>/dev/null |
        sed -n "s/^\([0-9]*\) (.*) \([A-Z]\) $1 .*/\1 \2/p" | grep -c " [${2:-A-Z}]$"
}

# child_pids PID: their process ids, a line each.
child_pids() {
    cat /proc/[0-9]*/stat 2>/dev/null | sed -n "s/^\([0-9]*\) (.*) [A-Z] $1 .*/\1/p"
}

# threads PID, descriptors PID: how many it has.
threads() {
    find "/proc/$1/task" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l
}
descriptors() {
    find "/proc/$1/fd" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l
}

# local_end [PORT]: the server's end of a connection in /proc/net/tcp, as a regular expression.
# Another test's server may have the same port on another address: L23_HOST, if set, counts.
local_end() {
    local bytes address=7F000001
    if [[ ${L23_HOST:-} =~ ^[0-9]+(\.[0-9]+){3}$ ]]; then
        IFS=. read -ra bytes <<<"$L23_HOST"
        printf -v address %02X "${bytes[@]}"
    fi
    # The bytes of an address stand there in the machine's order, the other way round on most.
    echo "\($address\|${address:6:2}${address:4:2}${address:2:2}${address:0:2}\|00000000\):$(printf %04X "${1:-$PORT}")"
}

# sockets STATE [PORT]: how many IPv4 sockets with this local port are in the state.
sockets() {
    local -A code=([ESTABLISHED]=01 [FIN_WAIT2]=05 [TIME_WAIT]=06 [CLOSE_WAIT]=08 [LISTEN]=0A)
    grep -c "^ *[0-9]*: $(local_end "${2:-}") [0-9A-F]*:[0-9A-F]* ${code[$1]} " \
        /proc/net/tcp
}

# connections: how many there are on the server's side, its own closing ones left out.
connections() {
    grep -c "^ *[0-9]*: $(local_end) [0-9A-F:]* \(01\|03\|08\) " /proc/net/tcp
}

# queued [PORT]: how many connections the kernel holds for accept.
queued() {
    local hex
    hex=$(sed -n "s/^ *[0-9]*: $(local_end "${1:-}") [0-9A-F:]* 0A [0-9A-F]*:\([0-9A-F]*\) .*/\2/p" /proc/net/tcp | tail -n 1)
    echo $((16#${hex:-0}))
}

# listening_inode [PORT]: the inode of the IPv4 socket that listens there; another socket, even
# on the same port, has another one.
listening_inode() {
    sed -n "s/^ *[0-9]*: $(local_end "${1:-}") [0-9A-F:]* 0A \([^ ]* *\)\{5\}\([0-9]*\) .*/\3/p" \
        /proc/net/tcp | sort -u
}

# is NUMBER COMMAND...: the command prints this number. For `eventually is 3 children $PID`.
is() {
    local wanted=$1
    shift
    [ "$("$@")" = "$wanted" ]
}

# ended PID: the process is gone or a zombie.
ended() {
    ! grep -qs '^State:.[^ZX]' "/proc/$1/status"
}

# want WHAT NUMBER COMMAND...: waits until the command prints the number; if it never does,
# says what was missing. For `want "children of the server" 3 children "$PID"`.
want() {
    local what=$1
    shift
    eventually is "$@" && return
    echo "$what: $1 wanted, but found: $("${@:2}")"
    return 1
}

# fail REASON...: prints the reason and fails.
fail() {
    echo "$@"
    return 1
}

# lives PID WHAT: the process is running; or else it says what has ended.
lives() {
    ! ended "$1" || fail "$2 has ended"
}

# same WHAT WANTED FOUND: the two are equal, or else it says what was missing.
same() {
    [ "$2" = "$3" ] && return
    printf '%s: wanted:\n%s\nbut found:\n%s\n' "$1" "$2" "$3"
    return 1
}

# server_says LINE: waits until the server has printed this line on stderr.
server_says() {
    eventually grep -qsxF -- "$1" "$RUN_DIR/server.err" && return
    echo "the server does not say '$1'; it said:"
    cat "$RUN_DIR/server.err"
    return 1
}

# exit_status PID: waits for a spawned process and returns its exit status.
exit_status() {
    eventually ended "$1" || return 124
    wait "$1"
}

# crowds N: skips where a process may not have so many descriptors.
crowds() {
    [ "$(ulimit -Hn)" = unlimited ] || (($(ulimit -Hn) >= $1)) || skip "ulimit -Hn is below $1"
}

# with_two_ports COMMAND...: runs it in a network of its own, where connections can come from
# the ports 40000 and 40001 only: the first of those to 40000 comes from there.
with_two_ports() {
    command -v ip >/dev/null || skip "ip is not installed (apt-get install iproute2)"
    unshare --user --map-root-user --net sh -c \
        'echo "40000 40001" >/proc/sys/net/ipv4/ip_local_port_range' 2>/dev/null ||
        skip "network namespaces are not permitted here"
    # shellcheck disable=SC2016 # the inner shell expands this
    unshare --user --map-root-user --net bash -c '
        ip link set lo up &&
            echo "40000 40001" >/proc/sys/net/ipv4/ip_local_port_range && exec "$@"' bash "$@"
}

# sanitized: the programs are a sanitizer's build.
sanitized() {
    [[ $BIN == *address* || $BIN == *thread* ]]
}

# unsanitized: skips a test that a sanitizer's own memory, threads or descriptors would spoil.
unsanitized() {
    case $BIN in
    *address* | *thread*) skip "not under a sanitizer: it $1" ;;
    esac
}
