from __future__ import annotations

import pytest

from dav.grants import grant
from dav.identity import Right, Scope
from tests.support.drive import Client, Drive


@pytest.mark.parametrize("path", ["*", "/", "/dav/", "/dav/alice/", "/dav/alice/none", "/else"])
def test_options_says_webdav_everywhere(alice: Client, path: str) -> None:
    reply = alice("OPTIONS", path)
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["dav"] == "1, 2, 3"
    assert reply.headers["ms-author-via"] == "DAV"
    assert "OPTIONS" in reply.headers["allow"]


def test_allow_says_what_works(alice: Client, folder: str) -> None:
    alice("PUT", folder + "file", b"x")

    def allow(path: str) -> set[str]:
        return set(alice("OPTIONS", path).headers["allow"].split(", "))

    assert {"PUT", "LOCK", "MOVE"} <= allow(folder + "file")
    assert "MKCOL" not in allow(folder + "file")
    assert not {"PUT", "MKCOL"} & allow(folder)
    assert {"PUT", "MKCOL", "LOCK"} <= allow(folder + "new")
    assert not {"DELETE", "MOVE"} & allow("/dav/alice/")
    assert allow("/dav/") == {"OPTIONS", "GET", "HEAD", "PROPFIND"}


@pytest.mark.parametrize(
    ("method", "status"), [("TRACE", 405), ("POST", 405), ("PATCH", 405), ("FROBNICATE", 501)]
)
def test_other_methods_are_refused(alice: Client, folder: str, method: str, status: int) -> None:
    reply = alice(method, folder)
    assert reply.status == status
    assert ("allow" in reply.headers) == (status == 405)


def test_rights_hold_for_every_method(drive: Drive, alice: Client, bob: Client) -> None:
    drive.repository.create_volume("guarded", owner="alice")
    alice("PUT", "/dav/guarded/a", b"x")
    alice("MKCOL", "/dav/guarded/sub")
    writes = [
        ("PUT", "/dav/guarded/a"),
        ("PUT", "/dav/guarded/new"),
        ("MKCOL", "/dav/guarded/new"),
        ("DELETE", "/dav/guarded/a"),
        ("MOVE", "/dav/guarded/a"),
        ("PROPPATCH", "/dav/guarded/a"),
    ]
    body = b'<propertyupdate xmlns="DAV:"><set><prop><x/></prop></set></propertyupdate>'

    def send(method: str, path: str) -> int:
        content = body if method in {"PUT", "PROPPATCH"} else None
        return bob(method, path, content, Destination="/dav/bob/x").status

    for method, path in [("GET", "/dav/guarded/a"), ("PROPFIND", "/dav/guarded/"), *writes]:
        assert send(method, path) in {403, 404, 409}, method
    assert bob("GET", "/dav/guarded/a").status == 404
    grant(drive.repository, "guarded", "bob", Right.READ)
    assert bob("GET", "/dav/guarded/a").status == 200
    assert bob("COPY", "/dav/guarded/a", Destination="/dav/bob/mine").status == 201
    for method, path in writes:
        assert send(method, path) == 403, method
    assert bob("COPY", "/dav/bob/mine", Destination="/dav/guarded/b").status == 403
    assert "PUT" not in bob("OPTIONS", "/dav/guarded/a").headers["allow"]
    grant(drive.repository, "guarded", "bob", Right.WRITE)
    assert bob("PUT", "/dav/guarded/new", b"x").status == 201


def test_a_narrowed_password_narrows(drive: Drive, alice: Client, folder: str) -> None:
    path = folder.removeprefix("/dav/alice/")
    alice("PUT", folder + "a", b"x")
    reader = drive.client("alice", Scope(read_only=True))
    assert reader.get(folder + "a") == b"x"
    assert reader("PUT", folder + "a", b"y").status == 403
    assert reader("MKCOL", "/remote.php/dav/uploads/alice/t").status == 403
    inside = drive.client("alice", Scope(volume="alice", path=path.rstrip("/")))
    assert inside("PUT", folder + "b", b"y").status == 201
    assert inside("GET", "/dav/alice/").status == 404
    assert inside("MOVE", folder + "b", Destination="/dav/alice/outside").status in {403, 409}
    assert inside("PROPFIND", folder, Depth="1").status == 207
    for client in (reader, inside):
        client.connection.close()


def test_nobody_is_let_in_without_a_name(drive: Drive, folder: str) -> None:
    stranger = drive.client()
    stranger.password = "casdav-wrong"
    for method in ("GET", "PUT", "PROPFIND", "DELETE", "LOCK"):
        reply = stranger(method, folder)
        assert reply.status == 401
        assert "www-authenticate" in reply.headers
    stranger.connection.close()


@pytest.mark.parametrize("path", ["/dav/../x", "/dav/alice/%00", "/dav/alice/%ff"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "OPTIONS"])
def test_a_path_that_cannot_be_is_400_whatever_the_method(
    alice: Client, method: str, path: str
) -> None:
    assert alice(method, path).status == 400
