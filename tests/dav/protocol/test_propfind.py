from __future__ import annotations

import pytest

import cas
from dav.settings import DriveSettings
from tests.support.drive import Client, Drive, prop_body, running_drive

NAMES = ["plain", "with space", "ünïcödé", "#?;%+&<>\"'", "日本語.txt", "a" * 255, "ä" * 127, "%2e"]


def test_names_round_trip_through_listing_move_and_copy(alice: Client, folder: str) -> None:
    from dav.paths import quote_name  # noqa: PLC0415

    for name in NAMES:
        assert alice("PUT", folder + quote_name(name), name.encode()).status == 201
    listed = set(alice("PROPFIND", folder, Depth="1").responses) - {folder}
    assert listed == {folder + quote_name(name) for name in NAMES}
    alice("MKCOL", folder + "to")
    for href in listed:
        target = href.replace(folder, folder + "to/")
        assert alice("COPY", href, Destination=target).status == 201
        assert alice("MOVE", href, Destination=target).status == 204
    moved = alice("PROPFIND", folder + "to/", Depth="1").responses
    names = {element.findtext(".//{DAV:}displayname") for element in moved.values()}
    assert names == {*NAMES, "to"}
    for name in NAMES:
        assert alice.get(folder + "to/" + quote_name(name)) == name.encode()


@pytest.mark.parametrize("name", ["a%2Fb", "a%5Cb", "%00", "a%0Ab", "%ff", "%2e%2e", "a" * 256])
def test_bad_names_are_refused_everywhere(alice: Client, folder: str, name: str) -> None:
    alice("PUT", folder + "file", b"x")
    for method in ("GET", "PUT", "MKCOL", "DELETE", "PROPFIND", "LOCK"):
        assert 400 <= alice(method, folder + name).status < 500
    for method in ("COPY", "MOVE"):
        assert 400 <= alice(method, folder + "file", Destination=folder + name).status < 500
    assert set(alice("PROPFIND", folder, Depth="1").responses) == {folder, folder + "file"}


def test_depth_decides_how_far_down(alice: Client, folder: str) -> None:
    alice("MKCOL", folder + "sub")
    alice("PUT", folder + "sub/file", b"x")
    sub, file = folder + "sub/", folder + "sub/file"
    assert set(alice("PROPFIND", folder, Depth="0").responses) == {folder}
    assert set(alice("PROPFIND", folder, Depth="1").responses) == {folder, sub}
    assert set(alice("PROPFIND", folder, Depth="infinity").responses) == {folder, sub, file}
    assert set(alice("PROPFIND", folder).responses) == {folder, sub, file}
    assert set(alice("PROPFIND", file, Depth="1").responses) == {file}
    assert alice("PROPFIND", folder, Depth="2").status == 400


def test_a_folder_without_its_slash_is_told_with_it(alice: Client, folder: str) -> None:
    assert set(alice("PROPFIND", folder[:-1], Depth="0").responses) == {folder}


def test_allprop_tells_the_properties_of_rfc_4918_and_not_the_quota(
    alice: Client, folder: str
) -> None:
    alice("PUT", folder + "a.txt", b"12345", X_OC_Mtime="784111777")
    for body in (None, b'<propfind xmlns="DAV:"><allprop/></propfind>'):
        reply = alice("PROPFIND", folder + "a.txt", body, Depth="0")
        properties = reply.properties()
        assert {name.removeprefix("{DAV:}") for name in properties} == {
            "creationdate",
            "displayname",
            "getcontentlength",
            "getcontenttype",
            "getetag",
            "getlastmodified",
            "lockdiscovery",
            "resourcetype",
            "supportedlock",
        }
        assert {status for status, _ in properties.values()} == {200}
        assert reply.value("{DAV:}getcontentlength") == "5"
        assert reply.value("{DAV:}getcontenttype") == "text/plain"
        assert reply.value("{DAV:}getlastmodified") == "Sun, 06 Nov 1994 08:49:37 GMT"
        assert reply.value("{DAV:}creationdate").endswith("Z")
    kinds = alice("PROPFIND", folder, Depth="0").properties()["{DAV:}resourcetype"][1]
    assert [kind.tag for kind in kinds] == ["{DAV:}collection"]


def test_named_properties_are_found_or_404(alice: Client, folder: str) -> None:
    reply = alice.propfind(folder, "{DAV:}getetag", "{urn:x}missing", "{DAV:}getcontentlength")
    statuses = {name: status for name, (status, _) in reply.properties().items()}
    assert statuses == {
        "{DAV:}getetag": 200,
        "{urn:x}missing": 404,
        "{DAV:}getcontentlength": 404,
    }


def test_include_adds_to_allprop(alice: Client, folder: str) -> None:
    body = b'<propfind xmlns="DAV:"><allprop/><include><quota-used-bytes/><x/></include></propfind>'
    properties = alice("PROPFIND", folder, body, Depth="0").properties()
    assert properties["{DAV:}quota-used-bytes"][0] == 200
    assert properties["{DAV:}x"][0] == 404
    assert "{DAV:}getetag" in properties


def test_propname_tells_names_without_values(alice: Client, folder: str) -> None:
    alice.proppatch(folder, "<D:set><D:prop><x:dead>1</x:dead></D:prop></D:set>")
    body = b'<propfind xmlns="DAV:"><propname/></propfind>'
    properties = alice("PROPFIND", folder, body, Depth="0").properties()
    assert {"{DAV:}getetag", "{DAV:}resourcetype", "{urn:x}dead"} <= properties.keys()
    assert all(not element.text and not len(element) for _, element in properties.values())


