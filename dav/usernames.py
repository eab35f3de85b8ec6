"""What a user may be called: one rule that holds as URL segment, volume name and file name.

Lower-case ASCII only, so that no two names look alike or clash on a disk that folds case, and no
client and server ever disagree about how a name is encoded.
"""

from __future__ import annotations

import re
from typing import Final

from cas import InvalidError

NAME_SIZE_LIMIT: Final = 32
"""Characters of a user's name."""

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?", re.ASCII)
_DEVICES: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.ASCII)
_RESERVED: Final = frozenset(
    [
        "anonymous",
        "dav",
        "everyone",
        "login",
        "logout",
        "registry",
        "remote.php",
        "static",
        "system",
    ]
)


def is_user_name(name: str) -> bool:
    """Return whether a user can have this name."""
    return (
        len(name) <= NAME_SIZE_LIMIT
        and _NAME.fullmatch(name) is not None
        and ".." not in name
        and _DEVICES.fullmatch(name) is None
        and name not in _RESERVED
    )


def check_user_name(name: str) -> str:
    """Return the name if a user can have it.

    Raises:
        InvalidError: it breaks the rule, or is reserved.
    """
    if not is_user_name(name):
        raise InvalidError(
            f"{name!r} cannot be a user name: use 1 to {NAME_SIZE_LIMIT} of a-z, 0-9, '.', '_' "
            "and '-', first and last a letter or digit, no '..', and no reserved word"
        )
    return name


def login_name(typed: str) -> str:
    """Return the user name that somebody means who typed this; empty if it can be nobody's.

    Phones begin every field with a capital letter, so ASCII letters fold; nothing else does: a
    look-alike from another script is another name.
    """
    folded = typed.lower() if typed.isascii() else ""
    return folded if is_user_name(folded) else ""
