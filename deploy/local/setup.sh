#!/usr/bin/env bash
# Installs what a node needs and this machine lacks: container runtime, network plugins, packet filter.
# Where a service manager starts Debian's containerd by itself, that one is left alone: ours has its own socket and root.
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

missing=()
need() { # PROGRAM PACKAGE
    PATH=$PATH:/usr/sbin:/sbin command -v "$1" > /dev/null || missing+=("$2")
}
need containerd containerd
need runc runc
need iptables iptables
need nft nftables
need conntrack conntrack
need socat socat
need ethtool ethtool
need ip iproute2
need sysctl procps
need openssl openssl
need python3 python3
need cc gcc
[ -x /usr/lib/cni/bridge ] || [ -x /opt/cni/bin/bridge ] || [ -x /usr/libexec/cni/bridge ] || missing+=(containernetworking-plugins)
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)

if [ ${#missing[@]} -gt 0 ]; then
    [ "$(id -u)" = 0 ] || die "please install: ${missing[*]} (as root: apt-get install ${missing[*]})"
    command -v apt-get > /dev/null || die "please install what Debian calls: ${missing[*]}"
    say "installing ${missing[*]}"
    install=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "${missing[@]}")
    "${install[@]}" > /dev/null 2>&1 || {
        apt-get -qq -o DPkg::Lock::Timeout=120 update >&2 || say "apt-get update failed"
        "${install[@]}" >&2 || die "apt could not install ${missing[*]}"
    }
fi
