"""A volume's past below `.snapshots`: browsed, read, and copied out of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import cas
from dav.addressed import Resource
from dav.dates import http_date, rfc3339
from dav.request import Request
from dav.settings import DriveSettings
from tests.support.drive import Client, Drive, running_drive

PAST = "/dav/alice/.snapshots/"
MONDAY = PAST + "monday/"
TIMES = ("{DAV:}getlastmodified", "{DAV:}creationdate")


class Volume:
    """Alice's home: `a/file` and `a/sub/deep` were other on monday, `gone` was there."""

    def __init__(self, drive: Drive) -> None:
        self.drive = drive
        self.home = drive.repository.volume("alice")
        self.alice = drive.client()

    def put(self, path: str, content: bytes) -> None:
        with self.home.upload() as upload, self.home.edit() as edit:
            upload.write(content)
            edit.put(path, upload)

    def state(self) -> bytes:
        with self.home.view() as view:
            return self.home.entry_id(view.root)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volume]:
    with running_drive(tmp_path_factory.mktemp("past")) as drive:
        volume = Volume(drive)
        with volume.home.edit() as edit:
            edit.make_directory("a/sub", parents=True)
        for path in ("a/file", "a/sub/deep", "gone", "ä b.txt"):
            volume.put(path, b"monday's " + path.encode())
        volume.home.create_snapshot("monday")
        with volume.home.edit() as edit:
            edit.remove("gone")
        volume.put("a/file", b"today's")
        volume.home.create_snapshot("tuesday")
        yield volume
        volume.alice.connection.close()


@pytest.fixture
def alice(past: Volume) -> Iterator[Client]:
    yield past.alice
    past.alice.connection.close()


@pytest.fixture
def target(past: Volume, request: pytest.FixtureRequest) -> str:
    """Path of a new, empty folder, ending in a slash."""
    return past.drive.folder(request.node.name)


def names(client: Client, path: str, depth: str = "1") -> set[str]:
    found = client.propfind(path, "{DAV:}resourcetype", depth=depth).responses
    return {href.removeprefix(path) for href in found} - {""}


def test_snapshots_are_listed_with_the_times_of_their_states(past: Volume, alice: Client) -> None:
    assert names(alice, PAST) == {"monday/", "tuesday/"}
    listing = alice.propfind(PAST, *TIMES, "{DAV:}getetag", depth="1")
    monday = past.home.snapshot("monday")
    for reply in (listing, alice.propfind(MONDAY, *TIMES, "{DAV:}getetag")):
        assert reply.value(TIMES[0], MONDAY) == http_date(monday.time_ns)
        assert reply.value(TIMES[1], MONDAY) == rfc3339(monday.time_ns)
        assert reply.value("{DAV:}getetag", MONDAY) == f'"{monday.commit.hex()[:48]}"'


@pytest.mark.parametrize(
    "root", ["/dav/alice/", "/remote.php/dav/files/alice/", "/remote.php/webdav/"]
)
def test_every_address_of_a_volume_has_its_past(alice: Client, root: str) -> None:
    there = root + ".snapshots/"
    assert names(alice, there) == {"monday/", "tuesday/"}
    assert names(alice, there + "monday/") == {"a/", "gone", "%C3%A4%20b.txt"}
    assert names(alice, there + "monday/", "infinity") >= {"a/sub/", "a/sub/deep"}
    assert alice.get(there + "monday/a/file") == b"monday's a/file"
    assert alice.get(there + "monday/%C3%A4%20b.txt") == "monday's ä b.txt".encode()
    assert alice.get(root + "a/file") == b"today's"


def test_ordinary_listings_do_not_show_it(alice: Client) -> None:
    for depth in ("1", "infinity"):
        assert not [name for name in names(alice, "/dav/alice/", depth) if "snapshots" in name]
    assert b".snapshots" not in alice.get("/dav/alice/")
    assert alice.propfind(PAST, "{DAV:}displayname", depth="infinity").status == 403
    assert names(alice, PAST, "0") == set()


