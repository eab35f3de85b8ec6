"""Where syncd keeps what: one directory of the user's, or that of `SYNCD_HOME`."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

import platformdirs

HOME_VARIABLE: Final = "SYNCD_HOME"
"""Names another directory, for a second daemon or for tests."""

_SOCKET_LIMIT: Final = 100
"""Bytes of a socket's path that every system takes (sun_path of unix(7) has 108, macOS 104)."""


def home() -> Path:
    """Return the directory of all that syncd keeps for this user."""
    named = os.environ.get(HOME_VARIABLE)
    return Path(named) if named else platformdirs.user_data_path("syncd")


def links_file() -> Path:
    """Return the file that lists the linked folders."""
    return home() / "links.json"


def state_file(link_id: str) -> Path:
    """Return the database of a link."""
    return home() / link_id / "state.sqlite"


def token_file(link_id: str) -> Path:
    """Return where a link's refresh token is, if no keyring has it."""
    return home() / link_id / "token"


def lock_file() -> Path:
    """Return the file that a running daemon holds a lock on."""
    return home() / "lock"


def log_file() -> Path:
    """Return where a daemon in the background writes its log."""
    return home() / "syncd.log"


def control_socket() -> Path:
    """Return the socket on which the daemon listens, in a directory that only the user enters."""
    path = home() / "control"
    if len(os.fsencode(path)) <= _SOCKET_LIMIT:
        return path
    digest = hashlib.blake2b(os.fsencode(home()), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"syncd-{digest}" / "control"
