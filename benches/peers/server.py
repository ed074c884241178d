"""Server processes: started on a free port of the loopback interface, stopped by their id."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

START_SECONDS = 60
STOP_SECONDS = 60


class Server:
    """A process that listens. `command` makes its command line from a port; the signal asks it to end."""

    def __init__(
        self, command: Callable[[int], list[str]], log: Path, stop_signal: signal.Signals = signal.SIGTERM
    ) -> None:
        self.stop_signal = stop_signal
        self.port = _free_port()
        self.address = f"127.0.0.1:{self.port}"
        with open(log, "ab") as output:
            self.process = subprocess.Popen(command(self.port), stdout=output, stderr=output)
        self._wait(log)

    def _wait(self, log: Path) -> None:
        """Returns when it accepts connections."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.002)
        self.stop()
        raise RuntimeError(f"the server does not listen; see {log}")

    def stop(self) -> None:
        """Asks it to end, and ends it if it does not."""
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
