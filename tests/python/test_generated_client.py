"""A Python client generated from the checked-in OpenAPI document works."""

import importlib
import os
import pathlib
import subprocess
import sys

from conftest import ROOT

DOCUMENT = ROOT / "openapi/openapi.json"


def test_python_client(server, namespace, tmp_path, monkeypatch):
    generator = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    output = tmp_path / "quiver_client"
    # The generator formats with ruff, which is installed beside this Python.
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    subprocess.run([*generator, "--path", DOCUMENT, "--output-path", output], check=True, cwd=tmp_path, env=environment)
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

