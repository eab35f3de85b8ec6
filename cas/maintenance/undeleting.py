"""Volumes that were deleted and are still kept: which there are, and how they come back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cas.dropped import dropped_path, dropped_volumes
from cas.errors import AlreadyExistsError, NotFoundError
from cas.formats import REGISTRY_ID
from cas.group import TreeState
from cas.objects import Entry, decode
from cas.operations import ABSENT
from cas.paths import join_names
from cas.registry import (
    VOLUMES,
    VolumeInfo,
    VolumeRecord,
    encode_record,
    head_of,
    volume_path,
)
from cas.repository import Repository
from cas.volume import Volume


class DeletedVolume(NamedTuple):
    """A volume that was deleted, by whom, and when, in nanoseconds since the epoch.

    `root` is what it held then.
    """

    info: VolumeInfo
    author: str
    deleted_ns: int
    root: Entry


def deleted_volumes(repository: Repository) -> Iterator[DeletedVolume]:
    """Yield the deleted volumes that can be brought back, the one that was deleted last first.

    Raises:
        IntegrityError: the registry's history is damaged.
    """
    engine = repository.engine
    engine.freshen(REGISTRY_ID)
    with engine.catalog.read() as transaction:
        seen = dropped_volumes(engine.nodes, transaction)
        seen |= {info.id for info in engine.registry.volumes(transaction).values()}
    for _, change, _ in engine.history.open(REGISTRY_ID).changes_in(VOLUMES):
        if change.old is None or change.new is not None:
            continue
        record = decode(change.old.content, VolumeRecord)
        if record.id not in seen:
            seen.add(record.id)
            name = change.path.rpartition(b"/")[2].decode(errors="surrogateescape")
            info = VolumeInfo(name, record.id, record.owner, record.quota, record.created_ns)
            engine.freshen(record.id)
            with engine.catalog.read() as transaction:
                root = head_of(transaction, record.id).root
            yield DeletedVolume(info, change.author, change.time_ns, root)


def undelete_volume(
    repository: Repository, name: str, *, new_name: str | None = None, author: str = ""
) -> Volume:
    """Bring back the volume of this name that was deleted last, with its files and its history.

    Raises:
        NotFoundError: none of this name was deleted, or what it held is not kept any more.
        AlreadyExistsError: there is a volume of the name that it is to have.
        InvalidError: the new name cannot be a volume's.
    """
    path = join_names(volume_path(new_name or name))
    found = next((each for each in deleted_volumes(repository) if each.info.name == name), None)
    if found is None:
        message = f"there is no deleted volume {name!r} that is still kept"
        raise NotFoundError(message)
    info = found.info

    def refuse(state: TreeState) -> None:
        if state.get(join_names(dropped_path(info.id))) is not None:
            message = f"what the volume {name!r} held is not kept any more"
            raise NotFoundError(message)
        if state.get(path) is not None:
            message = f"there is a volume {new_name or name!r} already"
            raise AlreadyExistsError(message)
        for other, entry in state.list(VOLUMES.decode()):
            if decode(entry.content, VolumeRecord).id == info.id:
                message = f"the volume {name!r} was brought back already, as {other!r}"
                raise AlreadyExistsError(message)

    record = VolumeRecord(info.id, info.owner, info.quota, info.created_ns)
    with repository.registry.edit(author=author) as edit:
        edit.require(refuse)
        edit.put_record(path, encode_record(record), expect=ABSENT)
    return repository.volume(new_name or name)
