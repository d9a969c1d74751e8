# shellcheck shell=bash
# The image redissync/redis: Redis 7.0.15 with its sentinel and client, and a shell, for the demo and the tests; not for production.
# Sourced by build.sh; the programs are those that the process tests use.

# with_libraries ROOT PROGRAM…: copies programs of this machine's make with the libraries that they load.
with_libraries() {
    local root=$1 program library
    shift
    for program in "$@"; do
        install -D -m 755 "$program" "$root/usr/bin/$(basename "$program")"
        LD_LIBRARY_PATH=$libraries ldd "$program" | grep -oE '/[^ ]+' | while read -r library; do
            case $library in
                "$libraries"/*) install -D -m 644 "$library" "$root/usr/lib/x86_64-linux-gnu/$(basename "$library")" ;;
                # The loader's path is part of each program, the others lie where it looks.
                *) install -D -m 755 "$library" "$root$library" ;;
            esac
        done
    done
}

build_redis() {
    local root=$work/redis servers busybox applet
    "$repository/.ci/setup.sh"
    "$repository/tests-e2e/servers/install.sh" --only 7.0
    servers=$(dirname "$("$repository/tests-e2e/servers/install.sh" --path 7.0)")
    libraries=$servers/lib
    busybox=$(fetch_busybox)
    mkdir -p "$root"/{bin,etc,tmp,proc,sys,dev,run,data}
    chmod 1777 "$root/tmp" "$root/data"
    with_libraries "$root" "$servers"/libexec/redis-server "$servers"/libexec/redis-cli "$servers"/libexec/redis-benchmark
    ln -s redis-server "$root/usr/bin/redis-sentinel"
    with_libraries "$root" "$busybox"
    for applet in $("$busybox" --list); do
        if [ "$applet" != busybox ]; then ln -s /usr/bin/busybox "$root/bin/$applet"; fi
    done
    printf 'root:x:0:0:root:/:/bin/sh\nredis:x:1001:1001:redis:/data:/bin/sh\n' > "$root/etc/passwd"
    printf 'root:x:0:\nredis:x:1001:\n' > "$root/etc/group"
    printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"
    write redis 7.0.15 "$root" '{"Cmd": ["redis-server"], "Env": ["PATH=/usr/bin:/bin"], "User": "1001:1001", "WorkingDir": "/data"}'
}

# Debian's busybox, from the system or unpacked beside it.
fetch_busybox() {
    if [ -x /bin/busybox ]; then echo /bin/busybox; return; fi
    command -v apt-get > /dev/null || die "please install busybox"
    mkdir -p "$work/busybox"
    download() { (cd "$work/busybox" && apt-get -qq -o APT::Sandbox::User=root download busybox >&2 2>&1); }
    download || {
        apt-get -qq -o DPkg::Lock::Timeout=120 update >&2 || say "apt-get update failed"
        download || die "apt could not download busybox"
    }
    dpkg-deb -x "$work"/busybox/busybox_*.deb "$work/busybox/root"
    if [ -x "$work/busybox/root/usr/bin/busybox" ]; then echo "$work/busybox/root/usr/bin/busybox"; else echo "$work/busybox/root/bin/busybox"; fi
}
