"""Two laptops that share a folder: real daemons, a real server, and what people do to both."""

from __future__ import annotations

import json
import os
import random
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support import running_server
from tests.support.corpus import seeded_bytes
from tests.support.devices import Device, wait_for_same, wait_until_sent
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.server import Server


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Device, Device]]:
    with running_server(tmp_path / "store") as server:
        devices = (Device("laptop", tmp_path, server), Device("desk", tmp_path, server))
        for device in devices:
            device.link()
            device.start()
        yield devices
        for device in devices:
            if device.process is not None:
                device.end()


def test_what_one_does_is_at_the_other(pair: tuple[Device, Device]) -> None:
    laptop, desk = pair
    (laptop.root / "folder" / "ä\n").mkdir(parents=True)
    (laptop.root / "folder" / "ä\n" / os.fsdecode(b"\xff.txt")).write_bytes(b"bytes")
    (laptop.root / "folder" / "empty").write_bytes(b"")
    (laptop.root / "link").symlink_to("folder")
    (laptop.root / "run.sh").write_bytes(b"#!/bin/sh\n")
    (laptop.root / "run.sh").chmod(0o755)
    large = seeded_bytes(1, 3_000_000)
    (laptop.root / "large").write_bytes(large)
    tree = wait_for_same(laptop, desk)
    assert tree["large"] == large
    assert len(tree) == 7
    assert (desk.root / "run.sh").stat().st_mode & 0o100
    (desk.root / "folder").rename(desk.root / "renamed")
    (desk.root / "large").write_bytes(b"!" + large)
    (desk.root / "run.sh").unlink()
    tree = wait_for_same(laptop, desk)
    assert tree["large"] == b"!" + large
    assert "run.sh" not in tree
    assert tree["renamed/empty"] == b""
    assert laptop.command("problems").stdout == ""


def test_a_link_becomes_a_file_and_a_file_a_link(pair: tuple[Device, Device]) -> None:
    laptop, desk = pair
    (laptop.root / "link").symlink_to("file")
    (laptop.root / "file").write_bytes(b"file")
    wait_for_same(laptop, desk)
    for name in ("link", "file"):
        (desk.root / name).unlink()
    (desk.root / "link").write_bytes(b"no link any more")
    (desk.root / "file").symlink_to("link")
    assert wait_for_same(laptop, desk) == {"link": b"no link any more", "file": "link"}
    assert laptop.command("problems").stdout == desk.command("problems").stdout == ""


def test_both_edit_while_one_is_away(pair: tuple[Device, Device]) -> None:
    laptop, desk = pair
    (laptop.root / "plan.txt").write_bytes(b"first")
    (laptop.root / "notes").mkdir()
    (laptop.root / "notes" / "a.txt").write_bytes(b"a")
    wait_for_same(laptop, desk)
    laptop.end()
    (laptop.root / "plan.txt").write_bytes(b"of the laptop")
    (laptop.root / "notes").rename(laptop.root / "moved")
    (desk.root / "plan.txt").write_bytes(b"of the desk")
    (desk.root / "notes" / "a.txt").write_bytes(b"edited")
    wait_until_sent(desk.server, plan_txt=b"of the desk", notes__a_txt=b"edited")
    laptop.start()
    tree = wait_for_same(laptop, desk)
    assert tree["plan.txt"] == b"of the desk"
    (copy,) = [path for path in tree if path.startswith("plan (conflicted copy laptop ")]
    assert tree[copy] == b"of the laptop"
    assert tree["moved/a.txt"] == b"edited"
    assert "notes" not in tree
    listed = json.loads(laptop.command("conflicts", "--json").stdout)
    assert [one["path"] for one in listed] == [copy]


