"""What was read of a file was there at one moment, or is not believed."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

import cas
from syncd.disk.reading import read_file
from syncd.disk.steps import ChangedError
from tests.support.corpus import seeded_bytes

if TYPE_CHECKING:
    from tests.support.linked import Linked

KEYS = cas.ContentKeys(b"c" * 32, b"n" * 32)
OLD_NS = 1_600_000_000_000_000_001


def test_a_file_has_the_content_that_it_has_in_the_store(linked: Linked) -> None:
    content = seeded_bytes(1, 300_000)
    linked.write("a.bin", content)
    os.utime(linked.root / "a.bin", ns=(OLD_NS, OLD_NS))
    read = read_file(linked.folder, "a.bin", KEYS)
    assert read.content == cas.identify_file(io.BytesIO(content), KEYS)
    assert read.signature == linked.signature("a.bin")
    assert read.is_racy, "its ctime is of this moment"


@pytest.mark.parametrize("how", ["appended", "rewritten", "replaced", "removed"])
def test_a_file_that_changes_while_it_is_read_is_not_believed(linked: Linked, how: str) -> None:
    content = seeded_bytes(1, 300_000)
    linked.write("a.bin", content)
    path = linked.root / "a.bin"

    def meddle(piece: cas.FoundPiece) -> None:
        if piece.offset:
            return
        if how == "appended":
            with path.open("ab") as file:
                file.write(b"more")
        elif how == "rewritten":
            with path.open("r+b") as file:
                file.write(b"other")
        elif how == "replaced":
            (linked.root / "b.bin").write_bytes(content)
            (linked.root / "b.bin").replace(path)
        else:
            path.unlink()

    with pytest.raises((ChangedError, FileNotFoundError)):
        read_file(linked.folder, "a.bin", KEYS, on_chunk=meddle)


def test_what_is_no_file_is_not_read(linked: Linked) -> None:
    os.mkfifo(linked.root / "pipe")
    (linked.root / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match=name):
            read_file(linked.folder, name, KEYS)
