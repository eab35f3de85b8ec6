"""What WebDAV clients do is one history for each name, however they save."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import cas
from tests.support.drive import Client, Drive, running_drive

Save = Callable[[Client, str, bytes], None]


def moved(client: Client, source: str, target: str) -> None:
    reply = client("MOVE", source, Destination=target, Overwrite="T")
    assert reply.status in {201, 204}, reply


def sent(client: Client, path: str, data: bytes) -> None:
    assert client("PUT", path, data).status in {201, 204}


def directly(client: Client, folder: str, data: bytes) -> None:
    sent(client, f"{folder}doc", data)


def like_office(client: Client, folder: str, data: bytes) -> None:
    sent(client, f"{folder}~WRD0001.tmp", data)
    moved(client, f"{folder}doc", f"{folder}~WRL0002.tmp")
    moved(client, f"{folder}~WRD0001.tmp", f"{folder}doc")
    assert client("DELETE", f"{folder}~WRL0002.tmp").status == 204


def like_rclone(client: Client, folder: str, data: bytes) -> None:
    sent(client, f"{folder}doc.partial", data)
    moved(client, f"{folder}doc.partial", f"{folder}doc")


def by_deleting(client: Client, folder: str, data: bytes) -> None:
    assert client("DELETE", f"{folder}doc").status == 204
    sent(client, f"{folder}doc", data)


@pytest.mark.parametrize("save", [directly, like_office, like_rclone, by_deleting])
def test_every_version_that_a_client_has_saved_is_there(
    drive: Drive, alice: Client, folder: str, save: Save
) -> None:
    directly(alice, folder, b"1")
    for data in (b"22", b"333"):
        save(alice, folder, data)
    path = f"{folder.removeprefix('/dav/alice/')}doc"
    volume = drive.repository.volume("alice")
    items = list(volume.log(path))
    assert {(item.path, item.author) for item in items} == {(path, "alice")}
    versions = [item for item in items if item.new is not None]
    assert [item.new.size for item in versions if item.new] == [3, 2, 1]
    for item, data in zip(versions, (b"333", b"22", b"1"), strict=True):
        with volume.at_sequence(item.sequence) as view, view.open(path) as file:
            assert file.read() == data


def test_a_volume_that_a_client_has_locked_something_in_is_not_taken_back(tmp_path: Path) -> None:
    with running_drive(tmp_path) as drive:
        alice = drive.client("alice")
        take_back_in_vain(drive, alice, "/dav/alice/")
        alice.connection.close()


def take_back_in_vain(drive: Drive, alice: Client, folder: str) -> None:
    directly(alice, folder, b"1")
    volume = drive.repository.volume("alice")
    with volume.view() as view:
        before = view.sequence
    directly(alice, folder, b"22")
    token = alice.lock(f"{folder}doc")

    def roll_back() -> None:
        with volume.at_sequence(before) as past, volume.edit() as edit:
            edit.replace_root(past.root, epoch=past.epoch, nodes=past.nodes)

    with pytest.raises(cas.ConflictingLocksError, match="alice"):
        roll_back()
    assert alice.get(f"{folder}doc") == b"22"
    alice("UNLOCK", f"{folder}doc", Lock_Token=f"<{token}>")
    roll_back()
    assert alice.get(f"{folder}doc") == b"1"
