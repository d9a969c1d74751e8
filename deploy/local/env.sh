# shellcheck shell=bash
# What the scripts of this directory share: where things are, and how a process of ours is told from another's.
# Sourced, never run.

cluster_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$cluster_dir/../.." && pwd)

CLUSTER_CACHE=${REDISSYNC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/redissync}/cluster
# Everything that the cluster writes, the kubeconfig too.
CLUSTER_DIR=${CLUSTER_DIR:-$CLUSTER_CACHE/state}

# The binaries follow from these files: another version is another directory, and both may be there.
cluster_key() {
    (cd "$cluster_dir/build" && cat go.mod go.sum build.sh allinone/*.go provisioner/*.go) | sha256sum | cut -c1-16
}
BIN=${CLUSTER_BIN:-$CLUSTER_CACHE/$(cluster_key)}

VAR=$CLUSTER_DIR/var          # data of etcd, containerd and kubelet
RUN=$CLUSTER_DIR/run          # pids and sockets
LOGS=$CLUSTER_DIR/logs
PKI=$CLUSTER_DIR/pki
CONFIG=$CLUSTER_DIR/config
VOLUMES=$CLUSTER_DIR/volumes  # what the provisioner hands out
OUR_KUBECONFIG=$CLUSTER_DIR/kubeconfig
CRI=$RUN/containerd/containerd.sock

NODE=node1
# On a bridge of our own: a node's address must not be loopback, and no other address of the machine should be served.
NODE_IP=10.245.0.1
POD_CIDR=10.244.0.0/16
POD_CIDR_NODE=10.244.0.0/24
SERVICE_CIDR=10.96.0.0/16
API_SERVICE_IP=10.96.0.1
DNS_IP=10.96.0.10
API_PORT=${API_PORT:-6443}
ETCD_PORT=${ETCD_PORT:-2379}
ETCD_PEER_PORT=${ETCD_PEER_PORT:-2380}

say() { printf 'cluster: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# A pid file outlives a reboot, a pid does not: every process of ours carries this mark in its environment.
cluster_mark="REDISSYNC_CLUSTER=$CLUSTER_DIR"
is_ours() { grep -qzxF "$cluster_mark" "/proc/$1/environ" 2> /dev/null; }

# The pid of a running process of ours, by name.
pid_of() {
    local pid
    pid=$(cat "$RUN/$1.pid" 2> /dev/null) && [ -n "$pid" ] && is_ours "$pid" && echo "$pid"
}

in_containerd() { ctr --address "$CRI" --namespace k8s.io "$@"; }

# One hand at a time changes the cluster; processes that are started must not inherit the lock (descriptor 9).
lock_cluster() {
    mkdir -p "$CLUSTER_CACHE"
    exec 9> "$CLUSTER_CACHE/lock"
    flock -n 9 || { say "another run is at work, waiting for it"; flock -w 1200 9 || die "the other run does not end: $CLUSTER_CACHE/lock"; }
}

# import_image ARCHIVE: into our containerd, once for each content.
import_image() {
    local mark
    mark=$VAR/imported/$(sha256sum "$1" | cut -c1-16)
    if [ -f "$mark" ]; then return; fi
    in_containerd images import --digests=false "$1" >> "$LOGS/images.log" 2>&1 || die "containerd did not take $1: see $LOGS/images.log"
    mkdir -p "$VAR/imported"
    touch "$mark"
    say "loaded $(basename "$1")"
}
