from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dav.checksums import Checksums, known_sums
from dav.status import HttpError

ALGORITHMS = {
    "SHA256": lambda data: hashlib.sha256(data).hexdigest(),
    "SHA1": lambda data: hashlib.sha1(data, usedforsecurity=False).hexdigest(),
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "ADLER32": lambda data: f"{zlib.adler32(data):08x}",
}


def sums(headers: dict[str, str]) -> Checksums:
    return Checksums(headers.get)


@given(st.lists(st.binary(max_size=50), max_size=5), st.sampled_from(sorted(ALGORITHMS)))
def test_the_right_sum_passes_in_any_pieces_and_a_wrong_one_does_not(
    pieces: list[bytes], name: str
) -> None:
    data = b"".join(pieces)
    right = ALGORITHMS[name](data)
    wrong = ALGORITHMS[name](data + b"x")
    for value, passes in ((right, True), (right.upper(), True), (wrong, False)):
        checksums = sums({"OC-Checksum": f"{name}:{value}"})
        for piece in pieces:
            checksums.update(piece)
        if passes:
            checksums.verify()
            assert known_sums(checksums.kept(b"id"), b"id") == [f"{name}:{right}"]
        else:
            with pytest.raises(HttpError):
                checksums.verify()


def test_sums_are_known_for_their_own_content_alone() -> None:
    checksums = sums({"OC-Checksum": "MD5:d41d8cd98f00b204e9800998ecf8427e"})
    kept = checksums.kept(b"")
    assert known_sums(kept, b"") == ["MD5:d41d8cd98f00b204e9800998ecf8427e"]
    assert known_sums(kept, b"other") == []
    assert known_sums("", b"") == []
    assert sums({}).kept(b"id") == ""


def test_several_sums_are_all_verified() -> None:
    good = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
    bad = base64.b64encode(hashlib.md5(b"y", usedforsecurity=False).digest()).decode()
    checksums = sums({"Digest": f"SHA-256={good},MD5={bad}"})
    checksums.update(b"x")
    with pytest.raises(HttpError, match="MD5"):
        checksums.verify()


@pytest.mark.parametrize(
    "headers",
    [
        {"OC-Checksum": "nonsense"},
        {"OC-Checksum": "SHA1:abc"},
        {"OC-Checksum": "SHA1:abcd"},
        {"Content-MD5": "not base64"},
        {"Content-MD5": "AAAA"},
        {"Digest": "nonsense"},
        {"Digest": "sha-256=:AAAA:"},
        {"Repr-Digest": "sha-256=AAAA"},
        {"Content-Digest": "sha-256=:AAAA:"},
    ],
)
def test_malformed_sums_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(HttpError) as caught:
        sums(headers)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "headers", [{"OC-Checksum": "BLAKE9:abcd"}, {"Digest": "unixsum=30637"}, {"Repr-Digest": ""}]
)
def test_unknown_algorithms_are_ignored(headers: dict[str, str]) -> None:
    sums(headers).verify()
