"""One half of an engine's measurement, in a process of its own.

`ingest` stores the rows and builds the index; `search` opens what that left and answers queries.
The figures are written as JSON. `run.py` starts both.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import adapters
import numpy as np
from dataset import FIELDS, DataSet, recall
from drive import Figures, ask, run
from peer import Calls, Effort, Peer, Workload

# More effort than this recall takes is not measured.
ENOUGH = 0.998
ENOUGH_FILTERED = 0.99
# Latencies at half of the peak load are measured with the first effort of this recall.
HALF_LOAD_RECALL = 0.98


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("ingest", "search"))
    parser.add_argument("name", choices=adapters.PEERS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="the engine's own")
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="of load for each figure")
    options = parser.parse_args()
    data = DataSet(options.data, options.truth)
    peer = adapters.load(options.name, options.folder)
    figures = ingest(peer, data) if options.step == "ingest" else search(peer, data, options.seconds)
    options.output.write_text(json.dumps(figures))


def ingest(peer: Peer, data: DataSet) -> dict:
    """The time until all rows are stored and indexed, the client's conversions included."""
    shape = data.rows.shape
    begun = time.perf_counter()
    index_seconds = peer.ingest(data)
    seconds = time.perf_counter() - begun
    files = [path for path in peer.folder.rglob("*") if path.is_file() and path.suffix != ".log"]
    return {
        **vars(peer.describe()),
        "rows": shape[0],
        "dimension": shape[1],
        "ingest_seconds": seconds,
        "index_seconds": index_seconds,
        "syncs": syncs(),
        "disk_mb": sum(path.stat().st_size for path in files) / 1e6,
    }


def syncs() -> int | None:
    """How often this process and its servers asked for data to be on the disk, if that is counted."""
    counted = os.environ.get("SYNCS")
    if counted is None:
        return None
    path = Path(counted)
    return path.stat().st_size if path.exists() else 0


def search(peer: Peer, data: DataSet, seconds: float) -> dict:
    """Opens the data, then asks with growing effort, without and with filters."""
    queries, truth = data.queries, data.truth
    before = resident(os.getpid())
    begun = time.perf_counter()
    peer.open()
    ask(peer.query(queries[:1], peer.efforts[0]))
    restart = time.perf_counter() - begun
    try:
        points = sweep(peer.efforts, ENOUGH, seconds, partial(peer.query, queries), truth["all"])
        server = peer.process_id()
        memory = resident(server) if server else resident(os.getpid()) - before
        filtered = {}
        for field, modulus in FIELDS.items():
            print(f"    filter matching 1 of {modulus}", flush=True)
            ask_filtered = partial(peer.filtered_query, queries, field=field)
            filtered[field] = sweep(peer.filtered_efforts, ENOUGH_FILTERED, seconds, ask_filtered, truth[field])
        half = half_load(peer, data, points, seconds)
    finally:
        peer.close()
    return {
        "restart_seconds": restart,
        "memory_mb": memory / 1e6,
        "sweep": points,
        "filtered": filtered,
        "half_load": half,
    }


def sweep(
    efforts: list[Effort],
    enough: float,
    seconds: float,
    workload: Callable[[Effort], Workload | None],
    truth: np.ndarray,
) -> list[dict]:
    """Figures for one effort after the other, until one finds enough; none where none are offered."""
    points = []
    for effort in efforts:
        asked = workload(effort)
        if asked is None:
            break
        figures, answers = run(asked, seconds)
        points.append({"effort": effort, "recall": recall(answers, truth), **figures})
        point = points[-1]
        print(f"    {effort}: {point['per_second']:,.0f}/s at recall {point['recall']:.4f}", flush=True)
        if point["recall"] >= enough:
            break
    return points


def half_load(peer: Peer, data: DataSet, points: list[dict], seconds: float) -> Figures | None:
    """Latencies while requests come at half the rate that the server reached; servers only."""
    good = [point for point in points if point["recall"] >= HALF_LOAD_RECALL] or points[-1:]
    workload = peer.query(data.queries, good[0]["effort"])
    if isinstance(workload, Calls):
        return None
    figures, _ = run(workload, seconds, rate=good[0]["per_second"] / 2)
    return {"recall": good[0]["recall"], **figures}


def resident(process: int) -> int:
    """Bytes of a process in memory, mapped files included."""
    status = Path(f"/proc/{process}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
