from __future__ import annotations

import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.drive import Client, Drive

X = "{urn:x}"


def put(inside: str) -> str:
    return f"<D:set><D:prop>{inside}</D:prop></D:set>"


def drop(inside: str) -> str:
    return f"<D:remove><D:prop>{inside}</D:prop></D:remove>"


def statuses(client: Client, path: str, inside: str) -> dict[str, int]:
    reply = client.proppatch(path, inside)
    return {name: status for name, (status, _) in reply.properties().items()}


def test_properties_are_set_and_removed_in_order(alice: Client, folder: str) -> None:
    assert statuses(alice, folder, put("<x:a>1</x:a><x:b>2</x:b>")) == {X + "a": 200, X + "b": 200}
    assert statuses(alice, folder, drop("<x:a/>") + put("<x:a>3</x:a>") + drop("<x:b/>"))
    reply = alice.propfind(folder, X + "a", X + "b")
    assert reply.value(X + "a") == "3"
    assert reply.properties()[X + "b"][0] == 404


def test_removing_what_is_not_there_is_no_error(alice: Client, folder: str) -> None:
    assert statuses(alice, folder, drop("<x:none/>")) == {X + "none": 200}


def test_any_xml_is_a_value(alice: Client, folder: str) -> None:
    value = (
        '<x:a xml:lang="de" b="1"><y:c xmlns:y="urn:y" y:d="2">t&amp;&lt; \u00e4</y:c>'
        '<e xmlns="">x:qname</e> tail</x:a>'
    )
    alice.proppatch(folder, put(value))
    element = alice.propfind(folder, X + "a").properties()[X + "a"][1]
    sent = ET.fromstring(value.replace("<x:a", '<x:a xmlns:x="urn:x"'))  # noqa: S314 - ours
    assert ET.tostring(element) == ET.tostring(sent)


def test_one_failure_fails_all(alice: Client, folder: str) -> None:
    reply = alice.proppatch(folder, put("<x:a>1</x:a><D:getetag>no</D:getetag><x:b/>"))
    found = {name: status for name, (status, _) in reply.properties().items()}
    assert found == {X + "a": 424, "{DAV:}getetag": 403, X + "b": 424}
    assert reply.xml.find(".//{DAV:}cannot-modify-protected-property") is not None
    assert alice.propfind(folder, X + "a").properties()[X + "a"][0] == 404


@pytest.mark.parametrize(
    "name",
    [
        "creationdate",
        "getcontentlength",
        "getetag",
        "lockdiscovery",
        "resourcetype",
        "supportedlock",
        "quota-used-bytes",
        "quota-available-bytes",
    ],
)
def test_live_properties_are_protected(alice: Client, folder: str, name: str) -> None:
    tag = "{DAV:}" + name
    assert statuses(alice, folder, put(f"<D:{name}>1</D:{name}>")) == {tag: 403}
    assert statuses(alice, folder, drop(f"<D:{name}/>")) == {tag: 403}


def test_displayname_and_language_may_be_set(alice: Client, folder: str) -> None:
    alice.proppatch(
        folder,
        put(
            "<D:displayname>&lt;Shown&gt;</D:displayname>"
            "<D:getcontentlanguage>de</D:getcontentlanguage>"
        ),
    )
    reply = alice("PROPFIND", folder, Depth="0")
    assert reply.value("{DAV:}displayname") == "<Shown>"
    assert reply.value("{DAV:}getcontentlanguage") == "de"
    alice.proppatch(folder, drop("<D:displayname/>"))
    name = alice("PROPFIND", folder, Depth="0").value("{DAV:}displayname")
    assert name == folder.split("/")[-2]


def test_the_content_type_may_be_set(alice: Client, folder: str) -> None:
    alice("PUT", folder + "a", b"x")
    alice.proppatch(folder + "a", put("<D:getcontenttype>text/x-test</D:getcontenttype>"))
    assert alice("GET", folder + "a").headers["content-type"] == "text/x-test"
    alice.proppatch(folder + "a", drop("<D:getcontenttype/>"))
    assert alice("GET", folder + "a").headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "element",
    [
        "<D:getlastmodified>{}</D:getlastmodified>",
        '<Win32LastModifiedTime xmlns="urn:schemas-microsoft-com:">{}</Win32LastModifiedTime>',
    ],
)
def test_times_are_applied(alice: Client, folder: str, element: str) -> None:
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    alice("PUT", folder + "a", b"x")
    assert set(statuses(alice, folder + "a", put(element.format(date))).values()) == {200}
    assert alice("GET", folder + "a").headers["last-modified"] == date
    assert set(statuses(alice, folder + "a", put(element.format("soon"))).values()) == {409}


