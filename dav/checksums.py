"""Checksums that clients send with a file: verified while it streams, kept for oc:checksums.

Kept sums stand beside the content id they belong to, so that those of an older content are never
shown for a newer one, whoever changed it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import zlib
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from dav.status import HttpError

PROPERTY: Final = "{urn:casdav}checksums"
"""Name under which the entry keeps the sums: content id in hex, then `NAME:hex` each."""

_KEPT: Final = ("SHA256", "SHA1", "MD5", "ADLER32")
_DIGEST_NAMES: Final = {
    "sha-256": "SHA256",
    "sha-512": "SHA512",
    "sha": "SHA1",
    "md5": "MD5",
    "adler32": "ADLER32",
}
_SIZES: Final = {"SHA512": 64, "SHA256": 32, "SHA1": 20, "MD5": 16, "ADLER32": 4}
_OC: Final = re.compile(r"([A-Za-z0-9-]+):([0-9A-Fa-f]+)")
_DIGEST: Final = re.compile(r"([A-Za-z0-9-]+)=(:?)([A-Za-z0-9+/]*={0,2})(:?)")


class Hasher(Protocol):
    """A checksum in the making."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take more bytes."""

    def digest(self) -> bytes:
        """Return the sum of all bytes so far."""


class _Adler32:
    def __init__(self) -> None:
        self._value = 1

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = zlib.adler32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


_HASHERS: Final[dict[str, Callable[[], Hasher]]] = {
    "SHA512": hashlib.sha512,
    "SHA256": hashlib.sha256,
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "MD5": lambda: hashlib.md5(usedforsecurity=False),
    "ADLER32": _Adler32,
}


class _Expected(NamedTuple):
    header: str
    algorithm: str
    digest: bytes


class Checksums:
    """The sums that one request announces, and what its bytes come to.

    Args:
        header: returns a header's value by its name, None where it is absent.

    Raises:
        HttpError: 400 where a sum is malformed. Algorithms that are not known are ignored.
    """

    def __init__(self, header: Callable[[str], str | None]) -> None:
        self._expected = [
            *_parse_oc(header("OC-Checksum")),
            *_parse_content_md5(header("Content-MD5")),
            *_parse_digests("Digest", header("Digest"), colons=False),
            *_parse_digests("Repr-Digest", header("Repr-Digest"), colons=True),
            *_parse_digests("Content-Digest", header("Content-Digest"), colons=True),
        ]
        wanted = {expected.algorithm for expected in self._expected}
        self._hashers = {name: _HASHERS[name]() for name in sorted(wanted)}

    @property
    def are_wanted(self) -> bool:
        """Whether the request announces any sum."""
        return bool(self._hashers)

    def update(self, data: bytes | memoryview) -> None:
        """Take more bytes of the content."""
        for hasher in self._hashers.values():
            hasher.update(data)

    def verify(self) -> None:
        """Raise unless the content has the sums that were announced.

        Raises:
            HttpError: 400.
        """
        for expected in self._expected:
            found = self._hashers[expected.algorithm].digest()
            if not hmac.compare_digest(found, expected.digest):
                raise HttpError(
                    400,
                    f"the content has the {expected.algorithm} {found.hex()}, "
                    f"{expected.header} said {expected.digest.hex()}; nothing was stored",
                )

    def kept(self, content_id: bytes) -> str:
        """Return the text to keep as `PROPERTY`, empty where the request announced no sum."""
        sums = [
            f"{name}:{self._hashers[name].digest().hex()}"
            for name in _KEPT
            if name in self._hashers
        ]
        return " ".join([content_id.hex() or "-", *sums]) if sums else ""


def known_sums(kept: str, content_id: bytes) -> list[str]:
    """Return the sums, as `NAME:hex`, if they were kept for this very content."""
    owner, *sums = kept.split() or [""]
    return sums if owner == (content_id.hex() or "-") else []


def _expect(header: str, algorithm: str, digest: bytes) -> _Expected:
    if len(digest) != _SIZES[algorithm]:
        raise HttpError(400, f"{header} holds no {algorithm}")
    return _Expected(header, algorithm, digest)


def _parse_oc(value: str | None) -> list[_Expected]:
    expected = []
    for word in (value or "").replace(",", " ").split():
        found = _OC.fullmatch(word)
        if found is None or len(found[2]) % 2:
            raise HttpError(400, "OC-Checksum must be an algorithm, a colon and hexadecimal digits")
        name = found[1].upper().replace("-", "")
        if name in _HASHERS:
            expected.append(_expect("OC-Checksum", name, bytes.fromhex(found[2])))
    return expected


def _parse_content_md5(value: str | None) -> list[_Expected]:
    return [] if value is None else [_expect("Content-MD5", "MD5", _base64("Content-MD5", value))]


def _parse_digests(header: str, value: str | None, *, colons: bool) -> list[_Expected]:
    """Parse Digest (RFC 3230) or the fields of RFC 9530, whose bytes stand between colons."""
    expected = []
    for member in (value or "").split(","):
        if not member.strip():
            continue
        found = _DIGEST.fullmatch(member.strip())
        name = _DIGEST_NAMES.get(found[1].lower()) if found else None
        if found is None and "=" not in member:
            raise HttpError(400, f"{header} is malformed")
        if found is None or name is None:
            continue  # An algorithm that we do not know writes its sum as it likes.
        if bool(found[2]) != colons or bool(found[4]) != colons:
            raise HttpError(400, f"{header} is malformed")
        if name == "ADLER32":
            continue  # RFC 3230 writes it in hexadecimal, others in base64.
        expected.append(_expect(header, name, _base64(header, found[3])))
    return expected


def _base64(header: str, value: str) -> bytes:
    try:
        return base64.b64decode(value.strip(), validate=True)
    except binascii.Error as error:
        raise HttpError(400, f"{header} is not base64") from error
