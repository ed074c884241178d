#!/usr/bin/env bash
# Makes `.deps/haproxy/haproxy`, the load balancer of the tests: the machine's own if it has one, else
# unpacked from the distribution's packages, which needs apt but no root.
set -euo pipefail
cd "$(dirname "$0")/.."
unpack=$PWD/scripts/unpack-debian.sh
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

if [[ -x haproxy ]] && works ./haproxy; then exit; fi
rm -rf haproxy root
for own in $(PATH="$PATH:/usr/sbin:/usr/local/sbin" type -ap haproxy); do
    if works "$own"; then
        ln -s "$own" haproxy
        exit
    fi
done
echo "Unpacking HAProxy into .deps/haproxy"
"$unpack" haproxy /usr/sbin/haproxy || fail "the tests need HAProxy 2.6 or newer on the PATH; see https://www.haproxy.org."
works ./haproxy || fail "the HAProxy that was unpacked does not run, or is older than 2.6: $(./haproxy -v 2>&1)"
