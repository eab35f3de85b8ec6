"""Bringing a repository to the format of this program, one version after the other.

Format 1 is the first, so there is no migration yet. One is needed where a program cannot work with
a repository as an older one left it; what a program can read either way needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from cas.errors import FormatError
from cas.formats import FORMAT_VERSION, decode_stamp
from cas.stores.base import BlobStore
from cas.stores.names import CONFIG_NAME
from cas.stores.opening import open_store


class Migration(NamedTuple):
    """The way to a version from the one before it.

    `run` changes the store. It may be cut off anywhere and is run again then, from its beginning;
    only once it has returned is the version noted.
    """

    version: int
    words: str
    run: Callable[[BlobStore], None]


MIGRATIONS: Final[tuple[Migration, ...]] = ()
"""All migrations, in the order of their versions."""


class Upgrade(NamedTuple):
    """What an upgrade found and did: the version before and after, and a line for each step."""

    found: int
    version: int
    steps: tuple[str, ...]


def upgrade(
    location: str | Path,
    *,
    is_dry_run: bool = False,
    migrations: Sequence[Migration] = MIGRATIONS,
) -> Upgrade:
    """Bring a repository that nobody has open to the newest format; with `is_dry_run`, only look.

    Raises:
        NotFoundError: there is no repository.
        FormatError: it needs a newer program, or there is no way from its version.
    """
    store = open_store(location)
    found = decode_stamp(store.read(CONFIG_NAME)[0]).version
    steps = [migration for migration in migrations if migration.version > found]
    if [step.version for step in steps] != list(range(found + 1, FORMAT_VERSION + 1)):
        message = f"there is no way from format {found} to format {FORMAT_VERSION}"
        raise FormatError(message)
    if not is_dry_run:
        for step in steps:
            step.run(store)
            _note(store, step.version)
    return Upgrade(found, FORMAT_VERSION, tuple(step.words for step in steps))


def _note(store: BlobStore, version: int) -> None:
    """Write the version to the config, and leave all else in it as it is."""
    document, token = store.read(CONFIG_NAME)
    config = msgspec.json.decode(document, type=dict[str, object])
    encoded = msgspec.json.format(msgspec.json.encode({**config, "version": version}), indent=2)
    store.replace(CONFIG_NAME, encoded + b"\n", token)
