"""Messages to bytes and back, strictly."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from cas.errors import InvalidError

_encoder = msgspec.msgpack.Encoder()
_Message = TypeVar("_Message")


def encode_message(message: msgspec.Struct) -> bytes:
    """Return a message's bytes."""
    return _encoder.encode(message)


def decode_message(encoded: bytes | memoryview, expected: type[_Message]) -> _Message:
    """Return the message of the expected type.

    Raises:
        InvalidError: the bytes are none.
    """
    try:
        return msgspec.msgpack.decode(encoded, type=expected)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(f"not a {expected.__name__}: {error}") from error
