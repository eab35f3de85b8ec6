"""Who sees a volume's past, and what becomes of a real entry of the name `.snapshots`."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

import cas
from dav.grants import grant
from dav.identity import Right, Scope
from tests.support.drive import Client, Drive

KIND = "{DAV:}resourcetype"


def put(volume: cas.Volume, path: str, content: bytes) -> None:
    with volume.upload() as upload, volume.edit() as edit:
        upload.write(content)
        edit.make_directory(path.rpartition("/")[0], parents=True)
        edit.put(path, upload)


def hrefs(client: Client, path: str, depth: str = "1") -> set[str]:
    return set(client.propfind(path, KIND, depth=depth).responses)


@pytest.fixture(scope="module")
def shared(drive: Drive) -> cas.Volume:
    """A volume of alice's whose snapshot `then` has `open/file` and `closed/file`."""
    volume = drive.repository.create_volume("past-shared", owner="alice")
    put(volume, "open/file", b"then")
    put(volume, "closed/file", b"secret")
    volume.create_snapshot("then")
    put(volume, "open/file", b"now")
    return volume


@pytest.fixture
def narrowed(drive: Drive, shared: cas.Volume) -> Iterator[Client]:
    """Alice with a password that opens one folder of it."""
    client = drive.client(scope=Scope(volume=shared.name, path="open"))
    yield client
    client.connection.close()


def test_who_may_read_a_volume_may_read_its_past(
    drive: Drive, shared: cas.Volume, bob: Client
) -> None:
    past = f"/dav/{shared.name}/.snapshots/"
    for method in ("GET", "PROPFIND", "HEAD"):
        for path in ("", "then/", "then/open/file", "never/"):
            assert bob(method, past + path, Depth="0").status == 404
    grant(drive.repository, shared.name, "bob", Right.READ)
    assert hrefs(bob, past) == {past, past + "then/"}
    assert bob.get(past + "then/open/file") == b"then"
    there = past + "then/open/file"
    assert bob("COPY", there, Destination=f"/dav/{shared.name}/x").status == 403
    assert bob("COPY", there, Destination="/dav/bob/restored").status == 201
    assert bob.get("/dav/bob/restored") == b"then"


def test_a_password_that_only_reads_opens_the_past(drive: Drive, shared: cas.Volume) -> None:
    reader = drive.client(scope=Scope(read_only=True))
    past = f"/dav/{shared.name}/.snapshots/then/open/file"
    assert reader.get(past) == b"then"
    assert reader("COPY", past, Destination=f"/dav/{shared.name}/x").status == 403
    reader.connection.close()


def test_a_password_for_one_folder_opens_that_folder_s_past_alone(
    shared: cas.Volume, narrowed: Client
) -> None:
    past = f"/dav/{shared.name}/.snapshots/"
    open_then = past + "then/open/"
    assert hrefs(narrowed, open_then, "infinity") == {open_then, open_then + "file"}
    assert narrowed.get(open_then + "file") == b"then"
    # Everything else is as if it did not exist, the way down to it too.
    for path in ("", "then/", "then/closed/", "then/closed/file", "then/opened", "never/"):
        for method in ("GET", "PROPFIND", "COPY"):
            headers = {"Destination": f"/dav/{shared.name}/open/x", "Depth": "0"}
            assert narrowed(method, past + path, None, headers).status == 404
        assert narrowed("OPTIONS", past + path).headers["allow"] == "OPTIONS"


def test_a_password_for_one_folder_restores_into_it(shared: cas.Volume, narrowed: Client) -> None:
    root = f"/dav/{shared.name}/"
    there = root + ".snapshots/then/open/file"
    assert narrowed("COPY", there, Destination=root + "open/file").status == 204
    assert narrowed.get(root + "open/file") == b"then"
    assert narrowed("COPY", there, Destination=root + "outside").status == 409


def test_a_real_entry_of_the_name_is_kept_and_not_served(
    drive: Drive, alice: Client, caplog: pytest.LogCaptureFixture
) -> None:
    volume = drive.repository.create_volume("shadow", owner="alice")
    put(volume, ".snapshots/real/file", b"real")
    put(volume, "sub/.snapshots/file", b"ordinary")
    root = "/dav/shadow/"
    with caplog.at_level(logging.WARNING, logger="dav"):
        for _ in range(2):
            assert hrefs(alice, root) == {root, root + "sub/"}
            assert hrefs(alice, root, "infinity") == {
                root,
                root + "sub/",
                root + "sub/.snapshots/",
                root + "sub/.snapshots/file",
            }
            assert b"snapshots" not in alice.get(root)
            assert hrefs(alice, root + ".snapshots/") == {root + ".snapshots/"}
            assert alice("GET", root + ".snapshots/real/file").status == 404
            assert alice("DELETE", root + ".snapshots/").status == 403
    [warning] = [record for record in caplog.records if "not served" in record.message]
    assert "shadow" in warning.message
    assert alice.get(root + "sub/.snapshots/file") == b"ordinary"
    with volume.view() as view, view.open(".snapshots/real/file") as file:
        assert file.read() == b"real"


def test_below_the_root_the_name_is_like_any_other(alice: Client, folder: str) -> None:
    assert alice("MKCOL", folder + ".snapshots/").status == 201
    assert alice("PUT", folder + ".snapshots/x", b"x").status == 201
    assert alice("MOVE", folder + ".snapshots/", Destination=folder + "y/").status == 201
    assert alice.get(folder + "y/x") == b"x"


def test_thousands_of_snapshots_are_listed_whole(drive: Drive, alice: Client) -> None:
    volume = drive.repository.create_volume("many", owner="alice")
    first = volume.create_snapshot("first")
    record = cas.SnapshotRecord(first.commit, first.time_ns)
    with volume.view() as view, volume.edit() as edit:
        for number in range(3000):
            edit.put_snapshot(f"n{number:04}", record, epoch=view.epoch)
    past = "/dav/many/.snapshots/"
    assert len(hrefs(alice, past)) == 3002
    assert alice.get(past).count(b"<tr><td>") == 3002
    assert hrefs(alice, past + "n2999/") == {past + "n2999/"}
