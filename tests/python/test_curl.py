"""What people type: curl, compressed bodies, NDJSON, odd ids, index blobs."""

import gzip
import json
import subprocess
import urllib.parse


def curl(*arguments, data=None):
    command = ["curl", "-sS", "--fail-with-body", "--max-time", "20", *arguments]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def post(url, body, *headers):
    flags = [flag for header in headers or ("Content-Type: application/json",) for flag in ("-H", header)]
    return json.loads(curl(url, *flags, "--data-binary", "@-", data=body))


def test_bodies(server, namespace):
    url = f"{server.url}/v1/namespaces/{namespace}"
    body = json.dumps({"vectors": [{"id": "a", "values": [1, 2]}]}).encode()
    assert post(f"{url}/vectors", body)["upserted_count"] == 1
    zipped = gzip.compress(body.replace(b'"a"', b'"b"'))
    answer = post(f"{url}/vectors", zipped, "Content-Type: application/json", "Content-Encoding: gzip")
    assert answer["upserted_count"] == 1
    lines = b'{"id":"c","values":[3,4]}\n{"id":"d","values":[5,6]}\n'
    assert post(f"{url}/vectors", lines, "Content-Type: application/x-ndjson")["upserted_count"] == 2
    compressed = curl(url, "-H", "Accept-Encoding: gzip", "--compressed")
    assert json.loads(compressed)["vector_count"] == 4


def test_odd_ids(server, namespace):
    url = f"{server.url}/v1/namespaces/{namespace}"
    ids = ["../escape", "%2f", "a/b", "new\nline", "\U0001f3f9", " ", ".", "..", "a?b#c", "\\"]
    rows = {"vectors": [{"id": id, "values": [n, 1]} for n, id in enumerate(ids)]}
    post(f"{url}/vectors", json.dumps(rows).encode())
    for n, id in enumerate(ids):
        # curl would resolve the dots, and some proxies would; the encoded ones stand for themselves.
        quoted = urllib.parse.quote(id, safe="").replace(".", "%2e")
        row = json.loads(curl("--path-as-is", f"{url}/vectors/{quoted}"))
        row = row.get("vector", row)
        assert (row["id"], row["values"]) == (id, [n, 1])
    inside = [path for path in server.folder.rglob("*") if "escape" in path.name]
    assert inside == [] and not (server.folder.parent / "escape").exists()


def test_index_blobs(server, namespace):
    url = f"{server.url}/v1/namespaces/{namespace}"
    post(f"{url}/vectors", b'{"vectors":[{"id":"a","values":[1]}]}')
    blob = bytes(range(256)) * 1000
    for kind in ("hnsw", "pq", "ivf", "spfresh", "fulltext"):
        curl("-X", "PUT", f"{url}/indexes/{kind}/blob", "--data-binary", "@-", data=blob)
        assert curl(f"{url}/indexes/{kind}/blob") == blob
    refused = subprocess.run(
        ["curl", "-s", "-X", "PUT", f"{url}/indexes/nope/blob", "--data-binary", "x"], stdout=subprocess.PIPE
    )
    assert b"spfresh" in refused.stdout
