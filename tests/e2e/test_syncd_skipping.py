"""Selective sync: what a device does not want stays away, comes, and goes, and nothing is lost."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support import running_server
from tests.support.devices import Device, wait_for_same
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Device, Device]]:
    with running_server(tmp_path / "store") as server:
        laptop, desk = Device("laptop", tmp_path, server), Device("desk", tmp_path, server)
        laptop.link()
        desk.link("--skip", "/Films/old/")
        for device in (laptop, desk):
            device.start()
        yield laptop, desk
        for device in (laptop, desk):
            if device.process is not None:
                device.end()


def in_sync(*devices: Device) -> None:
    for device in devices:
        assert device.command("status", "--wait", "--timeout", "60", check=False).returncode == 0


def wait_for(device: Device, *paths: str) -> None:
    """Wait until a device holds these files and no others."""
    wait_until(
        lambda: (
            {path for path, content in device.tree().items() if content is not None} == {*paths}
        ),
        f"{device.name} to hold {paths}",
    )
    in_sync(device)


def test_skipped_folders(pair: tuple[Device, Device]) -> None:
    laptop, desk = pair
    for path in ("Films/old/a", "Films/old/b", "Films/new", "plan"):
        (laptop.root / path).parent.mkdir(parents=True, exist_ok=True)
        (laptop.root / path).write_text(path)
    wait_for(desk, "Films/new", "plan")
    (laptop.root / "Films").rename(laptop.root / "Movies")
    (laptop.root / "Movies/old/c").write_text("c")
    wait_for(desk, "Movies/new", "plan")
    assert desk.command("skip").stdout == f"{desk.root}/Movies/old\n"
    (desk.root / "Movies").rename(desk.root / "Seen")
    wait_until((laptop.root / "Seen/old/c").exists, "the name of the desk")
    (laptop.root / "Seen/old/a").rename(laptop.root / "a")
    (laptop.root / "plan").rename(laptop.root / "Seen/old/plan")
    wait_for(desk, "Seen/new", "a")
    shutil.rmtree(desk.root / "Seen")
    wait_until(lambda: "Seen/new" not in laptop.tree(), "the removal")
    wait_until((desk.root / "Seen").is_dir, "the folder that holds more than was seen")
    in_sync(laptop, desk)
    assert (laptop.root / "Seen/old/plan").read_bytes() == b"plan"
    (desk.root / "Seen/old").mkdir()
    (desk.root / "Seen/old/mine").write_text("of the desk")
    wait_until(lambda: "Seen/old" in desk.command("ignored").stdout, "the folder to be left out")
    in_sync(laptop, desk)
    assert not (laptop.root / "Seen/old/mine").exists()
    desk.command("unskip", str(desk.root / "Seen/old"))
    tree = wait_for_same(laptop, desk)
    assert tree["Seen/old/mine"] == b"of the desk"
    assert tree["Seen/old/plan"] == b"plan"
    desk.end()
    (desk.root / "Seen/old/plan").write_text("changed and not sent")
    said = desk.command("skip", "--dry-run", str(desk.root / "Seen"))
    assert "4 files" in said.stdout
    desk.command("skip", str(desk.root / "Seen"))
    desk.start()
    wait_for(desk, "a", "Seen/old/plan")
    assert (desk.root / "Seen/old/plan").read_text() == "changed and not sent"
    assert laptop.tree() == tree
    desk.command("unskip", str(desk.root / "Seen"))
    tree = wait_for_same(laptop, desk)
    contents = {content for path, content in tree.items() if path.startswith("Seen/old/plan")}
    assert contents == {b"plan", b"changed and not sent"}
