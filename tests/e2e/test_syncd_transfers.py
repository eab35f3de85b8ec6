"""Large files beside small ones, what is left of them after a kill, and no room on either side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import running_server
from tests.support.corpus import seeded_bytes
from tests.support.devices import Device, wait_for_same
from tests.support.disks import resize_disk, small_disk
from tests.support.processes import run_casdav
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.server import Server

MiB = 1024 * 1024
SLOW = "1500000"
"""Bytes a second at which a large file takes some seconds."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path / "store") as server:
        yield server


@pytest.fixture
def pair(tmp_path: Path, server: Server) -> Iterator[tuple[Device, Device]]:
    devices = Device("laptop", tmp_path, server), Device("desk", tmp_path, server)
    for device in devices:
        device.link()
        device.start()
    yield devices
    for device in devices:
        if device.process is not None:
            device.end()


def move_in(device: Device, name: str, content: bytes) -> None:
    """Have a file appear whole."""
    aside = device.base / f"{name} of {device.name}"
    aside.write_bytes(content)
    aside.rename(device.root / name)


def hidden(device: Device) -> list[Path]:
    return list((device.root / ".syncd" / "tmp").iterdir())


def partial_size(device: Device) -> int:
    return sum(path.stat().st_size for path in hidden(device) if "partial-" in path.name)


def test_a_small_file_passes_a_large_one(pair: tuple[Device, Device]) -> None:
    laptop, desk = pair
    laptop.command("limit", "--up", SLOW)
    move_in(laptop, "large", seeded_bytes(1, 16 * MiB))
    wait_until(lambda: laptop.status()["uploaded"] > MiB, "the large file to be on its way")
    (laptop.root / "small").write_bytes(b"small")
    wait_until(lambda: "small" in desk.tree(), "the small file")
    status = laptop.status()
    assert status["phase"] == "syncing"
    assert 0 < status["to_upload"] < 16 * MiB
    assert status["upload_rate"] > 0
    assert "large" not in desk.tree()
    assert "MiB up" in laptop.command("status", check=False).stdout
    laptop.command("limit", "--up", "none")
    assert len(wait_for_same(laptop, desk)) == 2
    assert laptop.status()["to_upload"] == 0


def test_a_download_goes_on_where_it_was_killed(pair: tuple[Device, Device]) -> None:
    laptop, desk = pair
    desk.command("limit", "--down", SLOW)
    move_in(laptop, "large", seeded_bytes(2, 16 * MiB))
    wait_until(lambda: partial_size(desk) > 4 * MiB, "some of it to be here")
    desk.kill()
    here = partial_size(desk)
    desk.start()
    desk.command("limit", "--down", "none")
    wait_for_same(laptop, desk)
    assert desk.status()["downloaded"] <= 16 * MiB - here + MiB
    wait_until(lambda: not hidden(desk), "nothing to be left over")


@pytest.fixture
def team(tmp_path: Path, server: Server) -> Iterator[Device]:
    """A device that shares a volume of 8 MiB."""
    run_casdav(
        "volume", "create", "team", "--owner", server.user, "--quota", "8M", store=server.store
    )
    laptop = Device("laptop", tmp_path, server)
    laptop.link(volume="team")
    yield laptop
    if laptop.process is not None:
        laptop.end()


def test_a_full_quota_is_shown_and_removals_go_through(team: Device) -> None:
    laptop = team
    (laptop.root / "old").write_bytes(seeded_bytes(3, 3 * MiB))
    move_in(laptop, "older", seeded_bytes(6, 4 * MiB))
    laptop.start()  # with them there: what comes later could be missed by the first look
    wait_until(lambda: laptop.status()["phase"] == "in sync", "the first files")
    (laptop.root / "new").write_bytes(seeded_bytes(4, 3 * MiB))
    move_in(laptop, "large", seeded_bytes(5, 5 * MiB))
    wait_until(lambda: laptop.status()["phase"] == "no room", "the lack of room")
    assert "no room on the server" in laptop.command("status", check=False).stdout
    assert laptop.command("status", "--wait", check=False).returncode == 15
    wait_until(lambda: "large" in laptop.command("problems", check=False).stdout, "both to be told")
    (laptop.root / "old").unlink()
    (laptop.root / "older").unlink()
    wait_until(lambda: laptop.status()["phase"] == "in sync", "all to be there", timeout_seconds=90)
    assert laptop.command("problems").stdout == ""


def test_a_full_disk_is_shown_and_it_goes_on_when_there_is_room(
    tmp_path: Path, server: Server
) -> None:
    laptop, desk = Device("laptop", tmp_path, server), Device("desk", tmp_path, server)
    with small_disk(tmp_path / "desk", 6 * MiB):
        for device in (laptop, desk):
            device.link()
            device.start()
        move_in(laptop, "large", seeded_bytes(6, 5 * MiB))
        (laptop.root / "other").write_bytes(seeded_bytes(7, 3 * MiB))
        (laptop.root / "small").write_bytes(b"small")
        wait_until(lambda: desk.status()["phase"] == "no room", "the lack of room")
        assert "no room on this disk" in desk.command("status", check=False).stdout
        wait_until(lambda: "small" in desk.tree(), "the small file")
        resize_disk(tmp_path / "desk", 32 * MiB)
        assert len(wait_for_same(laptop, desk)) == 3
        desk.end()
    laptop.end()
