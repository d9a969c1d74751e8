# Sourced by the other scripts: who we are, and questions to the nodes. Passwords reach redis-cli by its environment only.
self=$POD.$NODE_DOMAIN
password=
[ ! -f /secrets/redis-password ] || password=$(cat /secrets/redis-password)

# What outlives the pod where its disk does: the sentinel's own words, without the passwords.
memory=/data/sentinel.memory

say() { echo "$(date -u +%H:%M:%S) $*" >&2; }

# redis HOST COMMAND…, sentinel HOST COMMAND…: an answer within 3 seconds, or none.
redis() { host=$1; shift; REDISCLI_AUTH=$password timeout 3 redis-cli --no-auth-warning -h "$host" -p 6379 "$@" 2> /dev/null; }
sentinel() {
    host=$1; shift
    if [ "$SENTINEL_AUTH" = true ]; then
        REDISCLI_AUTH=$password timeout 3 redis-cli --no-auth-warning -h "$host" -p 26379 "$@" 2> /dev/null
    else
        timeout 3 redis-cli -h "$host" -p 26379 "$@" 2> /dev/null
    fi
}

# The other nodes' names.
peers() {
    n=0
    while [ "$n" -lt "$NODES" ]; do
        [ "$NODE_PREFIX-$n" = "$POD" ] || echo "$NODE_PREFIX-$n.$NODE_DOMAIN"
        n=$((n + 1))
    done
}

# The master that the other nodes' sentinels name: the word of the first that answers with a name.
named_master() {
    for peer in $(peers); do
        answer=$(sentinel "$peer" sentinel get-master-addr-by-name "$MASTER_SET" | head -n 1)
        case $answer in
            "" | *ERR* | *NOAUTH* | *WRONGPASS*) ;;
            *) echo "$answer"; return 0 ;;
        esac
    done
    return 1
}

role() { redis "$1" role | head -n 1; }

# The first of the other sentinels that starts a failover of the present master.
ask_for_failover() {
    for peer in $(peers); do
        answer=$(sentinel "$peer" sentinel failover "$MASTER_SET")
        say "asked $peer for a failover: ${answer:-no answer}"
        case $answer in OK | *INPROG*) return 0 ;; esac
    done
    return 1
}

# Within double quotes of a configuration file.
quoted() { printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"; }
