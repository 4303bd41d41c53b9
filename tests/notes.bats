#!/usr/bin/env bats
# NOTES.md: what it shows is what there is

load helper

@test "the C in each section stands to the letter in the section's file" {
    local file='' inside=false line checked=0
    while IFS= read -r line; do
        case $line in
        '## service'*) file=${line#\#\# } && file=${file%%:*}.c ;;
        '```c') inside=true ;;
        '```') inside=false ;;
        *)
            if $inside && [ -n "$line" ]; then
                grep -qxF -- "$line" "$file" || {
                    echo "$file has no line: $line"
                    return 1
                }
                checked=$((checked + 1))
            fi
            ;;
        esac
    done <NOTES.md
    [ "$checked" -ge 13 ]
}

@test "every step has a section, in order" {
    diff <(sed -n 's/^## \(serviceserver[0-9]*\):.*/\1.c/p' NOTES.md) \
        <(printf '%s\n' serviceserver[0-9][0-9].c)
}

@test "the labs' transcripts, which are cut short, are of lines that the labs show and their tests expect" {
    local line inside=false checked=0
    while IFS= read -r line; do
        case $line in
        '```text') inside=true ;;
        '```') inside=false ;;
        *)
            $inside || continue
            line=$(sed 's/([0-9]* packets)/(N packets)/; s/^\$ //' <<<"$line")
            sed "s/\\\$PORT/6168/g" l23/demo/{cache,nat,balance} tests/{cache,nat,balance}.bats |
                grep -qF -- "$line" || fail "no lab shows: $line"
            checked=$((checked + 1))
            ;;
        esac
    done < <(sed -n '/^## The cache/,$p' NOTES.md)
    [ "$checked" -ge 15 ]
}

@test "the tables are those of figures/" {
    l23/notes --check tables
}

@test "the demos whose transcripts it has are those that demo.bats compares with it" {
    diff <(sed -n 's/^<!-- demo \([a-z0-9]*\) -->$/\1/p' NOTES.md | sort) \
        <(sed -n 's/^    demo \([a-z0-9]*\) .*/\1/p' tests/demo.bats | sort)
}
