"""Quiver as a server over HTTP, on files.

What is asked depends on the server's OpenAPI document: if a query's body knows `recall_target`,
that is varied, else the exact search is measured; filters are left out until there are any.
"""

import json
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pyarrow as pa
from dataset import TOP_K, DataSet, metadata, wanted
from peer import Bodies, Description, Effort, Peer
from server import Server

from adapters.body import numbers

PROGRAM = Path(__file__).resolve().parents[3] / "target/release/quiver"
NAMESPACE = "/v1/namespaces/bench"
BATCH = 5000
WRITERS = 4
TARGETS = (0.9, 0.93, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995, 0.997)
# Of an enlarged set, efforts are varied instead: targets are calibrated on its rows, and rows that were
# moved are harder to find each other's neighbours of than any query that is asked.
EFFORTS = (0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
REAL_ROWS = 200_000


class Quiver(Peer):
    """The default index, with the recall that a query asks for."""

    more_indexes: tuple[str, ...] = ()
    # Whether all segments are merged into one, or only those that are merged in the background, too.
    full = False
    # What every query has besides.
    asked: dict = {}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server: Server | None = None
        document = json.loads(subprocess.run([PROGRAM, "openapi"], check=True, stdout=subprocess.PIPE).stdout)
        fields = document["components"]["schemas"]["QueryRequest"]["properties"]
        self.filters = fields["filter"].get("type") != "null"
        self.approximate = "recall_target" in fields
        self.efforts = [{"recall_target": target} for target in TARGETS] if self.approximate else [{}]
        self.filtered_efforts = self.efforts

    def describe(self) -> Description:
        version = subprocess.run([PROGRAM, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
        return Description(
            version=version.split()[-1],
            index="spfresh, defaults" if self.approximate else "none (exact)",
            clients="HTTP, 4 connections of a compiled client",
            durability="every write synced before it is acknowledged; strong reads",
        )

    def ingest(self, data: DataSet) -> float | None:
        self._start()
        self._ask("PUT", NAMESPACE, {"dimension": data.rows.shape[1], "distance": "cosine"})
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(lambda batch: self._write(data, batch), data.batches(BATCH)))
        for index in self.more_indexes:
            self._ask("PUT", f"{NAMESPACE}/indexes/{index}", {})
        # Folds the log, merges segments, and builds their indexes.
        seconds = self.timed(lambda: self._ask("POST", f"{NAMESPACE}/compact", {"full": self.full}))
        self.close()
        return seconds

    def _write(self, data: DataSet, batch: range) -> None:
        values = data.rows[batch.start : batch.stop]
        rows = pa.record_batch(
            {
                "id": pa.array([str(row) for row in batch]),
                "values": pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1]),
                "metadata": pa.array([json.dumps(metadata(row)) for row in batch]),
            }
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_batch(rows)
        self._send("POST", f"{NAMESPACE}/vectors", sink.getvalue(), "application/vnd.apache.arrow.stream")

    def open(self) -> None:
        self._start()
        if self._rows() > REAL_ROWS:
            self.efforts = self.filtered_efforts = [{"effort": effort} for effort in EFFORTS]

    def _start(self) -> None:
        # One request builds the index.
        arguments = [str(PROGRAM), "serve", "--data", str(self.folder / "data"), "--set", "server.request_timeout=10m"]
        self.server = Server(
            lambda port: [*arguments, "--listen", f"127.0.0.1:{port}"], self.folder / "server.log", signal.SIGINT
        )

    def query(self, queries: np.ndarray, effort: Effort) -> Bodies:
        return self._bodies(queries, ({**effort} for _ in queries))

    def filtered_query(self, queries: np.ndarray, effort: Effort, field: str) -> Bodies | None:
        if not self.filters:
            return None
        conditions = ({**effort, "filter": {field: {"$eq": wanted(field, query)}}} for query in range(len(queries)))
        return self._bodies(queries, conditions)

    def _bodies(self, queries: np.ndarray, settings: Iterator[dict]) -> Bodies:
        fixed = {"top_k": TOP_K, "include_metadata": False, **self.asked}
        bodies = [
            f'{{"vector":{numbers(vector)},{json.dumps({**fixed, **own})[1:]}'
            for vector, own in zip(queries, settings, strict=True)
        ]
        return Bodies(
            address=self.server.address,
            path=f"{NAMESPACE}/query",
            bodies=[body.encode() for body in bodies],
            ids=lambda answer: [int(hit["id"]) for hit in answer["results"]],
        )

    def close(self) -> None:
        self.server.stop()

    def process_id(self) -> int:
        return self.server.process.pid

    def _rows(self) -> int:
        connection = HTTPConnection(self.server.address)
        connection.request("GET", NAMESPACE)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer["vector_count"]

    def _ask(self, method: str, path: str, body: dict) -> None:
        self._send(method, path, json.dumps(body).encode(), "application/json")

    def _send(self, method: str, path: str, body: bytes, content_type: str) -> None:
        connection = HTTPConnection(self.server.address)
        connection.request(method, path, body, {"Content-Type": content_type})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content.decode()}")


class QuiverHnsw(Quiver):
    """The graph beside the default index and asked for by name, over one segment: more work on writing, for
    less on reading."""

    full = True
    more_indexes = ("hnsw",)
    asked = {"index": "hnsw"}

    def describe(self) -> Description:
        return replace(super().describe(), index="hnsw, defaults, beside spfresh; all segments merged into one")
