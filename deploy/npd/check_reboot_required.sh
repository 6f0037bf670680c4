#!/bin/sh
# Does this node wait for a reboot? A custom plugin for node-problem-detector.
#
#   check_reboot_required.sh [DIRECTORY] [BYTES]
#
# DIRECTORY  the host's /var/run, mounted read-only; default $HOST_RUN_DIRECTORY, else /host/var/run
# BYTES      longest message, 40 to 4096; default $MESSAGE_BYTES, else 512. Keep it at or below max_output_length
#            of reboot-required.json: node-problem-detector cuts there, in the middle of a name.
#
# Exit code: 0 no reboot required, 1 required, anything else unknown. What cannot be read is unknown, never "no".
#
# The message when required (midwatch/domain/packages.py reads it back; change both together):
#   Reboot required by: A, B            every package, sorted, each once
#   Reboot required by: A, B and 3 more
#   Reboot required by: 5 packages      not even one name fits, or none can be shown ("1 package" for one)
#   Reboot required                     no packages are known (Azure Linux writes no list)
# A name is never cut. A line that is no package name is counted and not shown. Of a list above 64 KiB only the
# beginning is read, so there "more" means "at least so many more".
#
# No `set -e` and no `set -u`: a shell that stops on its own exits with 1 in some shells, which would mean "required".

LC_ALL=C # one character is one byte; also the order of `sort`
export LC_ALL

directory=${1:-${HOST_RUN_DIRECTORY:-/host/var/run}}
limit=${2:-${MESSAGE_BYTES:-512}}
sentinel=$directory/reboot-required
list=$directory/reboot-required.pkgs
chunk=65536 # bytes of the list that are read; the list of a real node has a few hundred

finish() { # CODE MESSAGE
    printf '%s\n' "$2"
    exit "$1"
}

is_big() { # whether the list goes on after the first chunk
    [ -n "$(dd if="$list" bs="$chunk" skip=1 count=1 2>/dev/null | tr '\000\n' 'xx')" ]
}

whole_lines() { # the list's first chunk, without a line that the chunk cuts in two
    if is_big; then
        dd if="$list" bs="$chunk" count=1 2>/dev/null | sed '$d'
    else
        dd if="$list" bs="$chunk" count=1 2>/dev/null
    fi
}

names() { # one cleaned line each, sorted, each once
    # A named pipe or a device could block for ever: only a regular file is opened.
    [ -f "$list" ] && [ -r "$list" ] || return 0
    whole_lines | tr '\000\r' '\n\n' | sed 's/^[[:blank:]]*//; s/[[:blank:]]*$//; /^$/d' | sort -u
}

message() { # NAME... -> the longest message within the limit
    start='Reboot required by: '
    left=$#
    text=
    best=
    for name; do
        case $name in
        *[!A-Za-z0-9.+:_~-]*) continue ;; # no package name: stays counted in `left`
        esac
        text=${text:+$text, }$name
        left=$((left - 1))
        [ $((${#start} + ${#text})) -le "$limit" ] || break
        whole=$start$text
        [ "$left" -eq 0 ] || whole="$whole and $left more"
        [ ${#whole} -gt "$limit" ] || best=$whole
    done
    if [ -n "$best" ]; then
        printf '%s\n' "$best"
    elif [ $# -eq 1 ]; then
        printf '%s\n' "${start}1 package"
    else
        printf '%s\n' "$start$# packages"
    fi
}

case $limit in
'' | *[!0-9]* | ?????*) finish 2 "Unknown: the message limit is not a number from 40 to 4096" ;;
esac
if [ "$limit" -lt 40 ] || [ "$limit" -gt 4096 ]; then
    finish 2 "Unknown: the message limit is not a number from 40 to 4096"
fi
[ -d "$directory" ] || finish 2 "Unknown: the host's /var/run is not mounted at $directory"
# Without these permissions every file in it seems to be absent.
[ -r "$directory" ] && [ -x "$directory" ] || finish 2 "Unknown: $directory cannot be read"

if [ ! -e "$sentinel" ] && [ ! -L "$sentinel" ]; then
    finish 0 "No reboot required"
fi
[ -f "$sentinel" ] || finish 2 "Unknown: $sentinel is not a file"

# From here on a reboot is required; whatever happens to the list only costs the names.
set -f
IFS='
'
# shellcheck disable=SC2046 # split at newlines alone, no patterns: see the two lines above
set -- $(names 2>/dev/null)
[ $# -gt 0 ] || finish 1 "Reboot required"
finish 1 "$(message "$@")"