@pytest.mark.parametrize("headers", [{"Prefer": "return=minimal"}, {"Brief": "t"}])
def test_a_minimal_answer_leaves_out_what_is_missing(
    alice: Client, folder: str, headers: dict[str, str]
) -> None:
    reply = alice("PROPFIND", folder, prop_body("{DAV:}getetag", "{urn:x}a"), headers, Depth="0")
    assert set(reply.properties()) == {"{DAV:}getetag"}
    reply = alice("PROPFIND", folder, prop_body("{urn:x}a"), headers, Depth="0")
    assert reply.properties() == {}
    assert reply.xml.find(".//{DAV:}propstat") is not None


def test_the_quota_is_told_by_name(drive: Drive, alice: Client) -> None:
    drive.repository.create_volume("quota", owner="alice", quota=10_000)
    alice("PUT", "/dav/quota/a", b"x" * 4000)
    used, available = "{DAV:}quota-used-bytes", "{DAV:}quota-available-bytes"
    reply = alice.propfind("/dav/quota/", used, available)
    assert (reply.value(used), reply.value(available)) == ("4000", "6000")
    free = alice.propfind("/dav/alice/", available).value(available)
    assert int(free) > 1_000_000
    assert alice.propfind("/dav/quota/a", used).properties()[used][0] == 404


def test_sync_clients_get_their_ids_and_permissions(alice: Client, folder: str) -> None:
    alice("PUT", folder + "a", b"12345")
    oc = "{http://owncloud.org/ns}"
    reply = alice.propfind(folder + "a", *(oc + name for name in ("id", "fileid", "size")))
    assert reply.value(oc + "size") == "5"
    assert int(reply.value(oc + "fileid")) == int(reply.value(oc + "id").removesuffix("casdav"))
    assert "W" in alice.propfind(folder + "a", oc + "permissions").value(oc + "permissions")
    assert "CK" in alice.propfind(folder, oc + "permissions").value(oc + "permissions")
    assert alice.propfind(folder, oc + "size").value(oc + "size") == "5"


def test_the_lists_show_what_the_user_may_see(alice: Client, bob: Client) -> None:
    assert "/dav/bob/" not in alice("PROPFIND", "/dav/", Depth="1").responses
    assert "/dav/bob/" in bob("PROPFIND", "/dav/", Depth="1").responses
    assert "/dav/alice/" not in bob("PROPFIND", "/dav/", Depth="1").responses
    assert set(bob("PROPFIND", "/", Depth="1").responses) == {"/", "/dav/"}
    assert "/dav/bob/" in bob("PROPFIND", "/", Depth="infinity").responses
    assert bob("PROPFIND", "/dav/alice/", Depth="0").status == 404


def test_aliases_are_the_home_under_other_names(alice: Client, folder: str) -> None:
    alice("PUT", folder + "a", b"x")
    path = folder.removeprefix("/dav/alice/")
    for alias in ("/remote.php/dav/files/alice/", "/remote.php/webdav/"):
        assert set(alice("PROPFIND", alias + path, Depth="1").responses) == {
            alias + path,
            alias + path + "a",
        }
    assert alice("PROPFIND", "/remote.php/dav/files/bob/", Depth="0").status == 404


def test_too_large_a_tree_is_refused_for_depth_infinity(tmp_path_factory: object) -> None:
    assert isinstance(tmp_path_factory, pytest.TempPathFactory)
    directory = tmp_path_factory.mktemp("finite")
    with running_drive(directory, DriveSettings(infinity_limit=5)) as drive:
        alice = drive.client()
        for number in range(6):
            alice("PUT", f"/dav/alice/{number}", b"")
        for path in ("/dav/alice/", "/dav/", "/"):
            reply = alice("PROPFIND", path)
            assert (reply.status, reply.conditions) == (403, ["propfind-finite-depth"])
        assert len(alice("PROPFIND", "/dav/alice/", Depth="1").responses) == 7
        alice.connection.close()


def test_a_long_listing_is_streamed_and_complete(drive: Drive, alice: Client, folder: str) -> None:
    path = folder.removeprefix("/dav/alice/")
    with drive.repository.volume("alice").edit() as edit:
        for number in range(3000):
            edit.put(f"{path}{number:05}", cas.EMPTY_CONTENT)
    reply = alice("PROPFIND", folder, Depth="1")
    assert reply.headers["transfer-encoding"] == "chunked"
    assert len(reply.responses) == 3001


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"x" * (1024 * 1024 + 1), 413),
        (b"<propfind", 400),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><propfind xmlns="DAV:"><allprop/></propfind>', 400),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', 403),
    ],
)
def test_a_bad_body_is_refused(alice: Client, folder: str, body: bytes, status: int) -> None:
    for method in ("PROPFIND", "PROPPATCH", "LOCK"):
        assert alice(method, folder, body).status == status


def test_a_chunked_body_is_read(alice: Client, folder: str) -> None:
    reply = alice("PROPFIND", folder, iter([prop_body("{DAV:}getetag")]), Depth="0")
    assert set(reply.properties()) == {"{DAV:}getetag"}


def test_names_that_webdav_cannot_carry_are_hidden(
    drive: Drive, alice: Client, folder: str
) -> None:
    path = folder.removeprefix("/dav/alice/")
    with drive.repository.volume("alice").edit() as edit:
        edit.put(path + "line\nbreak", cas.EMPTY_CONTENT)
        edit.put(path + "not-utf8-\udcff", cas.EMPTY_CONTENT)
        edit.make_directory(path + "odd\x01folder")
        edit.put(path + "odd\x01folder/inside", cas.EMPTY_CONTENT)
        edit.put(path + "plain", cas.EMPTY_CONTENT)
    for depth in ("1", "infinity"):
        assert set(alice("PROPFIND", folder, Depth=depth).responses) == {folder, folder + "plain"}
    assert alice("GET", folder).status == 200
