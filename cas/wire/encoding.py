"""Messages to bytes and back, strictly."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from cas.errors import InvalidError
from cas.wire.reading import Hint

_encoder = msgspec.msgpack.Encoder()
_Message = TypeVar("_Message")


def encode_message(message: msgspec.Struct) -> bytes:
    """Return a message's bytes."""
    return _encoder.encode(message)


def encode_hint(hint: Hint) -> str:
    """Return the JSON text of a hint of the change feed."""
    return msgspec.json.encode(hint).decode()


def decode_hint(text: str | bytes) -> Hint:
    """Return the hint that a JSON text is.

    Raises:
        InvalidError: it is none.
    """
    try:
        return msgspec.json.decode(text, type=Hint)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(f"not a hint: {error}") from error


def decode_message(encoded: bytes | memoryview, expected: type[_Message]) -> _Message:
    """Return the message of the expected type.

    Raises:
        InvalidError: the bytes are none.
    """
    try:
        return msgspec.msgpack.decode(encoded, type=expected)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(f"not a {expected.__name__}: {error}") from error
