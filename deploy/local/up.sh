#!/usr/bin/env bash
# Brings up a Kubernetes of one node on this machine, or takes the cluster that KUBECONFIG names. Idempotent: what runs stays.
#   up.sh [control]     control: API server, etcd and controllers only, on loopback; enough for tests of the API
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
# shellcheck source=foreign.sh
. "$cluster_dir/foreign.sh"

mode=${1:-node}
case $mode in node | control) ;; *) die "unknown argument '$mode': nothing, or control" ;; esac
if is_foreign; then
    foreign_kubectl get --raw=/readyz > /dev/null 2>&1 \
        || die "KUBECONFIG names $(foreign_name), which does not answer: repair it, or 'unset KUBECONFIG' for a cluster on this machine"
    say "KUBECONFIG names $(foreign_name): it is taken, nothing is started here"
    exit 0
fi
[ "$(id -u)" = 0 ] || die "a node on this machine needs root (namespaces, mounts, packet filter); or set KUBECONFIG to a cluster that you have"
lock_cluster
"$cluster_dir/setup.sh"
"$cluster_dir/build/build.sh" > /dev/null
[ "$mode" = control ] || "$cluster_dir/images/build.sh" >&2
export PATH=$BIN:$PATH:/usr/sbin:/sbin KUBECONFIG=$OUR_KUBECONFIG
mkdir -p "$VAR" "$RUN" "$LOGS" "$CONFIG" "$VOLUMES"

# put FILE: writes standard input there only if it differs; kube-proxy ends itself when its file is written.
put() {
    local new
    new=$(mktemp "$1.XXXXXX")
    cat > "$new"
    if cmp -s "$new" "$1"; then rm "$new"; else mv "$new" "$1"; fi
}

# start NAME COMMAND…: as a session of its own, marked as ours, unless it runs.
start() {
    local name=$1
    shift
    if pid_of "$name" > /dev/null; then return; fi
    (
        # Whoever called us may hold a lock by an open file (`flock FILE make cluster-up`): it must not live as long as this process.
        for fd in /proc/self/fd/*; do
            fd=${fd##*/}
            [ "$fd" -le 2 ] || eval "exec $fd>&-"
        done
        exec env "$cluster_mark" setsid nohup "$@"
    ) > "$LOGS/$name.log" 2>&1 < /dev/null &
    echo $! > "$RUN/$name.pid"
    # The mark is there once env was executed.
    while kill -0 $! 2> /dev/null && ! is_ours $!; do sleep 0.02; done
}

# await SECONDS WHAT PROCESS COMMAND…: until the command succeeds; a process that ended ends the waiting, with its last words.
await() {
    local limit=$((SECONDS + $1)) what=$2 process=$3
    shift 3
    until "$@" > /dev/null 2>&1; do
        sleep 0.2
        if ! pid_of "$process" > /dev/null || [ "$SECONDS" -ge "$limit" ]; then
            tail -n 15 "$LOGS/$process.log" >&2
            die "$what: not so after $SECONDS s; see $LOGS/$process.log"
        fi
    done
    say "$what (${SECONDS} s)"
}

# A port that another program holds is told by name, not found in a log.
check_port() { # NAME PORT
    if pid_of "$1" > /dev/null; then return; fi
    if (exec 3<> "/dev/tcp/127.0.0.1/$2") 2> /dev/null; then
        die "port $2 of this machine, which $1 needs, is taken by another program${3:+; set $3 to another}"
    fi
}
check_port etcd "$ETCD_PORT" ETCD_PORT
check_port etcd "$ETCD_PEER_PORT" ETCD_PEER_PORT
check_port kube-apiserver "$API_PORT" API_PORT
check_port kube-controller-manager 10257
check_port kube-scheduler 10259
[ "$mode" = control ] || { check_port kubelet 10250; check_port kube-proxy 10256; }

"$cluster_dir/pki.sh"
# shellcheck source=control.sh
. "$cluster_dir/control.sh"
if [ "$mode" = node ]; then
    # shellcheck source=node.sh
    . "$cluster_dir/node.sh"
fi
say "up"
[ -n "${CLUSTER_BIN:-}" ] || BIN=$CLUSTER_CACHE/bin
echo "export KUBECONFIG=$OUR_KUBECONFIG PATH=$BIN:\$PATH"
