#!/usr/bin/env bash
# Makes sure that a machine has what the Makefile's targets need, and installs only what is missing.
# Debian's packages are installed where apt-get and the rights are there; else the message says what to install.
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }

missing=()
command -v cc > /dev/null || missing+=(gcc libc6-dev)
command -v git > /dev/null || missing+=(git)
command -v python3 > /dev/null || missing+=(python3)
python3 -m pip --version > /dev/null 2>&1 || missing+=(python3-pip)

if [ ${#missing[@]} -gt 0 ]; then
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo > /dev/null && sudo -n true 2> /dev/null; then
            as_root=(sudo -n)
        else
            say "please install: ${missing[*]} (as root: apt-get install ${missing[*]})"
            exit 1
        fi
    fi
    command -v apt-get > /dev/null || { say "please install what Debian calls: ${missing[*]}"; exit 1; }
    say "installing ${missing[*]}"
    install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 install -y
        --no-install-recommends "${missing[@]}")
    "${install[@]}" > /dev/null 2>&1 || {
        "${as_root[@]}" apt-get -qq -o DPkg::Lock::Timeout=120 update >&2 || say "apt-get update failed"
        "${install[@]}" >&2 || { say "apt could not install ${missing[*]}"; exit 1; }
    }
fi

command -v cargo > /dev/null || {
    say "cargo is missing: install Rust with https://rustup.rs; rust-toolchain.toml then picks the version"
    exit 1
}
# rustup fetches the toolchain of rust-toolchain.toml by itself, unless it was told not to.
cargo --version > /dev/null 2>&1 || {
    command -v rustup > /dev/null || { say "cargo does not run, and rustup is not here to repair it"; exit 1; }
    say "fetching the toolchain that rust-toolchain.toml names"
    rustup toolchain install >&2 || { say "rustup could not fetch the toolchain"; exit 1; }
}
