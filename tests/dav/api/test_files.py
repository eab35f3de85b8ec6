"""Files for people and scripts over JSON: listing, versions, uploads in parts, downloads."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest

import cas
from dav.grants import grant
from dav.identity import Right
from tests.support.device import Device
from tests.support.drive import Client, Drive, Reply
from tests.support.volumes import put, read


@pytest.fixture
def alice(drive: Drive) -> Iterator[Client]:
    client = drive.client("alice")
    yield client
    client.connection.close()


@pytest.fixture
def bob_client(drive: Drive) -> Iterator[Client]:
    client = drive.client("bob")
    yield client
    client.connection.close()


def ask(client: Client, method: str, address: str, body: object = None, **query: object) -> Reply:
    encoded = None if body is None else json.dumps(body).encode()
    tail = "?" + urlencode(query, quote_via=quote) if query else ""
    return client(method, f"/api/v1/{address}{tail}", encoded)


def answer(client: Client, method: str, address: str, body: object = None, **query: object) -> Any:  # noqa: ANN401 - JSON
    reply = ask(client, method, address, body, **query)
    assert reply.status < 300, reply
    return json.loads(reply.body)


def item(client: Client, volume: cas.Volume, path: str) -> dict[str, Any]:
    parent, _, name = path.rpartition("/")
    page = answer(client, "GET", "files", volume=volume.name, path=parent)
    return next(each for each in page["items"] if each["path"].rpartition("/")[2] == name)


def test_folders_are_listed_by_pages(device: Device, alice: Client) -> None:
    with device.volume.edit() as edit:
        edit.make_directory("folder")
        for number in range(5):
            edit.put(f"folder/{number}.txt", cas.EMPTY_CONTENT)
    name = device.volume.name
    root = answer(alice, "GET", "files", volume=name)
    assert [(each["path"], each["kind"], each["files"]) for each in root["items"]] == [
        ("folder", "folder", 5)
    ]
    first = answer(alice, "GET", "files", volume=name, path="folder", limit=3)
    assert [each["path"] for each in first["items"]] == [f"folder/{n}.txt" for n in range(3)]
    assert first["items"][0]["content_type"] == "text/plain"
    query = {"volume": name, "path": "folder", "limit": 3, "after": first["next"]}
    second = answer(alice, "GET", "files", **query)
    assert [each["path"] for each in second["items"]] == ["folder/3.txt", "folder/4.txt"]
    assert second["next"] is None


def test_a_search_finds_names_below_a_folder(device: Device, alice: Client) -> None:
    for path in ("Report.pdf", "b", "c"):
        put(device.volume, path)
    with device.volume.edit() as edit:
        edit.make_directory("deep/er", parents=True)
        edit.put("deep/er/my report.PDF", cas.EMPTY_CONTENT)
    name = device.volume.name
    found = answer(alice, "GET", "files", volume=name, name="report")
    assert [each["path"] for each in found["items"]] == ["Report.pdf", "deep/er/my report.PDF"]
    found = answer(alice, "GET", "files", volume=name, name="*.pdf", limit=1)
    assert [each["path"] for each in found["items"]] == ["Report.pdf"]
    query = {"volume": name, "name": "*.pdf", "after": found["next"]}
    more = answer(alice, "GET", "files", **query)
    assert [each["path"] for each in more["items"]] == ["deep/er/my report.PDF"]


def test_versions_are_told_downloaded_and_restored(device: Device, alice: Client) -> None:
    first = put(device.volume, "file", b"first")
    put(device.volume, "file", b"second")
    file = item(alice, device.volume, "file")
    versions = answer(alice, "GET", f"versions/{file['id']}")["items"]
    assert [(each["action"], each["size"]) for each in versions] == [("put", 6), ("put", 5)]
    old = ask(alice, "GET", f"download/{file['id']}", sequence=first)
    assert old.body == b"first"
    restored = answer(alice, "POST", f"restore/{file['id']}", {"sequence": first})
    assert restored["item"]["size"] == 5
    assert read(device.volume, "file") == b"first"
    status = ask(alice, "POST", f"restore/{file['id']}", {"sequence": 1}).status
    assert status == 404
    assert ask(alice, "POST", f"restore/{file['id']}", {"sequence": 999_999}).status == 410


def test_a_folder_is_restored_whole(device: Device, alice: Client) -> None:
    with device.volume.edit() as edit:
        edit.make_directory("folder/sub", parents=True)
        edit.put("folder/sub/file", cas.EMPTY_CONTENT)
    folder = item(alice, device.volume, "folder")
    device.volume.edit()
    with device.volume.edit() as removal:
        removal.remove("folder")
    assert ask(alice, "GET", f"files/{folder['id']}").status == 404
    answer(alice, "POST", f"restore/{folder['id']}", {"sequence": edit.sequence})
    assert device.paths() == ["folder", "folder/sub", "folder/sub/file"]


def test_downloads_have_ranges_and_may_be_kept(device: Device, alice: Client) -> None:
    data = random.Random(1).randbytes(1_000_000)
    put(device.volume, "file", data)
    file = item(alice, device.volume, "file")
    path = f"/api/v1/download/{file['id']}"
    whole = alice("GET", path)
    assert whole.body == data
    assert "no-cache" in whole.headers["cache-control"]
    kept = alice("GET", f"{path}?etag={file['etag']}")
    assert kept.body == data
    assert "immutable" in kept.headers["cache-control"]
    part = alice("GET", path, Range="bytes=100000-499999")
    assert (part.status, part.body) == (206, data[100_000:500_000])
    assert part.headers["content-range"] == "bytes 100000-499999/1000000"
    assert alice("GET", path, Range="bytes=1000000-").status == 416
    assert alice("GET", path, If_None_Match=f'"{file["etag"]}"').status == 304
    assert alice("HEAD", path).headers["content-length"] == "1000000"
    put(device.volume, "file", b"new")
    assert alice("GET", f"{path}?etag={file['etag']}").status == 404


def test_an_id_is_no_right(device: Device, alice: Client, bob_client: Client, drive: Drive) -> None:
    put(device.volume, "file", b"secret")
    file = item(alice, device.volume, "file")
    for path in ("files", "versions", "download"):
        assert ask(bob_client, "GET", f"{path}/{file['id']}").status == 404
    assert ask(bob_client, "GET", "files", volume=device.volume.name).status == 404
    grant(drive.repository, device.volume.name, "bob", Right.READ)
    assert ask(bob_client, "GET", f"download/{file['id']}").body == b"secret"
    restoring = ask(bob_client, "POST", f"restore/{file['id']}", {"sequence": 2})
    assert restoring.status == 403
    about = {"volume": device.volume.name, "path": "x", "size": 1}
    assert ask(bob_client, "POST", "upload/init", about).status == 403
    for word in ("x", "====", "é", file["id"][:-2], file["id"] + "Li4"):
        assert ask(alice, "GET", f"files/{quote(word)}").status in {400, 404}


def begin(client: Client, device: Device, data: bytes, **more: object) -> str:
    about = {"volume": device.volume.name, "path": "file", "size": len(data), **more}
    return str(answer(client, "POST", "upload/init", about)["id"])


def send(client: Client, upload: str, offset: int, part: bytes) -> int:
    return client("PUT", f"/api/v1/upload/chunk/{upload}?offset={offset}", part).status


def test_parts_come_in_any_order_and_the_file_at_once(device: Device, alice: Client) -> None:
    data = random.Random(2).randbytes(3_000_000)
    upload = begin(alice, device, data, hash=hashlib.sha256(data).hexdigest(), algorithm="sha256")
    for offset in (2_000_000, 0, 1_000_000, 0):
        assert send(alice, upload, offset, data[offset : offset + 1_000_000]) == 204
    assert device.paths() == []
    parts = answer(alice, "GET", f"upload/{upload}")["parts"]
    assert parts == [[0, 1_000_000], [1_000_000, 1_000_000], [2_000_000, 1_000_000]]
    assert answer(alice, "POST", f"upload/finish/{upload}")["size"] == len(data)
    assert device.read("file") == data
    assert ask(alice, "GET", f"upload/{upload}").status == 404


def test_an_upload_that_is_not_whole_or_not_right_makes_no_file(
    device: Device, alice: Client
) -> None:
    data = b"x" * 1000
    upload = begin(alice, device, data, hash="00" * 32)
    assert send(alice, upload, 500, data[:500]) == 204
    assert ask(alice, "POST", f"upload/finish/{upload}").status == 409
    assert send(alice, upload, 0, data[:500]) == 204
    assert ask(alice, "POST", f"upload/finish/{upload}").status == 409  # the hash
    assert send(alice, upload, 501, data[:500]) == 413
    assert send(alice, upload, 0, b"") == 413
    assert ask(alice, "DELETE", f"upload/{upload}").status == 204
    assert ask(alice, "DELETE", f"upload/{upload}").status == 404
    assert device.paths() == []


def test_parts_never_hold_more_than_the_file_will(device: Device, alice: Client) -> None:
    upload = begin(alice, device, b"x" * 1000)
    assert send(alice, upload, 0, b"x" * 600) == 204
    assert send(alice, upload, 1, b"x" * 600) == 409
    assert send(alice, upload, 600, b"x" * 400) == 204
    assert send(alice, upload, 600, b"y" * 400) == 204  # again, in its place
    assert send(alice, upload, 999, b"x") == 409


def test_unfinished_uploads_count_together_against_the_quota(
    device: Device, alice: Client, drive: Drive
) -> None:
    first, second = (begin(alice, device, b"x" * 600, path=name) for name in ("a", "b"))
    with drive.repository.registry.view() as view:
        before = view.entry("transfers/alice").size
    drive.repository.set_quota(device.volume.name, before + 1000)
    assert send(alice, first, 0, b"x" * 600) == 204
    assert send(alice, second, 0, b"x" * 300) == 507
    assert ask(alice, "DELETE", f"upload/{first}").status == 204
    assert send(alice, second, 0, b"x" * 300) == 204


def test_an_upload_replaces_only_what_it_was_to_replace(device: Device, alice: Client) -> None:
    upload = begin(alice, device, b"new", if_match="")
    assert send(alice, upload, 0, b"new") == 204
    put(device.volume, "file", b"meanwhile")
    assert ask(alice, "POST", f"upload/finish/{upload}").status == 409
    assert device.read("file") == b"meanwhile"
    etag = item(alice, device.volume, "file")["etag"]
    upload = begin(alice, device, b"new", if_match=etag)
    send(alice, upload, 0, b"new")
    answer(alice, "POST", f"upload/finish/{upload}")
    assert device.read("file") == b"new"


def test_uploads_of_others_are_not_there(device: Device, alice: Client, bob_client: Client) -> None:
    upload = begin(alice, device, b"x")
    assert ask(bob_client, "GET", f"upload/{upload}").status == 404
    assert send(bob_client, upload, 0, b"x") == 404
    assert ask(bob_client, "POST", f"upload/finish/{upload}").status == 404


def test_targets_that_cannot_be(device: Device, alice: Client, drive: Drive) -> None:
    about = {"volume": device.volume.name, "path": "file", "size": 1}
    for change, status in (
        ({"path": ""}, 400),
        ({"path": "../x"}, 400),
        ({"path": "no/such/folder"}, 409),
        ({"volume": "nobody"}, 404),
        ({"size": -1}, 400),
        ({"size": 1 << 60}, 400),
        ({"size": "1"}, 400),
        ({"algorithm": "md5"}, 400),
        ({"mtime_ns": 1 << 70}, 400),
    ):
        assert ask(alice, "POST", "upload/init", {**about, **change}).status == status, change
    drive.repository.set_quota(device.volume.name, 10)
    assert ask(alice, "POST", "upload/init", {**about, "size": 11}).status == 507
