#!/usr/bin/env bats
# serviceparser: a filter that looks up services
#
# shellcheck disable=SC2016 # what stands in single quotes, inner shells expand
# shellcheck disable=SC2030,SC2031 # every test is a subshell, and sets a status of its own

load helper
load rules

PARSER=${SERVER:-${BIN}serviceparser}
GETSERV=${BIN}tests/getserv

# For rules.bash: the questions go through a pipe.
through_a_pipe() {
    shift
    utter "$@" | timeout 20 "$PARSER"
}
# shellcheck disable=SC2034 # for rules.bash
ASK=through_a_pipe

# one_of NAME: the process of this name (a program's, without its path) in the group SPAWNED.
one_of() {
    local pid
    for pid in $(group "$SPAWNED"); do
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != "${1:0:15}" ] || echo "$pid"
    done
}

count_of() {
    one_of "$1" | wc -l
}

# has_written PID BYTES: the process has written so many bytes, or more, in all.
has_written() {
    (($(sed -n 's/^wchar: //p' "/proc/$1/io") >= $2))
}

# open_input: a named pipe that the test writes to through the descriptor $in, and that ends
# when it closes that.
open_input() {
    mkfifo "$RUN_DIR/in"
    exec {in}<>"$RUN_DIR/in"
}

@test "a stack of 64 KiB is enough" {
    unsanitized "needs more itself"
    run -0 bash -c 'ulimit -s 64; echo discard | "$1"' bash "$PARSER"
    same "answer" 'discard, 9' "$output"
}

@test "a thousand lines that come at once cost one read and one write" {
    local reads writes
    open_input
    yes discard | head -n 1000 >"$RUN_DIR/block"
    spawn parser bash -c 'exec "$1" <"$2"' bash "$PARSER" "$RUN_DIR/in"
    echo www >&"$in"
    eventually has_written "$SPAWNED" 8 # and waits for more
    reads=$(of_io syscr) writes=$(of_io syscw)
    dd if="$RUN_DIR/block" bs=65536 of="/dev/fd/$in" 2>/dev/null
    eventually has_written "$SPAWNED" 11008
    want "reads" $((reads + 1)) of_io syscr
    want "writes" $((writes + 1)) of_io syscw
    exec {in}>&-
}
of_io() {
    sed -n "s/^$1: //p" "/proc/$SPAWNED/io"
}

# The rules.

@test "names, aliases, protocols" { rule_names; }
@test "what is not known is unknown" { rule_unknown; }
@test "CR LF and blanks at the end of a line do not count" { rule_trailing_blanks; }
@test "an empty line gets an answer" { rule_empty_lines; }
@test "NUL bytes come back as ?" { rule_nul_bytes; }
@test "bytes that do not print come back as ?" { rule_bytes_that_do_not_print; }
@test "a line of 1024 bytes is an error, and the next line is a line" { rule_long_lines; }
@test "a line that is too long may be the last" { rule_long_line_at_the_end; }
@test "a line of a megabyte is one error" { rule_megabyte; }
@test "the last line needs no newline" { rule_no_newline_at_the_end; }
@test "hundreds of requests in one write are answered, once and in order" { rule_pipelined; }
@test "10,000 requests are answered, once and in order" { rule_ten_thousand; }
@test "no line, no answer" { answers "nothing" '' send ''; }

@test "200,000 lines are 200,000 answers" {
    yes $'discard\nnobody/udp' | head -n 200000 | timeout 60 "$PARSER" >"$RUN_DIR/found"
    same "answers" 200000 "$(wc -l <"$RUN_DIR/found")"
    yes $'discard, 9\nnobody/udp, unknown' | head -n 200000 | cmp - "$RUN_DIR/found"
}

# The database.

# compare: every name and alias, with every protocol and with none, as getservbyname(3) has it.
compare() {
    "$GETSERV" questions >"$RUN_DIR/questions"
    "$GETSERV" answers >"$RUN_DIR/wanted"
    timeout 60 "$PARSER" <"$RUN_DIR/questions" >"$RUN_DIR/found"
    cmp -s "$RUN_DIR/wanted" "$RUN_DIR/found" && return
    echo "getservbyname(3) says (-), but the program (+):"
    diff -U 0 "$RUN_DIR/wanted" "$RUN_DIR/found" | tail -n +3 | cat -v | head -n 30
    return 1
}

@test "every name, alias and protocol of the machine's database: the answers of getservbyname(3)" {
    compare
    grep -qx 'discard, 9' "$RUN_DIR/wanted" || fail "getservbyname(3) knows no discard"
}

# with_database FILE: goes on with this file as /etc/services, for this test alone: in user
# and mount namespaces of its own, which end with it.
with_database() {
    export RUN_DIR PARSER GETSERV
    export -f compare
    timeout 60 unshare --user --map-root-user --mount bash -c '
        set -e
        mount --bind "$1" /etc/services
        compare' bash "$1"
}

can_mount() {
    [ -e /etc/services ] || skip "there is no /etc/services to hide"
    unshare --user --map-root-user --mount mount --bind /dev/null /etc/services 2>/dev/null ||
        skip "unshare is not permitted here"
}

