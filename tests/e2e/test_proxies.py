"""The drive behind reverse proxies, configured word for word as dav/README.md shows."""

from __future__ import annotations

import base64
import http.client
import random
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support import Server, running_server
from tests.support.network import LOOPBACK
from tests.support.programs import needs, run_program
from tests.support.proxies import Certificate, make_certificate, running_proxy
from tests.support.rclone import REMOTE, Rclone, find_rclone

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.debian

CONTENT = random.Random(21).randbytes(30_000_000)


class Front(NamedTuple):
    """A proxy, and the server behind it."""

    server: Server
    port: int
    certificate: Certificate

    @property
    def url(self) -> str:
        return f"https://{LOOPBACK}:{self.port}/dav/{self.server.user}/"

    def request(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        server = self.server
        credentials = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        context = self.certificate.context()
        connection = http.client.HTTPSConnection(LOOPBACK, self.port, timeout=60, context=context)
        try:
            connection.request(
                method,
                f"/dav/{server.user}/{path}",
                body,
                {"Authorization": f"Basic {credentials}", **fields},
            )
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()


@pytest.fixture(
    params=[
        pytest.param("nginx", marks=needs("nginx")),
        pytest.param("caddy", marks=needs("caddy")),
    ]
)
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    certificate = make_certificate(tmp_path)
    with (
        running_server(tmp_path / "store", "--behind-proxy") as server,
        running_proxy(request.param, tmp_path / "proxy", server.port, certificate) as port,
    ):
        yield Front(server, port, certificate)


def test_files_go_through_whole_with_and_without_a_length(front: Front) -> None:
    assert front.request("PUT", "file", CONTENT)[0] == 201
    pieces = (CONTENT[start : start + 100_000] for start in range(0, len(CONTENT), 100_000))
    assert front.request("PUT", "chunked", pieces)[0] == 201
    for name in ("file", "chunked"):
        assert front.request("GET", name)[2] == CONTENT
    part = front.request("GET", "file", Range="bytes=1000000-1999999")
    assert (part[0], part[2]) == (206, CONTENT[1_000_000:2_000_000])


def test_copies_and_moves_name_addresses_as_clients_know_them(front: Front) -> None:
    assert front.request("MKCOL", "folder/")[0] == 201
    assert front.request("PUT", "folder/a%2Bb%20%23%25", b"x")[0] == 201
    assert front.request("COPY", "folder/", Destination=f"{front.url}copy/")[0] == 201
    assert front.request("MOVE", "folder/", Destination=f"{front.url}moved/")[0] == 201
    for folder in ("copy", "moved"):
        assert front.request("GET", f"{folder}/a%2Bb%20%23%25")[2] == b"x"
    elsewhere = "https://drive.example.com/dav/alice/x"
    assert front.request("MOVE", "moved/", Destination=elsewhere)[0] == 502


def test_a_host_that_the_client_invents_is_not_believed(front: Front) -> None:
    front.request("PUT", "file", b"x")
    host = "evil.example.com"
    target = f"https://{host}/dav/alice/other"
    assert front.request("MOVE", "file", Destination=target, X_Forwarded_Host=host)[0] == 502


@needs("litmus")
def test_litmus_passes_through_the_proxy(front: Front, tmp_path: Path) -> None:
    words = ["litmus", "-k", front.url, front.server.user, front.server.password]
    completed = run_program(*words, cwd=tmp_path, timeout_seconds=240, check=False)
    report = completed.stdout + completed.stderr
    assert completed.returncode == 0, report
    assert "FAIL" not in report
    # It does not try Expect: 100-continue over TLS.
    assert report.count("SKIPPED") == report.count("SKIPPED (skipping for SSL server)") == 1


@pytest.mark.skipif(find_rclone() is None, reason="rclone is not installed")
def test_rclone_works_through_the_proxy(front: Front, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "ü 1+1.bin").write_bytes(CONTENT)
    trust = f"--ca-cert={front.certificate.chain}"
    rclone = Rclone(front.server, url=front.url)
    rclone.run("copy", trust, tmp_path / "tree", REMOTE + "tree")
    rclone.run("moveto", trust, REMOTE + "tree", REMOTE + "moved")
    rclone.run("check", trust, "--download", tmp_path / "tree", REMOTE + "moved")
