"""Files as they are made aside: whole or not at all, with holes for zeros."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from syncd.disk.probing import ABLE, probe
from syncd.disk.staging import (
    Manner,
    discard,
    mode_with,
    stage_file,
    synced_behind,
    temporary_name,
)
from syncd.disk.steps import Install
from tests.support.linked import TIME_NS

MiB = 1024 * 1024

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.linked import Linked


def test_zeros_become_holes_and_read_as_zeros(linked: Linked) -> None:
    pieces = [b"head", bytes(4 * MiB), b"x" * 10, bytes(MiB)]
    manner = Manner(TIME_NS, is_executable=False, mode=0o600)
    staged = stage_file(linked.folder, temporary_name(), pieces, manner)
    linked.apply(Install("sparse", staged))
    path = linked.root / "sparse"
    assert path.read_bytes() == b"".join(pieces)
    assert path.stat().st_blocks * 512 < MiB


def test_nothing_is_left_of_a_file_whose_pieces_end_in_an_error(linked: Linked) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError("the server went away")

    with pytest.raises(RuntimeError):
        stage_file(linked.folder, "name", pieces(), Manner(TIME_NS, False, 0o600))
    assert linked.hidden() == []


def test_what_a_disk_could_not_take_while_more_came_is_an_error() -> None:
    reading, writing = os.pipe()  # Nothing of it can be synced.
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
            list(synced_behind(writing, [bytes(MiB)] * 40))
    finally:
        os.close(reading)
        os.close(writing)


def test_a_time_that_no_disk_holds_does_not_hinder(linked: Linked) -> None:
    for time_ns in (2**70, -(2**70)):
        name = temporary_name()
        staged = stage_file(linked.folder, name, [b"x"], Manner(time_ns, False, 0o600))
        assert staged.signature.size == 1
        discard(linked.folder, name)


@pytest.mark.parametrize(
    ("mode", "executable", "plain"),
    [(0o644, 0o755, 0o644), (0o640, 0o750, 0o640), (0o755, 0o755, 0o644), (0o6755, 0o755, 0o644)],
)
def test_who_may_read_may_execute(mode: int, executable: int, plain: int) -> None:
    assert mode_with(mode, is_executable=True) == executable
    assert mode_with(mode, is_executable=False) == plain


def test_this_disk_is_found_out(linked: Linked) -> None:
    found = probe(linked.folder)
    assert (found.keeps_exec_bit, found.has_links) == (True, True)
    assert found == ABLE
    assert linked.hidden() == []
    assert probe(linked.folder) == found
