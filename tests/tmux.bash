# shellcheck shell=bash
# tmux.bash: a terminal for tests: keys are typed, the screen is read back. Loaded after
# helper.bash. Each test has a tmux server of its own, which teardown ends.

# terminal [COLUMNS ROWS]: opens it (80 x 24 unless given), with a shell that has nothing of
# the user's own. A test that needs it is skipped where tmux is missing.
terminal() {
    command -v tmux >/dev/null || skip "tmux is missing"
    SOCKET=$RUN_DIR/tmux
    # None of bats' descriptors, for tmux lives on; UTF-8, for the marks. The search for leaks
    # at a program's end spins for ever when its terminal goes away meanwhile.
    env -u TMUX -u NO_COLOR ASAN_OPTIONS=detect_leaks=0 LC_ALL=C.UTF-8 TERM=xterm-256color SHELL=/bin/bash \
        tmux -S "$SOCKET" -f /dev/null -u new-session -d -x "${1:-80}" -y "${2:-24}" \
        "PS1='ready> ' exec bash --norc --noprofile" 3>&- 4>&- </dev/null >/dev/null 2>&1
    PANES=$(tm list-panes -F '#{pane_pid}')
    eventually shows 'ready>'
}

# tm COMMAND...: of the test's own tmux.
tm() {
    tmux -S "$SOCKET" "$@"
}

# type TEXT: types it, and Enter. key NAME...: presses keys: C-c, q, Enter.
type_line() {
    tm send-keys -l "$1"
    tm send-keys Enter
}
key() {
    tm send-keys "$@"
}

# screen: what is on it. shows PATTERN: a line of it matches (as grep -E).
screen() {
    tm capture-pane -p
}
shows() {
    screen | grep -qE -- "$1"
}

# want_screen PATTERN...: waits until it shows each; if it never does, shows what it does.
want_screen() {
    local pattern
    for pattern; do
        eventually shows "$pattern" && continue
        echo "the screen does not show '$pattern', but:"
        screen
        return 1
    done
}

eval "helper_$(declare -f teardown)" # the helper's own, under another name
teardown() {
    local pane
    if [ -n "${SOCKET:-}" ]; then
        PANES=$(tm list-panes -a -F '#{pane_pid}' 2>/dev/null)
        tm kill-server 2>/dev/null
        for pane in $PANES; do
            eventually ended "$pane"
        done
    fi
    helper_teardown
}
