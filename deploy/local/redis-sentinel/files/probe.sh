# probe.sh PORT [starting]: whether it answers; with `starting`, an answer like LOADING is one too. kubelet limits its time.
. /scripts/ask.sh
if [ "$1" = 6379 ] || [ "$SENTINEL_AUTH" = true ]; then export REDISCLI_AUTH="$password"; fi
case $(redis-cli --no-auth-warning -p "$1" ping) in
    PONG) exit 0 ;;
    LOADING* | MASTERDOWN*) [ "${2:-}" = starting ] ;;
    *) exit 1 ;;
esac
