from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dav.conditions import EntityTag
from dav.if_header import ResourceState, parse_if
from dav.status import HttpError

STATES = {
    None: ResourceState(EntityTag("here"), frozenset({"urn:uuid:1"})),
    "/other": ResourceState(EntityTag("there"), frozenset({"urn:uuid:2"})),
    "http://server/other": ResourceState(EntityTag("there"), frozenset({"urn:uuid:2"})),
    "/missing": ResourceState(None, frozenset()),
}


def holds(value: str | None) -> bool:
    return parse_if(value).holds(lambda resource: STATES[resource])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, True),
        ("(<urn:uuid:1>)", True),
        ("(<urn:uuid:9>)", False),
        ("(Not <urn:uuid:9>)", True),
        ("(not<urn:uuid:1>)", False),
        ('(["here"])', True),
        ('(["there"])', False),
        ('([W/"here"])', False),
        ('(<urn:uuid:1> ["here"])', True),
        ('(<urn:uuid:1> ["there"])', False),
        ('(<urn:uuid:1>["there"])(["here"])', True),
        ('(<urn:uuid:1> ["there"]) (Not <DAV:no-lock>)', True),
        ("(<DAV:no-lock>)", False),
        ("</other> (<urn:uuid:2>)", True),
        ("</other> (<urn:uuid:1>)", False),
        ("<http://server/other> (<urn:uuid:1>) (<urn:uuid:2>)", True),
        ("</missing> (<urn:uuid:1>) </other> (<urn:uuid:2>)", True),
        ('</missing> (["here"])', False),
        ('</missing> (Not ["here"])', True),
    ],
)
def test_a_header_means_what_rfc_4918_says(value: str | None, *, expected: bool) -> None:
    assert holds(value) is expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "()",
        "(",
        "(<urn:uuid:1>",
        "<urn:uuid:1>",
        "urn:uuid:1",
        "</other>",
        "(<not-a-uri>)",
        "<relative> (<urn:uuid:1>)",
        "(<urn:uuid:1>) </other> (<urn:uuid:2>)",
        "(Not Not <urn:uuid:1>)",
        "(Not)",
        '("here")',
        "([here])",
        "(<urn:uuid:1>) trailing",
        "((<urn:uuid:1>))",
        "</other> </missing> (<urn:uuid:1>)",
    ],
)
def test_a_malformed_header_is_400(value: str) -> None:
    with pytest.raises(HttpError) as caught:
        parse_if(value)
    assert caught.value.status == 400


def test_all_tokens_count_as_submitted() -> None:
    header = parse_if('</a> (<urn:uuid:1> ["x"]) (Not <urn:uuid:2>) </b> (<urn:uuid:3>)')
    assert header.tokens == {"urn:uuid:1", "urn:uuid:2", "urn:uuid:3"}


@given(st.text(alphabet='()<>[]"Not /W:a\t,', max_size=30))
def test_any_text_is_parsed_or_400(text: str) -> None:
    try:
        header = parse_if(text)
    except HttpError as error:
        assert error.status == 400  # noqa: PT017
    else:
        assert header.lists


@pytest.mark.parametrize("one", ['</a{}>(["x"])', "(<a:{}>)", "(Not <a:b> <a:{}>)"])
def test_a_header_of_thousands_of_conditions_is_refused(one: str) -> None:
    assert parse_if("".join(map(one.format, range(100)))).lists
    with pytest.raises(HttpError) as caught:
        parse_if("".join(map(one.format, range(1001))))
    assert caught.value.status == 400
