#!/usr/bin/env bash
# Builds the binaries of the cluster from Go modules, once for each state of the sources, and prints their directory.
# Cold: about 12 CPU minutes and 2.5 GB of memory; with Go's own caches warm, seconds.
set -euo pipefail
# shellcheck source=../env.sh
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
cd "$cluster_dir/build"

if [ ! -x "$BIN/helm" ]; then
    command -v go > /dev/null || die "go is missing: install Go 1.24 or newer (Debian: golang, from backports; or https://go.dev/dl)"
    wanted=$(awk '$1 == "go" { print $2 }' go.mod)
    have=$(GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
    [ "$(printf '%s\n' "$wanted" "$have" | sort -V | head -1)" = "$wanted" ] \
        || die "go is $have, but build/go.mod wants $wanted or newer: please update Go"
    mkdir -p "$CLUSTER_CACHE"
    # A run that was killed left its directory; a living one is younger.
    find "$CLUSTER_CACHE" -maxdepth 1 -name '.build.*' -mmin +180 -exec rm -rf {} +
    stage=$(mktemp -d "$CLUSTER_CACHE/.build.XXXXXX")
    trap 'rm -rf "$stage"' EXIT
    export CGO_ENABLED=0 GOFLAGS="-buildvcs=false -mod=readonly" GOTOOLCHAIN=local
    version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
    minor=${version#v*.}
    flags="-s -w"
    # Without these the API server says v0.0.0-master, and clients complain.
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags="$flags -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*} -X $package.gitTreeState=clean"
    done
    say "building Kubernetes $version from Go modules (about 7 minutes on two idle cores, once)"
    go build -trimpath -ldflags "$flags" -o "$stage/k8s-all" ./allinone >&2
    go build -trimpath -ldflags "$flags" -o "$stage/helm" helm.sh/helm/v3/cmd/helm >&2
    for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy coredns local-provisioner kubectl; do
        ln -s k8s-all "$stage/$name"
    done
    chmod 755 "$stage"
    # When another run was quicker, its result is as good as ours.
    mv -T "$stage" "$BIN" 2> /dev/null || [ -x "$BIN/helm" ] || die "could not put $BIN in place"
fi
# One path that stays when the version changes.
[ -n "${CLUSTER_BIN:-}" ] || ln -sfn "$(basename "$BIN")" "$CLUSTER_CACHE/bin"
echo "$BIN"
