"""A flipped bit on the disk: reads fail, loudly, and never give a wrong byte."""

from __future__ import annotations

import http.client
import random
from typing import TYPE_CHECKING, Final

import pytest

from tests.support import Server, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGE: Final = random.Random(16).randbytes(6_000_000)
SMALL: Final = random.Random(17).randbytes(10_000)


@pytest.fixture
def damaged(tmp_path: Path) -> Iterator[Server]:
    """A server in whose store a bit of `small`, and one in the middle of `large`, is flipped."""
    store = tmp_path / "store"
    with running_server(store) as server:
        assert server.request("MKCOL", "folder/")[0] == 201
        assert server.request("PUT", "folder/large", LARGE)[0] == 201
        assert server.request("PUT", "folder/small", SMALL)[0] == 201
        assert server.request("PUT", "folder/sound", b"sound")[0] == 201
        server.stop()
        # Random bytes cannot be compressed, so they stand in the pack as they are.
        flip_bit(store, LARGE[3_000_000:3_000_032])
        flip_bit(store, SMALL[5_000:5_032])
        server.start()
        yield server


def flip_bit(store: Path, around: bytes) -> None:
    """Flip a bit of these bytes, wherever in the packs they are."""
    for pack in store.glob("packs/*/*"):
        content = bytearray(pack.read_bytes())
        place = content.find(around)
        if place >= 0:
            content[place + len(around) // 2] ^= 0x10
            pack.chmod(0o600)
            pack.write_bytes(content)
            return
    raise AssertionError("the bytes are in no pack")


def test_a_download_breaks_off_before_the_first_wrong_byte(damaged: Server) -> None:
    with pytest.raises((http.client.IncompleteRead, ConnectionError)) as broken:
        damaged.request("GET", "folder/large")
    if isinstance(broken.value, http.client.IncompleteRead):
        received = broken.value.partial
        assert len(received) < 3_000_016
        assert received == LARGE[: len(received)]
    assert "alice:/folder/large" in damaged.log


def test_a_file_that_is_damaged_at_its_beginning_is_answered_with_an_error(damaged: Server) -> None:
    status, _, body = damaged.request("GET", "folder/small")
    assert status == 500
    assert SMALL[:100] not in body
    assert b"damage" in body.lower() or b"corrupt" in body.lower(), body
    assert "alice:/folder/small" in damaged.log


def test_sound_parts_and_sound_files_are_served_as_before(damaged: Server) -> None:
    for first, last in [(0, 999_999), (5_000_000, 5_999_999)]:
        wanted = {"Range": f"bytes={first}-{last}"}
        status, _, body = damaged.request("GET", "folder/large", headers=wanted)
        assert (status, body) == (206, LARGE[first : last + 1])
    assert damaged.request("GET", "folder/sound")[2] == b"sound"
    assert damaged.request("PROPFIND", "folder/", headers={"Depth": "1"})[0] == 207
