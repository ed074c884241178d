#!/usr/bin/env bash
# Measures Quiver and its peers on the data set of `make bench-data` (`make bench-peers`): installs
# the peers into .peers/venv, builds the release binary and the load client, then runs
# benches/peers/run.py. Peers that have figures in .peers/results are not run again unless they are
# named as arguments. Safe to interrupt and start again.
set -euo pipefail
cd "$(dirname "$0")/.."

home=.peers
mkdir -p $home
exec 9>$home/lock
flock --nonblock 9 || { echo "bench-peers: another run is under way." >&2; exit 1; }
stamp=$home/venv/.stamp
hash=$(cat benches/peers/requirements.txt scripts/bench-peers.sh | sha256sum | cut -d ' ' -f 1)

if [[ ! -f $stamp || $(<"$stamp") != "$hash" ]]; then
    python=${PYTHON:-python3}
    command -v "$python" >/dev/null ||
        { echo "bench-peers: '$python' is not on the PATH (Python 3.11 is needed)." >&2; exit 1; }
    echo "Installing the peers into $home/venv"
    rm -rf "$home/venv"
    "$python" -m venv "$home/venv"
    "$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r benches/peers/requirements.txt
    echo "$hash" >"$stamp"
fi
cc -O2 -shared -fPIC -o $home/count_syncs.so benches/peers/count_syncs.c -ldl
cargo build --release --locked --bin quiver
cargo build --release --locked -p quiver-load
exec "$home/venv/bin/python" benches/peers/run.py "$@" --data .data/wordnet-minilm-384 --folder "$home" --docs docs