@test "another database: duplicates, aliases that are names, comments, odd protocols, ports, UTF-8" {
    can_mount
    {
        cat <<'END'
# The services of a network that nobody has

lecture         6168/tcp        # its port
   # a comment after blanks
#out            1/tcp
hash#ed         2/tcp           alias#es
tcponly         7/tcp
udponly         7/udp
double          100/tcp         twin            # of two lines with one name the first counts
double          101/tcp
double          102/udp
second          200/tcp         double          # an alias that is another one's name
twin            201/tcp
self            202/udp         self double
shared          300/tcp         one two three four five six seven eight nine ten
one             301/tcp
shared          302/sctp        one
odd             400/ddp
odd             401/x-protocol  odder
odd             402/TCP
Odd             403/tcp
onlyodd         404/dccp
UPPER           405/tcp         lower
lower           406/tcp         UPPER
zero            0/tcp
most            65535/tcp
toomuch         65536/tcp
much            99999/tcp
negative        -1/tcp
hex             0x10/tcp
noport
noprotocol      500
notanumber      five/tcp
blank           501 /tcp
slash/ed        502/tcp         c/g 914c/g
straße          503/tcp         дорога 道
straße          504/udp
dot.ted-and_under+score*        505/tcp
  indented      506/tcp
END
        printf 'tabs\t507/tcp\ttab\ttabbed\n'
        printf 'crlf 508/tcp returned\r\n'
        printf 'latin\xdf 509/tcp\n'
        printf '%0300d 510/tcp\n' 7
        printf 'last 511/tcp unended'
    } >"$RUN_DIR/services"
    with_database "$RUN_DIR/services"
    for line in 'lecture, 6168' 'double, 100' 'double/udp, 102' 'one/sctp, 302' \
        'odder/x-protocol, 401' 'stra??e/udp, 504' 'udponly, unknown' 'unended, 511'; do
        grep -qx "$line" "$RUN_DIR/found" || fail "'$line' is missing"
    done
}

@test "an empty database knows nothing" {
    can_mount
    : >"$RUN_DIR/services"
    unshare --user --map-root-user --mount bash -c '
        mount --bind "$1" /etc/services && printf "discard\nhttp/tcp\n" | "$2"
        ' bash "$RUN_DIR/services" "$PARSER" >"$RUN_DIR/found"
    same "answers" $'discard, unknown\nhttp/tcp, unknown' "$(<"$RUN_DIR/found")"
}

# The lecture's pipelines.

