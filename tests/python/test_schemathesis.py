"""Generated requests against the running server: no 5xx, no answer that the document does not allow.

`QUIVER_HTTP_CASES` sets how many cases are sent at least (default 2,000).
"""

import json
import os
import pathlib
import re
import subprocess
import sys

from conftest import ROOT

CASES = int(os.environ.get("QUIVER_HTTP_CASES", "2000"))
DOCUMENT = ROOT / "openapi/openapi.json"
METHODS = {"get", "put", "post", "delete", "head"}


def operations():
    paths = json.loads(DOCUMENT.read_text())["paths"]
    return sum(len(METHODS & set(path)) for path in paths.values())


def test_no_request_breaks_the_server(server, tmp_path):
    per_operation = -(-CASES // operations())
    program = pathlib.Path(sys.executable).parent / "schemathesis"
    command = [
        program, "--config-file", ROOT / "openapi/schemathesis.toml", "run", DOCUMENT,
        "--url", f"{server.url}/v1", "--max-examples", str(per_operation), "--seed", "1", "--workers", "2",
        "--phases", "examples,coverage,fuzzing",
    ]  # fmt: skip
    hooks = str(ROOT / "openapi/schemathesis_hooks.py")
    environment = os.environ | {"SCHEMATHESIS_HOOKS": hooks, "QUIVER_TEST_KEY": "unused"}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    tail = run.stdout[-6000:]
    assert run.returncode == 0, tail + run.stderr[-2000:]
    generated = re.search(r"([\d,]+) generated", run.stdout)
    assert generated and int(generated[1].replace(",", "")) >= CASES, tail
