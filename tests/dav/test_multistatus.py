from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cas
from dav.lock_xml import LockIndex
from dav.multistatus import PIECE_SIZE, body, propstat, resource_status, tags
from dav.paths import href
from dav.properties import Context, Item
from dav.renderer import Renderer
from dav.xml_requests import PropfindKind, PropfindRequest

OUTSIDE = Context(None, None, LockIndex((), (), str), can_write=True, free_bytes=lambda: None)
FILE = cas.Entry(cas.EntryKind.EMPTY_FILE, 0, 784111777 * 10**9, 0o644, b"")


def parsed(*responses: str) -> ET.Element:
    return ET.fromstring(b"".join(body(responses)))  # noqa: S314 - our own


@pytest.mark.parametrize(
    "name",
    ["{DAV:}a", "{http://owncloud.org/ns}a", "{urn:x}a", "{urn:\"'<&>%s}a", "{DAV:}\u00e4", "a"],
)
def test_tags_are_the_name_in_any_namespace(name: str) -> None:
    start, end, empty = tags(name)
    root = parsed(propstat(f"{start}x{end}{empty}", 200))
    prop = root.find(".//{DAV:}prop")
    assert prop is not None
    assert [element.tag for element in prop] == [name, name]


def test_a_status_names_its_condition_and_resources() -> None:
    root = parsed(resource_status("/a", 423, "lock-token-submitted", ["/a/b"]))
    assert root.findtext("{DAV:}response/{DAV:}href") == "/a"
    assert root.findtext("{DAV:}response/{DAV:}status") == "HTTP/1.1 423 Locked"
    inside = "{DAV:}response/{DAV:}error/{DAV:}lock-token-submitted/{DAV:}href"
    assert root.findtext(inside) == "/a/b"


def test_a_long_body_comes_in_pieces() -> None:
    pieces = list(body(resource_status(f"/{number}", 200) for number in range(5000)))
    assert len(pieces) > 2
    assert max(map(len, pieces)) < 2 * PIECE_SIZE


def test_a_body_is_made_as_it_is_read() -> None:
    taken = 0

    def responses() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield resource_status("/a", 200)

    stream = body(responses())
    next(stream)
    first = taken
    next(stream)
    assert first < taken < 3 * first


@given(st.text(min_size=1).filter(lambda name: name.isprintable()))
def test_any_name_is_escaped(name: str) -> None:
    renderer = Renderer(PropfindRequest(PropfindKind.ALL), is_minimal=False)
    address = href([name], is_collection=False)
    root = parsed(*(renderer.response(Item(address, name, name, FILE, OUTSIDE)) for _ in "ab"))
    names = [element.text for element in root.iter("{DAV:}displayname")]
    assert names == [name, name]
    assert root.findtext("{DAV:}response/{DAV:}href") == address


def test_what_is_asked_and_missing_is_told_unless_less_is_wanted() -> None:
    wanted = PropfindRequest(PropfindKind.NAMED, ("{DAV:}displayname", "{urn:100%s}x"))
    item = Item("/a", "a", "a", FILE, OUTSIDE)
    full = parsed(Renderer(wanted, is_minimal=False).response(item))
    assert [stat.text for stat in full.iter("{DAV:}status")] == [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 404 Not Found",
    ]
    assert full.find(".//{urn:100%s}x") is not None
    minimal = parsed(Renderer(wanted, is_minimal=True).response(item))
    assert [stat.text for stat in minimal.iter("{DAV:}status")] == ["HTTP/1.1 200 OK"]
