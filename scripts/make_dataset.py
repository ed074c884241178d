"""Makes a data set of real embeddings: WordNet's 117,791 glosses through all-MiniLM-L6-v2.

Written into --output (default .data/wordnet-minilm-384):

  base.f16.npy      the glosses' vectors, float16, length 1, in the order of WordNet's files
  docs.jsonl.gz     their ids, texts and metadata, in the same order
  queries.npy       the vectors of 1,000 example sentences that no gloss contains, float32
  queries.jsonl.gz  their texts, and the gloss that each belongs to
  gt100.npy         for each query the 100 rows nearest by cosine, exact, nearest first

An interrupted run goes on where it stopped. Run it through make_dataset.sh, which installs the
model and WordNet.
"""

import argparse
import gzip
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from dataset.minilm import WIDTH, MiniLM
from dataset.wordnet import Synset, synsets

ROWS = 117_791
CHUNK = 1024
NEIGHBOURS = 100
SELECTION = Path(__file__).parent / "dataset" / "queries.tsv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=Path, required=True, help="folder with WordNet's data.* files")
    parser.add_argument("--output", type=Path, default=Path(".data/wordnet-minilm-384"))
    parser.add_argument("--threads", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--rows", type=int, default=ROWS, help="only the first so many glosses")
    options = parser.parse_args()
    output = options.output
    if (output / "queries.npy").exists():
        found = len(np.load(output / "base.f16.npy", mmap_mode="r"))
        if found != options.rows:
            sys.exit(f"{output} holds {found} rows, not {options.rows}: delete it, or give another --output")
        print(f"{output} is complete")
        return
    output.mkdir(parents=True, exist_ok=True)
    rows = list(synsets(options.wordnet))
    if len(rows) != ROWS:
        sys.exit(f"WordNet 3.1 has {ROWS} synsets; {options.wordnet} has {len(rows)}")
    queries = select_queries(rows)
    rows = rows[: options.rows]
    write_lines(output / "docs.jsonl.gz", (row.doc for row in rows))
    write_lines(output / "queries.jsonl.gz", queries)
    model = MiniLM(options.threads)
    vectors = model.embed([query["text"] for query in queries])
    base = embed_rows(model, [row.doc["text"] for row in rows], output / "base.f16.npy")
    save(output / "gt100.npy", nearest(base, vectors))
    # Last: its presence says that everything before it is whole.
    save(output / "queries.npy", vectors)
    print(f"{output} is complete")


def select_queries(rows: list[Synset]) -> list[dict]:
    """The selection is a checked-in list: a synset and the number of its example."""
    by_id = {row.doc["id"]: row for row in rows}
    queries = []
    for line in SELECTION.read_text().splitlines():
        source, example = line.split("\t")
        row = by_id[source]
        queries.append(
            {
                "text": row.examples[int(example)],
                "source_id": source,
                "pos": row.doc["pos"],
                "domain": row.doc["domain"],
            }
        )
    return queries


def embed_rows(model: MiniLM, texts: list[str], path: Path) -> np.ndarray:
    """Appends chunks to a raw file, so that an interrupted run loses at most one of them."""
    if path.exists() and len(base := np.load(path, mmap_mode="r")) == len(texts):
        return base
    partial = path.with_suffix(".partial")
    row_bytes = WIDTH * 2
    done = partial.stat().st_size // (CHUNK * row_bytes) * CHUNK if partial.exists() else 0
    begun, first = time.monotonic(), done
    with open(partial, "r+b" if partial.exists() else "w+b") as file:
        file.truncate(done * row_bytes)
        file.seek(0, os.SEEK_END)
        while done < len(texts):
            file.write(model.embed(texts[done : done + CHUNK]).astype(np.float16).tobytes())
            file.flush()
            done = min(done + CHUNK, len(texts))
            progress(done, len(texts), (done - first) / (time.monotonic() - begun))
    base = np.fromfile(partial, np.float16).reshape(len(texts), WIDTH)
    save(path, base)
    partial.unlink()
    return base


def progress(done: int, total: int, rate: float) -> None:
    left = time.strftime("%H:%M:%S", time.gmtime((total - done) / rate))
    line = f"embedded {done:,} of {total:,} glosses ({done / total:.0%}), {rate:,.0f}/s, {left} left"
    if sys.stderr.isatty():
        print(f"\r{line}", end="\n" if done == total else "", file=sys.stderr, flush=True)
    elif done == total or done // CHUNK % 10 == 0:
        print(line, file=sys.stderr, flush=True)


def nearest(base: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Exact, by cosine on the float16 rows; equal rows in row order."""
    rows = np.asarray(base, np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    wanted = min(NEIGHBOURS, len(rows))
    found = np.empty((len(queries), wanted), np.int32)
    for at in range(0, len(queries), 100):
        scores = queries[at : at + 100] @ rows.T
        found[at : at + 100] = np.argsort(-scores, axis=1, kind="stable")[:, :wanted]
    return found


def write_lines(path: Path, lines) -> None:
    """Without a time in it, so that the same content makes the same file."""
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        for line in lines:
            file.write(json.dumps(line).encode() + b"\n")


def save(path: Path, array: np.ndarray) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(".new.npy")
    np.save(partial, array)
    partial.replace(path)


if __name__ == "__main__":
    main()
