#!/usr/bin/env bash
# Loads the images that `make images` built into the cluster: into ours through containerd, into kind or k3d by their own tools.
#   load.sh [ARCHIVE…]    without arguments: all that are there
set -euo pipefail
# shellcheck source=env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
# shellcheck source=foreign.sh
. "$cluster_dir/foreign.sh"

directory=${CARGO_TARGET_DIR:-$repository/target}/images
archives=("$@")
[ $# -gt 0 ] || archives=("$directory"/*.tar)
[ -e "${archives[0]}" ] || die "there is no image in $directory: 'make images' builds them"

if is_foreign; then
    context=$(foreign_context)
    for archive in "${archives[@]}"; do
        case $context in
            kind-*) kind load image-archive "$archive" --name "${context#kind-}" ;;
            k3d-*) k3d image import "$archive" --cluster "${context#k3d-}" ;;
            *) die "$(foreign_name) is neither kind nor k3d: push the images to a registry that it reaches, for example
  skopeo copy oci-archive:$archive docker://REGISTRY/redissync/$(basename "$archive" .tar):TAG" ;;
        esac
    done
    exit 0
fi
[ "$(id -u)" = 0 ] || die "the node of this machine is root's: run this as root"
pid_of containerd > /dev/null || die "there is no cluster on this machine: 'make cluster-up' starts one"
lock_cluster
for archive in "${archives[@]}"; do import_image "$archive"; done
