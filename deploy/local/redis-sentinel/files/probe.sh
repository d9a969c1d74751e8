# probe.sh PORT [starting]: whether it answers; with `starting`, an answer like LOADING is one too.
. /scripts/ask.sh
if [ "$1" = 26379 ]; then answer=$(sentinel 127.0.0.1 ping); else answer=$(redis 127.0.0.1 ping); fi
case $answer in
    PONG) exit 0 ;;
    LOADING* | MASTERDOWN*) [ "${2:-}" = starting ] ;;
    *) exit 1 ;;
esac
