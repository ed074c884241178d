#!/usr/bin/env bash
# Makes `.deps/haproxy/haproxy`, the load balancer of the tests: the machine's own if it has one, else
# unpacked from the distribution's packages, which needs apt but no root.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .deps/haproxy
cd .deps/haproxy

fail() {
    printf 'install-haproxy: %s\n' "$*" >&2
    exit 1
}

# Whether this program runs and is new enough (2.6) to hash by an expression.
works() {
    printf '%s\n' 'defaults' 'timeout connect 1s' 'timeout client 1s' 'timeout server 1s' \
        'listen any' 'mode http' 'bind 127.0.0.1:1' 'balance hash path' |
        "$1" -c -f /dev/stdin >/dev/null 2>&1
}

# What apt would install, the libraries that this machine lacks included.
packages() { apt-get "${options[@]}" -s install --no-install-recommends haproxy | awk '/^Inst / { print $2 }'; }

unpack() {
    local names
    names=$(packages 2>/dev/null) || return 1
    # Downloading as root drops rights that a folder of ours does not give.
    # shellcheck disable=SC2086 # names are words
    (mkdir -p packages && cd packages && apt-get "${options[@]}" -qq -o APT::Sandbox::User=root download $names) || return 1
    for package in packages/*.deb; do dpkg-deb -x "$package" root; done
    cat >haproxy <<'EOF'
#!/bin/sh
# HAProxy with the libraries that were unpacked beside it.
root=$(cd "$(dirname "$0")" && pwd -P)/root
libraries=$(find "$root" -name '*.so.*' -exec dirname {} \; | sort -u | paste -sd :)
LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$root/usr/sbin/haproxy" "$@"
EOF
    chmod +x haproxy
}

if [[ -x haproxy ]] && works ./haproxy; then exit; fi
rm -rf haproxy root packages
for own in $(PATH="$PATH:/usr/sbin:/usr/local/sbin" type -ap haproxy); do
    if works "$own"; then
        ln -s "$own" haproxy
        exit
    fi
done
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    fail "the tests need HAProxy 2.6 or newer on the PATH; see https://www.haproxy.org."
echo "Unpacking HAProxy into .deps/haproxy"
options=()
if ! unpack 2>/dev/null; then
    # The package lists of the machine are missing or too old: lists of our own.
    rm -rf haproxy root packages
    mkdir -p lists/partial cache/archives/partial
    options=(-o "Dir::State::Lists=$PWD/lists" -o "Dir::Cache=$PWD/cache" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" -qq update || fail "apt-get update failed."
    unpack || fail "apt-get cannot download haproxy. Install HAProxy 2.6 or newer."
fi
rm -rf packages lists cache
works ./haproxy || fail "the HAProxy that was unpacked does not run, or is older than 2.6: $(./haproxy -v 2>&1)"
