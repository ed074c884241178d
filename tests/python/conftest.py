"""A real server for every test: the debug binary on a free loopback port, over a temporary directory.

The server is stopped by SIGTERM, and its exit code is part of what is tested.
"""

import itertools
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("QUIVER_BIN", ROOT / "target" / "debug" / "quiver"))
START_SECONDS = 30
STOP_SECONDS = 30


def pytest_configure(config):
    """The marks that our tests have."""
    config.addinivalue_line("markers", "refusals: the page under test is refused something (4xx) on purpose")


@dataclass
class Server:
    """A running server."""

    url: str
    data: Path
    process: subprocess.Popen
    log: Path

    def stop(self) -> int:
        """Asks the server to end; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment() -> dict[str, str]:
    """Ours, without settings: those of whoever runs the tests must not leak into them."""
    return {key: value for key, value in os.environ.items() if not key.startswith("QUIVER_")}


def start(directory: Path, *flags: str, config: Path | None = None) -> Server:
    """Starts a server in `directory` and waits until it is ready. Its data are there, too, unless a
    configuration file says where."""
    assert BINARY.exists(), f"{BINARY} does not exist: run `cargo build`, or set QUIVER_BIN"
    port, log, data = free_port(), directory / "server.log", directory / "data"
    where = ["--config", str(config)] if config else ["--data", str(data)]
    command = [str(BINARY), "serve", "--listen", f"127.0.0.1:{port}", *where, *flags]
    # No balancer has to notice that a server ends.
    command += ["--set", "server.drain_delay=0s"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=directory, env=environment(), stdout=output, stderr=output)
    server = Server(f"http://127.0.0.1:{port}", data, process, log)
    try:
        _wait_ready(server)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return server


def _wait_ready(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert server.process.poll() is None, f"the server ended:\n{server.log.read_text()}"
        try:
            if httpx.get(f"{server.url}/health/ready", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not ready after {START_SECONDS} s:\n{server.log.read_text()}")


def serve(directory: Path, *flags: str, config: Path | None = None):
    """A server for a fixture to yield: stopped, and its exit code checked, afterwards."""
    server = start(directory, *flags, config=config)
    try:
        yield server
    finally:
        code = server.stop()
    assert code == 0, f"exit code {code}:\n{server.log.read_text()}"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The server that the tests share."""
    yield from serve(tmp_path_factory.mktemp("quiver"))


_numbers = itertools.count()


@pytest.fixture
def namespace(request) -> str:
    """A namespace name that no other test has."""
    return f"{re.sub('[^a-z0-9]+', '-', request.node.name.lower())[:80]}-{next(_numbers)}"


@pytest.fixture
def http(server):
    """A plain HTTP client of the shared server."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client
