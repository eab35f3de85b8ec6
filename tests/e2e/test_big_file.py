"""One big file by PUT and GET: constant memory, every byte once, a small change costs little."""

from __future__ import annotations

import base64
import http.client
import random
import shutil
from typing import TYPE_CHECKING, Final

import pytest
from blake3 import blake3

from tests.support import Server, run_casdav, running_server
from tests.support.measures import bytes_on_disk, forget_peak, peak_memory
from tests.support.network import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEBIBYTE: Final = 1 << 20
MEMORY_LIMIT: Final = 100 * MEBIBYTE

pytestmark = pytest.mark.parametrize(
    "size",
    [
        pytest.param(300 * MEBIBYTE + 4321, marks=pytest.mark.long, id="300 MiB"),
        pytest.param(5 * 1024 * MEBIBYTE + 4321, marks=pytest.mark.soak, id="5 GiB"),
    ],
)


def content(size: int) -> Iterator[bytes]:
    """Yield the file piece by piece: bytes that repeat nothing and cannot be compressed."""
    source = random.Random(20)
    while size:
        piece = source.randbytes(min(size, 4 * MEBIBYTE))
        size -= len(piece)
        yield piece


def inserted(size: int) -> Iterator[bytes]:
    """Yield the file with one byte more in front."""
    yield b"!"
    yield from content(size)


def digest(pieces: Iterator[bytes]) -> tuple[int, str]:
    hasher = blake3()
    length = 0
    for piece in pieces:
        hasher.update(piece)
        length += len(piece)
    return length, hasher.hexdigest()


class Client:
    """Streams files to and from the server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        credentials = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {credentials}"}

    def put(self, name: str, pieces: Iterator[bytes], size: int) -> int:
        connection = http.client.HTTPConnection(LOOPBACK, self._server.port, timeout=120)
        headers = {**self._headers, "Content-Length": str(size)}
        connection.request("PUT", f"/dav/{self._server.user}/{name}", pieces, headers)
        status = connection.getresponse().status
        connection.close()
        return status

    def get(self, name: str) -> Iterator[bytes]:
        connection = http.client.HTTPConnection(LOOPBACK, self._server.port, timeout=120)
        connection.request("GET", f"/dav/{self._server.user}/{name}", headers=self._headers)
        response = connection.getresponse()
        while piece := response.read(MEBIBYTE):
            yield piece
        connection.close()


def process_id(server: Server) -> int:
    assert server.process is not None
    return server.process.pid


def test_put_and_get_of_a_big_file_take_little_memory_and_its_bytes_are_kept_once(
    tmp_path: Path, size: int
) -> None:
    expected = digest(content(size))
    with running_server(tmp_path / "store") as server:
        client = Client(server)
        client.put("warm", content(MEBIBYTE), MEBIBYTE)
        pid = process_id(server)
        forget_peak(pid)
        before = peak_memory(pid)
        assert client.put("file", content(size), size) == 201
        assert digest(client.get("file")) == expected
        assert peak_memory(pid) - before < MEMORY_LIMIT

        stored = bytes_on_disk(server.store)
        assert client.put("copy", content(size), size) == 201
        assert bytes_on_disk(server.store) - stored < stored // 100

        stored = bytes_on_disk(server.store)
        assert client.put("file", inserted(size), size + 1) == 204
        assert bytes_on_disk(server.store) - stored < MEBIBYTE
        assert digest(client.get("file")) == digest(inserted(size))
        assert digest(client.get("copy")) == expected
    shutil.rmtree(tmp_path)


def test_import_and_export_of_a_big_file_keep_its_bytes_once(tmp_path: Path, size: int) -> None:
    source, store, cache = (tmp_path / name for name in ("source", "store", "cache"))
    source.mkdir()
    with (source / "file").open("wb") as file:
        for piece in content(size):
            file.write(piece)
    run_casdav("init", store)
    run_casdav("volume", "create", "v", store=store)
    environment = {"XDG_CACHE_HOME": str(cache)}
    patience = 1200.0

    def store_again(path: str) -> int:
        before = bytes_on_disk(store)
        run_casdav(
            *("import", source, f"v:/{path}"),
            store=store,
            environment=environment,
            timeout_seconds=patience,
        )
        return bytes_on_disk(store) - before

    store_again("first")
    assert store_again("second") < size // 100
    with (source / "file").open("wb") as file:
        for piece in inserted(size):
            file.write(piece)
    assert store_again("first") < MEBIBYTE
    for path, pieces in [("first", inserted(size)), ("second", content(size))]:
        run_casdav("export", f"v:/{path}", tmp_path / "out", store=store, timeout_seconds=patience)
        with (tmp_path / "out" / "file").open("rb") as exported:
            assert digest(iter(lambda file=exported: file.read(MEBIBYTE), b"")) == digest(pieces)  # type: ignore[misc]
        shutil.rmtree(tmp_path / "out")
    shutil.rmtree(tmp_path)
