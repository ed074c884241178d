"""What is stored is open: docs/open-data.md, run as it stands, finds every live row.

The rows are compared with a plain dictionary of what was written, and with `quiver export`.
"""

import io
import itertools
import json
import re
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.fs
import pytest
from conftest import BINARY, ROOT, environment, serve
from seaweed import Seaweed

ARROW = "application/vnd.apache.arrow.stream"
NAMESPACE = "articles"
DIMENSION = 24
FLAGS = ("--set", "compaction.background=false", "--set", "compaction.fan_in=9")
SHORT_TTL, LONG_TTL = 1, 100_000
CODE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def row_id(number: int) -> str:
    return f"row/{number} żółw"


class History:
    """Writes to a namespace, and what it should hold: id -> (bytes of the vector or None, metadata).

    Of each seven rows the last has no vector, if `bare` is true.
    """

    def __init__(self, url: str, namespace: str = NAMESPACE, rows: dict | None = None, bare: bool = False):
        self.namespace = namespace
        self.http = httpx.Client(base_url=f"{url}/v1/namespaces/{namespace}", timeout=60)
        self.random = np.random.default_rng(7)
        self.rows: dict[str, tuple[bytes | None, dict | None]] = rows or {}
        self.bare = bare

    def upsert(self, numbers, ttl: int | None = None):
        ids = [row_id(number) for number in numbers]
        # Any bits but NaN and infinity: negative zero and subnormal numbers have to survive, too.
        bits = self.random.integers(0, 1 << 32, (len(ids), DIMENSION), dtype=np.uint32)
        bits[(bits >> 23) & 0xFF == 0xFF] = 1 << 31
        bare = np.array([self.bare and number % 7 == 6 for number in numbers])
        metadata = [{"title": f"t{number}", "n": [number, "ß"]} if number % 3 else None for number in numbers]
        table = pa.table(
            {
                "id": ids,
                "values": pa.FixedSizeListArray.from_arrays(
                    pa.array(bits.view(np.float32).ravel()), DIMENSION, mask=pa.array(bare)
                ),
                "metadata": pa.array([value and json.dumps(value) for value in metadata], pa.string()),
                "ttl_seconds": pa.array([ttl] * len(ids), pa.int64()),
            }
        )
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        self.post("vectors", content=sink.getvalue(), headers={"content-type": ARROW})
        for id, vector, without, value in zip(ids, bits, bare, metadata):
            self.rows[id] = (None if without else vector.tobytes(), value)
            if ttl == SHORT_TTL:
                del self.rows[id]

    def delete(self, numbers):
        ids = [row_id(number) for number in numbers]
        self.post("vectors/delete", json={"ids": ids})
        for id in ids:
            self.rows.pop(id, None)

    def clear(self):
        self.post("vectors/delete", json={"delete_all": True})
        self.rows.clear()

    def fold(self):
        self.post("compact")

    def post(self, path: str, **body) -> dict:
        answer = self.http.post(path, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def write(self):
        """Three segments with dead rows, a log behind them, rows that expire in all of it."""
        self.upsert(range(9000))
        self.upsert(range(9000, 9100), LONG_TTL)
        self.upsert(range(9100, 9150), SHORT_TTL)
        self.fold()
        self.upsert(range(100, 1200))
        self.delete(range(3000, 3100))
        self.fold()
        self.upsert(range(10_000, 12_000))
        self.delete([*range(150, 200), *range(10_500, 10_600), 77_777])
        self.fold()
        # One id after the other: replaced, deleted, written again, with a time to live, without one.
        self.upsert([1, 2, 3, 50_000, 9000])
        self.upsert([1, 50_001], LONG_TTL)
        self.upsert([4, 50_002, 10_100], SHORT_TTL)
        self.delete([2, 5, 50_000, 150])
        self.upsert([5, 50_000, 3001])
        self.expire()

    def write_after_clear(self):
        self.clear()
        self.upsert([1, 60_000])
        self.delete([60_000])
        self.upsert([60_001], SHORT_TTL)
        self.expire()

    def expire(self):
        """Waits until no row with the short time to live is left."""
        deadline = time.monotonic() + 30
        while (count := self.post("vectors/count", json={})["count"]) != len(self.rows):
            assert time.monotonic() < deadline, f"{count} rows, not {len(self.rows)}"
            time.sleep(0.1)


@pytest.fixture
def data(tmp_path):
    """A running server and what was written to it."""
    for server in serve(tmp_path, *FLAGS):
        yield server, History(server.url)


def run_docs(blocks: slice = slice(None)) -> dict:
    """The variables that the code of the page leaves, or some blocks of it."""
    page = ROOT / "docs" / "open-data.md"
    text = page.read_text()
    code = list(CODE.finditer(text))
    assert len(code) == 4, "functions for pyarrow, their use, polars, DuckDB"
    variables: dict = {"__name__": "docs"}
    for block in code[blocks]:
        # So that a traceback names the line of the page.
        above = "\n" * text.count("\n", 0, block.start(1))
        exec(compile(above + block[1], page, "exec"), variables)
    return variables


def exported(*flags: str) -> pa.Table:
    command = [str(BINARY), "export", NAMESPACE, "--format", "arrow", *flags]
    output = subprocess.run(command, check=True, env=environment(), stdout=subprocess.PIPE, timeout=60).stdout
    return pa.ipc.open_stream(output).read_all().rename_columns({"values": "vector"})


def as_rows(table: pa.Table) -> dict:
    """A table as [`History.rows`]; an id that occurs twice is an error."""
    assert len(set(table["id"].to_pylist())) == len(table)
    column = table["vector"].combine_chunks()
    values = iter(column.flatten().to_numpy().reshape(-1, DIMENSION))
    vectors = [next(values).tobytes() if valid else None for valid in column.is_valid().to_pylist()]
    texts = table["metadata"].to_pylist()
    metadata = [text and json.loads(text) for text in texts]
    return {id: (vector, value) for id, vector, value in zip(table["id"].to_pylist(), vectors, metadata)}


def test_the_documented_code_reads_every_live_row(data, monkeypatch):
    server, _ = data
    history = History(server.url, bare=True)
    history.write()
    monkeypatch.chdir(server.data.parent)

    page = run_docs()
    manifest = page["bucket"].manifest()
    segments, log = manifest["segments"], list(page["bucket"].log(manifest))
    assert len(segments) == 6 and len(log) == 5, "what this test is about"
    assert [bool(segment["deletes"]) for segment in segments] == [True] * 4 + [False] * 2
    assert [segment.get("has_vectors", True) for segment in segments] == [True, False] * 3

    assert as_rows(page["rows"]) == history.rows
    assert as_rows(page["frame"].to_arrow()) == history.rows
    assert as_rows(exported("--data", str(server.data))) == history.rows
    assert page["count"] == len(history.rows) and page["expiring"] == 101
    titles = {id: metadata["title"] for id, (_, metadata) in history.rows.items() if metadata}
    assert dict(page["titles"]) == titles

    history.write_after_clear()
    page = run_docs()
    assert len(history.rows) == 1
    assert as_rows(page["rows"]) == as_rows(page["frame"].to_arrow()) == history.rows
    history.clear()
    page = run_docs()
    assert len(page["rows"]) == len(page["frame"]) == page["count"] == 0


def test_a_copy_and_its_origin_are_read_alike(data, monkeypatch):
    """A copy shares segments that lie below its origin; who of them lives is its own."""
    server, origin = data
    origin.write()
    answer = origin.http.post("copy", json={"to": "copied"})
    assert answer.status_code == 201, answer.text
    copy = History(server.url, "copied", dict(origin.rows))
    copy.delete(range(200, 300))
    copy.upsert(range(290, 310))
    copy.fold()
    copy.delete(range(400, 410))
    origin.delete(range(500, 510))
    page = run_docs(slice(1))
    files = pyarrow.fs.LocalFileSystem(use_mmap=True)
    for history in (origin, copy):
        bucket = page["Bucket"](files, str(server.data), history.namespace)
        assert as_rows(page["live_rows"](bucket)) == history.rows
    segments = bucket.manifest()["segments"]
    assert [segment.get("owner", {}).get("namespace") for segment in segments] == [NAMESPACE] * 4 + [None]
    assert any(segment["deletes"] and segment["deletes"].get("owner") is None for segment in segments[:-1])


def test_what_is_read_beside_writers_is_whole(data):
    """While entries are written and folded: whole batches, all that were acknowledged before."""
    server, history = data
    page = run_docs(slice(1))
    bucket = page["Bucket"](pyarrow.fs.LocalFileSystem(use_mmap=True), str(server.data), NAMESPACE)
    history.upsert(range(500))
    stop, deadline = threading.Event(), time.monotonic() + 60

    def write():
        for batch in itertools.count():
            first = 500 + 20 * batch
            # Half of them are new, so some row of each segment dies.
            history.upsert(range(first - 20, first + 20))
            if batch % 3 == 0:
                history.fold()
            if stop.is_set():
                return

    with ThreadPoolExecutor() as pool:
        writer = pool.submit(write)
        try:
            while len(bucket.manifest()["segments"]) < 6:
                assert not writer.done(), writer.result()
                acknowledged = len(history.rows)
                rows = as_rows(page["live_rows"](bucket))
                assert rows.keys() == set(map(row_id, range(len(rows))))
                assert len(rows) % 20 == 0 and len(rows) >= acknowledged
        finally:
            stop.set()
        writer.result()
    assert as_rows(page["live_rows"](bucket)) == history.rows


def test_the_same_code_reads_a_bucket_of_an_object_store(tmp_path):
    with Seaweed(tmp_path) as store:
        config = tmp_path / "s3.toml"
        config.write_text(store.storage_toml("a/root"))
        for server in serve(tmp_path, *FLAGS, config=config):
            history = History(server.url)
            history.write()
            page = run_docs(slice(1))
            bucket = page["Bucket"](store.files(), f"{store.BUCKET}/a/root", NAMESPACE)
            assert as_rows(page["live_rows"](bucket)) == history.rows
            assert as_rows(exported("--config", str(config))) == history.rows
