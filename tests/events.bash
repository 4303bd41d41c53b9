# shellcheck shell=bash disable=SC2153 # helper.bash sets CLIENT
# events.bash: evidence for the servers after the hour, 08 to 12. Loaded after rules.bash.

# On a machine that is busy with other things, there are enough of these.
((${L23_WAIT:-0} >= 30)) || export L23_WAIT=30

# ticks PID: how much CPU time it has used, in hundredths of a second.
ticks() {
    awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"
}

# group_ticks PGID: the same, of all processes of the group.
group_ticks() {
    local pid sum=0
    for pid in $(group "$1"); do
        sum=$((sum + $(ticks "$pid" 2>/dev/null || echo 0)))
    done
    echo "$sum"
}

# naps PID: how often it has gone to sleep of its own will.
naps() {
    sed -n 's/^voluntary_ctxt_switches:[^0-9]*//p' "/proc/$1/status"
}

# sleeps PID [NAPS]: there is an idle second in which it uses no CPU time to speak of, and is
# awakened NAPS times (0) or, for what happens nearby, a few times more. Who spins has none.
sleeps() {
    local used napped most=$((${2:-0} + 5))
    for _ in 1 2 3 4 5; do
        used=$(ticks "$1")
        napped=$(naps "$1")
        sleep 1 # this second is what is measured
        used=$(($(ticks "$1") - used))
        napped=$(($(naps "$1") - napped))
        if ((used <= 5)) && { sanitized || ((napped <= most)); }; then
            return
        fi
    done
    fail "it does not sleep: $used hundredths of CPU time in an idle second, awakened $napped times"
}

# spins PID: it has work for a whole core, although nobody asks. Of the time it takes to use 50
# hundredths of CPU time it spends none asleep: it runs, or waits for a core.
spins() {
    local used napped
    napped=$(naps "$1")
    used=$(($(ticks "$1") + 50))
    eventually has_used "$1" "$used" || fail "it does not use a core: $(ticks "$1") of $used"
    napped=$(($(naps "$1") - napped))
    ((napped <= 5)) || fail "it sleeps: $napped times"
}
has_used() {
    (($(ticks "$1") >= $2))
}

# a_crowd N [NAME]: a client holds N connections, each of which has been answered.
a_crowd() {
    hold "${2:-crowd}" send 'discard\n' lines 1 crowd $(($1 - 1)) 'discard\n' ||
        fail "not all of $1 clients are answered, but $(wc -l <"$RUN_DIR/${2:-crowd}.out")"
    same "answers" "$1" "$(grep -cxF 'discard, 9' "$RUN_DIR/${2:-crowd}.out")"
}

# holds N: the server has N descriptors more than at `note_descriptors`. Quicker than to look for its
# connections among all those of the machine.
note_descriptors() {
    BEFORE=$(descriptors "$PID")
}
holds() {
    want "connections that the server holds" $((BEFORE + $1)) descriptors "$PID"
}

# the_silent N [NAME]: a client holds N connections and says nothing on them.
the_silent() {
    crowds $(($1 + 100))
    LIMITS="-n $(ulimit -Hn)" hold "${2:-silent}" more $(($1 - 1)) ||
        fail "a silent client can't connect: $(<"$RUN_DIR/${2:-silent}.err")"
}

# waits_in_vain NAME: NAME asks, is connected and stays in the kernel's queue.
waits_in_vain() {
    # It waits for longer than the test does.
    L23_WAIT=120 spawn "$1" "$CLIENT" "$PORT" send 'discard\n' lines 1 half eof say bye
    CLIENTS[$1]=$SPAWNED
    want "connections that wait for accept" "${2:-1}" queued
    same "what $1 got" '' "$(<"$RUN_DIR/$1.out")"
}

# is_served_now NAME: who has waited in vain gets the answer after all.
is_served_now() {
    eventually said "$1" bye ||
        fail "$1 has waited, and is not answered now: $(cat "$RUN_DIR/$1".{out,err})"
    same "what $1 got" $'discard, 9\nbye' "$(<"$RUN_DIR/$1.out")"
}