def test_a_folder_whose_disk_is_not_mounted_deletes_nothing(pair: tuple[Device, Device]) -> None:
    laptop, desk = pair
    for number in range(5):
        (laptop.root / f"{number}").write_bytes(b"x")
    wait_for_same(laptop, desk)
    laptop.root.rename(laptop.base / "unplugged")
    laptop.root.mkdir()
    laptop.command("pause")
    laptop.command("resume")
    wait_until(lambda: laptop.status()["phase"] == "stopped for safety", "the stop")
    assert laptop.command("status", check=False).returncode == 17
    assert len(desk.tree()) == 5
    laptop.root.rmdir()
    (laptop.base / "unplugged").rename(laptop.root)
    laptop.command("resume")
    (laptop.root / "new").write_bytes(b"new")
    assert len(wait_for_same(laptop, desk)) == 6


def test_most_files_gone_at_once_is_asked_about(pair: tuple[Device, Device]) -> None:
    laptop, desk = pair
    for number in range(150):
        (laptop.root / f"{number}").write_bytes(b"x")
    wait_for_same(laptop, desk)
    laptop.end()  # Otherwise it may look in the midst of it.
    for path in laptop.root.glob("[0-9]*"):
        path.unlink()
    laptop.start()
    wait_until(lambda: laptop.status()["phase"] == "stopped for safety", "the stop")
    assert len(desk.tree()) == 150
    laptop.command("resume", "--accept-deletes")
    assert wait_for_same(laptop, desk) == {}


def test_pause_ignore_and_unlink(pair: tuple[Device, Device]) -> None:
    laptop, desk = pair
    (laptop.root / ".syncignore").write_bytes(b"*.o\n")
    (laptop.root / "main.o").write_bytes(b"ignored")
    (laptop.root / os.fsdecode(b"\xff.o")).write_bytes(b"ignored")
    (laptop.root / "main.c").write_bytes(b"kept")
    wait_until(lambda: "main.c" in desk.tree(), "the file")
    assert "main.o" not in desk.tree()
    assert "main.o" in laptop.command("ignored").stdout
    listed = json.loads(laptop.command("ignored", "--json").stdout)
    assert sorted(one["path"] for one in listed) == ["\\xff.o", "main.o"]
    laptop.command("pause")
    assert laptop.command("status", check=False).returncode == 4
    (desk.root / "later").write_bytes(b"later")
    wait_until_sent(desk.server, later=b"later")
    assert "later" not in laptop.tree()
    laptop.command("resume")
    wait_until(lambda: "later" in laptop.tree(), "the file")
    laptop.command("unlink", str(laptop.root))
    assert not (laptop.root / ".syncd").exists()
    assert laptop.command("status", check=False).returncode == 10
    assert "later" in laptop.tree()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_kills_of_all_three_lose_and_double_nothing(pair: tuple[Device, Device], seed: int) -> None:
    chance = random.Random(seed)
    contents: set[bytes] = set()
    for round_number in range(8):
        for device in pair:
            change(device, chance, contents, round_number)
        victims: list[Device | Server] = [*pair, pair[0].server]
        victim = chance.choice(victims)
        wait_until(lambda: chance.random() < 0.3, "a moment")
        victim.kill()
        for device in pair:
            change(device, chance, contents, round_number)
        victim.start()
    tree = wait_for_same(*pair)
    there = [content for content in tree.values() if isinstance(content, bytes)]
    assert contents == set(there)
    assert len(there) == len(contents)


def change(device: Device, chance: random.Random, contents: set[bytes], number: int) -> None:
    """Add files of contents that nothing else has, and rename what is this device's."""
    own = device.root / f"of {device.name}"
    own.mkdir(exist_ok=True)
    for _ in range(chance.randrange(1, 6)):
        content = chance.randbytes(chance.choice([10, 5_000, 300_000]))
        contents.add(content)
        (own / f"{number}-{content[:6].hex()}").write_bytes(content)
    files = sorted(path for path in own.rglob("*") if path.is_file())
    moved = chance.choice(files)
    target = own / f"moved {number}" / moved.name
    target.parent.mkdir(exist_ok=True)
    shutil.move(moved, target)
