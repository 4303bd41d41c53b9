# measure.bash: servers are started, asked, looked at and ended: for bench and million
#
# Every server runs on the last core, every client on the first, where there are two. One
# server runs at a time, or a group of them; `stop` ends it, and so does any exit.

BIN=${BIN:-./}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # haproxy and others live there
export LC_ALL=C                            # numbers have a point
unset L23_HOST                             # all listen on 127.0.0.1, and are asked there

tmp=$(mktemp -d) || exit 1
servers=()   # process ids of what runs now
helpers=()   # and of clients in the background
declare -A got # what the last blaster has reported

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

clean_up() {
    trap '' INT TERM HUP
    stop_clients
    stop
    [ -z "$group" ] || eventually rmdir "$group" 2>/dev/null
    rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# eventually COMMAND...: repeats it until it succeeds; fails after half a minute without.
eventually() {
    local end=$((SECONDS + 30))
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.01
    done
}

has() {
    command -v "$1" >/dev/null
}

# Pinning: the client shall not take the server's time, nor the other way round.
cores=$(nproc)
client_core=() server_core=()
if ((cores >= 2)) && taskset -c 0,1 true 2>/dev/null; then
    client_core=(taskset -c 0)
    server_core=(taskset -c 1)
fi

# CPU time. A control group counts all that its processes use, in microseconds, also what
# those have used that nobody waits for when they end: serviceserver06's children. Only root
# may make one; without, /proc has to do, and 06 cannot be seen whole.
group=
make_group() {
    local mounted
    mounted=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    [ -n "$mounted" ] && mkdir "$mounted/l23-$$" 2>/dev/null || return 0
    group=$mounted/l23-$$
    [ -w "$group/cgroup.procs" ] && grep -q '^usage_usec' "$group/cpu.stat" && return
    rmdir "$group"
    group=
}
make_group

# server_pids: all processes of the servers that run now.
server_pids() {
    if [ -n "$group" ]; then
        cat "$group/cgroup.procs"
    else
        local new=("${servers[@]}") pid
        while ((${#new[@]})); do
            printf '%s\n' "${new[@]}"
            for pid in "${new[@]}"; do
                cat "/proc/$pid/task/"*/children 2>/dev/null
            done >"$tmp/children"
            read -ra new -d '' <"$tmp/children"
        done
    fi
}

# cpu_us: CPU time that the servers have used so far, in microseconds.
cpu_us() {
    if [ -n "$group" ]; then
        awk '$1 == "usage_usec" { print $2 }' "$group/cpu.stat"
    else
        local pid
        for pid in $(server_pids); do
            cat "/proc/$pid/stat" 2>/dev/null
        done | awk -v tick="$(getconf CLK_TCK)" '
            { sub(/.*\) /, ""); sum += $12 + $13 + $14 + $15 }
            END { printf "%.0f\n", sum * 1e6 / tick }'
    fi
}

# memory_kib: proportional set size of the servers' processes: what several share counts for
# each of them in part.
memory_kib() {
    local pid
    for pid in $(server_pids); do
        cat "/proc/$pid/smaps_rollup" 2>/dev/null
    done | awk '$1 == "Pss:" { sum += $2 } END { print sum + 0 }'
}

# kernel_kib: memory that the kernel holds for itself: sockets and other objects (slab), the
# stacks and page tables of all processes. The whole machine's: a difference tells something.
kernel_kib() {
    awk '/^(Slab|KernelStack|PageTables|Percpu):/ { sum += $2 } END { print sum }' /proc/meminfo
}

# launch COMMAND...: starts one more server process, with no descriptors but 0 to 2. What it
# says is in $tmp/err.
launch() {
    : >"$tmp/err"
    (
        [ -z "$group" ] || echo 0 >"$group/cgroup.procs"
        for fd in "/proc/$BASHPID/fd/"*; do
            fd=${fd##*/}
            ((fd <= 2)) || eval "exec $fd>&-"
        done
        exec "${server_core[@]}" "$@"
    ) </dev/null >"$tmp/out" 2>"$tmp/err" &
    servers+=($!)
}

# stop: ends all servers, and what they have started.
stop() {
    local pid
    for pid in "${servers[@]}"; do
        kill "$pid" && wait "$pid"
    done 2>/dev/null
    servers=()
    if [ -n "$group" ] && ! eventually group_is_empty; then
        while read -r pid; do
            kill -KILL "$pid"
        done <"$group/cgroup.procs" 2>/dev/null
        eventually group_is_empty
    fi
}

group_is_empty() {
    ! grep -q . "$group/cgroup.procs"
}

# stop_clients: at once. A blaster that holds connections would ask once more on each, first.
stop_clients() {
    ((${#helpers[@]} == 0)) || {
        kill -KILL "${helpers[@]}"
        wait "${helpers[@]}"
    } 2>/dev/null
    helpers=()
}

# listens PORT: somebody does.
listens() {
    grep -qE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$1") [0-9A-F:]+ 0A " /proc/net/tcp
}

# pick_port: sets port to one on which nobody listens. Connections come from higher ones.
pick_port() {
    port=$((20000 + (RANDOM + $$) % 10000))
    while listens "$port"; do
        port=$((port + 1))
    done
}

said_port() {
    port=$(sed -n 's/^listening on .* port //p' "$tmp/err")
    [ -n "$port" ]
}

# start_ours PROGRAM [OPTION...]: one of our servers; sets port.
start_ours() {
    launch "${BIN}$1" "${@:2}" 0
    eventually said_port || fail "$1 does not listen: $(cat "$tmp/err")"
}

# start_theirs COMMAND...: another server, which listens on $port sooner or later.
start_theirs() {
    launch "$@"
    eventually listens "$port" || fail "$1 does not listen: $(cat "$tmp/err")"
}

# blaster ARGUMENT...: runs it against $port; ${got[KEY]} is then what it has reported.
blaster() {
    local key value
    "${client_core[@]}" "${BIN}serviceblaster" -p "$port" --tsv "$@" >"$tmp/blaster" 2>"$tmp/blaster.err"
    got=()
    while IFS=$'\t' read -r key value; do
        got[$key]=$value
    done <"$tmp/blaster"
    [ -n "${got[answers]-}" ] || fail "serviceblaster $*: $(cat "$tmp/blaster.err")"
}

# Samples: each is a line ROUND TABLE ROW COLUMN VALUE, with tabs.
sample() {
    printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$tmp/samples"
}

# medians: over the rounds, a line TABLE ROW COLUMN MEDIAN each.
medians() {
    sort -t $'\t' -k 2,4 -k 5,5g "$tmp/samples" | awk -F '\t' '
        function put(  m) {
            m = n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
            if (n) print key "\t" m
        }
        { k = $2 "\t" $3 "\t" $4 }
        k != key { put(); key = k; n = 0 }
        { v[++n] = $5 }
        END { put() }'
}

# ratio TABLE ROW COLUMN TABLE ROW COLUMN: the median, over the rounds, of the first over the
# second in the same round; nothing when one of them has not been measured.
ratio() {
    awk -F '\t' -v a="$1 $2 $3" -v b="$4 $5 $6" '
        $2 " " $3 " " $4 == a { x[$1] = $5 }
        $2 " " $3 " " $4 == b { y[$1] = $5 }
        END { for (i in x) if (y[i] + 0) print x[i] / y[i] }' "$tmp/samples" |
        sort -g | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# The machine, in a few words.
machine() {
    local model
    model=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)
    echo "$cores cores, ${model:-CPU model not readable}, $(uname -s) $(uname -r)," \
        "$(awk '/^MemTotal/ { printf "%.0f GB", $2 / 1e6 }' /proc/meminfo)"
}

load_average() {
    cut -d ' ' -f 1 /proc/loadavg
}
