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

# The names of all nodes, and of all but this one.
nodes() {
    n=0
    while [ "$n" -lt "$NODES" ]; do
        echo "$NODE_PREFIX-$n.$NODE_DOMAIN"
        n=$((n + 1))
    done
}
peers() { nodes | grep -vxF "$self"; }

# What the other nodes' sentinels say, the newest word first: "<config epoch> <master> <node>". One that was just started may
# know only what is past.
words() {
    for peer in $(peers); do
        sentinel "$peer" sentinel master "$MASTER_SET" | awk -v peer="$peer" '
            NR % 2 { field = $0; next }
            field == "ip" { master = $0 }
            field == "config-epoch" { epoch = $0 }
            END { if (master != "") print epoch + 0, master, peer }'
    done | sort -rn
}

named_master() { words | awk 'NR == 1 { print $2 } END { exit NR == 0 }'; }

role() { redis "$1" role | head -n 1; }

# Asks the sentinel that knows most. A failover that is asked for takes no vote: two sentinels that are not of one mind could give
# two masters the same epoch, and would then never agree.
ask_for_failover() {
    for peer in $(words | cut -d' ' -f3); do
        answer=$(sentinel "$peer" sentinel failover "$MASTER_SET")
        say "asked $peer for a failover: ${answer:-no answer}"
        case $answer in OK | *INPROG*) return 0 ;; esac
    done
    return 1
}

# Within double quotes of a configuration file.
quoted() { printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"; }
