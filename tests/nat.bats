#!/usr/bin/env bats
# nat: the NAT lab, in network namespaces of its own

load helper
load lab

@test "the lab: the slide's rows, what NAT breaks, three servers behind one address, and no trace" {
    start_lab nat
    lab_succeeded

    # 1. Without NAT no answer; with it the slide, and the entry of its table.
    shows '$ talk 128.119.40.186 80 discard' 'exit status 124: timeout has ended it'
    sed -i 's/([0-9]* packets)/(N packets)/; s/ 43[0-9]* / SECONDS /' "$RUN_DIR/lab.out"
    shows '1  S: 10.0.0.1, 3345  D: 128.119.40.186, 80  (N packets)' \
        '2  S: 138.76.29.7, 5001  D: 128.119.40.186, 80  (N packets)' \
        '3  S: 128.119.40.186, 80  D: 138.76.29.7, 5001  (N packets)' \
        '4  S: 128.119.40.186, 80  D: 10.0.0.1, 3345  (N packets)'
    grep -qF 'ESTABLISHED src=10.0.0.1 dst=128.119.40.186 sport=3345 dport=80 src=128.119.40.186 dst=138.76.29.7 sport=80 dport=5001' \
        "$RUN_DIR/lab.out"
    grep -E '128.119.40.186:80 +138.76.29.7:5001' "$RUN_DIR/lab.out"
    # The first who comes with port 3345 keeps it, the second cannot.
    grep -E 'src=10.0.0.2 .* dst=138.76.29.7 sport=80 dport=3345$' "$RUN_DIR/lab.out"
    grep -E 'src=10.0.0.3 .* dst=138.76.29.7 sport=80 dport=[0-9]+$' "$RUN_DIR/lab.out"
    run ! grep -E 'src=10.0.0.3 .* dst=138.76.29.7 sport=80 dport=3345$' "$RUN_DIR/lab.out"

    # 2. From outside: no way, refused, and an entry by hand. Payload stays as it is.
    shows '$ on web talk 10.0.0.1 6168 discard' 'connect: Network is unreachable' 'exit status 1' \
        '$ on web talk 138.76.29.7 6168 discard' 'connect: Connection refused' 'exit status 1'
    shows '$ on web talk 138.76.29.7 6168 discard' 'discard, 9'
    shows '$ on far talk 138.76.29.7 6168 discard' 'discard, 9'
    shows '$ on far talk 128.119.40.186 80 call-me-at-10.0.0.1:4000' 'call-me-at-10.0.0.1:4000, unknown'

    # 3. In turn; a third each; and with one server dead a third is lost.
    shows 'which, 1' 'which, 2' 'which, 3' 'which, 1' 'which, 2' 'which, 3' 'which, 1'
    shows '    100 src=10.0.0.1' '    100 src=10.0.0.2' '    100 src=10.0.0.3'
    same "answered" '300 200' "$(awk '$1 == "answered" { print $2 }' "$RUN_DIR/lab.out" | xargs)"
    same "refused" '0 100' "$(awk '$1 == "refused" { print $2 }' "$RUN_DIR/lab.out" | xargs)"
    no_trace
}

@test "the lab ends at Ctrl-C, and leaves no trace" {
    start_lab nat
    eventually lab_says '^Question: How does the router know'
    kill -INT -- "-$LAB"
    lab_ended
    no_trace
}

@test "the lab leaves no trace when it is killed" {
    start_lab nat
    eventually lab_says '^Question: How does the router know'
    kill -KILL -- "-$LAB"
    no_trace
}

@test "where namespaces are not permitted the lab says so, and that is no failure" {
    # In a user namespace of our own that permits no others.
    unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_net_namespaces' ||
        skip "user namespaces are not permitted here at all"
    run -0 unshare --user --map-root-user sh -c \
        'echo 0 >/proc/sys/user/max_net_namespaces; exec l23/demo/nat'
    [[ $output == 'nat: skipped: '* ]] || fail "$output"
}

@test "where a tool is missing the lab names the package, and that is no failure" {
    command -v nft >/dev/null || PATH=$PATH:/usr/sbin:/sbin
    local nft
    nft=$(command -v nft) || skip "nft is not installed: so it is with all of these tests"
    unshare --user --map-root-user --mount true || skip "user and mount namespaces are not permitted here"
    # In a mount namespace of our own, nft is removed from an overlay.
    # shellcheck disable=SC2016 # the inner shell expands this
    run -0 unshare --user --map-root-user --mount sh -c '
        sbin=${0%/*}
        mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work &&
            mount -t overlay none -o "lowerdir=$sbin,upperdir=/mnt/upper,workdir=/mnt/work" "$sbin" &&
            rm "$0" || { echo "no overlay"; exit; }
        exec l23/demo/nat' "$(readlink -f "$nft")"
    [[ $output != *"no overlay" ]] || skip "no overlay in a mount namespace of our own here"
    same "what the lab says" 'nat: skipped: not installed: nftables (apt-get install nftables)' "$output"
}
