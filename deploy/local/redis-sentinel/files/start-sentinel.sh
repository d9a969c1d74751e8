# Starts the sentinel: with what it knew where that is still there, else with the master that the others name, else with what the
# data node beside it has decided.
set -eu
. /scripts/ask.sh
until nslookup "$self" > /dev/null 2>&1; do say "waiting for my own name $self"; sleep 1; done

master=
epoch=0
while [ -z "$master" ]; do
    word=$(words | head -n 1)
    if [ -n "$word" ]; then
        epoch=${word%% *}
        master=$(echo "$word" | cut -d' ' -f2)
    else
        case $(role 127.0.0.1) in
            master) master=$self ;;
            slave) master=$(redis 127.0.0.1 info replication | tr -d '\r' | sed -n 's/^master_host://p') ;;
            *) say "waiting for the data node beside me"; sleep 1 ;;
        esac
    fi
    # Sentinel ends itself when a name that it starts with is not served.
    if [ -n "$master" ] && ! nslookup "$master" > /dev/null 2>&1; then say "waiting for the name $master"; master=; sleep 1; fi
done

say "the master is $master"

umask 077
config=/run/redis/sentinel.conf
# Written anew at each start: Sentinel rewrites it, but does not quote a password that needs it.
{
    echo "port 26379"
    echo "protected-mode no"
    echo "dir /run/redis"
    # The same pod is the same sentinel, so that the others do not count its past selves.
    echo "sentinel myid $(printf %s "$self" | sha1sum | cut -c1-40)"
    echo "sentinel resolve-hostnames yes"
    echo "sentinel announce-hostnames yes"
    echo "sentinel announce-ip $self"
    echo "sentinel announce-port 26379"
    echo "sentinel monitor $MASTER_SET $master 6379 $QUORUM"
    echo "sentinel down-after-milliseconds $MASTER_SET $DOWN_AFTER_MILLISECONDS"
    echo "sentinel failover-timeout $MASTER_SET $FAILOVER_TIMEOUT"
    echo "sentinel parallel-syncs $MASTER_SET 1"
    if [ -n "$password" ]; then echo "sentinel auth-pass $MASTER_SET $(quoted "$password")"; fi
    if [ "$SENTINEL_AUTH" = true ]; then
        echo "requirepass $(quoted "$password")"
        echo "sentinel sentinel-pass $(quoted "$password")"
    fi
    # Replicas are learned from a master that lives: a sentinel that begins while it is gone could never promote one.
    nodes | grep -vxF "$master" | sed "s/.*/sentinel known-replica $MASTER_SET & 6379/"
    # Epochs only grow: it begins with that of the others, or with its own where the set was away as a whole.
    if [ "$epoch" -gt 0 ]; then
        echo "sentinel config-epoch $MASTER_SET $epoch"
        echo "sentinel current-epoch $epoch"
    elif grep -q "^sentinel monitor $MASTER_SET $master " "$memory" 2> /dev/null; then
        grep -E "^sentinel (config-epoch|current-epoch) " "$memory" || true
    fi
} > "$config"

remember() {
    grep -E "^sentinel (monitor|config-epoch|current-epoch) " "$config" > "$memory.new" || return 0
    cmp -s "$memory.new" "$memory" || mv "$memory.new" "$memory"
}
# $$ is the sentinel, once it has taken this shell's place.
(while sleep 1 && kill -0 $$; do remember; done) &
exec redis-sentinel "$config"
