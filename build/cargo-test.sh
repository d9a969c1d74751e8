#!/usr/bin/env bash
# cargo test, with one more rule: a run in which no test ran has failed (a misspelt name looks like success otherwise).
set -euo pipefail

log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo test "$@" 2>&1 | tee "$log"
passed=$(awk '/^test result: ok\./ { sum += $4 } END { print sum + 0 }' "$log")
if [ "$passed" = 0 ]; then
    echo "no test ran: cargo test $*" >&2
    exit 1
fi
