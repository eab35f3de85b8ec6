"""An upload that breaks off changes nothing; one that is under way is not seen by anybody."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from tests.support import Server, running_server, wait_until
from tests.support.network import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD: Final = random.Random(12).randbytes(1_000_000)
NEW: Final = random.Random(13).randbytes(3_000_000)
RESET: Final = struct.pack("ii", 1, 0)


class Upload:
    """A PUT whose bytes a test sends as it likes."""

    def __init__(self, connection: socket.socket, server: Server, name: str, length: str) -> None:
        self._connection = connection
        credentials = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
        self.send(
            f"PUT /dav/{server.user}/{name} HTTP/1.1\r\nHost: {LOOPBACK}:{server.port}\r\n"
            f"Authorization: Basic {credentials}\r\n{length}\r\n\r\n".encode()
        )

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def reset(self) -> None:
        """Break off without a goodbye: the peer's machine has gone."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._connection.close()

    def end(self) -> bytes:
        """Say that nothing more comes, and return the answer."""
        self._connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := self._connection.recv(65536):
            answer += piece
        return answer


@contextmanager
def upload(server: Server, name: str, length: str) -> Iterator[Upload]:
    with socket.create_connection((LOOPBACK, server.port), timeout=30) as connection:
        yield Upload(connection, server, name, length)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("cut") / "store") as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Server:
    """The server, with the old file in it and nothing else."""
    for name in names(shared):
        assert shared.request("DELETE", name)[0] == 204
    assert shared.request("PUT", "file", OLD)[0] == 201
    return shared


def names(server: Server) -> list[str]:
    status, _, body = server.request("PROPFIND", "", headers={"Depth": "1"})
    assert status == 207
    hrefs = re.findall(rf"<D:href>/dav/{server.user}/([^<]+)</D:href>", body.decode())
    return sorted(hrefs)


def answered_puts(server: Server) -> int:
    return len(re.findall(rf'"PUT /dav/{server.user}/', server.log))


CUTS: Final = [0, 1, 1000, 65_536, 1_000_003, 2_500_000, len(NEW) - 1]


@pytest.mark.parametrize("name", ["file", "new"])
@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_upload_leaves_the_old_content_and_nothing_else(
    server: Server, name: str, how: str, cut: int
) -> None:
    before = answered_puts(server)
    with upload(server, name, f"Content-Length: {len(NEW)}") as put:
        put.send(NEW[:cut])
        if how == "reset":
            put.reset()
        else:
            assert not put.end().startswith(b"HTTP/1.1 2")
    wait_until(lambda: answered_puts(server) > before, "the server to give up")
    assert server.request("GET", "file")[2] == OLD
    assert names(server) == ["file"]


@pytest.mark.parametrize(
    "ending", [b"", b"0\r\n", b"7\r\nabc", b"ffffffff\r\n", b"zz\r\nab\r\n0\r\n\r\n"]
)
def test_chunks_that_do_not_end_well_are_no_file(server: Server, ending: bytes) -> None:
    with upload(server, "file", "Transfer-Encoding: chunked") as put:
        put.send(f"{len(NEW):x}\r\n".encode() + NEW + b"\r\n" + ending)
        assert not put.end().startswith(b"HTTP/1.1 2")
    assert server.request("GET", "file")[2] == OLD
    assert names(server) == ["file"]


def test_a_wrong_checksum_is_no_file(server: Server) -> None:
    wrong = {"OC-Checksum": f"SHA1:{hashlib.sha1(OLD).hexdigest()}"}  # noqa: S324 - not for security
    assert server.request("PUT", "file", NEW, wrong)[0] == 400
    assert server.request("GET", "file")[2] == OLD


def test_readers_see_the_old_version_whole_until_the_new_one_is_there(server: Server) -> None:
    _, headers, _ = server.request("HEAD", "file")
    with upload(server, "file", f"Content-Length: {len(NEW)}\r\nConnection: close") as put:
        for start in range(0, len(NEW) - 1, 500_000):
            put.send(NEW[start : min(start + 500_000, len(NEW) - 1)])
            status, now, body = server.request("GET", "file")
            assert (status, body) == (200, OLD)
            assert now["etag"] == headers["etag"]
            listing = server.request("PROPFIND", "file", headers={"Depth": "0"})[2]
            assert f"<D:getcontentlength>{len(OLD)}<".encode() in listing
        put.send(NEW[-1:])
        assert put.end().startswith(b"HTTP/1.1 204 ")
    assert server.request("GET", "file")[2] == NEW


def test_a_download_that_began_before_a_change_ends_as_it_began(server: Server) -> None:
    large = random.Random(14).randbytes(40_000_000)
    assert server.request("PUT", "file", large)[0] == 204
    credentials = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    with socket.create_connection((LOOPBACK, server.port), timeout=30) as connection:
        connection.sendall(
            f"GET /dav/{server.user}/file HTTP/1.1\r\nHost: {LOOPBACK}:{server.port}\r\n"
            f"Authorization: Basic {credentials}\r\nConnection: close\r\n\r\n".encode()
        )
        received = connection.recv(100_000)
        assert server.request("PUT", "file", NEW)[0] == 204
        assert server.request("DELETE", "file")[0] == 204
        while piece := connection.recv(1 << 20):
            received += piece
    assert received.partition(b"\r\n\r\n")[2] == large
