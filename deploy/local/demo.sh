#!/usr/bin/env bash
# `make demo`: brings a cluster up (or takes the one that KUBECONFIG names), builds and loads the images, and shows the operator at work.
#   demo.sh [ARGUMENTS of the program demo-cluster; --help lists them]
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
# shellcheck source=foreign.sh
. "$cluster_dir/foreign.sh"
cd "$repository"

say "a cluster, then the images; the first time this takes a while"
deploy/local/up.sh > /dev/null
is_foreign || export KUBECONFIG=$OUR_KUBECONFIG
# A tag of its own, so that nobody's images are replaced.
tag=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)-demo
PROFILE=${PROFILE:-dev} VERSION=$tag deploy/images/build.sh
deploy/local/load.sh
exec cargo run --quiet -p redissync-e2e --features cluster --bin demo-cluster -- --tag "$tag" "$@"
