# shellcheck shell=bash
# The cluster that a user has already, named by KUBECONFIG: told apart from ours, and never started, stopped or changed here.

is_foreign() {
    [ -n "${KUBECONFIG:-}" ] && [ "$(readlink -m "$KUBECONFIG")" != "$(readlink -m "$OUR_KUBECONFIG")" ]
}

foreign_kubectl() {
    local kubectl
    kubectl=$(command -v kubectl || { [ -x "$BIN/kubectl" ] && echo "$BIN/kubectl"; }) \
        || die "KUBECONFIG is set, but kubectl is not here: please install it"
    "$kubectl" --request-timeout=10s "$@"
}

foreign_context() { foreign_kubectl config current-context 2> /dev/null; }
foreign_name() { echo "context '$(foreign_context)' of $KUBECONFIG"; }
