#!/usr/bin/env bash
# The syncer knows nothing of Kubernetes, no crate links OpenSSL, and each binary has one TLS provider (Invariant 17).
set -euo pipefail

tree=$(cargo tree -p redissync-syncer --edges normal,build --all-features --prefix none --format '{p}')
[ -n "$tree" ] || { echo "cargo tree told nothing" >&2; exit 1; }
if found=$(grep -E '^(kube|kube-[a-z-]+|k8s-openapi|openssl|openssl-sys|native-tls|aws-lc-rs|aws-lc-sys) ' <<< "$tree"); then
    printf 'redissync-syncer must not depend on:\n%s\n' "$found" >&2
    exit 1
fi
echo "layers: redissync-syncer has $(sort -u <<< "$tree" | wc -l) crates, none of Kubernetes, no OpenSSL"

operator=$(cargo tree -p redissync-operator --edges normal,build --all-features --prefix none --format '{p}')
[ -n "$operator" ] || { echo "cargo tree told nothing" >&2; exit 1; }
if found=$(grep -E '^(openssl|openssl-sys|native-tls|aws-lc-rs|aws-lc-sys|redis|reqwest) ' <<< "$operator"); then
    printf 'redissync-operator must not depend on:\n%s\n' "$found" >&2
    exit 1
fi
echo "layers: redissync-operator has $(sort -u <<< "$operator" | wc -l) crates and one TLS provider, ring"
