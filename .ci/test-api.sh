#!/usr/bin/env bash
# The operator as a process against a real API server. Nothing is skipped: without a cluster this fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=../deploy/local/env.sh
. deploy/local/env.sh
PATH=$BIN:$PATH
export KUBECONFIG=${KUBECONFIG:-$OUR_KUBECONFIG}
how="run 'make cluster-up' first, or let KUBECONFIG name a cluster that may be used for tests"
[ -r "$KUBECONFIG" ] || { echo "test-api: there is no cluster: $KUBECONFIG cannot be read; $how" >&2; exit 1; }
command -v kubectl > /dev/null || { echo "test-api: kubectl is not here: install it, or $how" >&2; exit 1; }
kubectl get --raw=/readyz --request-timeout=10s > /dev/null \
    || { echo "test-api: the cluster of $KUBECONFIG does not answer; $how" >&2; exit 1; }
# One test after another: some measure times, some look after all namespaces.
exec .ci/cargo-test.sh --workspace --all-features --test api -- --test-threads=1 --nocapture "$@"
