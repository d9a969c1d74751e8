#!/usr/bin/env bash
# The images that the cluster itself runs, pause and CoreDNS, as archives beside the binaries. They bear the names that Kubernetes'
# own have, so nothing in the manifests is special.
set -euo pipefail
# shellcheck source=../env.sh
. "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
archive=$repository/deploy/images/archive.py
images=$BIN/images
if [ -f "$images/coredns.tar" ] && [ -f "$images/pause.tar" ]; then exit 0; fi

work=$(mktemp -d "$BIN/.images.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/coredns" "$work/pause" "$images"
cc -static -Os -o "$work/pause/pause" "$cluster_dir/images/pause.c"
ln "$BIN/k8s-all" "$work/coredns/coredns"
python3 "$archive" --out "$work/pause.tar" --name registry.k8s.io/pause:3.10.1 --root "$work/pause" \
    --config '{"Entrypoint": ["/pause"], "User": "65535:65535"}'
python3 "$archive" --out "$work/coredns.tar" --name registry.k8s.io/coredns:1.12.4 --root "$work/coredns" \
    --config '{"Entrypoint": ["/coredns"]}'
mv "$work/pause.tar" "$work/coredns.tar" "$images/"
