"""Where a device's refresh token is kept: in the system's keyring, or in a file of the user's."""

from __future__ import annotations

import importlib
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from syncd.client.exits import Failure
from syncd.client.links import Link, write_private
from syncd.client.places import token_file
from syncd.remote.credentials import RefreshTokens

_SERVICE: Final = "syncd"


class _Keyring(Protocol):
    """The functions of the package `keyring` that are used."""

    def get_password(self, service: str, username: str) -> str | None:
        """Return a secret."""

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a secret."""

    def delete_password(self, service: str, username: str) -> None:
        """Forget a secret."""


class FileTokens:
    """A token in a file that only the user may read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> str:
        """See `RefreshTokens`."""
        try:
            return self._path.read_text().strip()
        except FileNotFoundError:
            return ""

    def save(self, token: str) -> None:
        """See `RefreshTokens`."""
        write_private(self._path, token.encode())

    def forget(self) -> None:
        """Remove the token."""
        self._path.unlink(missing_ok=True)


class KeyringTokens:
    """A token in the keyring of the system.

    Raises:
        Failure: the package `keyring` is not installed.
    """

    def __init__(self, link_id: str) -> None:
        self._link_id = link_id
        try:
            self._keyring: _Keyring = importlib.import_module("keyring")
        except ImportError as error:
            raise Failure("the keyring needs the Python package `keyring`") from error

    def load(self) -> str:
        """See `RefreshTokens`."""
        return self._keyring.get_password(_SERVICE, self._link_id) or ""

    def save(self, token: str) -> None:
        """See `RefreshTokens`."""
        self._keyring.set_password(_SERVICE, self._link_id, token)

    def forget(self) -> None:
        """Remove the token."""
        # Each backend has its own error for a secret that is not there.
        with suppress(Exception):
            self._keyring.delete_password(_SERVICE, self._link_id)


class Tokens(RefreshTokens, Protocol):
    """Where a token is kept, and can be removed from."""

    def forget(self) -> None:
        """Remove the token."""


def tokens_of(link: Link) -> Tokens:
    """Return where the token of a link is."""
    return KeyringTokens(link.id) if link.in_keyring else FileTokens(token_file(link.id))