def test_a_time_in_seconds_is_applied_as_owncloud_has_it(alice: Client, folder: str) -> None:
    alice("PUT", folder + "a", b"x")
    for text, status in [("784111777", 200), ("784111777.5", 200), ("soon", 409), ("", 409)]:
        element = f"<D:lastmodified>{text}</D:lastmodified>"
        assert set(statuses(alice, folder + "a", put(element)).values()) == {status}
    date = alice("GET", folder + "a").headers["last-modified"]
    assert date == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_windows_attributes_are_kept(alice: Client, folder: str) -> None:
    z = "{urn:schemas-microsoft-com:}"
    created = "Sun, 06 Nov 1994 08:49:37 GMT"
    inside = (
        '<Z:Win32FileAttributes xmlns:Z="urn:schemas-microsoft-com:">00000020'
        "</Z:Win32FileAttributes>"
        '<Z:Win32CreationTime xmlns:Z="urn:schemas-microsoft-com:">'
        f"{created}</Z:Win32CreationTime>"
    )
    assert set(statuses(alice, folder, put(inside)).values()) == {200}
    reply = alice.propfind(folder, z + "Win32FileAttributes", z + "Win32CreationTime")
    assert reply.value(z + "Win32FileAttributes") == "00000020"
    assert reply.value(z + "Win32CreationTime") == created
    assert alice("PROPFIND", folder, Depth="0").value("{DAV:}creationdate") == (
        "1994-11-06T08:49:37Z"
    )


def test_properties_go_along_and_die_with_their_resource(alice: Client, folder: str) -> None:
    alice("MKCOL", folder + "a")
    alice("PUT", folder + "a/file", b"x")
    alice.proppatch(folder + "a/file", put("<x:a>1</x:a>"))
    alice("COPY", folder + "a", Destination=folder + "b")
    alice("MOVE", folder + "b", Destination=folder + "c")
    assert alice.propfind(folder + "c/file", X + "a").value(X + "a") == "1"
    alice("DELETE", folder + "a/file")
    alice("PUT", folder + "a/file", b"x")
    assert alice.propfind(folder + "a/file", X + "a").properties()[X + "a"][0] == 404


def test_large_values_are_kept_and_too_large_ones_are_507(alice: Client, folder: str) -> None:
    large = "v" * 100_000
    assert statuses(alice, folder, put(f"<x:a>{large}</x:a>")) == {X + "a": 200}
    assert alice.propfind(folder, X + "a").value(X + "a") == large
    assert statuses(alice, folder, put(f"<x:b>{large * 3}</x:b>")) == {X + "b": 507}
    assert alice.propfind(folder, X + "b").properties()[X + "b"][0] == 404


def test_parallel_changes_of_different_properties_are_all_kept(
    drive: Drive, alice: Client, folder: str
) -> None:
    clients = [drive.client() for _ in range(6)]

    def change(number: int) -> set[int]:
        client = clients[number]
        return {
            status
            for step in range(4)
            for status in statuses(
                client, folder, put(f"<x:p{number}-{step}>1</x:p{number}-{step}>")
            ).values()
        }

    with ThreadPoolExecutor(len(clients)) as pool:
        assert set().union(*pool.map(change, range(len(clients)))) == {200}
    for client in clients:
        client.connection.close()
    names = [name for name in alice("PROPFIND", folder, Depth="0").properties() if X in name]
    assert len(names) == 24


def test_a_minimal_answer_to_success_is_empty(alice: Client, folder: str) -> None:
    reply = alice.proppatch(folder, put("<x:a>1</x:a>"), Prefer="return=minimal")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["preference-applied"] == "return=minimal"


def test_conditions_and_missing_resources(alice: Client, folder: str) -> None:
    assert alice.proppatch(folder, put("<x:a/>"), If_Match='"other"').status == 412
    assert alice.proppatch(folder + "none", put("<x:a/>")).status == 404
    assert alice("PROPPATCH", folder, b"").status == 400
    assert alice.proppatch("/dav/", put("<x:a/>")).status == 405
