"""webdav4, a Python client: what it writes, lists, moves and copies is there as it says."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING

import pytest
from webdav4.client import Client, ResourceAlreadyExists, ResourceNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import Server

CONTENT = random.Random(8).randbytes(2_000_000)
# This client encodes no hash, question mark or percent sign, so there is none.
ODD_NAME = "naïve & <more> 日本.bin"


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = Client(server.url, auth=(server.user, server.password))
    yield client
    client.http.close()


def upload(client: Client, path: str, content: bytes = CONTENT, **options: bool) -> None:
    client.upload_fileobj(io.BytesIO(content), path, **options)


def download(client: Client, path: str) -> bytes:
    target = io.BytesIO()
    client.download_fileobj(path, target)
    return target.getvalue()


def test_a_file_is_listed_as_it_is_and_comes_back(client: Client) -> None:
    upload(client, ODD_NAME)
    assert client.ls("", detail=False) == [ODD_NAME]
    assert client.content_length(ODD_NAME) == len(CONTENT)
    assert client.isfile(ODD_NAME)
    assert client.etag(ODD_NAME)
    assert client.modified(ODD_NAME) >= client.created(ODD_NAME)
    assert download(client, ODD_NAME) == CONTENT


def test_an_upload_does_not_overwrite_unless_told(client: Client) -> None:
    upload(client, "file", b"first")
    with pytest.raises(ResourceAlreadyExists):
        upload(client, "file", b"second")
    upload(client, "file", b"third", overwrite=True)
    assert download(client, "file") == b"third"


def test_folders_are_made_copied_moved_and_removed(client: Client) -> None:
    client.mkdir("folder")
    upload(client, f"folder/{ODD_NAME}", b"inside")
    client.copy("folder", "copy")
    client.move("folder", "moved")
    assert sorted(client.ls("", detail=False)) == ["copy", "moved"]
    assert client.ls("moved", detail=False) == [f"moved/{ODD_NAME}"]
    assert download(client, f"copy/{ODD_NAME}") == b"inside"
    client.remove("moved")
    assert not client.exists("moved")
    with pytest.raises(ResourceNotFound):
        client.ls("moved")


def test_a_file_is_read_in_pieces_from_any_place(client: Client) -> None:
    upload(client, "file")
    with client.open("file", "rb") as file:
        file.seek(1_000_000)
        assert file.read(1000) == CONTENT[1_000_000:1_001_000]
        file.seek(-5, io.SEEK_END)
        assert file.read() == CONTENT[-5:]
