#!/usr/bin/env bash
# Prints the path of a helm 3: the one that was built for the local cluster, else the machine's, else it is built now.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cached=${REDISSYNC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/redissync}/cluster/bin/helm
if [ -x "$cached" ]; then echo "$cached"; exit 0; fi
if own=$(command -v helm) && [[ $("$own" version --short 2> /dev/null) == v3.* ]]; then echo "$own"; exit 0; fi
[ -x deploy/local/build/build.sh ] || { echo "helm 3 is missing: please install it (https://helm.sh/docs/intro/install)" >&2; exit 1; }
echo "$(deploy/local/build/build.sh)/helm"