# no_descriptor_left PLACES [PID]: with so many descriptors for clients, one more client waits, the
# process (the server) lives and, unless it is one that never sleeps, sleeps; it goes on when the
# others leave.
no_descriptor_left() {
    a_crowd "$1"
    waits_in_vain late
    lives "$PID" "the server"
    [ -n "${NEVER_SLEEPS:-}" ] || sleeps "${2:-$PID}" 10
    leave crowd
    is_served_now late
    a_crowd "$1" again
}

# private PID...: kB of memory that are these processes' own.
private() {
    local pid
    for pid in "$@"; do
        cat "/proc/$pid/smaps_rollup"
    done | awk '/^Private_/ { sum += $2 } END { print sum }'
}

# rule_half_lines_leave_nothing [PID]: what clients have sent who leave in the middle of a line
# is not kept: 2,000 of them send 2 MB.
rule_half_lines_leave_nothing() {
    local pid=${1:-$PID} half before grown
    half=$(printf 'x%.0s' {1..1000})
    "$CLIENT" "$PORT" drop 50 "$half" # whatever is needed only once is there now
    want "connections" 0 connections
    before=$(private "$pid")
    "$CLIENT" "$PORT" drop 2000 "$half"
    want "connections" 0 connections
    is_answered
    grown=$(($(private "$pid") - before))
    sanitized || ((grown < 512)) || fail "it has grown by $grown kB"
}

# cost_of N: hundredths of CPU time that N answers to one client cost the server.
cost_of() {
    local before
    before=$(ticks "$PID")
    "${BIN}serviceblaster" -p "$PORT" -n "$1" 1 >"$RUN_DIR/cost.out" 2>&1 || fail "$(<"$RUN_DIR/cost.out")" >&2
    echo $(($(ticks "$PID") - before + 1))
}

# blast NAME OPTION...: the blaster asks, in the background. `blasted NAME`: all was answered, and
# rightly.
blast() {
    spawn "$1" "${BIN}serviceblaster" -p "$PORT" -w 20 "${@:2}"
    CLIENTS[$1]=$SPAWNED
}
blasted() {
    local status=0
    exit_status "${CLIENTS[$1]}" || status=$?
    ((status == 0)) || fail "not all was answered (exit status $status):
$(cat "$RUN_DIR/$1".{out,err})"
}

# listening_inodes PID...: the listening sockets that these processes have, without doubles.
listening_inodes() {
    local inode pid
    inode=$(sed -n "s/^ *[0-9]*: [0-9A-F]*:$(printf %04X "$PORT") [0-9A-F:]* 0A \([0-9A-F:]* *\)\{3\} *[0-9]* *[0-9]* *\([0-9]*\) .*/\2/p" /proc/net/tcp)
    for pid in "$@"; do
        find "/proc/$pid/fd" -lname "socket:\[$inode\]" -printf "socket $inode\n"
    done
}

# as_somebody NN PROCESSES: starts the server as a user who has no process and no name, who may
# have so many processes; sets AS, a command that runs others as this user. Root is not bound by that limit, and other users have processes.
as_somebody() {
    local uid dir status=0
    [ "$(id -u)" -eq 0 ] || skip "only root can become a user who has no processes yet"
    for _ in {1..100}; do
        uid=$((20000 + RANDOM))
        getent passwd "$uid" >/dev/null ||
            [ -n "$(find /proc -maxdepth 1 -uid "$uid" -print -quit 2>/dev/null)" ] || break
    done
    dir=$(mktemp -d)
    chmod 755 "$dir"
    cp "${SERVER:-${BIN}serviceserver$1}" "$dir/server"
    AS=(setpriv "--reuid=$uid" "--regid=$uid" --clear-groups)
    if "${AS[@]}" "$dir/server" "no port" 2>/dev/null; [ $? -ne 2 ]; then
        rm -r "$dir"
        skip "cannot run a program in $dir as another user than root"
    fi
    LIMITS="-Su $2" WITH="${AS[*]}" SERVER=$dir/server start_server "$1" "${@:3}" || status=$?
    rm -r "$dir"
    return "$status"
}
