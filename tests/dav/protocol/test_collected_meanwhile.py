"""What is deleted and collected while a client reads it: the answer is cut, never wrong."""

from __future__ import annotations

import base64
import http.client
import logging
from typing import TYPE_CHECKING, Final

import pytest

import cas
from tests.support.corpus import seeded_bytes
from tests.support.drive import Client, Drive, running_drive
from tests.support.volumes import put, remove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE: Final = 48 << 20
PRESENT_ONLY: Final = cas.VersionPolicy(versions=1, states=cas.Retention())


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drive]:
    with running_drive(tmp_path) as running:
        yield running


@pytest.fixture
def alice(drive: Drive) -> Iterator[Client]:
    client = drive.client("alice")
    yield client
    client.connection.close()


def test_a_snapshot_that_goes_while_a_file_in_it_is_read(
    drive: Drive, alice: Client, caplog: pytest.LogCaptureFixture
) -> None:
    volume = drive.repository.volume("alice")
    content = seeded_bytes(1, SIZE)
    put(volume, "film", content)
    volume.create_snapshot("old")
    remove(volume, "film")
    path = "/dav/alice/.snapshots/old/film"
    assert alice("HEAD", path).status == 200
    with caplog.at_level(logging.INFO):
        begun = begin(alice, path)
        received = begun.read(1 << 20)
        volume.remove_snapshots([volume.snapshot("old")])
        collect(drive.repository)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)) as cut:
            received += begun.read()
        if isinstance(cut.value, http.client.IncompleteRead):
            received += cut.value.partial
        alice.connection.close()
        assert alice("GET", path).status == 404
    assert len(received) < SIZE
    assert received == content[: len(received)]
    (line,) = [record for record in caplog.records if "was cut off" in record.getMessage()]
    assert "this version of it is gone" in line.getMessage()
    assert not any(record.exc_info for record in caplog.records)


def begin(client: Client, path: str) -> http.client.HTTPResponse:
    """Send a GET and read the head of the answer alone."""
    credentials = base64.b64encode(f"{client.user}:{client.password}".encode()).decode()
    client.connection.request("GET", path, headers={"Authorization": f"Basic {credentials}"})
    return client.connection.getresponse()


def collect(repository: cas.Repository) -> None:
    repository.checkpoint()
    repository.engine.chunks.open_packs.seal_current()
    report = cas.collect_garbage(repository, PRESENT_ONLY, grace_seconds=0)
    assert report.removed_packs
