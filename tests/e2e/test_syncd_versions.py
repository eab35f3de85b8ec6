"""Versions of a file, and how one comes back: to all devices, from the command or past it."""

from __future__ import annotations

import json
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
        devices = Device("laptop", tmp_path, server), Device("desk", tmp_path, server)
        for device in devices:
            device.link()
            device.start()
        yield devices
        for device in devices:
            if device.process is not None:
                device.end()


def test_a_version_comes_back_to_all_devices(pair: tuple[Device, Device]) -> None:
    laptop, desk = pair
    folder = laptop.root / "notes"
    folder.mkdir()
    plan = folder / "plan.txt"
    for text in (b"first", b"second, longer"):
        plan.write_bytes(text)
        wait_until(lambda: wait_for_same(laptop, desk)["notes/plan.txt"] == text, "the edit")  # noqa: B023 - waited for here
    found = json.loads(laptop.command("versions", str(plan), "--json").stdout)
    assert [one["size"] for one in found] == [14, 5]
    assert found[0]["device"] == "laptop"
    assert "would be as version" in laptop.command("restore", str(plan), "--dry-run").stdout
    assert plan.read_bytes() == b"second, longer"
    laptop.command("restore", str(plan))
    wait_until(lambda: desk.tree()["notes/plan.txt"] == b"first", "the first version")
    wait_for_same(laptop, desk)
    desk.command(
        "restore", str(desk.root / "notes/plan.txt"), "--version", str(found[0]["sequence"])
    )
    wait_until(lambda: plan.read_bytes() == b"second, longer", "the second version")
    wait_for_same(laptop, desk)
    plan.unlink()
    wait_for_same(laptop, desk)
    assert json.loads(laptop.command("versions", str(plan), "--json").stdout)[0]["size"] is None
    laptop.end()
    laptop.command("restore", str(plan))
    wait_until(lambda: desk.tree().get("notes/plan.txt") == b"second, longer", "what was removed")
    laptop.start()
    wait_for_same(laptop, desk)
    missing = laptop.command("versions", str(folder / "never"), check=False)
    assert missing.returncode == 10
    assert "never on the server" in missing.stderr
    outside = laptop.command("versions", str(laptop.base / "elsewhere"), check=False)
    assert outside.returncode == 10