def test_what_is_not_there_is_not_found(alice: Client) -> None:
    for path in ("never/", "monday/none", "monday/a/file/", "monday/a/file/x", "%F0%9F%92%BE/a"):
        for method in ("GET", "HEAD", "PROPFIND"):
            assert alice(method, PAST + path).status == 404
    assert alice("GET", "/dav/nobody/.snapshots/").status == 404
    assert alice("GET", "/dav/bob/.snapshots/").status == 404
    assert alice("COPY", PAST + "never", Destination="/dav/alice/x").status == 404


def test_reads_are_as_on_the_live_tree(alice: Client) -> None:
    path = MONDAY + "a/file"
    got = alice("GET", path)
    assert (got.status, got.body) == (200, b"monday's a/file")
    assert got.headers["accept-ranges"] == "bytes"
    tag = got.headers["etag"]
    assert alice.propfind(path, "{DAV:}getetag").value("{DAV:}getetag") == tag
    assert alice("HEAD", path).headers["content-length"] == "15"
    part = alice("GET", path, Range="bytes=9-", If_Range=tag)
    assert (part.status, part.body) == (206, b"a/file")
    assert alice("GET", path, Range="bytes=99-").status == 416
    assert alice("GET", path, If_None_Match=tag).status == 304
    assert alice("GET", path, If_Match='"x"').status == 412
    assert alice("GET", path, If=f"([{tag}])").status == 200
    assert alice("GET", path, If='(["x"])').status == 412


def test_quota_locks_and_rights_of_the_past(past: Volume, alice: Client) -> None:
    token = alice.lock("/dav/alice/a/file")
    asked = ("quota-used-bytes", "quota-available-bytes", "lockdiscovery", "supportedlock")
    permissions = "{http://owncloud.org/ns}permissions"
    for path in (MONDAY, MONDAY + "a/"):
        found = alice.propfind(path, *(f"{{DAV:}}{name}" for name in asked), permissions)
        properties = {name: status for name, (status, _) in found.properties().items()}
        assert [properties[f"{{DAV:}}{name}"] for name in asked] == [404, 404, 200, 200]
        assert found.value(permissions) == "RG"
    locks = alice.propfind(MONDAY + "a/file", "{DAV:}lockdiscovery", "{DAV:}supportedlock")
    assert [list(element) for _, element in locks.properties().values()] == [[], []]
    assert alice("GET", MONDAY + "a/file", If=f"(<{token}>)").status == 412
    assert alice("UNLOCK", MONDAY + "a/file", Lock_Token=f"<{token}>").status == 409
    assert alice("UNLOCK", "/dav/alice/a/file", Lock_Token=f"<{token}>").status == 204
    assert past.drive.repository.locks.all() == []


BODIES = {
    "PUT": b"new",
    "PROPPATCH": b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x/></D:prop></D:set>'
    b"</D:propertyupdate>",
    "LOCK": b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>",
}
WRITES = ("PUT", "MKCOL", "LOCK", "DELETE", "MOVE", "PROPPATCH")


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("path", ["", "monday", "monday/", "monday/a/file", "monday/new", "new"])
def test_nothing_there_can_be_changed(past: Volume, alice: Client, method: str, path: str) -> None:
    before, snapshots = past.state(), past.home.snapshots()
    headers = {"Destination": "/dav/alice/moved", "If-Match": "*"} if method == "MOVE" else {}
    reply = alice(method, PAST + path, BODIES.get(method), headers)
    is_missing = path.endswith("new") and method in {"DELETE", "MOVE", "PROPPATCH"}
    assert reply.status == (404 if is_missing else 403)
    if reply.status == 403:
        assert reply.conditions == ["cannot-modify-version"]
        assert b"COPY out" in reply.body
    assert (past.state(), past.home.snapshots()) == (before, snapshots)
    assert past.drive.repository.locks.all() == []


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
@pytest.mark.parametrize("path", ["", "/", "/monday/x", "/x"])
def test_nothing_gets_in(past: Volume, alice: Client, method: str, path: str) -> None:
    before = past.state()
    reply = alice(method, "/dav/alice/a", Destination=f"/dav/alice/.snapshots{path}")
    assert (reply.status, reply.conditions) == (403, ["cannot-modify-version"])
    assert past.state() == before


