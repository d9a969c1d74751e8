#!/usr/bin/env bash
# Documents name tests as proofs, files, targets, fields and each other: each must be there.
set -euo pipefail
shopt -s globstar

missing=0
complain() { echo "$*" >&2; missing=1; }

# A test that stands for a promise.
section=$(sed -n '/^## Guarantees/,/^## What it costs/p' README.md)
tests=$(grep '^|' <<< "$section" | grep -oE '`[a-z0-9]+(_[a-z0-9]+){2,}`' | tr -d '`' | sort -u)
[ -n "$tests" ] || complain "README.md names no test under Guarantees"
for name in $tests; do
    grep -rqE "fn $name\(" syncer operator tests-e2e --include='*.rs' || complain "README.md names the test $name, which is not there"
done

# A name of the code map is a file or a directory of a crate, or a path from here.
names=$(sed -n '/^## Code map/,/^## /p' ARCHITECTURE.md | awk -F '|' 'NF > 3 { print $2 }' | grep -oE '`[^`]+`' | tr -d '`')
[ -n "$names" ] || complain "ARCHITECTURE.md has no code map"
for name in $names; do
    [ -e "syncer/src/$name" ] || [ -e "operator/src/$name" ] || [ -e "$name" ] || complain "ARCHITECTURE.md names $name, which is not there"
done

# A field of the syncer's configuration that nobody explains.
fields=$(grep -oE '^    pub [a-z_]+: ' syncer/src/contract/settings.rs | sed 's/^    pub //; s/: $//' \
    | sed -E 's/_([a-z])/\U\1/g; s/^pairId$/pairID/; s/^copyId$/copyID/' | sort -u)
for field in $fields; do
    grep -qE "[\`.]$field[\`.:]" docs/syncer.md || complain "docs/syncer.md does not explain the field $field"
done

# A dependency of a crate for which ARCHITECTURE.md gives no reason.
dependencies=$(sed -n '/^## Dependencies/,$p' ARCHITECTURE.md | awk -F '|' 'NF > 3 { print $2 }' | tr -d '*,`' | tr ' ' '\n')
used=$(sed -n '/dependencies\]/,/^\[lints/p' ./*/Cargo.toml | grep -oE '^[a-z0-9_-]+(\.workspace| = \{ workspace)' | sed -E 's/[. ].*//' | sort -u)
for name in $used; do
    grep -qxF "$name" <<< "$dependencies" || complain "ARCHITECTURE.md gives no reason for the dependency $name"
done

# The anchors of a document, as GitHub makes them.
anchors() { sed -nE 's/^#+ //p' "$1" | tr '[:upper:]' '[:lower:]' | sed -E "s/[^a-z0-9 _-]//g; s/ /-/g"; }

for document in *.md docs/*.md deploy/**/*.md; do
    # `make target`, or a line of an example.
    for target in $(grep -oE '(`|^    )make [a-z-]+[a-z -]*' "$document" | sed -E 's/^(`|    )make //; s/  .*//'); do
        grep -qE "^$target:" Makefile || complain "$document names the target $target, which is not there"
    done
    # [text](path#anchor), from where the document is.
    for link in $(grep -oE '\]\([^)]+\)' "$document" | sed 's/^](//; s/)$//' | grep -vE '^[a-z]+://' | sort -u); do
        file=${link%%#*}
        [ -n "$file" ] && file=$(dirname "$document")/$file || file=$document
        [ -e "$file" ] || { complain "$document links to $link, which is not there"; continue; }
        case $link in
            *'#'*) anchors "$file" | grep -qxF -- "${link#*#}" || complain "$document links to $link, which has no such heading" ;;
        esac
    done
done
exit "$missing"
