from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dav.status import HttpError
from dav.xml_reader import BODY_LIMIT, parse_xml, read_body, serialise
from dav.xml_requests import (
    PropfindKind,
    parse_lock,
    parse_propfind,
    parse_proppatch,
    parse_timeout,
)

PROPPATCH = b"""<?xml version="1.0" encoding="utf-8"?>
<D:propertyupdate xmlns:D="DAV:" xmlns:x="urn:x" xml:lang="en">
  <D:set><D:prop><x:a>1</x:a><b xmlns="urn:b"><c/></b></D:prop></D:set>
  <D:remove><D:prop><x:a/></D:prop></D:remove>
  <D:set><D:prop><plain xml:lang="de">x:y &amp; &lt;</plain></D:prop></D:set>
</D:propertyupdate>"""


def refused(body: bytes) -> int:
    with pytest.raises(HttpError) as caught:
        parse_propfind(body)
    return caught.value.status


def test_an_empty_propfind_asks_for_all() -> None:
    assert parse_propfind(b" \r\n").kind is PropfindKind.ALL


def test_propfind_asks_one_of_three_questions() -> None:
    names = parse_propfind(b'<propfind xmlns="DAV:"><propname/></propfind>')
    assert names.kind is PropfindKind.NAMES
    named = parse_propfind(
        b'<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/><x xmlns="urn:x"/><y/><D:getetag/>'
        b"</D:prop></D:propfind>"
    )
    assert named.kind is PropfindKind.NAMED
    assert named.names == ("{DAV:}getetag", "{urn:x}x", "y")
    everything = parse_propfind(
        b'<propfind xmlns="DAV:"><x xmlns="urn:x"/><allprop/>'
        b"<include><supported-report-set/></include></propfind>"
    )
    assert everything.kind is PropfindKind.ALL
    assert everything.names == ("{DAV:}supported-report-set",)


@pytest.mark.parametrize(
    "body",
    [
        b"<propfind/>",
        b"not xml",
        b'<D:propfind xmlns:D="DAV:"/>',
        b'<D:propfind xmlns:D="DAV:"><D:allprop/><D:propname/></D:propfind>',
        b'<D:propfind xmlns:D="DAV:"><D:prop><x:y xmlns:x=""/></D:prop></D:propfind>',
        b'<D:propfind xmlns:D="DAV:"><D:prop><x:y/></D:prop></D:propfind>',
        b'<D:propfind xmlns:D="DAV:"><D:prop><a:b:c xmlns:a="urn:a"/></D:prop></D:propfind>',
        b'<D:propfind xmlns:D="DAV:"><D:prop>',
        b'<?xml version="1.0" encoding="no-such"?><propfind xmlns="DAV:"><allprop/></propfind>',
        b'<propfind xmlns="DAV:"><allprop/></propfind>trailing',
        b'<propertyupdate xmlns="DAV:"><set/></propertyupdate>',
        b"<a>" * 101 + b"</a>" * 101,
        b"<a>" + b"<b/>" * 20_001 + b"</a>",
        b'<propfind xmlns="DAV:"><prop>'
        + b"".join(b"<p%d/>" % number for number in range(501))
        + b"</prop></propfind>",
    ],
)
def test_a_malformed_propfind_is_400(body: bytes) -> None:
    assert refused(body) == 400


BOMB = b'<!DOCTYPE a [<!ENTITY x "xxxxxxxx"><!ENTITY y "&x;&x;&x;">]><a>&y;</a>'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (BOMB, 400),
        (b"<!DOCTYPE a><a/>", 400),
        (b"<!DOCTYPE a [<!ELEMENT a ANY>]><a/>", 400),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', 403),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', 403),
        (b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1/"> %x;]><a/>', 403),
    ],
)
def test_document_types_are_refused(body: bytes, status: int) -> None:
    assert refused(body) == status


def prop(declarations: bytes, elements: bytes) -> bytes:
    opening = b'<D:propfind xmlns:D="DAV:" ' + declarations + b"><D:prop>"
    return opening + elements + b"</D:prop></D:propfind>"


MANY = b"".join(b"<p%d/>" % number for number in range(400))
LONG = b"x" * 500_000


@pytest.mark.parametrize(
    "body",
    [
        prop(b'xmlns="' + LONG + b'"', MANY),
        prop(b'xml:lang="' + LONG + b'"', MANY),
        prop(b" ".join(b'xmlns:a%d="b"' % n for n in range(9000)), b'<p xmlns="b"/>' * 400),
    ],
    ids=["namespace", "language", "declarations"],
)
def test_what_holds_for_many_elements_cannot_multiply_a_body(body: bytes) -> None:
    assert refused(body) == 400


def test_elements_that_declare_nothing_share_what_is_in_force() -> None:
    declarations = b" ".join(b'xmlns:a%d="b"' % number for number in range(9000))
    root = parse_xml(prop(declarations, b"<p/>" * 2))
    [folder] = root.elements()
    assert all(element.scope is root.scope for element in folder.elements())


