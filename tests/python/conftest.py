"""Runs the real binary for the tests of this folder."""

import itertools
import os
import pathlib
import re
import signal
import subprocess
import time
import types

import pytest

ROOT = pathlib.Path(__file__).parents[2]
QUIVER = os.environ.get("QUIVER_BIN", ROOT / "target/debug/quiver")
READY_SECONDS = 30


def start(folder, *flags):
    """A server on a free port with its data in `folder`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QUIVER_")}
    log = open(folder / "serve.log", "w+")
    command = [QUIVER, "serve", "--listen", "127.0.0.1:0", *flags]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        text = (folder / "serve.log").read_text()
        found = re.search(r"listening\s+(http://\S+)", text)
        if found and "  try  " in text:
            return types.SimpleNamespace(url=found[1], process=process, folder=folder)
        assert process.poll() is None, text
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"not ready in {READY_SECONDS} s: {text}")


def stop(server):
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=40) == 0


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    running = start(tmp_path_factory.mktemp("server"))
    yield running
    stop(running)


NUMBERS = itertools.count()


@pytest.fixture
def namespace():
    return f"test-{next(NUMBERS)}"
