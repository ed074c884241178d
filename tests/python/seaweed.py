"""SeaweedFS, a real S3 server, on free loopback ports over a temporary directory."""

import subprocess
import time
from pathlib import Path

import pyarrow.fs
from conftest import ROOT, free_port

WEED = ROOT / ".deps" / "venv" / "bin" / "weed"
READY_SECONDS = 60
STARTS = 3
SERVICES = ("s3", "master", "volume", "filer", "admin")


class Seaweed:
    """A running server with an empty bucket; use it in a `with` statement."""

    BUCKET, ACCESS_KEY, SECRET_KEY = "test", "test", "testtest"

    def __init__(self, directory: Path):
        self.directory = directory / "seaweed"
        self.directory.mkdir()

    def __enter__(self):
        for left in reversed(range(STARTS)):
            try:
                self._start()
                return self
            except OSError:
                self.__exit__()
                # The reason to try again is a port that another process took.
                if not left:
                    raise

    def _start(self):
        self.ports = [free_port() for _ in range(2 * len(SERVICES))]
        command = [str(WEED), "-logdir=.", "mini", "-dir=.", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        command += [f"-bucket={self.BUCKET}", "-webdav=false", "-admin.ui=false", "-master.telemetry=false"]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
        command += ["-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"]
        for service, http, grpc in zip(SERVICES, self.ports[::2], self.ports[1::2]):
            command += [f"-{service}.port={http}", f"-{service}.port.grpc={grpc}"]
        environment = {"AWS_ACCESS_KEY_ID": self.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": self.SECRET_KEY}
        with (self.directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.directory, env=environment, stdout=log, stderr=log
            )
        self.endpoint = f"127.0.0.1:{self.ports[0]}"
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                with self.files().open_output_stream(f"{self.BUCKET}/ready") as file:
                    file.write(b"")
                return self.files().delete_file(f"{self.BUCKET}/ready")
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def files(self) -> pyarrow.fs.S3FileSystem:
        """Its buckets as a filesystem."""
        return pyarrow.fs.S3FileSystem(
            endpoint_override=self.endpoint,
            scheme="http",
            region="us-east-1",
            access_key=self.ACCESS_KEY,
            secret_key=self.SECRET_KEY,
        )

    def storage_toml(self, root: str) -> str:
        """The configuration of a server under the prefix `root`."""
        return f"""[storage.backend]
type = "s3"
bucket = "{self.BUCKET}"
root = "{root}"
endpoint = "http://{self.endpoint}"
region = "us-east-1"
access_key_id = "{self.ACCESS_KEY}"
secret_access_key = "{self.SECRET_KEY}"
"""

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for port in self.ports:
            for service in SERVICES:
                Path(f"/tmp/seaweedfs-{service}-grpc-{port}.sock").unlink(missing_ok=True)
