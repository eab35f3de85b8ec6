"""Changes as people read them: quick saves as one, and a word for what happened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import cas
from tools.entries import kind_word
from tools.names import json_name, mode_text, time_text
from tools.parameters import Location

_QUICK_NS: Final = 60 * 1_000_000_000
"""Changes of one path by one author within this time are shown as one."""


class Version(NamedTuple):
    """What became of a path: the newest change, what was there before all, and how many.

    `first_sequence` is the number of the oldest of several, 0 for one.
    """

    item: cas.LogItem
    old: cas.Entry | None
    changes: int = 1
    first_sequence: int = 0

    @property
    def what(self) -> str:
        """A word for it: `created`, `changed`, `attributes`, `removed`, `moved`, ..."""
        item = self.item
        if item.new is None:
            return "removed" if item.target is None else "moved away"
        if item.action is cas.Action.COPY:
            is_back = item.source == item.path and not item.source_volume
            return "restored" if is_back else "copied"
        if item.source is not None and self.old is None and self.changes == 1:
            return "moved"
        if self.old is None or (item.sequence == 1 and not item.path):
            return "created"  # the volume's root is there from the first change on
        is_same = (self.old.kind, self.old.content) == (item.new.kind, item.new.content)
        return "attributes" if is_same else "changed"

    @property
    def sequence(self) -> int:
        """The number of the change after which it can be read; of a removal, the one before."""
        return self.item.sequence - (self.item.new is None)

    @property
    def old_sequence(self) -> int:
        """The number of the change after which `old` was there."""
        return (self.first_sequence or self.item.sequence) - 1


def coalesced(items: Iterable[cas.LogItem]) -> Iterator[Version]:
    """Yield changes, newest first; those of one path by one author in quick succession as one."""
    version: Version | None = None
    for item in items:
        if version is not None and _belongs(version, item):
            version = version._replace(
                old=item.old, changes=version.changes + 1, first_sequence=item.sequence
            )
            continue
        if version is not None:
            yield version
        version = Version(item, item.old)
    if version is not None:
        yield version


def _belongs(version: Version, item: cas.LogItem) -> bool:
    newest = version.item
    if newest.action is cas.Action.COPY or newest.new is None:
        return False
    if abs(newest.time_ns - item.time_ns) >= _QUICK_NS:
        return False
    if (newest.volume_id, newest.author, newest.device) != (
        item.volume_id,
        item.author,
        item.device,
    ):
        return False
    # A program that uploads under another name and then moves that has made one file.
    was_uploaded = version.changes == 1 and version.old is None and newest.source == item.path
    return item.path == newest.path or (was_uploaded and item.old is None)


def version_members(
    repository: cas.Repository,
    volume: cas.Volume,
    names: Mapping[bytes, str],
    version: Version,
    purged: cas.PurgedVersions,
) -> dict[str, object]:
    """Return the JSON members for a change; `names` are those of volumes by id."""
    item = version.item
    old, new = version.old, item.new
    is_old_purged = old and purged.has(item.volume_id, version.old_sequence, old)
    is_new_purged = new and purged.has(item.volume_id, item.sequence, new)
    source_volume = names.get(item.source_volume) if item.source_volume else None
    members: dict[str, object] = {
        **json_name("volume", names[item.volume_id]),
        **json_name("path", item.path),
        "sequence": item.sequence,
        "when": f"#{version.sequence}",
        "time": time_text(item.time_ns),
        "author": item.author,
        "device": item.device,
        "action": item.action.name.lower(),
        "what": version.what,
        "changes": version.changes,
        "old": _entry_members(repository, volume, old, is_purged=bool(is_old_purged)),
        "new": _entry_members(repository, volume, new, is_purged=bool(is_new_purged)),
        "commit": item.commit.hex() or None,
    }
    for key, value in (
        ("source", item.source),
        ("source_volume", source_volume),
        ("target", item.target),
    ):
        members |= {key: None} if value is None else json_name(key, value)
    return members


def version_place(names: Mapping[bytes, str], version: Version) -> Location:
    """Return where the version can be read."""
    item = version.item
    return Location(names[item.volume_id], item.path, f"#{version.sequence}")


def _entry_members(
    repository: cas.Repository, volume: cas.Volume, entry: cas.Entry | None, *, is_purged: bool
) -> dict[str, object] | None:
    if entry is None:
        return None
    return {
        "kind": kind_word(entry),
        "size": entry.size,
        "modified": time_text(entry.mtime_ns),
        "mode": mode_text(entry.mode),
        "etag": None if entry.kind is cas.EntryKind.SYMLINK else volume.etag(entry),
        "kept": not is_purged and cas.is_stored(repository, entry),
    }
