"""A real daemon whose server is somebody else's: nothing leaves the folder, nothing ends it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import zstandard

import cas
from cas import wire
from tests.support.hostile import (
    CONTENT,
    HostileServer,
    chunk_id,
    device_of,
    file_entry,
    folder_entry,
    hostile_server,
    link_entry,
)
from tests.support.waiting import wait_until

Item = wire.TreeItem
Answer = tuple[str, list[tuple[str, str]], Iterable[bytes]]
GOOD = [Item(b"folder", folder_entry()), Item(b"folder/file", file_entry())]
OUTSIDE = "outside"
BOMB = zstandard.compress(bytes(256 << 20))


def endless() -> Answer:
    def pieces() -> Iterable[bytes]:
        while True:
            yield bytes(65536)

    return "200 OK", [], pieces()


def items(*listed: tuple[bytes, wire.RemoteEntry]) -> Callable[[Path], HostileServer]:
    return lambda _: HostileServer([Item(*one) for one in listed])


def through_a_link(outside: Path) -> HostileServer:
    link = link_entry(os.fsencode(outside))
    return HostileServer([Item(b"folder", link), Item(b"folder/evil", file_entry())])


LIES: dict[str, Callable[[Path], HostileServer]] = {
    "through a link": through_a_link,
    "above": items((b"../evil", file_entry())),
    "in no folder": items((b"nowhere/evil", file_entry())),
    "too large": items(
        (b"evil", file_entry(kind=cas.EntryKind.NODE_FILE, size=1 << 62, content=bytes(32)))
    ),
    "other bytes": lambda _: HostileServer(GOOD, wire.pack_chunk(chunk_id(), b"evil")),
    "a bomb": lambda _: HostileServer(GOOD, wire.PackedChunk(chunk_id(), 15, 1, BOMB)),
    "without an end": lambda _: HostileServer(answers={"sync/tree": endless}),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_cannot_be_is_not_used(tmp_path: Path, lie: str) -> None:
    outside = tmp_path / OUTSIDE
    outside.mkdir()
    with hostile_server(LIES[lie](outside)) as server:
        device = device_of(server, tmp_path)
        device.link()
        device.start()
        try:
            wait_until(lambda: bool(device.status()["detail"]), "the lie to be seen")
            assert device.status()["phase"] == "the server cannot be reached"
            assert all(value is None for value in device.tree().values())
            assert not list(outside.iterdir())
            assert "Traceback" not in device.log
        finally:
            device.kill()


def test_after_a_lie_the_truth_is_taken(tmp_path: Path) -> None:
    with hostile_server(HostileServer([Item(b"nowhere/evil", file_entry())])) as server:
        device = device_of(server, tmp_path)
        device.link()
        device.start()
        try:
            wait_until(lambda: bool(device.status()["detail"]), "the lie to be seen")
            server.items, server.sequence = GOOD, 2
            wait_until(
                lambda: device.tree() == {"folder": None, "folder/file": CONTENT},
                "the truth",
                timeout_seconds=60,
            )
        finally:
            device.kill()


def test_odd_names_and_modes_are_files_of_the_folder(tmp_path: Path) -> None:
    names = [b"C:\\evil", b"..\\evil", b"a\x1b[2J\n\xff", b"setuid"]
    listed = [Item(name, file_entry(mode=0o6755)) for name in names]
    listed += [Item(b".syncd", folder_entry()), Item(b".syncd/evil", file_entry())]
    with hostile_server(HostileServer(listed)) as server:
        device = device_of(server, tmp_path)
        device.link()
        device.start()
        try:
            wait_until(lambda: len(device.tree()) == len(names), "the files")
            assert {os.fsencode(name) for name in device.tree()} == set(names)
            assert (device.root / "setuid").stat().st_mode & 0o7000 == 0
            assert not (device.root / ".syncd" / "evil").exists()
            told = device.command("problems", check=False).stdout
            assert told.replace("\n", "").isprintable()
        finally:
            device.kill()


def test_a_server_that_never_waits_is_not_asked_all_the_time(tmp_path: Path) -> None:
    with hostile_server(HostileServer(GOOD)) as server:
        device = device_of(server, tmp_path)
        device.link()
        device.start()
        try:

            def moments() -> list[float]:
                return [moment for path, moment in server.moments if path == "sync/delta"]

            wait_until(lambda: len(moments()) > 10, "some requests", timeout_seconds=60)
            assert moments()[10] - moments()[0] > 1
        finally:
            device.kill()
