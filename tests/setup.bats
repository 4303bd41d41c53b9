#!/usr/bin/env bats
# l23/setup, with a package manager that only tells what it was asked for

load helper

# has COMMAND...: a machine with these commands, and what setup itself needs.
has() {
    local command
    mkdir -p "$RUN_DIR/bin"
    for command in sh env id mktemp rm sed "$@"; do
        ln -sf "$(command -v "$command")" "$RUN_DIR/bin/$command"
    done
}

# installs COMMAND...: apt-get installs these, whatever it is asked for.
installs() {
    printf '#!/bin/sh\necho "apt-get $*"\n' >"$RUN_DIR/bin/apt-get"
    for command; do
        printf 'case $* in *install*) "%s" -sf "%s" "%s" ;; esac\n' \
            "$(command -v ln)" "$(command -v "$command")" "$RUN_DIR/bin/$command" >>"$RUN_DIR/bin/apt-get"
    done
    chmod +x "$RUN_DIR/bin/apt-get"
    # As root: sudo, where it is asked, does what it is told.
    printf '#!/bin/sh\nexec "$@"\n' >"$RUN_DIR/bin/sudo"
    chmod +x "$RUN_DIR/bin/sudo"
}

sets_up() {
    # The compiler's own programs are where it looks for them; setup's PATH is ours alone.
    env -i PATH="$RUN_DIR/bin" COMPILER_PATH=/usr/bin "$RUN_DIR/bin/sh" l23/setup "$@" </dev/null
}

@test "where nothing is missing it says so, and does nothing" {
    has bash bats gcc make as ld
    installs
    run -0 sets_up
    [ "$output" = "setup: nothing is missing" ]
}

@test "what is missing is named and installed, after one update of the lists" {
    has bash gcc as ld
    installs bats make
    run -0 sets_up
    [ "${lines[0]}" = "setup: missing: bats make" ]
    [ "$(grep -c '^apt-get.* update' <<<"$output")" -eq 1 ]
    grep -qx 'apt-get.* install bats make' <<<"$output"
    [ "${lines[-1]}" = "setup: everything is there" ]
}

@test "where the packages do not come, it names them and exits 1" {
    has bash gcc as ld make
    installs
    run -1 sets_up
    [[ ${lines[-1]} == *"Please install: bats" ]]
}

@test "where there is no package manager, it names what to install and exits 1" {
    has bash gcc as ld make
    [ "$(id -u)" -eq 0 ] || installs # for its sudo
    rm -f "$RUN_DIR/bin/apt-get"
    run -1 sets_up
    [ "${lines[-1]}" = "setup: no package manager that I know. Please install: bats" ]
}

@test "another word is a usage error" {
    has
    run -2 sets_up everything
    run -2 sets_up all all
}
