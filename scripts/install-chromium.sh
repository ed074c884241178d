#!/usr/bin/env bash
# Makes `.deps/chromium/chromium`, the browser of the tests: the machine's own if it has one, else
# unpacked from the distribution's packages, which needs apt but no root.
set -euo pipefail
cd "$(dirname "$0")/.."
unpack=$PWD/scripts/unpack-debian.sh
mkdir -p .deps/chromium
cd .deps/chromium

fail() {
    printf 'install-chromium: %s\n' "$*" >&2
    exit 1
}

works() { [[ $("$1" --version 2>/dev/null) == *[Cc]hrom* ]]; }

if [[ -x chromium ]] && works ./chromium; then exit; fi
rm -rf chromium root
for own in $(type -ap chromium chromium-browser google-chrome); do
    if works "$own"; then
        ln -s "$own" chromium
        exit
    fi
done
echo "Unpacking Chromium into .deps/chromium"
"$unpack" chromium /usr/lib/chromium/chromium || fail "the tests of the page need Chromium or Chrome on the PATH."
works ./chromium || fail "the Chromium that was unpacked does not run: $(./chromium --version 2>&1)"