@test "yes | ./serviceparser | sort: not a word while it runs, for sort waits for end of file" {
    # sort keeps what it cannot hold in files, which go with the test's directory.
    TMPDIR=$RUN_DIR spawn pipeline bash -c 'yes | "$1" | sort' bash "$PARSER"
    eventually is 1 count_of sort
    eventually has_written "$(one_of "${PARSER##*/}")" 1000000 ||
        fail "the parser does not answer while its input goes on"
    lives "$(one_of sort)" "sort"
    same "what sort has printed so far" '' "$(head -c 100 "$RUN_DIR/pipeline.out")"
}

@test "… | ./serviceparser | sort: all of it at end of file" {
    open_input
    spawn pipeline bash -c '"$1" <"$2" | sort' bash "$PARSER" "$RUN_DIR/in"
    printf 'www\nnobody\ndiscard\n' >&"$in"
    eventually is 1 count_of "${PARSER##*/}"
    parser=$(one_of "${PARSER##*/}")
    eventually has_written "$parser" 35 || fail "the parser does not answer while its input is open"
    same "what sort has printed before end of file" '' "$(<"$RUN_DIR/pipeline.out")"

    exec {in}>&-
    exit_status "$SPAWNED" || fail "the pipeline does not end with its input"
    same "what sort has printed" $'discard, 9\nnobody, unknown\nwww, 80' \
        "$(<"$RUN_DIR/pipeline.out")"
}

@test "yes | ./serviceparser | cat: answers stream while it runs" {
    # Somebody reads three lines and then no more: all three programs wait for him.
    spawn pipeline bash -c '
        yes | "$1" | cat | {
            head -n 3
            until [ -e "$2" ]; do sleep 0.02; done
        }' bash "$PARSER" "$RUN_DIR/leave"
    eventually is 3 grep -csx 'y, unknown' "$RUN_DIR/pipeline.out" ||
        fail "no answers while the input goes on, but: $(head -n 5 "$RUN_DIR/pipeline.out")"
    lives "$(one_of yes)" "yes"
    lives "$(one_of "${PARSER##*/}")" "the parser"
    touch "$RUN_DIR/leave"
    exit_status "$SPAWNED" || fail "the pipeline does not end when nobody reads"
}

@test "yes | ./serviceparser | head -n 1: SIGPIPE ends it, as it ends any filter" {
    spawn pipeline bash -c 'yes | "$1" | head -n 1; echo "${PIPESTATUS[*]}"' bash "$PARSER"
    exit_status "$SPAWNED" || fail "the pipeline does not end"
    same "the answer, and how yes, the parser and head ended (141: SIGPIPE)" \
        $'y, unknown\n141 141 0' "$(<"$RUN_DIR/pipeline.out")"
}

@test "(cat; cat; cat) | ./serviceparser: one cat after another, each up to its own ctrl-D" {
    command -v script >/dev/null || skip "no script(1), which makes a terminal"
    open_input
    # A terminal, for only there input goes on after its end.
    spawn lecture bash -c 'exec script -qec "(cat; cat; cat) | $1 >$2/answers" /dev/null <"$2/in"' \
        bash "$PARSER" "$RUN_DIR"
    for name in discard domain nobody; do
        printf '%s\n' "$name" >&"$in"
        eventually grep -qs "^$name, " "$RUN_DIR/answers" ||
            fail "'$name' is not answered; so far: $(<"$RUN_DIR/answers")"
        printf '\4' >&"$in"
    done
    exit_status "$SPAWNED" || fail "the parser does not end after the third ctrl-D"
    same "all answers" $'discard, 9\ndomain, 53\nnobody, unknown' "$(<"$RUN_DIR/answers")"
}

@test "(cat a; cat b; cat c) | ./serviceparser: three inputs, one after another" {
    printf 'discard\n' >"$RUN_DIR/a"
    printf 'domain\n' >"$RUN_DIR/b"
    printf 'www' >"$RUN_DIR/c"
    (cat "$RUN_DIR/a"; cat "$RUN_DIR/b"; cat "$RUN_DIR/c") | timeout 10 "$PARSER" >"$RUN_DIR/found"
    same "answers" $'discard, 9\ndomain, 53\nwww, 80' "$(<"$RUN_DIR/found")"
}

@test "(cat& cat& cat&) | ./serviceparser: three share one input; every line is answered once, and nobody can tell whose it was" {
    open_input
    # A shell without a terminal gives a command in the background /dev/null to read, so the
    # input is handed over as descriptor 3. Each cat starts with as many as it is told.
    spawn lecture bash -c '(cat <&3& cat <&3& cat <&3&) 3<"$2" | "$1"' bash "$PARSER" "$RUN_DIR/in"
    want "cats" 3 count_of cat
    for cat in $(one_of cat); do
        same "what a cat reads" "$(readlink -f "$RUN_DIR/in")" "$(readlink "/proc/$cat/fd/0")"
    done
    for i in {1..300}; do
        printf 'q%d\n' "$i" >&"$in"
    done
    exec {in}>&-
    exit_status "$SPAWNED" || fail "the parser does not end with its input"
    same "answers, in whatever order" "$(printf 'q%d, unknown\n' {1..300} | sort)" \
        "$(sort "$RUN_DIR/lecture.out")"
}

@test "an answer appears at once when the input is a slow pipe" {
    open_input
    spawn parser bash -c 'exec "$1" <"$2"' bash "$PARSER" "$RUN_DIR/in"
    printf 'discard\ndoma' >&"$in"
    eventually said parser 'discard, 9' ||
        fail "a line is not answered before the next one ends; so far: $(<"$RUN_DIR/parser.out")"
    same "answers when half a line has come" 'discard, 9' "$(<"$RUN_DIR/parser.out")"
    printf 'in/udp\n' >&"$in"
    eventually said parser 'domain/udp, 53' ||
        fail "a line that came in two halves is not answered; so far: $(<"$RUN_DIR/parser.out")"
    printf 'www' >&"$in"
    exec {in}>&-
    exit_status "$SPAWNED" || fail "it does not end with its input"
    same "all answers" $'discard, 9\ndomain/udp, 53\nwww, 80' "$(<"$RUN_DIR/parser.out")"
}

# Errors.

# fails_with STATUS: the last `run --separate-stderr` exited with it, and a line on stderr.
fails_with() {
    # shellcheck disable=SC2154 # bats sets it
    same "exit status" "$1" "$status"
    [ -n "$stderr" ] || fail "nothing on stderr"
}

@test "a full device: exit 1 and a line on stderr" {
    [ -c /dev/full ] || skip "no /dev/full"
    run --separate-stderr bash -c 'echo discard | timeout 10 "$1" >/dev/full' bash "$PARSER"
    fails_with 1
    [[ $stderr == *"No space left on device"* ]] || fail "the reason is not named: $stderr"
}

@test "standard output closed: exit 1 and a line on stderr" {
    run --separate-stderr bash -c 'echo discard | timeout 10 "$1" >&-' bash "$PARSER"
    fails_with 1
}

@test "standard input closed, or a directory: exit 1 and a line on stderr" {
    run --separate-stderr bash -c 'timeout 10 "$1" <&-' bash "$PARSER"
    fails_with 1
    run --separate-stderr bash -c 'timeout 10 "$1" </' bash "$PARSER"
    fails_with 1
}

@test "it takes no argument: exit 2 and a usage on stderr" {
    for argument in discard -h ''; do
        run --separate-stderr timeout 10 "$PARSER" "$argument" </dev/null
        fails_with 2
        same "standard output" '' "$output"
        [[ $stderr == *usage* ]] || fail "no usage: $stderr"
    done
}
