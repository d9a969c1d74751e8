#!/usr/bin/env bash
# The scenarios in a cluster: brings one up (or takes the one that KUBECONFIG names), loads the images under test, runs the tests
# with the given filter, and uninstalls the operator. PROFILE=release tests what is released; the default builds quickly.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=../deploy/local/env.sh
. deploy/local/env.sh
# shellcheck source=../deploy/local/foreign.sh
. deploy/local/foreign.sh

deploy/local/up.sh > /dev/null
is_foreign || export KUBECONFIG=$OUR_KUBECONFIG

# Tags of their own, so that nobody's images are replaced. The second one is what the operator is upgraded to: the same content.
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
export REDISSYNC_TEST_TAG=$version-test REDISSYNC_TEST_NEXT_TAG=$version-test-next
for tag in "$REDISSYNC_TEST_NEXT_TAG" "$REDISSYNC_TEST_TAG"; do
    PROFILE=${PROFILE:-dev} VERSION=$tag deploy/images/build.sh
    deploy/local/load.sh
done

helm=$(.ci/helm.sh)
uninstall() { "$helm" uninstall redissync-e2e --namespace redissync-e2e --wait --timeout 60s --ignore-not-found > /dev/null || say "the operator stays in redissync-e2e"; }
trap uninstall EXIT
.ci/cargo-test.sh --workspace --all-features --test cluster -- --test-threads=1 --nocapture "$@"
