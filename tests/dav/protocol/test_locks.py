from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dav.grants import grant, revoke
from dav.identity import Right, Scope
from dav.settings import DriveSettings
from tests.support.drive import Client, Drive, lock_body, running_drive

D = "{DAV:}"
DISCOVERY = "{DAV:}lockdiscovery"


def tokens(client: Client, path: str) -> list[str]:
    _, element = client.propfind(path, DISCOVERY).properties()[DISCOVERY]
    return [found.text or "" for found in element.findall(f".//{D}locktoken/{D}href")]


@pytest.fixture
def shared(drive: Drive, folder: str) -> Iterator[str]:
    """A folder that bob may change too."""
    grant(drive.repository, "alice", "bob", Right.WRITE)
    yield folder
    revoke(drive.repository, "alice", "bob")


def test_a_lock_is_told_with_all_it_is(alice: Client, folder: str) -> None:
    alice("PUT", folder + "a", b"x")
    reply = alice("LOCK", folder + "a", lock_body(), Timeout="Second-600", Depth="0")
    assert reply.status == 200
    token = reply.headers["lock-token"]
    assert re.fullmatch(r"<urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}>", token)
    active = reply.xml.find(f"{D}lockdiscovery/{D}activelock")
    assert active is not None
    assert active.find(f"{D}lockscope/{D}exclusive") is not None
    assert active.find(f"{D}locktype/{D}write") is not None
    assert active.findtext(f"{D}depth") == "0"
    assert active.findtext(f"{D}owner/{D}href") == "tests"
    assert active.findtext(f"{D}timeout") in {"Second-600", "Second-599"}
    assert active.findtext(f"{D}locktoken/{D}href") == token.strip("<>")
    assert active.findtext(f"{D}lockroot/{D}href") == folder + "a"
    assert tokens(alice, folder + "a") == [token.strip("<>")]


def test_a_locked_file_is_changed_with_its_token_alone(alice: Client, folder: str) -> None:
    alice("PUT", folder + "a", b"x")
    token = alice.lock(folder + "a")
    etag = alice("HEAD", folder + "a").headers["etag"]
    for method in ("PUT", "DELETE", "MOVE"):
        reply = alice(method, folder + "a", b"", Destination=folder + "b")
        assert (reply.status, reply.conditions) == (423, ["lock-token-submitted"])
        assert reply.xml.findtext(f"{D}lock-token-submitted/{D}href") == folder + "a"
    assert alice.proppatch(folder + "a", "<D:set><D:prop><x:a/></D:prop></D:set>").status == 423
    assert alice("COPY", folder + "a", Destination=folder + "copy").status == 201
    assert alice("COPY", folder + "copy", Destination=folder + "a").status == 423
    assert tokens(alice, folder + "copy") == []
    assert alice("PUT", folder + "a", b"y", If=f"(<{token}>)").status == 204
    assert alice("PUT", folder + "a", b"y", If=f"(<{token}> [{etag}])").status == 412
    assert alice("PUT", folder + "a", b"y", If="(<urn:uuid:wrong>)").status == 412
    # The token counts as submitted wherever it stands (section 10.4.1).
    assert alice("PUT", folder + "a", b"z", If=f'(<{token}> ["x"]) (Not <DAV:x>)').status == 204
    assert alice("UNLOCK", folder + "a", Lock_Token=f"<{token}>").status == 204
    assert alice("PUT", folder + "a", b"z").status == 204


def test_a_lock_on_a_free_name_makes_an_empty_file(alice: Client, folder: str) -> None:
    reply = alice("LOCK", folder + "new", lock_body())
    assert reply.status == 201
    assert alice.get(folder + "new") == b""
    token = reply.headers["lock-token"]
    assert alice("PUT", folder + "new", b"x", If=f"({token})").status == 204
    assert alice("LOCK", folder + "none/new", lock_body()).status == 409
    assert alice("LOCK", folder + "none/", lock_body()).status == 409
    assert alice("LOCK", "/dav/none/a", lock_body()).status == 409