def test_properties_are_not_written_much_longer_than_they_came() -> None:
    spaces = b" ".join(b'xmlns:a%d="%s"' % (n, b"x" * 1000) for n in range(400))
    words = b"".join(b"a%d:" % number for number in range(400))
    elements = b"".join(b"<p%d>%s</p%d>" % (number, words, number) for number in range(100))
    update = prop(spaces, elements).replace(b"propfind", b"propertyupdate")
    update = update.replace(b"<D:prop>", b"<D:set><D:prop>").replace(
        b"</D:prop>", b"</D:prop></D:set>"
    )
    with pytest.raises(HttpError) as caught:
        parse_proppatch(update)
    assert caught.value.status == 413


def test_a_body_over_the_limit_is_not_read() -> None:
    class Unread:
        def read(self, size: int, /) -> bytes:
            raise AssertionError(size)

    with pytest.raises(HttpError) as caught:
        read_body(Unread(), BODY_LIMIT + 1)
    assert caught.value.status == 413


def test_a_body_of_unknown_length_is_read_to_the_limit() -> None:
    assert read_body(io.BytesIO(b"x" * BODY_LIMIT), None) == b"x" * BODY_LIMIT
    stream = io.BytesIO(b"x" * (BODY_LIMIT + 5000))
    with pytest.raises(HttpError) as caught:
        read_body(stream, None)
    assert caught.value.status == 413
    assert stream.tell() == BODY_LIMIT + 1


def test_proppatch_keeps_order_language_and_namespaces() -> None:
    updates = parse_proppatch(PROPPATCH)
    assert [(update.name, update.value) for update in updates] == [
        ("{urn:x}a", '<x:a xmlns:x="urn:x" xml:lang="en">1</x:a>'),
        ("{urn:b}b", '<b xmlns="urn:b" xml:lang="en"><c/></b>'),
        ("{urn:x}a", None),
        ("plain", '<plain xmlns:x="urn:x" xml:lang="de">x:y &amp; &lt;</plain>'),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'<propertyupdate xmlns="DAV:"/>',
        b'<propertyupdate xmlns="DAV:"><set/></propertyupdate>',
        b'<propertyupdate xmlns="DAV:"><set><prop/></set></propertyupdate>',
        b'<propfind xmlns="DAV:"><allprop/></propfind>',
    ],
)
def test_a_malformed_proppatch_is_400(body: bytes) -> None:
    with pytest.raises(HttpError) as caught:
        parse_proppatch(body)
    assert caught.value.status == 400


def test_the_same_attribute_twice_by_two_prefixes_is_refused() -> None:
    with pytest.raises(HttpError):
        parse_xml(b'<a xmlns:x="urn:x" xmlns:y="urn:x" x:b="1" y:b="2"/>')


CHARACTERS = st.characters(
    categories=("L", "N", "P", "S", "Zs"), exclude_characters="\ufffe\uffff"
) | st.sampled_from("\t\n\r")


@given(st.text(CHARACTERS), st.text(CHARACTERS))
def test_values_survive_parsing_and_writing(text: str, attribute: str) -> None:
    element = ET.Element("{urn:x}a", {"b": attribute, "{urn:y}c": attribute})
    element.text = text
    ET.SubElement(element, "{urn:z}d").tail = text
    written = ET.tostring(element)
    once = serialise(parse_xml(written))
    assert ET.canonicalize(once) == ET.canonicalize(written)
    assert serialise(parse_xml(once.encode())) == once


def test_a_long_text_takes_no_longer_than_its_length() -> None:
    body = b'<a xmlns:x="urn:x">' + b"v" * 1_000_000 + b" x:y</a>"
    assert serialise(parse_xml(body)).startswith('<a xmlns:x="urn:x">')


def test_lock_bodies_say_scope_and_owner() -> None:
    body = (
        b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:%s/></D:lockscope>'
        b"<D:locktype><D:write/></D:locktype><D:owner><D:href>me</D:href></D:owner></D:lockinfo>"
    )
    exclusive = parse_lock(body % b"exclusive")
    assert not exclusive.shared
    assert exclusive.owner_xml == '<D:owner xmlns:D="DAV:"><D:href>me</D:href></D:owner>'
    assert parse_lock(body % b"shared").shared
    with pytest.raises(HttpError):
        parse_lock(body % b"other")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, 3600),
        ("Infinite", 3600),
        ("Infinite, Second-60", 3600),
        ("Second-60", 60),
        ("second-60, Infinite", 60),
        ("Second-4100000000", 3600),
        ("Second-0", 1),
        ("Extend, Second-5", 5),
        ("Second-x", 3600),
    ],
)
def test_timeouts_are_bounded(value: str | None, expected: int) -> None:
    assert parse_timeout(value, 3600) == expected
