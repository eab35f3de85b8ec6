"""MKCOL, DELETE, COPY and MOVE."""

from __future__ import annotations

import pytest

from tests.support.drive import Client, Drive


@pytest.fixture
def tree(alice: Client, folder: str) -> str:
    """A folder with `a/sub/file`, `a/file` and `file`."""
    for path in ("a", "a/sub"):
        assert alice("MKCOL", folder + path).status == 201
    for path in ("a/sub/file", "a/file", "file"):
        assert alice("PUT", folder + path, path.encode()).status == 201
    return folder


def listed(client: Client, path: str) -> set[str]:
    return {href.removeprefix(path) for href in client("PROPFIND", path).responses} - {""}


def test_mkcol_makes_a_folder_once(alice: Client, folder: str) -> None:
    assert alice("MKCOL", folder + "a/").status == 201
    for path in ("a", "a/"):
        reply = alice("MKCOL", folder + path)
        assert reply.status == 405
        assert "MKCOL" not in reply.headers["allow"].split(", ")
    alice("PUT", folder + "file", b"")
    assert alice("MKCOL", folder + "file").status == 405
    assert alice("MKCOL", folder + "file/").status == 405
    assert alice("MKCOL", folder + "x/y").status == 409
    assert alice("MKCOL", folder + "file/y").status == 409
    assert alice("MKCOL", folder + "z", b"<x/>").status == 415
    assert alice("MKCOL", folder + "w", If_None_Match="*").status == 201
    assert alice("MKCOL", folder + "v", If_Match="*").status == 412


def test_volumes_are_not_made_moved_or_deleted_over_webdav(alice: Client, folder: str) -> None:
    assert alice("MKCOL", "/dav/new").status == 403
    assert alice("DELETE", "/dav/alice/").status == 403
    assert alice("MOVE", "/dav/alice/", Destination="/dav/new/").status == 403
    assert alice("COPY", folder, Destination="/dav/new/").status == 403
    assert alice("COPY", folder, Destination="/dav/").status == 403
    for method in ("DELETE", "COPY", "MOVE", "PROPPATCH", "LOCK", "MKCOL", "PUT", "UNLOCK"):
        headers = {"Destination": folder + "x", "Lock-Token": "<urn:x:y>"}
        assert alice(method, "/dav/", None, headers).status == 405
    assert alice("GET", folder).status == 200


def test_delete_removes_all_or_what_is_named(alice: Client, tree: str) -> None:
    assert alice("DELETE", tree + "file").status == 204
    assert alice("DELETE", tree + "a/", Depth="0").status == 400
    assert alice("DELETE", tree + "a/", If_Match='"x"').status == 412
    assert alice("DELETE", tree + "a", Depth="infinity").status == 204
    assert listed(alice, tree) == set()
    assert alice("DELETE", tree + "a").status == 404


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_a_tree_arrives_whole(alice: Client, tree: str, method: str) -> None:
    assert alice(method, tree + "a/", Destination=tree + "b/").status == 201
    kept = {"a/", "a/file", "a/sub/", "a/sub/file"} if method == "COPY" else set()
    assert listed(alice, tree) == {"b/", "b/file", "b/sub/", "b/sub/file", "file"} | kept
    assert alice.get(tree + "b/sub/file") == b"a/sub/file"


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_overwrite_replaces_or_refuses(alice: Client, tree: str, method: str) -> None:
    for flag, status in (("F", 412), ("x", 400), ("T", 204)):
        reply = alice(method, tree + "file", Destination=tree + "a/file", Overwrite=flag)
        assert reply.status == status
    assert alice.get(tree + "a/file") == b"file"
    alice("MKCOL", tree + "c")
    # A folder is replaced, never merged (section 9.8.4).
    assert alice(method, tree + "c", Destination=tree + "a").status == 204
    assert listed(alice, tree + "a/") == set()


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("a", "a"),
        ("a/", "a/sub/x"),
        ("a", "a/new"),
        ("a/sub/file", "a"),
        ("a/sub", "a"),
        ("file", ""),
    ],
)
def test_neither_ancestor_nor_descendant_is_a_destination(
    alice: Client, tree: str, method: str, source: str, target: str
) -> None:
    before = listed(alice, tree)
    assert alice(method, tree + source, Destination=tree + target).status == 403
    assert listed(alice, tree) == before


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_a_destination_needs_a_folder_and_to_be_here(alice: Client, tree: str, method: str) -> None:
    for destination, status in [
        (tree + "none/file", 409),
        (tree + "file/file", 409),
        ("/dav/none/file", 409),
        ("/elsewhere", 403),
        ("http://example.org/dav/alice/x", 502),
        ("relative", 400),
        (tree + "a%2Fb", 400),
        (tree + "b?c", 400),
        (tree + "b#c", 400),
    ]:
        assert alice(method, tree + "file", Destination=destination).status == status, destination
    assert alice(method, tree + "file").status == 400
    assert alice(method, tree + "none", Destination=tree + "x").status == 404
    host = f"http://127.0.0.1:{alice.port}"
    assert alice(method, tree + "file", Destination=host + tree + "a%3Fb").status == 201
    assert alice.get(tree + "a%3Fb") == b"file"


