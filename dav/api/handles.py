"""Ids of files for the JSON API: a volume and a path in it, in one word.

An id says where something is, whatever is there by then, and is no right: each use asks for the
right to that path.
"""

from __future__ import annotations

import binascii
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, NamedTuple

import cas
from cas import wire
from dav.api.answers import not_found, refused
from dav.api.call import Call, text
from dav.api.places import Linked, check_plain, open_place
from dav.identity import Right

_VOLUME_ID_SIZE: Final = 16
_HANDLE_LIMIT: Final = 8192


class Named(NamedTuple):
    """A path of a volume that the account may read, and the right to it."""

    volume: cas.Volume
    path: str
    right: Right

    def check_writable(self) -> None:
        """Raise unless the account may change it. Raises RefusedError: 403."""
        Linked(self.volume, "", self.right).check_writable()

    def check_known(self, sequence: int) -> None:
        """Raise where the volume has no change of this number yet. Raises RefusedError: 410."""
        if sequence > self.volume.sequence():
            raise refused(410, "not_kept", f"there is no change #{sequence}")

    def child(self, name: str) -> str:
        """Return the path of a name in this folder."""
        return f"{self.path}/{name}" if self.path else name


def handle(volume: cas.Volume, path: str) -> str:
    """Return the id of a path."""
    return urlsafe_b64encode(volume.id + os.fsencode(path)).rstrip(b"=").decode()


def by_handle(call: Call) -> Named:
    """Return what the id in a request's path means.

    Raises:
        RefusedError: 404 where it is none, or the account may not read it.
    """
    word = call.rest
    if len(word) > _HANDLE_LIMIT or not word.isascii():
        raise not_found()
    try:
        decoded = urlsafe_b64decode(word + "=" * (-len(word) % 4))
    except (ValueError, binascii.Error) as error:
        raise not_found() from error
    volume_id, path = decoded[:_VOLUME_ID_SIZE], decoded[_VOLUME_ID_SIZE:]
    try:
        return _named(open_place(call, wire.Place(volume_id, path)))
    except cas.InvalidError as error:
        raise not_found() from error


def by_name(call: Call) -> Named:
    """Return the path of a volume that the parameters `volume` and `path` name.

    Raises:
        RefusedError: 404 where the account may not read it.
        InvalidError: a parameter is missing, or no path.
    """
    query = call.query()
    return find(call, text(query, "volume"), text(query, "path"))


def find(call: Call, volume: str, path: str) -> Named:
    """Return a path of a volume by its name; the path need not exist.

    Raises:
        RefusedError: 404 where the account may not read it.
        InvalidError: it is no path.
    """
    try:
        encoded = path.strip("/").encode()
    except UnicodeEncodeError as error:
        raise cas.InvalidError("a path has to be Unicode text") from error
    check_plain(encoded)
    state = call.services.authenticator.registry.state()
    info = next((info for info in state.volumes if info.name == volume), None)
    if info is None:
        raise not_found()
    return _named(open_place(call, wire.Place(info.id, encoded)))


def _named(linked: Linked) -> Named:
    return Named(linked.volume, linked.root, linked.right)
