"""Structs are made ready before threads decode them.

msgspec finds out what a Struct's fields are when it is first asked for a decoder, and other threads
may see that half done: two that decode the first object of a kind at one moment can end the process
with a segmentation fault (seen with msgspec 0.22.0).
"""

from __future__ import annotations

import threading
from contextlib import suppress

import msgspec

_lock = threading.Lock()
_ready: set[type] = set()
_decoders: dict[object, msgspec.msgpack.Decoder[object]] = {}


def make_structs_ready() -> None:
    """Make all Structs ready whose modules have been imported; to be called before threads begin.

    What was made ready before costs nothing.
    """
    with _lock:
        waiting: list[type] = [msgspec.Struct]
        while waiting:
            found: list[type] = waiting.pop().__subclasses__()
            waiting += found
            for struct in found:
                if struct not in _ready:
                    with suppress(TypeError, NameError):  # not made to be decoded
                        msgspec.msgpack.Decoder(struct)
                    _ready.add(struct)


def decoder_of(expected: type) -> msgspec.msgpack.Decoder[object]:
    """Return the decoder of a type, made once. Shared by threads."""
    decoder = _decoders.get(expected)
    if decoder is None:
        with _lock:
            decoder = _decoders[expected] = msgspec.msgpack.Decoder(expected)
    return decoder
