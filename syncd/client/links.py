"""The linked folders of this user, in one JSON file that is replaced as a whole."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec

from syncd.client.exits import Exit, Failure
from syncd.client.places import links_file
from syncd.disk.folder import STATE_NAME

_PLACE: Final = re.compile(r"(?P<volume>[^:/]+):?(?P<path>/.*)?")


class Mode(Enum):
    """Which way changes go."""

    TWO_WAY = "two-way"
    UPLOAD_ONLY = "upload-only"
    DOWNLOAD_ONLY = "download-only"


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of this machine and the place of a server that it is kept in sync with.

    Attributes:
        id: random; the folder's own file `.syncd/id` holds it, so that an empty mount point is
            not taken for the folder.
        root: the folder.
        server: `https://host[:port]`.
        volume: the volume's name; `volume_id` its id in hex.
        path: the folder of the volume, empty for all of it.
        account: who signed in; `device` what this machine is called.
        mode: which way changes go.
        later_wins: folders in which the later version is kept without a conflict copy.
        merge_texts: patterns of files that are merged by lines.
        skipped: folders that are not wanted on this device.
        in_keyring: whether the system's keyring has the token.
    """

    id: str
    root: str
    server: str
    volume: str
    volume_id: str
    path: str = ""
    account: str = ""
    device: str = ""
    mode: Mode = Mode.TWO_WAY
    later_wins: list[str] = []
    merge_texts: list[str] = []
    skipped: list[str] = []
    in_keyring: bool = False
    is_paused: bool = False

    @property
    def place(self) -> str:
        """The place as people write it: `VOLUME:/PATH`."""
        return f"{self.volume}:/{self.path}"


class Settings(msgspec.Struct, kw_only=True):
    """All links, and the limits in bytes per second, None for none."""

    links: list[Link] = []
    up: int | None = None
    down: int | None = None


def load() -> Settings:
    """Return what is linked.

    Raises:
        Failure: the file is damaged.
    """
    path = links_file()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except FileNotFoundError:
        return Settings()
    except msgspec.DecodeError as error:
        raise Failure(f"{path} is damaged: {error}") from error


def save(settings: Settings) -> None:
    """Write what is linked; durable on return."""
    write_private(links_file(), msgspec.json.format(msgspec.json.encode(settings)))


def write_private(path: Path, content: bytes) -> None:
    """Replace a file that only the user may read; durable on return."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def new_id() -> str:
    """Return an id for a new link."""
    return secrets.token_hex(8)


def parse_place(text: str) -> tuple[str, str]:
    """Return volume and path of `VOLUME[:/PATH]`.

    Raises:
        Failure: it is no such thing.
    """
    found = _PLACE.fullmatch(text)
    if found is None:
        raise Failure(f"{text!r} is no VOLUME or VOLUME:/PATH", Exit.USAGE)
    return found["volume"], "/".join(filter(None, (found["path"] or "").split("/")))


def find(settings: Settings, named: str | None) -> Link:
    """Return the link that a folder inside it, its id or its place names; with None the only one.

    Raises:
        Failure: there is none, or more than one.
    """
    links = settings.links
    if named is not None:
        path = os.path.realpath(named)
        links = [
            link for link in links if named in {link.id, link.place} or is_within(path, link.root)
        ]
    if not links:
        what = f"{named!r} is in no linked folder" if named else "nothing is linked"
        raise Failure(f"{what}; `syncd link` links one", Exit.NOT_LINKED)
    if len(links) > 1:
        raise Failure("there are several linked folders: name one", Exit.USAGE)
    return links[0]


def is_within(path: str, root: str) -> bool:
    """Tell whether a path is a folder or lies in it; both are absolute."""
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def marker(root: str) -> Path:
    """Return the file in a linked folder that holds the link's id."""
    return Path(root) / STATE_NAME / "id"


def write_marker(root: str, link_id: str) -> None:
    """Mark a folder as linked.

    Raises:
        Failure: it is linked already.
    """
    with suppress(FileNotFoundError):
        if (there := marker(root).read_text().strip()) and there != link_id:
            raise Failure(f"{root} is linked already ({there})", Exit.CONFLICT)
    marker(root).parent.mkdir(mode=0o700, exist_ok=True)
    write_private(marker(root), f"{link_id}\n".encode())
