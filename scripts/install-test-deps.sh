#!/usr/bin/env bash
# Installs what the tests need into the ignored folder `.deps/`: a Python environment (`.deps/venv`)
# and npm packages (`.deps/npm`). Each half is skipped while its requirement files are unchanged.
set -euo pipefail
cd "$(dirname "$0")/.."

deps=.deps

fail() {
    printf 'install-test-deps: %s\n' "$*" >&2
    exit 1
}

# A stamp holds the hash of the files that a half was installed from; it is written last, so that
# an interrupted installation starts over.
hash_of() { cat "$@" | sha256sum | cut -d ' ' -f 1; }
fresh() { [[ -f $1 && $(<"$1") == "$2" ]]; }

install_python() {
    local python stamp=$deps/venv/.stamp hash
    hash=$(hash_of tests/requirements.txt scripts/install-test-deps.sh)
    if fresh "$stamp" "$hash" && $deps/venv/bin/python -c '' 2>/dev/null; then return; fi
    python=${PYTHON:-python3}
    command -v "$python" >/dev/null ||
        fail "the tests need Python 3.11 or newer, and '$python' is not on the PATH. Install it (Debian: apt-get install python3 python3-venv) or set PYTHON."
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "the tests need Python 3.11 or newer; '$python' is $("$python" --version 2>&1). Set PYTHON to another one."
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "'$python' lacks the venv module. Install it (Debian: apt-get install python3-venv)."
    echo "Installing Python packages into $deps/venv"
    rm -rf "$deps/venv"
    "$python" -m venv "$deps/venv"
    "$deps/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r tests/requirements.txt
    "$deps/venv/bin/python" -m pip check >/dev/null || fail "tests/requirements.txt lacks a package; see '$deps/venv/bin/python -m pip check'."
    echo "$hash" >"$stamp"
}

install_npm() {
    local stamp=$deps/npm/.stamp hash
    hash=$(hash_of tests/package.json tests/package-lock.json scripts/install-test-deps.sh)
    if fresh "$stamp" "$hash"; then return; fi
    for program in node npm; do
        command -v $program >/dev/null ||
            fail "the tests need Node.js 20 or newer, and '$program' is not on the PATH. See https://nodejs.org/en/download."
    done
    node -e 'process.exit(parseInt(process.versions.node, 10) < 20 ? 1 : 0)' ||
        fail "the tests need Node.js 20 or newer; this is $(node --version)."
    echo "Installing npm packages into $deps/npm"
    rm -rf "$deps/npm"
    mkdir -p "$deps/npm"
    cp tests/package.json tests/package-lock.json "$deps/npm/"
    (cd "$deps/npm" && npm ci --no-audit --no-fund --loglevel=error)
    echo "$hash" >"$stamp"
}

mkdir -p "$deps"
install_python
install_npm
