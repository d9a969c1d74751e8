#!/usr/bin/env bash
# The README names tests as proofs and ARCHITECTURE.md names files: each must be there.
set -euo pipefail

missing=0
complain() { echo "$*" >&2; missing=1; }

section=$(sed -n '/^## Guarantees/,/^###* What is not/p' README.md)
tests=$(grep '^|' <<< "$section" | grep -oE '`[a-z0-9]+(_[a-z0-9]+){2,}`' | tr -d '`' | sort -u)
[ -n "$tests" ] || complain "README.md names no test under Guarantees"
for name in $tests; do
    grep -rqE "fn $name\(" syncer/src syncer/tests tests-e2e/tests --include='*.rs' || complain "README.md names the test $name, which is not there"
done

# A name of the code map is a file or a directory of the syncer, or a path from here.
names=$(sed -n '/^## Code map/,/^## /p' ARCHITECTURE.md | awk -F '|' 'NF > 3 { print $2 }' | grep -oE '`[^`]+`' | tr -d '`')
[ -n "$names" ] || complain "ARCHITECTURE.md has no code map"
for name in $names; do
    [ -e "syncer/src/$name" ] || [ -e "$name" ] || complain "ARCHITECTURE.md names $name, which is not there"
done

# A field of the configuration that the README does not explain.
fields=$(grep -oE '^    pub [a-z_]+: ' syncer/src/contract/settings.rs | sed 's/^    pub //; s/: $//' \
    | sed -E 's/_([a-z])/\U\1/g; s/^pairId$/pairID/' | sort -u)
for field in $fields; do
    grep -qE "[\`.]$field[\`.:]" README.md || complain "README.md does not explain the field $field"
done
exit "$missing"
