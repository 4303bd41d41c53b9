#!/usr/bin/env bats
# balance: HAProxy in front of three servers, in a network of its own

load helper
load lab

@test "HAProxy: one server is killed, one is added, and nobody is refused or answered wrongly" {
    export ROUNDS=1 SECONDS_EACH=0.1
    start_lab balance
    lab_succeeded

    # In turn, among those that are there; then without the dead one, and with the new one.
    shows 'which, 1' 'which, 2' 'which, 1' 'which, 2' 'which, 1'
    shows 'HAProxy says:' 'Server l23/two is DOWN, reason: Layer4 connection problem'
    shows 'HAProxy says:' 'Server l23/three is UP, reason: Layer7 check passed'
    same "who answers at last" 'which, 1 which, 3' \
        "$(sed -n '/Who answers now/,$p' "$RUN_DIR/lab.out" | grep '^which, ' | sort -u | xargs)"

    # The clients lose no more than what is in flight: 30 questions, or, if the server's processes
    # take their time to die one by one, those and their successors.
    local -A n
    local key value
    while read -r key value _; do
        n[$key]=$value
    done < <(grep -E '^(attempted|answered|refused|reset|closed|wrong|unfinished) ' "$RUN_DIR/lab.out")
    [ "${n[answered]}" -ge 30 ]
    same "refused and wrong" "0 0" "${n[refused]} ${n[wrong]}"
    run ! grep 'timed out *[1-9]' "$RUN_DIR/lab.out"
    ((n[reset] + n[closed] <= 60)) || fail "${n[reset]} reset, ${n[closed]} closed"
    ((n[answered] + n[reset] + n[closed] + ${n[unfinished]:-0} == n[attempted]))

    # What it costs.
    grep -E '^lasting connections +[0-9]+ +[0-9]+ +[0-9.]+$' "$RUN_DIR/lab.out"
    grep -E '^a connection per question +[0-9]+ +[0-9]+ +[0-9.]+$' "$RUN_DIR/lab.out"
    no_trace
}

@test "HAProxy's lab ends at Ctrl-C, with clients and all, and leaves no trace" {
    start_lab balance
    eventually lab_says '^Server l23/two is DOWN'
    kill -INT -- "-$LAB"
    lab_ended
    no_trace
}