def test_exclusive_locks_exclude_and_shared_ones_share(
    alice: Client, bob: Client, shared: str
) -> None:
    alice("PUT", shared + "a", b"x")
    first = alice.lock(shared + "a", shared=True)
    second = bob.lock(shared + "a", shared=True)
    reply = alice("LOCK", shared + "a", lock_body())
    assert (reply.status, reply.conditions) == (423, ["no-conflicting-lock"])
    assert set(tokens(alice, shared + "a")) == {first, second}
    # Of several shared locks, the token of one's own is enough.
    assert bob("PUT", shared + "a", b"y", If=f"(<{second}>)").status == 204
    assert alice("PUT", shared + "a", b"y", If=f"(<{first}>)").status == 204
    assert alice("PUT", shared + "a", b"y").status == 423


def test_a_token_is_its_holders_alone(alice: Client, bob: Client, shared: str) -> None:
    alice("PUT", shared + "a", b"x")
    token = alice.lock(shared + "a")
    assert bob("PUT", shared + "a", b"y", If=f"(<{token}>)").status == 423
    assert bob("UNLOCK", shared + "a", Lock_Token=f"<{token}>").status == 403
    assert bob("LOCK", shared + "a", If=f"(<{token}>)").status == 403
    assert tokens(bob, shared + "a") == [token]


def test_who_manages_a_volume_may_unlock_for_others(
    alice: Client, bob: Client, shared: str
) -> None:
    alice("PUT", shared + "a", b"x")
    token = bob.lock(shared + "a")
    assert alice("UNLOCK", shared + "a", Lock_Token=f"<{token}>").status == 204


def test_a_folders_lock_covers_its_members_by_depth(alice: Client, folder: str) -> None:
    for name in ("deep", "flat"):
        alice("MKCOL", folder + name)
        alice("PUT", folder + name + "/a", b"x")
    deep = alice.lock(folder + "deep", Depth="infinity")
    flat = alice.lock(folder + "flat/", Depth="0")
    assert alice("PUT", folder + "deep/a", b"y").status == 423
    assert alice("PUT", folder + "deep/new", b"y").status == 423
    assert alice("PUT", folder + "deep/a", b"y", If=f"(<{deep}>)").status == 204
    assert alice("PUT", folder + "deep/new", b"y", If=f"(<{deep}>)").status == 201
    assert tokens(alice, folder + "deep/a") == [deep]
    # Depth 0 locks the folder's own list of members and no member's content.
    assert alice("PUT", folder + "flat/a", b"y").status == 204
    assert tokens(alice, folder + "flat/a") == []
    for method, path in (("PUT", "flat/new"), ("DELETE", "flat/a"), ("MKCOL", "flat/sub")):
        reply = alice(method, folder + path, b"" if method == "PUT" else None)
        assert reply.status == 423
        assert reply.xml.findtext(f"{D}lock-token-submitted/{D}href") == folder + "flat/"
    tagged = f"<{folder}flat/> (<{flat}>)"
    assert alice("PUT", folder + "flat/new", b"y", If=tagged).status == 201
    assert alice("DELETE", folder + "flat/a", If=tagged).status == 204


def test_members_locks_stop_a_change_of_their_folder(alice: Client, folder: str) -> None:
    alice("MKCOL", folder + "a")
    alice("PUT", folder + "a/file", b"x")
    token = alice.lock(folder + "a/file")
    for method in ("DELETE", "MOVE"):
        reply = alice(method, folder + "a/", Destination=folder + "b/")
        assert reply.statuses() == {folder + "a/file": 423}
    tagged = f"<{folder}a/file> (<{token}>)"
    assert alice("MOVE", folder + "a/", Destination=folder + "b/", If=tagged).status == 201
    assert tokens(alice, folder + "b/file") == []
    alice("MKCOL", folder + "a")
    token = alice.lock(folder + "b/file")
    reply = alice("COPY", folder + "a", Destination=folder + "b")
    assert reply.statuses() == {folder + "b/file": 423}
    tagged = f"<{folder}b/file> (<{token}>)"
    assert alice("DELETE", folder + "b", If=tagged).status == 204


def test_a_lock_of_a_folder_needs_its_members_free(alice: Client, folder: str) -> None:
    alice("MKCOL", folder + "a")
    alice("PUT", folder + "a/file", b"x")
    alice.lock(folder + "a/file", shared=True)
    reply = alice("LOCK", folder + "a/", lock_body(), Depth="infinity")
    assert reply.statuses() == {folder + "a/file": 423, folder + "a/": 424}
    assert alice("LOCK", folder + "a/", lock_body(), Depth="0").status == 200
    reply = alice("LOCK", folder + "a/", lock_body(), Depth="0")
    assert (reply.status, reply.conditions) == (423, ["no-conflicting-lock"])
    assert alice("LOCK", folder + "a/", lock_body(), Depth="1").status == 400


