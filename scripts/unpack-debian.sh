#!/usr/bin/env bash
# Unpacks a Debian package into the folder `root` of the current directory, with the libraries that this
# machine lacks: needs apt, but no root, and installs nothing. Usage: unpack-debian.sh PACKAGE
set -euo pipefail
package=$1

fail() {
    printf 'unpack-debian: %s\n' "$*" >&2
    exit 1
}

# What apt would install.
packages() {
    apt-get "${options[@]}" -s install --no-install-recommends "$package" | awk '/^Inst / { print $2 }'
}

unpack() {
    local names
    names=$(packages 2>/dev/null) || return 1
    # Downloading as root drops rights that a folder of ours does not give.
    # shellcheck disable=SC2086 # names are words
    (mkdir -p packages && cd packages && apt-get "${options[@]}" -qq -o APT::Sandbox::User=root download $names) || return 1
    for file in packages/*.deb; do dpkg-deb -x "$file" root; done
}

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "'$package' needs apt-get and dpkg-deb."
rm -rf root packages
options=()
if ! unpack 2>/dev/null; then
    # The package lists of the machine are missing or too old: lists of our own.
    rm -rf root packages
    mkdir -p lists/partial cache/archives/partial
    options=(-o "Dir::State::Lists=$PWD/lists" -o "Dir::Cache=$PWD/cache" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" -qq update || fail "apt-get update failed."
    unpack || fail "apt-get cannot download '$package'."
fi
rm -rf packages lists cache
