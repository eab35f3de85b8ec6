"""Paths inside a volume: `/`-separated `str`, relative, validated once at the border.

A name is bytes in the store; in Python it is `str` by `os.fsdecode` (surrogate escapes), so that
every name a disk can hold survives. Names are compared byte for byte.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TypeAlias

from cas.errors import InvalidError
from cas.formats import NAME_SIZE_LIMIT, PATH_DEPTH_LIMIT

Names: TypeAlias = tuple[bytes, ...]
"""A path as the names on it, outermost first; empty for a volume's root."""


@lru_cache(maxsize=64)  # one request asks for the same few paths several times
def split_path(path: str) -> Names:
    """Return the names of a path; slashes at either end are ignored, `""` is the root.

    Raises:
        InvalidError: a name is empty, `.`, `..`, too long, or holds a NUL.
    """
    stripped = path.strip("/")
    if not stripped:
        return ()
    try:
        names = tuple(os.fsencode(stripped).split(b"/"))
    except UnicodeEncodeError as error:
        message = f"the path {path!r} is not UTF-8 and not from a disk: {error}"
        raise InvalidError(message) from error
    if len(names) > PATH_DEPTH_LIMIT:
        message = f"a path may have {PATH_DEPTH_LIMIT} names, this one has {len(names)}"
        raise InvalidError(message)
    for name in names:
        check_name(name)
    return names


def check_name(name: bytes) -> None:
    """Raise unless the bytes can be a name in a directory.

    Raises:
        InvalidError: the name is empty, `.`, `..`, over 255 bytes, or holds `/` or NUL.
    """
    if name in {b"", b".", b".."} or b"/" in name or b"\0" in name:
        message = f"{os.fsdecode(name)!r} cannot be a name"
        raise InvalidError(message)
    if len(name) > NAME_SIZE_LIMIT:
        message = f"a name may have {NAME_SIZE_LIMIT} bytes, {os.fsdecode(name)!r} has {len(name)}"
        raise InvalidError(message)


def join_names(names: Names) -> str:
    """Return the path that these names make."""
    return os.fsdecode(b"/".join(names))
