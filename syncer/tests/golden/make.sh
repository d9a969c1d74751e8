#!/usr/bin/env bash
# Makes the golden files again: for each server an RDB with every type and encoding that it has, and what the same
# server answers to DUMP for each of its keys.
#
#   make.sh SERVERS    SERVERS holds a directory per server, <name>-<version>/bin/<name>-server, one with redis-cli
#
# The files differ in times and ids from run to run; the tests do not look at those.
set -euo pipefail

servers=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")"
cli="$servers/redis-7.0.15/bin/redis-cli"
work=$(mktemp -d)
trap 'kill "${pid:-}" 2>/dev/null || true; rm -rf "$work"' EXIT

make() {
    local name=$1 directory=$servers/$1 socket=$work/socket
    shift
    local modules=()
    for module in "$directory"/modules/{rejson,redisbloom}.so; do
        [[ -e $module ]] && modules+=(--loadmodule "$module")
    done
    "$directory/bin/${name%%-*}-server" --port 0 --unixsocket "$socket" --dir "$work" --save '' "${modules[@]}" \
        >"$work/log" 2>&1 &
    pid=$!
    for _ in $(seq 100); do
        "$cli" -s "$socket" PING >/dev/null 2>&1 && break
        sleep 0.1
    done
    for setting in "$@"; do
        "$cli" -s "$socket" CONFIG SET "${setting%%=*}" "${setting#*=}" >/dev/null
    done
    "$cli" -s "$socket" --eval fill.lua >/dev/null
    "$cli" -s "$socket" FUNCTION LOAD "$(printf '#!lua name=golden\nredis.register_function("f", function() end)')" \
        >/dev/null 2>&1 || true
    for db in 0 3; do
        "$cli" -s "$socket" --eval list.lua , "$db"
    done >"$name.dumps"
    "$cli" -s "$socket" SAVE >/dev/null
    kill "$pid"
    wait "$pid" 2>/dev/null || true
    mv "$work/dump.rdb" "$name.rdb"
    rm -f "$socket"
}

make redis-2.8.19
make redis-6.2.5
make redis-7.0.15 maxmemory-policy=allkeys-lru
make redis-7.4.1
make redis-8.2.3 maxmemory-policy=allkeys-lfu
make valkey-8.1.8
make valkey-9.1.2
ls -l ./*.rdb ./*.dumps