def test_an_upload_in_parts_does_not_get_in(past: Volume, alice: Client) -> None:
    transfer = "/remote.php/dav/uploads/alice/one/"
    alice("MKCOL", transfer)
    alice("PUT", transfer + "1", b"x")
    before = past.state()
    there = "/remote.php/dav/files/alice/.snapshots/monday/x"
    assert alice("MOVE", transfer + ".file", Destination=there).status == 403
    assert past.state() == before


def test_options_says_what_works(alice: Client) -> None:
    def allow(path: str) -> str:
        return alice("OPTIONS", path).headers["allow"]

    assert allow(PAST) == "OPTIONS, GET, HEAD, PROPFIND"
    for path in ("monday", "monday/a", "monday/a/file"):
        assert allow(PAST + path) == "OPTIONS, GET, HEAD, PROPFIND, COPY"


def test_a_copy_out_restores_a_file(alice: Client, target: str) -> None:
    source, place = MONDAY + "a/file", target + "file"
    assert alice("COPY", source, Destination=place).status == 201
    assert alice.get(place) == b"monday's a/file"
    alice("PUT", place, b"newer")
    assert alice("COPY", source, Destination=place, Overwrite="F").status == 412
    assert alice.get(place) == b"newer"
    assert alice("COPY", source, Destination=place, If_Match='"x"').status == 412
    tag = alice("HEAD", source).headers["etag"]
    reply = alice("COPY", source, Destination=place, If_Match=tag)
    assert (reply.status, reply.headers["etag"]) == (204, tag)
    assert alice.get(place) == b"monday's a/file"
    assert alice("COPY", source, Destination=target + "none/file").status == 409


def test_a_file_is_restored_to_where_it_was(past: Volume, alice: Client) -> None:
    past.put("a/again", b"then")
    past.home.create_snapshot("then")
    past.put("a/again", b"now")
    there = PAST + "then/a/again"
    token = alice.lock("/dav/alice/a/again")
    assert alice("COPY", there, Destination="/dav/alice/a/again").status == 423
    tag = alice("HEAD", there).headers["etag"]
    conditions = f"</dav/alice/a/again> (<{token}>) <{there}> ([{tag}])"
    reply = alice("COPY", there, Destination="/dav/alice/a/again", If=conditions)
    assert reply.status == 204
    assert alice.get("/dav/alice/a/again") == b"then"
    alice("UNLOCK", "/dav/alice/a/again", Lock_Token=f"<{token}>")


def test_a_condition_on_the_past_holds_inside_a_commit(alice: Client, target: str) -> None:
    # The same path is another file today: the one that the tag names must be looked at.
    tag = alice("HEAD", MONDAY + "a/file").headers["etag"]
    condition = f"<{MONDAY}a/file> ([{tag}])"
    assert alice("PUT", target + "x", b"x", If=condition).status == 201
    assert alice("PUT", target + "x", b"y", If=condition.replace(tag, '"x"')).status == 412


def test_a_tree_or_a_whole_state_is_restored(past: Volume, alice: Client, target: str) -> None:
    assert alice("COPY", MONDAY + "a/", Destination=target + "a/").status == 201
    assert names(alice, target, "infinity") == {"a/", "a/file", "a/sub/", "a/sub/deep"}
    assert alice("COPY", MONDAY, Destination=target + "all/").status == 201
    assert alice.get(target + "all/a/sub/deep") == b"monday's a/sub/deep"
    assert alice.get(target + "all/gone") == b"monday's gone"
    assert alice("COPY", MONDAY, Destination=target + "bare/", Depth="0").status == 201
    assert names(alice, target + "bare/") == set()
    assert alice("COPY", PAST, Destination=target + "b/").status == 403
    assert alice("COPY", MONDAY, Destination="/dav/alice/").status == 403
    with past.home.view() as view, past.home.at(past.home.snapshot("monday").commit) as monday:
        path = target.removeprefix("/dav/alice/") + "all"
        assert view.entry(path).content == monday.root.content


