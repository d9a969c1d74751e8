#!/usr/bin/env bash
# cargo test, with one more rule: a run in which no test ran has failed (a misspelt name looks like success otherwise).
set -euo pipefail

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# tee is not waited for: whatever a killed test leaves behind would hold the pipe open.
status=0
cargo test "$@" > >(tee "$log") 2>&1 || status=$?
[ "$status" = 0 ] || exit "$status"
for _ in {1..20}; do
    passed=$(awk '/^test result: ok\./ { sum += $4 } END { print sum + 0 }' "$log")
    [ "$passed" = 0 ] || exit 0
    sleep 0.1
done
echo "no test ran: cargo test $*" >&2
exit 1
