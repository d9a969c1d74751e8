# Before the data node ends: a master hands over first, so that an orderly end costs no write and no waiting for the sentinels.
. /scripts/ask.sh
[ "$(role 127.0.0.1)" = master ] || exit 0
redis 127.0.0.1 client pause 15000 write > /dev/null
ask_for_failover || exit 0
# Well within the pod's grace: where the whole set goes, nobody takes over.
n=0
while [ "$n" -lt 10 ]; do
    if named=$(named_master) && [ "$named" != "$self" ]; then
        # The sentinel of this pod may have ended before it heard of it: where the disk stays, it must not remember us.
        echo "sentinel monitor $MASTER_SET $named 6379 $QUORUM" > "$memory"
        exit 0
    fi
    sleep 1
    n=$((n + 1))
done