def test_a_copy_to_another_volume_needs_the_right_to_write(past: Volume, alice: Client) -> None:
    past.drive.repository.create_volume("vault", owner="alice")
    past.drive.repository.create_volume("foreign", owner="bob")
    assert alice("COPY", MONDAY + "a/", Destination="/dav/vault/a/").status == 201
    assert alice.get("/dav/vault/a/file") == b"monday's a/file"
    assert alice("COPY", MONDAY + "a/", Destination="/dav/foreign/a/").status == 409


def test_a_copy_out_counts_against_the_quota(past: Volume, alice: Client) -> None:
    repository = past.drive.repository
    repository.create_volume("small", owner="alice", quota=10)
    assert alice("COPY", MONDAY + "a/", Destination="/dav/small/a/").status == 507
    assert names(alice, "/dav/small/") == set()


def test_a_setting_shows_it_at_the_root_alone(tmp_path: Path) -> None:
    with running_drive(tmp_path, DriveSettings(show_snapshots=True)) as drive:
        alice = drive.client()
        alice("MKCOL", "/dav/alice/a")
        home = drive.repository.volume("alice")
        home.create_snapshot("one")
        for root in ("/dav/alice/", "/remote.php/dav/files/alice/"):
            assert names(alice, root) == {".snapshots/", "a/"}
            assert names(alice, root, "infinity") == {"a/"}
            assert names(alice, root + "a/") == set()
        kind = "{DAV:}resourcetype"
        _, element = alice.propfind("/dav/alice/", kind, depth="1").properties(PAST)[kind]
        assert [child.tag for child in element] == ["{DAV:}collection"]
        assert b'<a href="/dav/alice/.snapshots/">' in alice.get("/dav/alice/")
        assert b".snapshots" not in alice.get("/dav/alice/a/")
        alice.connection.close()


def test_pages_lead_through_the_past(alice: Client) -> None:
    page = alice("GET", PAST)
    assert page.headers["content-type"].startswith("text/html")
    text = page.body.decode()
    assert text.index(f'<a href="{PAST}tuesday/">') < text.index(f'<a href="{MONDAY}">')
    assert '<a href="/dav/alice/">..</a>' in text
    assert "Nothing here ever changes" in text
    inside = alice.get(MONDAY + "a/").decode()
    assert f'<a href="{PAST}">.snapshots</a> / <a href="{MONDAY}">monday</a>' in inside
    assert f'<a href="{MONDAY}a/file?download">download</a>' in inside
    for path in (PAST, MONDAY):
        reply = alice("HEAD", path)
        assert (reply.status, reply.body) == (200, b"")


def test_a_copy_goes_on_where_a_collection_begins_in_the_midst_of_it(
    past: Volume, alice: Client, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, rest = past.drive.repository, ["once"]

    def collect_then(request: Request, resource: Resource) -> cas.View:
        view = look(request, resource)
        if rest:
            rest.clear()
            past.put("garbage", b"of no use to anybody")
            past.put("garbage", b"")
            repository.engine.chunks.open_packs.seal_current()
            only_now = cas.VersionPolicy(versions=1, states=cas.Retention())
            report = cas.collect_garbage(repository, only_now, grace_seconds=0)
            assert report.condemned_packs
        return view

    look = Request.view_of
    monkeypatch.setattr(Request, "view_of", collect_then)
    reply = alice("COPY", MONDAY + "a", Destination=target + "copied")
    assert reply.status == 201
    assert not rest
    assert alice.get(target + "copied/file") == b"monday's a/file"
