"""Runs a workload with four clients and measures it.

An engine in this process is called from four threads. Engines release the interpreter's lock while
they search; `cores` says how much of the machine the process used, so that a run which the lock
held back can be told. A server is loaded by the compiled client in `benches/load`.
"""

import itertools
import json
import resource
import subprocess
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from peer import Bodies, Calls, Workload

CLIENTS = 4
WARM_UP = 200
AT_MOST_SECONDS = 30.0
CLIENT = Path(__file__).resolve().parents[2] / "target/release/quiver-load"

Figures = dict[str, float]
Answers = list[list[int] | None]


def run(workload: Workload, seconds: float, rate: float | None = None) -> tuple[Figures, Answers]:
    """Asks every query once and goes on until the time is up. Returns figures and the ids found.

    With a rate, requests start evenly spaced instead of as soon as a client is idle (servers only).
    """
    if isinstance(workload, Bodies):
        return _load(workload, seconds, rate)
    return _call(workload, seconds)


def ask(workload: Workload) -> list[int]:
    """Asks the first query once."""
    if isinstance(workload, Calls):
        return workload.ids(workload.search(0))
    connection = HTTPConnection(workload.address)
    connection.request("POST", workload.path, workload.bodies[0], {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return workload.ids(answer)


def _call(calls: Calls, seconds: float) -> tuple[Figures, Answers]:
    for query in range(min(WARM_UP, calls.count)):
        calls.search(query)
    answers: list[Any] = [None] * calls.count
    latencies: list[list[float]] = [[] for _ in range(CLIENTS)]
    failures: list[Exception] = []
    numbers = itertools.count()
    begun, processor = time.perf_counter(), time.process_time()

    def client(times: list[float]) -> None:
        try:
            for number in numbers:
                start = time.perf_counter()
                elapsed, first = start - begun, number < calls.count
                if elapsed >= AT_MOST_SECONDS or (elapsed >= seconds and not first):
                    return
                answer = calls.search(number % calls.count)
                times.append(time.perf_counter() - start)
                if first:
                    answers[number] = answer
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=client, args=(times,)) for times in latencies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    elapsed, used = time.perf_counter() - begun, time.process_time() - processor
    times = np.concatenate(latencies) * 1e3
    figures = {
        "requests": len(times),
        "seconds": elapsed,
        "per_second": len(times) / elapsed,
        "p50_ms": float(np.percentile(times, 50)),
        "p99_ms": float(np.percentile(times, 99)),
        "cores": used / elapsed,
    }
    return figures, [None if answer is None else calls.ids(answer) for answer in answers]


def _load(load: Bodies, seconds: float, rate: float | None) -> tuple[Figures, Answers]:
    with TemporaryDirectory() as folder:
        bodies, answers = Path(folder) / "bodies", Path(folder) / "answers"
        bodies.write_bytes(b"\n".join(load.bodies))
        command = [CLIENT, load.address, load.path, bodies, "--answers", answers]
        command += ["--clients", str(CLIENTS), "--seconds", str(seconds), "--at-most", str(AT_MOST_SECONDS)]
        command += ["--warm-up", str(WARM_UP)] + (["--rate", str(rate)] if rate else [])
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        lines = answers.read_bytes().split(b"\n")[: len(load.bodies)]
    figures = json.loads(output)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures["client_cores"] = used / figures["seconds"]
    return figures, [load.ids(json.loads(line)) if line else None for line in lines]
