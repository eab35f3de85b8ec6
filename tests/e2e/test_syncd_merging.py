"""Texts that two laptops have changed: real daemons and a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import running_server
from tests.support.devices import Device, wait_for_same, wait_until_sent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = b"".join(b"line %d\r\n" % number for number in range(20_000))
"""Large enough for several chunks."""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Device, Device]]:
    with running_server(tmp_path / "store") as server:
        devices = (Device("laptop", tmp_path, server), Device("desk", tmp_path, server))
        for device in devices:
            device.link("--merge", "*.txt")
            device.start()
        yield devices
        for device in devices:
            if device.process is not None:
                device.end()


def test_edits_of_a_text_go_together_and_of_all_else_do_not(pair: tuple[Device, Device]) -> None:
    laptop, desk = pair
    for name in ("long.txt", "long.bin"):
        (laptop.root / name).write_bytes(TEXT)
    (laptop.root / "short.txt").write_bytes(b"one\ntwo\nthree\n")
    (laptop.root / "met.txt").write_bytes(b"one\ntwo\nthree\n")
    wait_for_same(laptop, desk)
    laptop.end()
    of_laptop = TEXT.replace(b"line 7\r", b"of the laptop\r")
    of_desk = TEXT + b"of the desk\r\n"
    for name in ("long.txt", "long.bin"):
        (laptop.root / name).write_bytes(of_laptop)
        (desk.root / name).write_bytes(of_desk)
    (laptop.root / "short.txt").write_bytes(b"ONE\ntwo\nthree\n")
    (desk.root / "short.txt").write_bytes(b"one\ntwo\nTHREE\n")
    (laptop.root / "met.txt").write_bytes(b"one\nLAPTOP\nthree\n")
    (desk.root / "met.txt").write_bytes(b"one\nDESK\nthree\n")
    short, met = b"one\ntwo\nTHREE\n", b"one\nDESK\nthree\n"
    wait_until_sent(desk.server, long_txt=of_desk, long_bin=of_desk, short_txt=short, met_txt=met)
    laptop.start()
    tree = wait_for_same(laptop, desk)
    assert tree["long.txt"] == of_laptop + b"of the desk\r\n"
    assert tree["short.txt"] == b"ONE\ntwo\nTHREE\n"
    assert tree["long.bin"] == of_desk
    assert tree["met.txt"] == b"one\nDESK\nthree\n"
    copies = {path.partition(" (")[0]: tree[path] for path in tree if "conflicted copy" in path}
    assert copies == {"long": of_laptop, "met": b"one\nLAPTOP\nthree\n"}
    assert "the changes were put together" in laptop.command("log").stdout
