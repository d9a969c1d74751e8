#!/usr/bin/env bash
# Builds the project's images as OCI archives, without a daemon, into target/images.
#   build.sh [NAME…]     of: syncer, operator, redis; without a name all that there is
# VERSION tags them (default: the workspace's version). PROFILE=dev builds quickly, for tests. The Dockerfile beside this gives the
# same images of syncer and operator to those who build with Docker.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$repository"

say() { printf 'images: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

target=${CARGO_TARGET_DIR:-$repository/target}
triple=x86_64-unknown-linux-gnu
profile=${PROFILE:-release}
version=${VERSION:-$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)}
[ "$(uname -sm)" = "Linux x86_64" ] || die "built on Linux on x86-64 only, this is $(uname -sm)"

# write NAME TAG ROOT CONFIG
write() {
    mkdir -p "$target/images"
    python3 deploy/images/archive.py --out "$target/images/.$1.tar.new" --name "docker.io/redissync/$1:$2" --root "$3" --config "$4" >&2
    mv "$target/images/.$1.tar.new" "$target/images/$1.tar"
}

# One binary that needs nothing of the image: no shell, no library, no user database.
build_crate() {
    local name=$1 directory=$profile binary
    [ "$profile" != dev ] || directory=debug
    # Failpoints are a feature, and none is asked for here. A directory of its own: other flags would build all anew, each time.
    RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=$target/static \
        cargo build --locked --profile "$profile" --target "$triple" -p "redissync-$name"
    binary=$target/static/$triple/$directory/redissync-$name
    mkdir -p "$work/$name"
    strip -o "$work/$name/redissync-$name" "$binary"
    ! grep -qa REDISSYNC_FAILPOINT "$work/$name/redissync-$name" || die "$binary has failpoints: build it without that feature"
    write "$name" "$version" "$work/$name" "{\"Entrypoint\": [\"/redissync-$name\"], \"User\": \"65532:65532\"}"
}

names=("$@")
[ $# -gt 0 ] || names=(syncer operator redis)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in "${names[@]}"; do
    case $name in
        syncer | operator)
            if [ -d "$name" ]; then build_crate "$name"; else [ $# -eq 0 ] || die "there is no crate in $name/"; fi
            ;;
        redis)
            # shellcheck source=redis.sh
            . "$repository/deploy/images/redis.sh"
            build_redis
            ;;
        *) die "unknown image '$name': syncer, operator or redis" ;;
    esac
done
