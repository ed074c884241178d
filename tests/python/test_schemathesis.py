"""Generated requests against the running server: no 5xx, no answer that the document does not allow.

`QUIVER_HTTP_CASES` sets how many cases are sent at least (default 2,000).
"""

import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from conftest import ROOT, start

CASES = int(os.environ.get("QUIVER_HTTP_CASES", "2000"))
DOCUMENT = ROOT / "openapi/openapi.json"
KEY = "a key for tests only"
METHODS = {"get", "put", "post", "delete", "head"}


def operations():
    paths = json.loads(DOCUMENT.read_text())["paths"]
    return sum(len(METHODS & set(path)) for path in paths.values())


@pytest.fixture
def guarded(tmp_path):
    """A server that wants a key, so that authentication is checked as well."""
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    config = f'[[auth.keys]]\nname = "test"\nsha256 = "{digest}"\nscope = "admin"\n'
    (tmp_path / "quiver.toml").write_text(config)
    server = start(tmp_path)
    yield server
    assert server.stop() == 0


def test_no_request_breaks_the_server(guarded, tmp_path):
    # Some operations have fewer inputs than their share; a quarter more for the others makes up.
    per_operation = -(-CASES * 5 // (4 * operations()))
    program = pathlib.Path(sys.executable).parent / "schemathesis"
    # One worker: before Python 3.11.9, two threads that parse source at once can end in "SystemError: AST
    # constructor recursion depth mismatch", and the generator parses the source of its lambdas.
    command = [
        program, "--config-file", ROOT / "openapi/schemathesis.toml", "run", DOCUMENT,
        "--url", f"{guarded.url}/v1", "--max-examples", str(per_operation), "--seed", "1", "--workers", "1",
        "--phases", "examples,coverage,fuzzing",
    ]  # fmt: skip
    hooks = str(ROOT / "openapi/schemathesis_hooks.py")
    environment = os.environ | {"SCHEMATHESIS_HOOKS": hooks, "QUIVER_TEST_KEY": KEY}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    tail = run.stdout[-6000:]
    assert run.returncode == 0, tail + run.stderr[-2000:]
    generated = re.search(r"([\d,]+) generated", run.stdout)
    assert generated and int(generated[1].replace(",", "")) >= CASES, tail
