#!/usr/bin/env bash
# Prints deploy/operator.yaml: the chart with its defaults in the namespace redissync-system, for those who install without helm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

helm=$(.ci/helm.sh)
cat <<'END'
# Generated from charts/redissync-operator by `make manifests`: the operator with the chart's defaults, for all namespaces.
#     kubectl apply --server-side -f deploy/operator.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: redissync-system
  labels:
    app.kubernetes.io/part-of: redissync
    pod-security.kubernetes.io/enforce: restricted
END
# The version of Kubernetes is not the machine's: the same chart gives the same file everywhere. What only helm reads is left out.
"$helm" template redissync-operator charts/redissync-operator --namespace redissync-system --kube-version 1.34.0 \
    | grep -vE '^# Source:|^ +helm\.sh/chart:|^ +app\.kubernetes\.io/managed-by: Helm$'
