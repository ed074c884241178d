"""Cuts tests/data/wordnet/ out of the whole data set (`make bench-data`).

For each of 64 queries the slice has the gloss that the query belongs to and its nearest
neighbours, so that answers make sense to a reader; the rest is drawn at random. Everything is
seeded: the same data set gives the same slice.

    .deps/venv/bin/python scripts/make_slice.py --data .data/wordnet-minilm-384
"""

import argparse
import gzip
import json
from pathlib import Path

import numpy as np

ROWS = 1_700
QUERIES = 64
NEIGHBOURS = 10
SEED = 384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(".data/wordnet-minilm-384"))
    parser.add_argument("--output", type=Path, default=Path("tests/data/wordnet"))
    options = parser.parse_args()
    docs, queries = (read_lines(options.data / f"{name}.jsonl.gz") for name in ("docs", "queries"))
    base = np.load(options.data / "base.f16.npy", mmap_mode="r")
    vectors = np.load(options.data / "queries.npy")
    nearest = np.load(options.data / "gt100.npy")

    random = np.random.default_rng(SEED)
    chosen = np.sort(random.choice(len(queries), QUERIES, replace=False))
    row_of = {doc["id"]: row for row, doc in enumerate(docs)}
    rows = {row_of[queries[query]["source_id"]] for query in chosen}
    rows.update(nearest[chosen, :NEIGHBOURS].ravel().tolist())
    for row in random.permutation(len(docs)):
        if len(rows) == ROWS:
            break
        rows.add(int(row))
    rows = np.array(sorted(rows))

    options.output.mkdir(parents=True, exist_ok=True)
    slice_, vectors = base[rows], vectors[chosen]
    np.save(options.output / "base.f16.npy", slice_)
    np.save(options.output / "queries.npy", vectors)
    np.save(options.output / "gt100.npy", exact(slice_, vectors))
    fields = ("id", "text", "pos", "domain")
    write_lines(options.output / "docs.jsonl", ({k: docs[row][k] for k in fields} for row in rows))
    write_lines(options.output / "queries.jsonl", (queries[query] for query in chosen))


def exact(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The 100 rows nearest by cosine, in float64; equal ones in row order."""
    rows, queries = rows.astype(np.float64), queries.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.argsort(-(queries @ rows.T), axis=1, kind="stable")[:, :100].astype(np.int32)


def read_lines(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write_lines(path: Path, lines) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
