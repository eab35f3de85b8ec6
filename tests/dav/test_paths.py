from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dav.paths import href, is_representable, parse_destination, parse_target
from dav.status import HttpError

NAMES = (
    st.text(min_size=1, max_size=60)
    .filter(is_representable)
    .filter(lambda name: "/" not in name and name not in {".", ".."})
    .filter(lambda name: len(name.encode()) <= 255)
)


@given(names=st.lists(NAMES, max_size=5), is_collection=st.booleans())
def test_a_path_survives_being_quoted_and_parsed(*, names: list[str], is_collection: bool) -> None:
    target = parse_target(href(names, is_collection=is_collection))
    assert target.names == tuple(names)
    assert target.is_collection_form == (is_collection or not names)


@given(st.text(max_size=40).map(lambda text: "/" + text.encode().decode("latin-1")))
def test_any_target_is_parsed_or_refused_with_4xx(raw: str) -> None:
    try:
        target = parse_target(raw)
    except HttpError as error:
        assert error.status in {400, 414}  # noqa: PT017
    else:
        assert all(is_representable(name) for name in target.names)


@pytest.mark.parametrize(
    "raw",
    [
        "/a%2Fb",
        "/a%2fb",
        "/a%5cb",
        "/a\\b",
        "/../a",
        "/a/./b",
        "/%2e%2e/a",
        "/a/%2E",
        "/a%00b",
        "/a%0ab",
        "/a%7f",
        "/a%c2%85",
        "/%ff",
        "/%c0%af",
        "/%ed%a0%80",
        "/%ef%bf%bf",
        "/%zz",
        "/%4",
        "/a#b",
        "a/b",
        "",
        "/" + "a" * 256,
        "/" + "%c3%a4" * 128,
    ],
)
def test_a_target_that_could_mean_two_things_is_refused(raw: str) -> None:
    with pytest.raises(HttpError) as caught:
        parse_target(raw)
    assert caught.value.status == 400


@pytest.mark.parametrize("raw", ["/" + "a/" * 256, "/" + "a" * 20_000])
def test_a_target_that_is_too_long_is_414(raw: str) -> None:
    with pytest.raises(HttpError) as caught:
        parse_target(raw)
    assert caught.value.status == 414


def test_encoded_delimiters_stay_part_of_the_name() -> None:
    target = parse_target("/dav/a%3Fb%3Bc%23d%25e%26?query=1")
    assert target.names == ("dav", "a?b;c#d%e&")
    assert target.query == "query=1"


def test_a_name_is_decoded_once() -> None:
    assert parse_target("/%252e%252e").names == ("%2e%2e",)


def test_255_bytes_are_a_name() -> None:
    assert parse_target("/" + "%c3%a4" * 127 + "a").names == ("ä" * 127 + "a",)


def test_unencoded_utf8_is_taken_as_it_is() -> None:
    assert parse_target("/ä".encode().decode("latin-1")).names == ("ä",)


def test_empty_segments_carry_no_name() -> None:
    assert parse_target("//a///b//").names == ("a", "b")


def test_an_absolute_target_is_its_path() -> None:
    assert parse_target("http://server:8080/a/b?x").names == ("a", "b")
    assert parse_target("http://server").names == ()


@pytest.mark.parametrize(
    ("destination", "authorities"),
    [
        ("http://server/a%3Fb", ["server"]),
        ("http://SERVER:80/a%3Fb", ["server"]),
        ("https://server/a%3Fb", ["server:443"]),
        ("https://user@server:8443/a%3Fb", ["server:8443"]),
        ("http://[::1]:8080/a%3Fb", ["[::1]:8080"]),
        ("http://outside/a%3Fb", ["inside:8080", "outside"]),
        ("/a%3Fb", []),
    ],
)
def test_a_destination_on_this_server_is_split_before_it_is_decoded(
    destination: str, authorities: list[str]
) -> None:
    assert parse_destination(destination, authorities).names == ("a?b",)


@pytest.mark.parametrize("destination", ["http://other/a", "ftp://server/a", "http://server:81/a"])
def test_a_destination_on_another_server_is_502(destination: str) -> None:
    with pytest.raises(HttpError) as caught:
        parse_destination(destination, ["server"])
    assert caught.value.status == 502


@pytest.mark.parametrize(
    "destination", ["", "a/b", "http://server/a?b", "/a#b", "/a/../b", "http:///", "/a%2fb"]
)
def test_a_malformed_destination_is_refused(destination: str) -> None:
    with pytest.raises(HttpError) as caught:
        parse_destination(destination, ["server"])
    assert caught.value.status in {400, 502}


def test_surrogate_escapes_are_quoted_as_their_bytes() -> None:
    assert href(["\udcff"], is_collection=False) == "/%FF"
