# Starts the data node: as a replica of the master that the other sentinels name. Only where no sentinel answers, since the set is
# new or was away as a whole, may it become the master: the pod that is remembered as the master on its own disk, or pod 0 where
# nobody remembers. Two pods that wait for each other's word end with pod 0 too, after half a minute.
set -eu
. /scripts/ask.sh

# Names must work before silence may be taken for absence.
until nslookup "$self" > /dev/null 2>&1; do say "waiting for my own name $self"; sleep 1; done

# What the sentinel of this pod knew last, where that outlived the pod.
remembered=$(sed -n "s/^sentinel monitor $MASTER_SET \([^ ]*\) .*/\1/p" "$memory" 2> /dev/null || true)
silence=0
started=$(date +%s)
master=
while [ -z "$master" ]; do
    if named=$(named_master); then
        if [ "$named" != "$self" ]; then master=$named; break; fi
        # They still believe in me, but what I held may be gone: another one takes over, and I follow it. Only where none of the
        # others lives, or can for a minute, I am the one after all.
        alive=0
        for peer in $(peers); do [ "$(role "$peer")" != slave ] || alive=1; done
        if [ "$alive" = 0 ]; then silence=$((silence + 1)); else silence=0; ask_for_failover || true; fi
        if [ "$silence" -ge 10 ] || [ $(($(date +%s) - started)) -ge 60 ]; then master=$self; fi
    else
        silence=$((silence + 1))
        # About three seconds: a peer that lives answers sooner.
        patience=3
        [ -z "$remembered" ] || [ "$remembered" = "$self" ] || patience=30
        if [ "$silence" -ge "$patience" ]; then
            if [ "$remembered" = "$self" ] || [ "$POD" = "$NODE_PREFIX-0" ]; then master=$self; fi
        fi
        [ -n "$master" ] || say "no sentinel answers yet"
    fi
    [ -n "$master" ] || sleep 1
done
say "the master is $master"

umask 077
{
    echo "bind * -::*"
    echo "port 6379"
    echo "protected-mode no"
    echo "dir /data"
    echo "maxmemory $MAXMEMORY"
    echo "appendonly $APPENDONLY"
    echo "repl-backlog-size $REPL_BACKLOG_SIZE"
    echo "repl-diskless-sync-delay 0"
    echo "replica-announce-ip $self"
    echo "replica-announce-port 6379"
    [ "$master" = "$self" ] || echo "replicaof $master 6379"
    if [ -n "$password" ]; then
        echo "requirepass $(quoted "$password")"
        echo "masterauth $(quoted "$password")"
    fi
    cat /scripts/extra.conf
} > /run/redis/redis.conf
exec redis-server /run/redis/redis.conf
