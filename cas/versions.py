"""Versions of single files: retention may keep them where the states they were in are gone."""

from __future__ import annotations

from itertools import islice

from cas.engine import Engine
from cas.errors import MissingObjectError
from cas.file_nodes import objects_of
from cas.nodes import ReadNodes
from cas.objects import Content, Entry, EntryKind
from cas.paths import join_names, split_path
from cas.purged import Purged, purged_from
from cas.repository import Repository
from cas.volume import Volume

_OBJECTS_AT_ONCE = 1000


def stored_version(
    repository: Repository, volume: Volume, path: str, sequence: int
) -> Entry | None:
    """Return the file that was at a path after the change of this number, if all of it is stored.

    It may be put anywhere by an edit that names the epoch of a view made before this was asked.

    Raises:
        InvalidError: this cannot be a path.
        IntegrityError: what leads to it is damaged.
    """
    item = next(volume.log(path, before=sequence + 1), None)
    if item is None or item.new is None or item.path != join_names(split_path(path)):
        return None
    with repository.engine.catalog.read() as transaction:
        purged = purged_from(repository.engine.nodes, transaction, volume.id)
    if purged is not None and purged.has(item.new.content, item.sequence):
        return None
    return item.new if item.new.is_file and _is_whole(repository.engine, item.new) else None


def is_stored(repository: Repository, entry: Entry) -> bool:
    """Return whether the content of an entry is stored, as far as one look tells."""
    if not entry.content or entry.kind in {EntryKind.SYMLINK, EntryKind.RECORD}:
        return True
    engine = repository.engine
    if engine.chunks.stores([entry.content]):
        return True
    with engine.catalog.read() as transaction:
        return transaction.young_node(entry.content) is not None


class PurgedVersions:
    """Tells which versions of files were purged; a volume's purges are read once."""

    def __init__(self, repository: Repository) -> None:
        self._engine = repository.engine
        self._known: dict[bytes, Purged | None] = {}

    def has(self, volume_id: bytes, sequence: int, entry: Entry) -> bool:
        """Return whether the content of an entry was purged from a volume's state after a change.

        Raises:
            IntegrityError: the registry is damaged.
        """
        if not entry.is_file:
            return False
        if volume_id not in self._known:
            with self._engine.catalog.read() as transaction:
                known = purged_from(self._engine.nodes, transaction, volume_id)
            self._known[volume_id] = known
        purged = self._known[volume_id]
        return purged is not None and purged.has(entry.content, sequence)


def _is_whole(engine: Engine, entry: Entry) -> bool:
    """Return whether each object of a file is stored, and not about to be deleted."""
    content = Content(entry.kind, entry.size, entry.content)
    objects = objects_of(ReadNodes(engine.nodes), content)
    if entry.properties_id and not engine.chunks.stores([entry.properties_id]):
        return False
    try:
        while some := list(islice(objects, _OBJECTS_AT_ONCE)):
            if not engine.chunks.stores(some):
                return False
    except MissingObjectError:
        return False
    return True
