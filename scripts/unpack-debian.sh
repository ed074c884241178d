#!/usr/bin/env bash
# Unpacks a Debian package into the folder `root` of the current directory, with the libraries that this
# machine lacks, and makes a script of the package's name that runs its program with them: needs apt, but no
# root, and installs nothing. Usage: unpack-debian.sh PACKAGE PROGRAM (as /usr/sbin/haproxy)
set -euo pipefail
package=$1 program=$2

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
cat >"$package" <<EOF
#!/bin/sh
# $package with the libraries that were unpacked beside it.
root=\$(cd "\$(dirname "\$0")" && pwd -P)/root
libraries=\$(find "\$root" -name '*.so*' -exec dirname {} \; | sort -u | paste -sd :)
LD_LIBRARY_PATH=\$libraries\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH} exec "\$root$program" "\$@"
EOF
chmod +x "$package"
