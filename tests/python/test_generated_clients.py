"""Clients generated from the checked-in OpenAPI document work."""

import importlib
import subprocess
import sys

from conftest import ROOT

DOCUMENT = ROOT / "openapi/openapi.json"
TYPES = """
import type { paths } from "./quiver";
type Body = paths["/namespaces/{ns}/query"]["post"]["requestBody"]["content"]["application/json"];
export const body: Body = { vector: [0.1, 0.2], top_k: 3 };
"""


def test_python_client(server, namespace, tmp_path, monkeypatch):
    generator = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    output = tmp_path / "quiver_client"
    subprocess.run([*generator, "--path", DOCUMENT, "--output-path", output], check=True, cwd=tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    client = importlib.import_module("quiver_client").Client(base_url=server.url)
    operation = lambda tag, name: importlib.import_module(f"quiver_client.api.{tag}.{name}")
    models = importlib.import_module("quiver_client.models")
    request = models.UpsertRequest.from_dict({"vectors": [{"id": "a", "values": [1.0, 2.0]}]})
    done = operation("vectors", "upsert_vectors").sync_detailed(namespace, client=client, body=request)
    assert (done.status_code, done.parsed.upserted_count) == (200, 1)
    query = models.QueryRequest.from_dict({"vector": [1.0, 2.0]})
    found = operation("search", "query").sync_detailed(namespace, client=client, body=query)
    assert [hit.id for hit in found.parsed.results] == ["a"]


def test_typescript_types(tmp_path):
    programs = ROOT / ".deps/npm/node_modules/.bin"
    types = tmp_path / "quiver.d.ts"
    subprocess.run([programs / "openapi-typescript", DOCUMENT, "-o", types], check=True)
    (tmp_path / "use.ts").write_text(TYPES)
    subprocess.run([programs / "tsc", "--noEmit", "--strict", tmp_path / "use.ts"], check=True)
