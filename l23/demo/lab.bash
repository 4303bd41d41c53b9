# lab.bash: what the labs nat, balance and cache have beyond common.bash. Sourced before it.
#
#   needs COMMAND PACKAGE...   skips the lab where a command is missing, and says what to install
#   namespaces OPTION...       starts the script again in namespaces of its own (unshare(1)),
#                              as their root; skips the lab where that is not permitted
#   serve NAME COMMAND         shows a server's command, starts it and waits until it listens;
#                              sets the variable NAME to its process id
#   end NAME                   kills it and its workers, and waits for that

# shellcheck shell=bash
# shellcheck disable=SC2154 # common.bash sets tmp
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

skip() {
    echo "${0##*/}: skipped: $1"
    exit 0
}

needs() {
    local missing=()
    while [ $# -gt 0 ]; do
        command -v "$1" >/dev/null || [[ " ${missing[*]} " == *" $2 "* ]] || missing+=("$2")
        shift 2
    done
    [ ${#missing[@]} -eq 0 ] || skip "not installed: ${missing[*]} (apt-get install ${missing[*]})"
}

# What is started there, mounted there and configured there ends with the script: the kernel
# ends all processes of a process id namespace with its first one, and then nothing holds
# the other namespaces.
namespaces() {
    [ -z "${IN_THE_LAB:-}" ] || return 0
    local as_root=(--user --map-root-user)
    unshare "${as_root[@]}" "$@" true 2>/dev/null || as_root=()
    local error
    error=$(unshare "${as_root[@]}" "$@" true 2>&1) ||
        skip "this machine does not let me have namespaces of my own ($error)"
    IN_THE_LAB=1 exec unshare "${as_root[@]}" "$@" "$0"
}

serve() {
    prompt "$2 &"
    : >"$tmp/$1"
    setsid env --default-signal=INT,QUIT,PIPE bash -c "$2" </dev/null >"$tmp/$1" 2>&1 &
    printf -v "$1" %s $!
    record $!
    disown # bash would tell how it ended
    eventually grep -q "^listening" "$tmp/$1" || {
        cat "$tmp/$1"
        give_up "the server does not listen"
    }
    cat "$tmp/$1"
    pause
}

end() {
    prompt "kill -KILL -- -\$$1"
    kill -KILL -- "-${!1}" 2>/dev/null
    eventually gone "${!1}" || give_up "$1 does not end"
    end_group "${!1}"
}

# gone PID: of this process group nobody is alive.
gone() {
    ! cat /proc/[0-9]*/stat 2>/dev/null | grep -qE "^[0-9]+ \(.*\) [^ZX] [0-9]+ $1 "
}
