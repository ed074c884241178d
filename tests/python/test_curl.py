"""What the README shows: curl, with plain and compressed bodies, NDJSON, blobs and odd ids."""

import gzip
import hashlib
import json
import random
import subprocess
from urllib.parse import quote

import pyarrow as pa
import pytest

ROWS = [{"id": "a", "values": [0.1, 0.9], "metadata": {"k": "v"}}, {"id": "b", "values": [0.9, 0.1]}]
JSON = "content-type: application/json"
ODD_IDS = ["../escape", "%2f", "a/b", "/", ".", "..", "🦀 emoji", "new\nline", "?q=1#f", "\u0000nul", "+ &"]


def curl(*arguments: str, body: bytes | None = None) -> tuple[int, bytes]:
    """The status and the body of the answer."""
    command = ["curl", "-sS", "--max-time", "30", "--path-as-is", "-w", "\n%{http_code}", *arguments]
    if body is not None:
        command += ["--data-binary", "@-"]
    done = subprocess.run(command, check=False, input=body, capture_output=True, timeout=40)
    assert done.returncode == 0, done.stderr
    content, _, status = done.stdout.rpartition(b"\n")
    return int(status), content


def upsert(base: str, rows: list, *headers: str, body: bytes | None = None) -> None:
    body = json.dumps({"vectors": rows}).encode() if body is None else body
    flags = [flag for header in (headers or (JSON,)) for flag in ("-H", header)]
    status, content = curl(f"{base}/vectors", *flags, body=body)
    assert (status, json.loads(content)["upserted_count"]) == (200, len(rows)), content


@pytest.fixture
def base(server, namespace) -> str:
    return f"{server.url}/v1/namespaces/{namespace}"


def count(base: str) -> int:
    status, content = curl(f"{base}/vectors/count", "-H", JSON, body=b"{}")
    assert status == 200, content
    return json.loads(content)["count"]


def test_upsert_query_get_and_delete(base):
    upsert(base, ROWS)
    status, content = curl(f"{base}/query", "-H", JSON, "-d", '{"vector":[0.1,0.9],"top_k":1}')
    hits = json.loads(content)["results"]
    assert (status, [hit["id"] for hit in hits]) == (200, ["a"])
    assert hits[0]["metadata"] == {"k": "v"}
    status, content = curl(f"{base}/vectors/b")
    assert (status, json.loads(content)["values"]) == (200, [0.9, 0.1])
    assert curl("-X", "DELETE", f"{base}/vectors/b")[0] == 200
    status, content = curl(f"{base}/vectors/b")
    assert (status, json.loads(content)["code"]) == (404, "VECTOR_NOT_FOUND")
    assert count(base) == 1
    assert curl("-X", "DELETE", base)[0] == 204
    assert curl(base)[0] == 404


@pytest.mark.parametrize(
    "encoding, pack",
    [("gzip", gzip.compress), ("zstd", lambda body: pa.compress(body, codec="zstd", asbytes=True))],
)
def test_compressed_bodies(base, encoding, pack):
    body = pack(json.dumps({"vectors": ROWS}).encode())
    upsert(base, ROWS, JSON, f"content-encoding: {encoding}", body=body)
    assert count(base) == 2
    status, content = curl(
        f"{base}/vectors", "-H", JSON, "-H", f"content-encoding: {encoding}", body=b"not compressed at all"
    )
    assert status == 400, content


def test_compressed_answers(base):
    rows = [{"id": f"row {n}", "values": [1.0, float(n)]} for n in range(500)]
    upsert(base, rows)
    plain = curl(f"{base}/vectors?limit=500")[1]
    status, packed = curl(f"{base}/vectors?limit=500", "-H", "accept-encoding: gzip")
    assert status == 200 and len(packed) < len(plain) / 2
    assert json.loads(gzip.decompress(packed)) == json.loads(plain)


def test_ndjson(base):
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    upsert(base, ROWS, "content-type: application/x-ndjson", body=lines)
    assert count(base) == 2
    status, _ = curl(f"{base}/vectors", "-H", "content-type: application/x-ndjson", body=lines + b'{"id":')
    assert status in (400, 422)
    assert count(base) == 2


@pytest.mark.parametrize("kind", ["hnsw", "pq", "ivf", "spfresh", "fulltext"])
def test_index_blobs_are_byte_exact(base, kind):
    upsert(base, ROWS)
    blob = random.Random(kind).randbytes(300_001) + b"\r\n\x00\xff"
    url = f"{base}/indexes/{kind}/blob"
    status, content = curl("-X", "PUT", url, "-H", "content-type: application/octet-stream", body=blob)
    assert status == 200, content
    status, answer = curl(url)
    assert (status, hashlib.sha256(answer).digest()) == (200, hashlib.sha256(blob).digest())
    assert f"content-length: {len(blob)}".encode() in curl("-I", url)[1].lower()
    assert curl("-X", "DELETE", url)[0] == 204
    assert curl(url)[0] == 404


def test_an_unknown_index_type_is_refused(base):
    upsert(base, ROWS)
    assert curl("-X", "PUT", f"{base}/indexes/btree/blob", body=b"x")[0] in (400, 404)


def test_odd_ids_round_trip_and_stay_inside(server, base):
    rows = [{"id": odd, "values": [1.0, float(n)]} for n, odd in enumerate(ODD_IDS)]
    upsert(base, rows)
    for row in rows:
        if row["id"] in (".", ".."):
            continue  # Dot segments of a URL, even escaped, belong to clients and proxies.
        status, content = curl(f"{base}/vectors/{quote(row['id'], safe='')}")
        assert status == 200, (row["id"], content)
        assert json.loads(content)["id"] == row["id"]
    fetched = json.loads(curl(f"{base}/fetch", "-H", JSON, body=json.dumps({"ids": ODD_IDS}).encode())[1])
    assert {row["id"] for row in fetched["vectors"]} == set(ODD_IDS)
    assert count(base) == len(ODD_IDS)
    beside = {path.name for path in server.data.parent.iterdir()}
    assert beside == {"data", "server.log"}
    status, content = curl(f"{base}/vectors/delete", "-H", JSON, body=json.dumps({"ids": ODD_IDS}).encode())
    assert json.loads(content)["deleted_count"] == len(ODD_IDS)