def test_locks_end_with_their_resource(alice: Client, folder: str) -> None:
    alice("PUT", folder + "a", b"x")
    token = alice.lock(folder + "a")
    assert alice("DELETE", folder + "a", If=f"(<{token}>)").status == 204
    assert alice("PUT", folder + "a", b"x").status == 201
    token = alice.lock(folder + "a")
    alice("MOVE", folder + "a", Destination=folder + "b", If=f"(<{token}>)")
    assert tokens(alice, folder + "b") == []
    assert alice("PUT", folder + "a", b"x").status == 201


def test_a_lock_is_refreshed_by_its_token(alice: Client, folder: str) -> None:
    alice("MKCOL", folder + "a")
    alice("PUT", folder + "a/file", b"x")
    token = alice.lock(folder + "a", Timeout="Second-60")
    reply = alice("LOCK", folder + "a", If=f"(<{token}>)", Timeout="Second-900")
    assert reply.status == 200
    assert "lock-token" not in reply.headers
    assert reply.xml.findtext(f".//{D}timeout") in {"Second-900", "Second-899"}
    # Any resource in the lock's scope will do (section 9.10.2).
    assert alice("LOCK", folder + "a/file", If=f"(<{token}>)").status == 200
    assert alice("LOCK", folder + "a").status == 400
    assert alice("LOCK", folder + "a", If="(<urn:uuid:other>)").status == 412
    assert alice("LOCK", folder, If=f"(<{token}>)").status == 412


@pytest.mark.parametrize(
    ("header", "longest"), [("Infinite", 3600), ("Second-4100000000", 3600), ("Second-7", 7)]
)
def test_no_lock_lasts_longer_than_an_hour(
    alice: Client, folder: str, header: str, longest: int
) -> None:
    reply = alice("LOCK", folder + "a", lock_body(), Timeout=header)
    seconds = int((reply.xml.findtext(f".//{D}timeout") or "").removeprefix("Second-"))
    assert longest - 2 <= seconds <= longest


def test_unlock_names_a_lock_that_is_here(alice: Client, folder: str) -> None:
    for name in ("a", "b"):
        alice("PUT", folder + name, b"x")
    token = alice.lock(folder + "a")
    assert alice("UNLOCK", folder + "a").status == 400
    assert alice("UNLOCK", folder + "a", Lock_Token="no token").status == 400
    for path, header in ((folder + "b", token), (folder + "a", "urn:uuid:other")):
        reply = alice("UNLOCK", path, Lock_Token=f"<{header}>")
        assert (reply.status, reply.conditions) == (409, ["lock-token-matches-request-uri"])
    assert alice("UNLOCK", folder + "none", Lock_Token=f"<{token}>").status == 409
    assert alice("UNLOCK", folder + "a", Lock_Token=f"<{token}>").status == 204
    assert tokens(alice, folder + "a") == []


def test_a_member_unlocks_its_folders_lock(alice: Client, folder: str) -> None:
    alice("PUT", folder + "a", b"x")
    token = alice.lock(folder)
    assert alice("UNLOCK", folder + "a", Lock_Token=f"<{token}>").status == 204
    assert tokens(alice, folder) == []


def test_who_may_only_read_takes_no_lock(drive: Drive, alice: Client, bob: Client) -> None:
    drive.repository.create_volume("read-only-locks", owner="alice")
    grant(drive.repository, "read-only-locks", "bob", Right.READ)
    alice("PUT", "/dav/read-only-locks/a", b"x")
    assert bob("LOCK", "/dav/read-only-locks/a", lock_body()).status == 403
    assert bob("LOCK", "/dav/read-only-locks/new", lock_body()).status == 403
    assert bob("GET", "/dav/read-only-locks/new").status == 404


@pytest.mark.parametrize(
    "body",
    [
        b"<x/>",
        b'<lockinfo xmlns="DAV:"/>',
        b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope></lockinfo>',
        lock_body().replace(b"exclusive", b"unknown"),
    ],
)
def test_a_malformed_lock_is_400(alice: Client, folder: str, body: bytes) -> None:
    assert alice("LOCK", folder + "a", body).status == 400
    assert alice("GET", folder + "a").status == 404


