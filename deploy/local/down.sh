#!/usr/bin/env bash
# Stops the cluster that up.sh started and takes back what it changed on this machine. It never touches another cluster.
#   down.sh [--wipe]    --wipe: its state too (objects, volumes, certificates, logs); the binaries stay in the cache
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
# shellcheck source=foreign.sh
. "$cluster_dir/foreign.sh"

case ${1:-} in '' | --wipe) ;; *) die "unknown argument '$1': nothing, or --wipe" ;; esac
if is_foreign; then say "KUBECONFIG names $(readlink -m "$KUBECONFIG"), which is not ours: that cluster is left alone"; fi
if [ ! -d "$CLUSTER_DIR" ]; then say "there is none on this machine"; exit 0; fi
[ "$(id -u)" = 0 ] || die "the node of this machine is root's: run this as root"
lock_cluster
PATH=$PATH:/usr/sbin:/sbin

# stop SECONDS NAME…: asks them to end, waits, then kills.
stop() {
    local limit=$((SECONDS + $1)) name pid
    shift
    for name in "$@"; do
        if pid=$(pid_of "$name"); then kill "$pid" 2> /dev/null || true; fi
    done
    for name in "$@"; do
        while pid=$(pid_of "$name"); do
            [ "$SECONDS" -lt "$limit" ] || kill -9 "$pid" 2> /dev/null || true
            sleep 0.1
        done
        rm -f "$RUN/$name.pid"
    done
}

# What the parts write outside of our directory, whatever their configuration says. Of what others share only the empty is removed.
remove_strays() {
    local directory
    rm -rf /var/lib/cni/results/redissync-* /var/lib/cni/results/cni-loopback-*
    find /var/log/containers -type l -lname "$CLUSTER_DIR/*" -delete 2> /dev/null || true
    if grep -qx /var/lib/kubelet "$VAR/made" 2> /dev/null; then rm -rf /var/lib/kubelet/device-plugins; fi
    rm -f "$VAR/made"
    for directory in /var/lib/kubelet /var/log/containers /var/lib/cni/results /var/lib/cni /run/netns \
        /run/containerd/runc/k8s.io /run/containerd/runc /run/containerd/s /run/containerd; do
        rmdir "$directory" 2> /dev/null || true
    done
}

stop 5 kubelet kube-proxy local-provisioner kube-scheduler kube-controller-manager
stop 5 kube-apiserver
# Containers outlive kubelet and containerd: only through containerd do they end with all that belongs to them.
if pid_of containerd > /dev/null; then
    { in_containerd tasks list --quiet | xargs -r -n1 timeout 10 ctr --address "$CRI" --namespace k8s.io tasks kill --signal SIGKILL; } > /dev/null 2>&1 || true
    sleep 0.5
    { in_containerd tasks list --quiet | xargs -r -n1 timeout 10 ctr --address "$CRI" --namespace k8s.io tasks delete --force; } > /dev/null 2>&1 || true
    { in_containerd containers list --quiet | xargs -r -n1 timeout 10 ctr --address "$CRI" --namespace k8s.io containers delete; } > /dev/null 2>&1 || true
fi
stop 10 etcd containerd
# What is left by now, a container's shim say, carries our mark.
for environ in /proc/[0-9]*/environ; do
    pid=${environ#/proc/} pid=${pid%/environ}
    if [ "$pid" != $$ ] && is_ours "$pid"; then kill -9 "$pid" 2> /dev/null || true; fi
done

# Mounts of pods below our directory, the deepest first.
awk -v prefix="$CLUSTER_DIR/" 'index($2, prefix) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mount; do
    umount -l "$mount" || true
done
# Network: the names are those that node.sh and containerd give.
if ip link show k8s0 > /dev/null 2>&1; then
    for namespace in /var/run/netns/cni-*; do
        if [ -e "$namespace" ]; then ip netns delete "$(basename "$namespace")" || true; fi
    done
    # Others may have put theirs there meanwhile.
    if [ -f "$VAR/netns.mounted" ]; then
        rm -f "$VAR/netns.mounted"
        [ -n "$(ls /run/netns)" ] || umount /run/netns || true
    fi
    # The pods' ends go with their namespaces, in the kernel's own time; these are ours to remove at once.
    for link in $(ip -o link show master cni0 2> /dev/null | awk -F '[ @:]+' '{ print $2 }') cni0 k8s0; do ip link delete "$link" 2> /dev/null || true; done
    for family in ip ip6; do nft delete table "$family" kube-proxy 2> /dev/null || true; done
    # Where containerd was gone already, containers are still there.
    for round in $(seq 50); do
        pods=$(find /sys/fs/cgroup/*/kubepods /sys/fs/cgroup/kubepods -name cgroup.procs -exec cat {} + 2> /dev/null | sort -u) || true
        # shellcheck disable=SC2086  # one word for each process
        [ -z "$pods" ] || kill -9 $pods 2> /dev/null || true
        find /sys/fs/cgroup/*/kubepods /sys/fs/cgroup/kubepods -depth -type d -exec rmdir {} + 2> /dev/null || true
        [ -n "$(find /sys/fs/cgroup -maxdepth 2 -name kubepods)" ] || break
        [ "$round" != 50 ] || say "some processes of pods do not end"
        sleep 0.1
    done
    remove_strays
fi
if [ -f "$VAR/sysctl.before" ]; then
    sysctl -q -p "$VAR/sysctl.before" > /dev/null 2>&1 || say "some sysctls of $VAR/sysctl.before could not be put back"
    rm -f "$VAR/sysctl.before"
fi
if [ "${1:-}" = --wipe ]; then
    ! grep -q " $CLUSTER_DIR/" /proc/mounts || die "something is still mounted below $CLUSTER_DIR: not removed"
    rm -rf --one-file-system "$CLUSTER_DIR"
    say "down, and its state is gone"
else
    say "down; its state stays in $CLUSTER_DIR (--wipe removes it)"
fi
