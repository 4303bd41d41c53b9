#!/usr/bin/env bats
# l23/checkmine: does my program do what a step does?

load helper

# check SERVER STEP [ONLY]
check() {
    SERVER=$1 ONLY=${3:-} l23/checkmine "$2" "tests/serviceserver$2.bats"
}

has() {
    [[ $'\n'$output$'\n' == *$1* ]] || fail "no '$1' in: $output"
}

@test "04 does what 04 does" {
    L23_WAIT=10 run -0 check "${BIN}serviceserver04" 04 'three clients|zombie|default|port 0'
    has $'\n  yes      three clients at once are all answered'
    has "has all 3 behaviours of step 04."
}

@test "03 checked as 04: what is missing is named, with the reason; hints are not forced" {
    L23_WAIT=1 run -1 check "${BIN}serviceserver03" 04 'three clients|zombie|names, aliases'
    has $'\n  MISSING  three clients at once are all answered'
    has $'\n  NO FLAW  a child that has served its client stays as a zombie'
    has $'\n             zombies after 5 clients: 5 wanted, but found: 0\n'
    has $'\n  yes      names, aliases, protocols\n'
    has "${BIN}serviceserver03 does not have them."
    has "Of 3 behaviours of step 04, 1 are missing from ${BIN}serviceserver03:"
    has "HINT=1"
    [[ $output != *hint:* ]]
    HINT=1 L23_WAIT=1 run -1 check "${BIN}serviceserver03" 04 zombie
    has 'hint: This step has that flaw: nobody waits for the children.'
}

@test "a program that is not there, or no program, or no server: one clear error" {
    run -2 check ./nosuch 04
    same "it says" "check-04: there is no program ./nosuch." "$output"
    run -2 check Makefile 04
    has "is not a program"
    run -2 check /bin/true 04
    has 'does not say "listening on'
    run -2 check "${BIN}serviceserver04" 04 nosuchbehaviour
    has "no test has been run"
}

@test "every hint fits a behaviour, and every behaviour of the lecture's hour has one" {
    for file in tests/serviceserver[0-9][0-9].bats; do
        sed -n "s/^@test \"\(.*\)\" {.*/${file//[^0-9]/}|\1/p" "$file"
    done >"$RUN_DIR/names"
    # shellcheck disable=SC2016 # awk's own
    run -0 awk -F '|' '
        NR == FNR && $3 {
            part[++n] = $2
            gsub(/\*/, ".*", $1)
            steps[n] = "^" $1 "$"
        }
        NR != FNR {
            for (i = 1; i <= n; i++)
                if ($1 ~ steps[i] && index($2, part[i]))
                    break
            if (i > n && $1 < "08")
                print "no hint: " $0
            for (; i <= n; i++)
                if ($1 ~ steps[i] && index($2, part[i]))
                    used[i] = 1
        }
        END {
            for (i = 1; i <= n; i++)
                if (!used[i])
                    print "no such behaviour: " steps[i] " " part[i]
        }' <(grep -v '^#' l23/hints) "$RUN_DIR/names"
    same "it says" '' "$output"
}
