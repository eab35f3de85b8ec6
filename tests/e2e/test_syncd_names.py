"""Names that a disk cannot hold, and one that is syncd's own: never in anybody's way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.support import running_server
from tests.support.devices import Device
from tests.support.disks import NTFS, carried_disk
from tests.support.programs import needs
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import Server


def put(server: Server, *paths: str) -> None:
    for path in paths:
        status, _, _ = server.request("PUT", quote(path), path.encode())
        assert status == 201, path


def reasons(device: Device) -> dict[str, str]:
    listed = json.loads(device.command("problems", "--json", check=False).stdout)
    return {one["path"]: one["reason"] for one in listed}


def test_one_bad_path_is_in_nobodys_way(tmp_path: Path) -> None:
    with running_server(tmp_path / "store") as server:
        desk = Device("desk", tmp_path, server)
        put(server, ".syncd", "first")
        desk.link()
        desk.start()
        wait_until(lambda: set(desk.tree()) == {"first"}, "what can be here")
        wait_until(lambda: desk.status()["problems"] == 1, "the one that cannot be")
        assert set(reasons(desk)) == {".syncd"}
        assert desk.command("status", "--wait", check=False).returncode == 3
        (desk.root / "mine").write_bytes(b"mine")
        put(server, "second")
        wait_until(lambda: server.request("GET", "mine")[0] == 200, "what is new here")
        wait_until(lambda: "second" in desk.tree(), "what is new there")
        server.request("DELETE", ".syncd")
        wait_until(lambda: desk.status()["problems"] == 0, "the problem to be gone")
        assert desk.command("status", "--wait").returncode == 0
        desk.end()


@pytest.mark.debian
@needs("mkntfs", "ntfs-3g")
def test_names_that_a_disk_cannot_hold_are_others_here(tmp_path: Path) -> None:
    with running_server(tmp_path / "store") as server, carried_disk(NTFS, tmp_path, "desk"):
        desk = Device("desk", tmp_path, server)
        true = ("what?.txt", "con", "end.", "ordinary")
        put(server, *true)
        desk.link()
        desk.start()
        wait_until(lambda: len(desk.tree()) == len(true), "all to be here")
        assert desk.command("status", "--wait").returncode == 0
        local = {content.decode(): path for path, content in desk.tree().items() if content}  # type: ignore[union-attr]
        assert set(local) == set(true)
        told = reasons(desk)
        assert set(told) == {"what?.txt", "con", "end."}
        assert all(local[path] in told[path] for path in told)
        (desk.root / local["con"]).write_bytes(b"edited")
        wait_until(lambda: server.request("GET", "con")[2] == b"edited", "the edit")
        (desk.root / local["what?.txt"]).rename(desk.root / "what.txt")
        wait_until(lambda: server.request("GET", "what.txt")[0] == 200, "the new name")
        assert server.request("GET", quote("what?.txt"))[0] == 404
        assert server.request("GET", quote(local["con"]))[0] == 404
        assert set(reasons(desk)) == {"con", "end."}
        desk.end()
