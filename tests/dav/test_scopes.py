"""Narrowed credentials on every way to change something, of the drive and of the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cas import wire
from dav.api.handles import handle
from dav.identity import Scope
from dav.registry import read_state
from dav.unfinished import UPLOAD_LIMIT
from tests.support.drive import Client, Drive, Reply, lock_body, running_drive

SECRET = b"what the credential must not reach"


@dataclass
class Site:
    """A drive on which alice has a folder `open`, a folder `secret`, and uploads under way."""

    drive: Drive
    whole: Client
    upload_id: str
    device_id: str

    def state(self) -> tuple[object, ...]:
        """All that a narrowed credential could have changed."""
        repository = self.drive.repository
        with repository.volume("alice").view() as files, repository.registry.view() as registry:
            parts = [(path, each.content) for path, each in registry.walk("transfers")]
            return (
                files.root.content,
                [part for part in parts if part[1]],
                len(repository.locks.all()),
                sorted(read_state(repository).devices),
            )

    def id_of(self, path: str) -> str:
        return handle(self.drive.repository.volume("alice"), path)


def answer(client: Client, method: str, address: str, body: object = None) -> Reply:
    encoded = None if body is None else json.dumps(body).encode()
    return client(method, f"/api/v1/{address}", encoded)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_drive(tmp_path_factory.mktemp("scopes")) as drive:
        whole = drive.client("alice")
        for path in ("open/", "secret/"):
            assert whole("MKCOL", f"/dav/alice/{path}").status == 201
            assert whole("PUT", f"/dav/alice/{path}file", SECRET).status == 201
        assert whole("MOVE", "/dav/alice/secret/file", Destination="/dav/alice/open/came").status
        assert whole("PUT", "/dav/alice/secret/file", SECRET).status == 201
        assert whole("MKCOL", "/remote.php/dav/uploads/alice/mine").status == 201
        assert whole("PUT", "/remote.php/dav/uploads/alice/mine/1", SECRET).status == 201
        about = {"volume": "alice", "path": "secret/upload", "size": 10}
        begun = json.loads(answer(whole, "POST", "upload/init", about).body)
        part = whole("PUT", f"/api/v1/upload/chunk/{begun['id']}?offset=0", b"01234")
        assert part.status == 204
        sign_in = {"grant_type": "password", "user": "alice", "password": whole.password}
        device = json.loads(answer(whole, "POST", "token", {**sign_in, "device": "laptop"}).body)
        yield Site(drive, whole, begun["id"], device["device_id"])
        whole.connection.close()


def commit(site: Site, operation: wire.Operation, root: bytes = b"") -> bytes:
    volume = site.drive.repository.volume("alice")
    return wire.encode_message(
        wire.CommitRequest(wire.Place(volume.id, root), "key", 0, [operation])
    )


def attempts(site: Site, folder: str) -> list[tuple[str, str, bytes | None, dict[str, str]]]:
    """Every way to change something in a folder of alice's, and what else is hers."""
    here = f"/dav/alice/{folder}"
    patch = (
        b'<propertyupdate xmlns="DAV:"><set><prop><x xmlns="u">1</x></prop></set></propertyupdate>'
    )
    uploads = "/remote.php/dav/uploads/alice"
    api = "/api/v1"
    place = wire.Place(site.drive.repository.volume("alice").id)
    data = b"new"
    chunk = wire.pack_chunk(site.drive.repository.content_keys().chunk_id(data), data)
    restoring = json.dumps({"sequence": 1}).encode()
    return [
        ("PUT", f"{here}/new", b"x", {}),
        ("PUT", f"{here}/file", b"x", {}),
        ("PUT", f"/remote.php/dav/files/alice/{folder}/new", b"x", {}),
        ("PUT", f"/remote.php/webdav/{folder}/new", b"x", {}),
        ("DELETE", f"{here}/file", None, {}),
        ("DELETE", "/dav/alice/", None, {}),
        ("MKCOL", f"{here}/made", None, {}),
        ("COPY", f"{here}/file", None, {"Destination": f"{here}/copy"}),
        ("MOVE", f"{here}/file", None, {"Destination": f"{here}/moved"}),
        ("COPY", "/dav/alice/open/file", None, {"Destination": f"{here}/copy"}),
        ("MOVE", "/dav/alice/open/file", None, {"Destination": f"{here}/moved"}),
        ("PROPPATCH", f"{here}/file", patch, {}),
        ("LOCK", f"{here}/file", lock_body(), {}),
        ("LOCK", f"{here}/unborn", lock_body(), {}),
        ("LOCK", "/dav/alice/", lock_body(), {"Depth": "infinity"}),
        ("MKCOL", f"{uploads}/other", None, {}),
        ("PUT", f"{uploads}/mine/1", b"other", {}),
        ("PUT", f"{uploads}/mine/2", b"more", {}),
        ("PUT", f"{uploads}/api-{site.upload_id}/{5:020d}", b"56789", {}),
        ("DELETE", f"{uploads}/mine/1", None, {}),
        ("DELETE", f"{uploads}/mine", None, {}),
        ("MOVE", f"{uploads}/mine/.file", None, {"Destination": f"{here}/assembled"}),
        ("PUT", f"{api}/upload/chunk/{site.upload_id}?offset=5", b"56789", {}),
        ("POST", f"{api}/upload/finish/{site.upload_id}", b"", {}),
        ("DELETE", f"{api}/upload/{site.upload_id}", None, {}),
        ("DELETE", f"{api}/devices/{site.device_id}", None, {}),
        ("POST", f"{api}/restore/{site.id_of(f'{folder}/file')}", restoring, {}),
        ("POST", f"{api}/restore/{site.id_of('')}", restoring, {}),
        ("POST", f"{api}/commit", commit(site, wire.MakeFolder(f"{folder}/made".encode())), {}),
        ("POST", f"{api}/commit", commit(site, wire.MakeFolder(b"made"), folder.encode()), {}),
        ("POST", f"{api}/chunks", wire.encode_message(wire.SendRequest(place, [chunk])), {}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("scope", "folder"),
    [
        (Scope(read_only=True), "open"),
        (Scope(read_only=True, volume="alice", path="open"), "open"),
        (Scope(volume="alice", path="open"), "secret"),
        (Scope(volume="bob"), "open"),
    ],
    ids=["reads", "reads a folder", "another folder", "another volume"],
)
def test_nothing_outside_its_scope_is_changed(site: Site, scope: Scope, folder: str) -> None:
    narrowed = site.drive.client("alice", scope)
    before = site.state()
    for method, path, body, headers in attempts(site, folder):
        is_own_upload = not scope.read_only and path.endswith("/other")
        reply = narrowed(method, path, body, headers)
        if is_own_upload:
            assert reply.status == 201
            assert narrowed("DELETE", path).status == 204
            continue
        assert 400 <= reply.status < 500, (method, path, reply)
        assert site.state() == before, (method, path)
    narrowed.connection.close()


def test_what_is_outside_a_scope_is_not_told(site: Site) -> None:
    narrowed = site.drive.client("alice", Scope(volume="alice", path="open"))
    reads = [
        ("GET", "/dav/alice/secret/file"),
        ("PROPFIND", "/dav/alice/"),
        ("PROPFIND", "/dav/alice/secret/"),
        ("PROPFIND", "/remote.php/dav/uploads/alice/mine"),
        ("GET", f"/api/v1/files/{site.id_of('secret/file')}"),
        ("GET", f"/api/v1/versions/{site.id_of('secret/file')}"),
        ("GET", f"/api/v1/download/{site.id_of('secret/file')}"),
        ("GET", "/api/v1/files?volume=alice&path=secret"),
        ("GET", f"/api/v1/upload/{site.upload_id}"),
    ]
    for method, path in reads:
        assert narrowed(method, path, Depth="1").status == 404, (method, path)
    listed = narrowed("PROPFIND", "/remote.php/dav/uploads/alice/", Depth="1")
    assert b"mine" not in listed.body
    came = narrowed("GET", f"/api/v1/versions/{site.id_of('open/came')}")
    assert b"secret" not in came.body
    sequences = range(1, site.drive.repository.volume("alice").sequence() + 1)
    for sequence in sequences:
        path = f"/api/v1/download/{site.id_of('open/came')}?sequence={sequence}"
        was = narrowed("GET", path)
        with site.drive.repository.volume("alice").at_sequence(sequence) as view:
            assert (was.status == 200) == (view.get("open/came") is not None), sequence
    assert site.device_id.encode() not in narrowed("GET", "/api/v1/devices").body
    narrowed.connection.close()


def test_unfinished_uploads_of_one_user_are_bounded(site: Site) -> None:
    with site.drive.repository.registry.edit() as edit:
        for number in range(UPLOAD_LIMIT):
            edit.make_directory(f"transfers/bob/{number}", parents=True)
    bob = site.drive.client("bob")
    assert bob("MKCOL", "/remote.php/dav/uploads/bob/one-more").status == 507
    about = {"volume": "bob", "path": "file", "size": 10}
    assert answer(bob, "POST", "upload/init", about).status == 507
    assert bob("DELETE", "/remote.php/dav/uploads/bob/7").status == 204
    assert answer(bob, "POST", "upload/init", about).status == 201
    bob.connection.close()
