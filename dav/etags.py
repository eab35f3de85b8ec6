"""Entity tags of files and folders."""

from __future__ import annotations

from typing import Final

import cas

DIGITS: Final = 48
"""Hexadecimal digits of a tag: 192 bits, far beyond any collision.

The whole id has 64. Clients put two tags and a lock token in one If header, and some have only
200 bytes for that (litmus does).
"""


def etag(volume: cas.Volume, entry: cas.Entry) -> str:
    """Return the strong entity tag of what an entry holds, without quotes.

    It is the beginning of the content id: equal content has an equal tag, in all volumes.
    """
    return volume.etag(entry)[:DIGITS]
