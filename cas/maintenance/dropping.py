"""Dropping volumes that were deleted, once retention keeps nothing that names them.

1. The registry says that the volume is dropped, unless it was brought back; from then on it
   cannot be.
2. A checkpoint: no replay of the journal needs the volume any more.
3. Its head and locks go, in the transaction that condemns packs.
4. Its ref goes, durably, and its rows of the history.
5. Only then packs are deleted.

Whatever is cut off in between is finished by the next collection, which goes by the record of the
registry. A catalog that is made anew before step 4 has the volume's head again, and loses it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from cas.catalog import Head, WriteTransaction
from cas.dropped import DroppedVolume, dropped_path, dropped_volumes
from cas.errors import ConflictError, NotFoundError
from cas.formats import REGISTRY_ID
from cas.group import TreeState
from cas.journal import Change, JournalRecord
from cas.kept import KeptStates, kept_path
from cas.lost import lost_objects
from cas.maintenance.forgetting import forget_history
from cas.maintenance.keeping import VersionCounter, commits_of
from cas.maintenance.marking import Marking
from cas.maintenance.policies import policy_path
from cas.maintenance.policy import VersionPolicy
from cas.objects import decode, encode
from cas.paths import join_names
from cas.refs import delete_ref, volumes_with_refs
from cas.registry import VOLUMES, VolumeRecord, head_of
from cas.repository import Repository
from cas.seen import SeenStates

_BELOW: Final = VOLUMES + b"/"


class Dropping:
    """Drops the volumes that nothing names any more. For one thread."""

    def __init__(self, repository: Repository, marking: Marking, policy: VersionPolicy) -> None:
        self._repository = repository
        self._engine = repository.engine
        self._marking = marking
        self._policy = policy
        self._dropped: set[bytes] = set()
        self._heads: set[bytes] = set()

    def decide(self, kept: KeptStates, *, is_dry_run: bool) -> set[bytes]:
        """Decide which volumes go, by what is kept of the registry, and write that down.

        Returns the ids of all that are dropped, also of those that were so before.
        """
        engine = self._engine
        with engine.catalog.read() as transaction:
            self._dropped = dropped_volumes(engine.nodes, transaction)
            self._heads = {volume_id for volume_id, _ in transaction.heads()}
            registry = head_of(transaction, REGISTRY_ID)
            there = {info.id for info in engine.registry.volumes(transaction).values()}
            young = [
                change
                for record in transaction.journal()
                for batch in decode(record, JournalRecord).batches
                if batch.volume_id == REGISTRY_ID
                for change in batch.changes
            ]
            is_whole = not lost_objects(engine.nodes, transaction)
        # What is lost of the registry's history may have named any of them.
        waiting = self._heads - there - self._dropped - {REGISTRY_ID} if is_whole else set()
        if waiting:
            waiting -= set(self._named(registry, kept, young))
        if is_dry_run:
            self._dropped |= waiting
            return self._dropped
        for volume_id in waiting:
            self._write_down(volume_id)
        if self._dropped & self._heads:
            engine.checkpointer.checkpoint(wait=True)
        return self._dropped

    @property
    def count(self) -> int:
        """How many volumes are dropped that are still there."""
        return len(self._dropped & self._heads)

    def drop(self, transaction: WriteTransaction) -> None:
        """Let the heads of the dropped volumes go, and their locks."""
        for volume_id in self._dropped & self._heads:
            transaction.delete_head(volume_id)
            self._repository.locks.drop_below(transaction, volume_id, ())

    def drop_alone(self) -> None:
        """Drop the volumes in a collection that condemns nothing."""
        if self.count:
            with self._engine.catalog.write() as transaction:
                self.drop(transaction)
        self.finish()

    def finish(self) -> None:
        """Remove what else there is of dropped volumes, before any pack goes.

        Raises:
            StoreError: the disk failed; the next collection goes on.
        """
        store, identifier = self._engine.store, self._engine.chunks.identifier
        for volume_id in self._dropped.intersection(volumes_with_refs(store, identifier)):
            delete_ref(store, identifier, volume_id)
        SeenStates(self._engine.local, identifier.sealing).forget(self._dropped)
        for volume_id in self._dropped:
            forget_history(self._engine.catalog, volume_id)

    def _named(self, registry: Head, kept: KeptStates, young: list[Change]) -> Iterator[bytes]:
        """Yield the ids of volumes that a kept change of the registry names."""
        counter = VersionCounter(self._policy)
        yield from _volumes_in(young)
        for _, commit in commits_of(self._engine, registry.commit, kept):
            changes = self._marking.changes(commit.changes)
            below = (change for change in changes if change.path.startswith(_BELOW))
            if commit.last_sequence > kept.every_since:
                yield from _volumes_in(below)
            else:
                for entry in counter.kept(below):
                    yield decode(entry.content, VolumeRecord).id

    def _write_down(self, volume_id: bytes) -> None:
        """Say in the registry that the volume is dropped, unless it was brought back."""

        def refuse_present(state: TreeState) -> None:
            folder = VOLUMES.decode()
            if state.get(folder) is None:
                return
            if any(
                decode(entry.content, VolumeRecord).id == volume_id
                for _, entry in state.list(folder)
            ):
                raise ConflictError("the volume was brought back")

        record = DroppedVolume(self._engine.clock.now_ns())
        folder, name = dropped_path(volume_id)
        edit = self._repository.registry.edit(author="gc")
        edit.require(refuse_present)
        edit.make_directory(join_names((folder,)), parents=True)
        edit.put_record(join_names((folder, name)), encode(record))
        try:
            edit.commit()
        except ConflictError:
            return
        self._dropped.add(volume_id)
        for path in (kept_path(volume_id), policy_path(volume_id)):
            with (
                suppress(NotFoundError),  # nothing was ever thinned out of it, or it had no rules
                self._repository.registry.edit(author="gc") as edit,
            ):
                edit.remove(join_names(path))


def _volumes_in(changes: Iterable[Change]) -> Iterator[bytes]:
    for change in changes:
        if change.path.startswith(_BELOW):
            for entry in (change.old, change.new):
                if entry is not None:
                    yield decode(entry.content, VolumeRecord).id