def test_depth_zero_copies_the_bare_folder(alice: Client, tree: str) -> None:
    alice.proppatch(tree + "a", "<D:set><D:prop><x:p>1</x:p></D:prop></D:set>")
    assert alice("COPY", tree + "a", Destination=tree + "b", Depth="0").status == 201
    assert listed(alice, tree + "b/") == set()
    assert alice.propfind(tree + "b", "{urn:x}p").value("{urn:x}p") == "1"
    assert alice("COPY", tree + "a", Destination=tree + "c", Depth="1").status == 400
    assert alice("MOVE", tree + "a", Destination=tree + "c", Depth="0").status == 400


def test_conditions_on_copy_and_move(alice: Client, tree: str) -> None:
    etag = alice("HEAD", tree + "file").headers["etag"]
    assert alice("MOVE", tree + "file", Destination=tree + "x", If_Match='"y"').status == 412
    tagged = f'<{tree}a/file> (["other"])'
    assert alice("MOVE", tree + "file", Destination=tree + "a/file", If=tagged).status == 412
    target = alice("HEAD", tree + "a/file").headers["etag"]
    tagged = f"<http://127.0.0.1:{alice.port}{tree}a/file> ([{target}])"
    reply = alice("COPY", tree + "file", Destination=tree + "a/file", If=tagged, If_Match=etag)
    assert reply.status == 204


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_trees_go_between_volumes(drive: Drive, alice: Client, tree: str, method: str) -> None:
    name = f"other-{method.lower()}"
    drive.repository.create_volume(name, owner="alice")
    assert alice(method, tree + "a", Destination=f"/dav/{name}/a").status == 201
    assert listed(alice, f"/dav/{name}/") == {"a/", "a/file", "a/sub/", "a/sub/file"}
    assert alice("GET", tree + "a/").status == (200 if method == "COPY" else 404)
    assert alice(method, tree + "file", Destination=f"/dav/{name}/a/file").status == 204
    assert alice.get(f"/dav/{name}/a/file") == b"file"
    assert alice("COPY", f"/dav/{name}/a", Destination=tree + "z", Depth="0").status == 201
    assert listed(alice, tree + "z/") == set()
    assert alice("COPY", f"/dav/{name}/", Destination=tree + "whole").status == 201
    assert "a/sub/file" in listed(alice, tree + "whole/")


def test_aliases_are_destinations_too(alice: Client, tree: str) -> None:
    path = tree.removeprefix("/dav/alice/")
    target = f"/remote.php/dav/files/alice/{path}moved"
    assert alice("MOVE", f"/remote.php/webdav/{path}file", Destination=target).status == 201
    assert alice.get(tree + "moved") == b"file"
    assert alice("MOVE", tree + "moved", Destination=target).status == 403


@pytest.mark.parametrize("content", [b"content", b""])
def test_copies_of_copies_end_where_sums_would_not_fit(
    alice: Client, folder: str, content: bytes
) -> None:
    alice("MKCOL", folder + "0")
    alice("PUT", folder + "0/file", content)
    statuses: list[int] = []
    while set(statuses) <= {201} and len(statuses) < 140:
        number = len(statuses) // 2
        if len(statuses) % 2 == 0:
            alice("MKCOL", folder + f"{number + 1}")
        target = folder + f"{number + 1}/{len(statuses) % 2}"
        statuses.append(alice("COPY", folder + f"{number}", Destination=target).status)
    assert statuses[-1] == 507
    assert 100 < len(statuses) < 130
    assert alice.get(folder + "0/file") == content
    assert alice("DELETE", folder).status == 204