def test_a_user_holds_so_many_locks_and_no_more(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("limited")
    with running_drive(directory, DriveSettings(locks_per_user=2)) as drive:
        alice = drive.client()
        alice.lock("/dav/alice/a")
        token = alice.lock("/dav/alice/b")
        assert alice("LOCK", "/dav/alice/c", lock_body()).status == 507
        assert alice("GET", "/dav/alice/c").status == 404
        alice("UNLOCK", "/dav/alice/b", Lock_Token=f"<{token}>")
        alice.lock("/dav/alice/c")
        alice.connection.close()


def test_of_many_lockers_one_wins(drive: Drive, folder: str) -> None:
    clients = [drive.client() for _ in range(6)]
    clients[0]("PUT", folder + "a", b"x")
    with ThreadPoolExecutor(len(clients)) as pool:
        replies = list(pool.map(lambda one: one("LOCK", folder + "a", lock_body()), clients))
    assert sorted(reply.status for reply in replies) == [200, *[423] * 5]
    for client in clients:
        client.connection.close()


def test_a_token_without_its_brackets_is_accepted_as_clients_send_it(
    alice: Client, folder: str
) -> None:
    alice("PUT", folder + "a", b"x")
    token = alice.lock(folder + "a")
    assert alice("UNLOCK", folder + "a", Lock_Token=token).status == 204


def test_a_file_is_locked_with_the_depth_that_was_asked_for(alice: Client, folder: str) -> None:
    for name, headers, depth in (("a", {}, "infinity"), ("b", {"Depth": "0"}, "0")):
        alice("PUT", folder + name, b"x")
        reply = alice("LOCK", folder + name, lock_body(), headers)
        assert reply.xml.findtext(f".//{D}depth") == depth
    assert alice("LOCK", folder + "a/", lock_body()).status == 404


def test_tags_of_an_if_header_may_name_anything_anywhere(
    drive: Drive, alice: Client, folder: str
) -> None:
    drive.repository.create_volume("tagged", owner="alice")
    alice("PUT", "/dav/tagged/a", b"x")
    other = alice.lock("/dav/tagged/a")
    etag = alice("PUT", folder + "b", b"x").headers["etag"]
    alice("PUT", folder + "a", b"x")
    for header, status in [
        (f"</dav/tagged/a> (<{other}>)", 204),
        ("</dav/tagged/a> (<urn:uuid:wrong>)", 412),
        (f"<{folder}b> (Not [{etag}]) </dav/tagged/a> (<{other}>)", 204),
        (f"<{folder}none> (<urn:uuid:none>) <http://elsewhere/> (Not <urn:x:y>)", 204),
        ("</dav/no-such-volume/a> (<urn:x:y>)", 412),
        ("</dav/> (<urn:x:y>)", 412),
        ("</%00> (<urn:x:y>)", 412),
    ]:
        assert alice("PUT", folder + "a", b"y", If=header).status == status, header


def test_a_password_that_only_reads_takes_no_lock_away(
    drive: Drive, alice: Client, folder: str
) -> None:
    reader = drive.client("alice", Scope(read_only=True))
    token = alice.lock(folder + "a")
    assert reader("UNLOCK", folder + "a", Lock_Token=f"<{token}>").status == 403
    reader.connection.close()
    assert alice("PUT", folder + "a", b"x").status == 423
    assert alice("UNLOCK", folder + "a", Lock_Token=f"<{token}>").status == 204


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_what_replaces_a_folder_ends_the_locks_of_its_members(
    alice: Client, folder: str, method: str
) -> None:
    alice("PUT", folder + "file", b"new")
    alice("MKCOL", folder + "a")
    member = alice.lock(folder + "a/member")
    own = alice.lock(folder + "a", Depth="0")
    condition = f"<{folder}a> (<{own}>) <{folder}a/member> (<{member}>)"
    reply = alice(method, folder + "file", Destination=folder + "a", If=condition)
    assert reply.status == 204
    assert tokens(alice, folder + "a") == [own]
    assert alice("UNLOCK", folder + "a", Lock_Token=f"<{own}>").status == 204
    # A member that is gone must not stand in the way of others.
    alice.lock(folder)
