"""Why something could not be done, in words for people; those of a lack of room are told apart."""

from __future__ import annotations

import errno
from typing import Final

from syncd.remote.errors import NoRoomError, RefusedError

_NO_ROOM: Final = "no room"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full(error: BaseException) -> bool:
    """Whether an error says that this disk, or its quota, is full."""
    return isinstance(error, OSError) and error.errno in _FULL


def words(error: Exception) -> str:
    """Return an error as people read it."""
    if isinstance(error, NoRoomError):
        return f"{_NO_ROOM} on the server: {error.refusal.message or error.refusal.kind}"
    if isinstance(error, RefusedError):
        return error.refusal.message or error.refusal.kind
    if isinstance(error, OSError):
        if is_full(error):
            return f"{_NO_ROOM} on this disk"
        return error.strerror or str(error)
    return str(error)


def is_no_room(reason: str) -> bool:
    """Whether words of this module say that there is no room, here or on the server."""
    return reason.startswith(_NO_ROOM)
