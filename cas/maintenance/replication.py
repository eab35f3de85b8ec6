"""Replicating: a second store that holds the same repository, as it was at one moment.

A replica is a repository like any other, and opens by itself. What makes it is incremental, runs
beside writers, and leaves a replica that opens whenever it is cut off:

1. The replica is told to take no journal records from packs: those beyond the refs may be there
   with gaps.
2. Packs that it lacks are read, checked in full, and copied; nothing damaged is copied. That takes
   hours where there is much, so collections go on meanwhile: what they take away is passed over.
3. From here on no collection is at work. A checkpoint; the refs of that moment are what the replica
   will hold.
4. All processes seal their open packs: so all that the refs name lies in sealed packs.
5. What has come meanwhile is copied, as in 1 and 2.
6. Its refs move, the registry's last. Packs and refs that are gone here are deleted there.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from cas.catalog import PackRow, PackState
from cas.disk import StoreErrors
from cas.dropped import dropped_volumes
from cas.errors import (
    REPAIR_HINT,
    ConflictError,
    IntegrityError,
    InvalidError,
    LockedError,
    NotFoundError,
)
from cas.formats import REGISTRY_ID, REPLICATION_LOCK, decode_stamp
from cas.ids import Kind, ObjectId
from cas.journal import JournalRecord
from cas.maintenance.damage import Damage
from cas.maintenance.exclusive import exclusive, one_at_a_time
from cas.maintenance.pack_table import PackTable
from cas.maintenance.reading import read_pack
from cas.maintenance.watching import Patience, WaitedFor, Watcher
from cas.objects import decode
from cas.pack_reader import StoredPack, pack_blob_name
from cas.packfile import RECORD_OVERHEAD, read_footer
from cas.packs import location_of
from cas.preparing import local_directory
from cas.processes import live_processes
from cas.records import open_record
from cas.refs import Ref, delete_ref, move_ref, new_ref, read_refs, ref_name
from cas.repository import Repository
from cas.stores.base import BlobStore
from cas.stores.names import CONFIG_NAME
from cas.stores.opening import open_store


class ReplicationReport(NamedTuple):
    """What was copied, or would be. Sizes are bytes of packs.

    `damaged_packs` were found damaged here and were not copied: what is in them is missing in the
    replica too. Nothing is removed from it then.
    """

    packs: int
    size: int
    copied_packs: int
    copied_size: int
    removed_packs: int
    volumes: int
    damaged_packs: list[str]
    is_dry_run: bool


def replicate(
    repository: Repository,
    location: str | Path,
    *,
    is_dry_run: bool = False,
    watcher: Watcher | None = None,
) -> ReplicationReport:
    """Bring the replica at a location up to date, or make it.

    Raises:
        InvalidError: there is another repository at the location, or this one.
        ConflictError: the replica has been written to: it is none any more.
        LockedError: a process has the replica open.
        StoreError, StoreFullError: a disk failed or is full; the replica is what it was before.
    """
    target = open_store(location, create=not is_dry_run)
    watcher = watcher or Watcher()
    replication = _Replication(repository, target, watcher)
    with one_at_a_time(repository.engine, REPLICATION_LOCK, watcher):
        replication.accept_target()
        if not is_dry_run:
            replication.copy_ahead()
        # No collection deletes what is about to be copied.
        with exclusive(repository.engine, watcher):
            return replication.run(is_dry_run=is_dry_run)


class _Replication:
    def __init__(self, repository: Repository, target: BlobStore, watcher: Watcher) -> None:
        self._repository = repository
        self._engine = repository.engine
        self._source = repository.engine.store
        self._identifier = repository.engine.chunks.identifier
        self._target = target
        self._watcher = watcher
        self._damages: list[Damage] = []
        self._old_refs: list[Ref] = []
        self._journal: tuple[int, bytes] = (0, b"")
        self._copied: dict[bytes, int] = {}

    def copy_ahead(self) -> None:
        """Copy what is sealed already; collections may be at work."""
        self._repository.catch_up()
        missing, _ = self._compare(self._sealed_packs())
        self._silence_journal([], missing)
        self._copy("copying packs", missing)

    def run(self, *, is_dry_run: bool) -> ReplicationReport:
        """Make the replica what is here; no collection is at work."""
        self._repository.catch_up()
        self._engine.checkpointer.checkpoint(wait=True)
        refs = read_refs(self._source, self._identifier)
        self._refuse_older(refs)
        self._watcher.stage("waiting until all open packs are sealed")
        self._seal_everywhere()
        packs = self._sealed_packs()
        missing, extra = self._compare(packs)
        damaged: list[str] = []
        if is_dry_run:
            self._copied = {row.id: row.size for _, row in missing}
        else:
            journal = self._silence_journal(refs, missing)
            damaged = self._copy("copying what has come meanwhile", missing)
            self._publish(refs, journal, set() if damaged else extra)
        return ReplicationReport(
            len(packs),
            sum(row.size for _, row in packs),
            len(self._copied),
            sum(self._copied.values()),
            0 if damaged else len(extra),
            len(refs) - 1 if refs else 0,
            damaged,
            is_dry_run,
        )

    def accept_target(self) -> None:
        """Read the replica's refs, if it is one of this repository.

        Raises:
            InvalidError: it is none.
            ConflictError: it has gone its own way.
            LockedError: it is in use.
        """
        if self._target.location == self._source.location:
            raise InvalidError("a repository cannot be its own replica: name another place")
        try:
            config, _ = self._target.read(CONFIG_NAME)
        except NotFoundError:
            if read_refs(self._target, self._identifier):
                raise InvalidError(f"{self._target.location} holds other files") from None
            return
        # That of an encrypted repository changes with its keys.
        if decode_stamp(config).identity != self._repository.identity:
            message = f"{self._target.location} holds another repository: name an empty place"
            raise InvalidError(message)
        refs = read_refs(self._target, self._identifier)
        with self._engine.catalog.read() as transaction:
            dropped = dropped_volumes(self._engine.nodes, transaction)
            strange = [
                ref
                for ref in refs
                if transaction.location(ref.commit) is None and ref.volume_id not in dropped
            ]
        self._forget_catalog(is_changed=bool(strange))
        self._old_refs = refs

    def _forget_catalog(self, *, is_changed: bool) -> None:
        """Remove what opening the replica has left; it would hide what comes now."""
        local, is_temporary = local_directory(self._target)
        if is_temporary:
            shutil.rmtree(local)
            return
        live = live_processes(local / "processes")
        if live:
            message = f"{self._target.location} is open in a process ({', '.join(live)}): stop it"
            raise LockedError(message)
        if is_changed or any((local / "open").glob("*.pack")):
            message = (
                f"{self._target.location} has been written to and is no replica any more: "
                "name another place, or remove it first"
            )
            raise ConflictError(message)
        with StoreErrors():
            if (local / "catalog").exists():
                shutil.rmtree(local / "catalog")

    def _refuse_older(self, refs: list[Ref]) -> None:
        """Raise where somebody has put an old ref back, which is not to be passed on."""
        with self._engine.catalog.read() as transaction:
            heads = dict(transaction.heads())
        for ref in refs:
            head = heads.get(ref.volume_id)
            if head is not None and ref.sequence < head.commit_sequence:
                name = ref_name(self._identifier, ref.volume_id)
                message = f"{name} names an older state than it did: {REPAIR_HINT}"
                raise IntegrityError(message)

    def _seal_everywhere(self) -> None:
        """Return when all that was in open packs is in sealed ones."""
        process, catalog = self._engine.process, self._engine.catalog
        with catalog.write() as transaction:
            number = transaction.ask_for_sealing()
        self._repository.upkeep.seal_if_asked()
        patience = Patience(self._watcher)
        while True:
            with catalog.read() as transaction:
                rows = transaction.processes()
            behind = {key: row.pid for key, row in rows if row.sealing < number}
            if not behind:
                return
            if not all(process.is_alive(key) for key in behind):
                self._repository.upkeep.adopt_dead()
            else:
                patience.wait_for(map(WaitedFor, behind.values()))

    def _sealed_packs(self) -> list[tuple[int, PackRow]]:
        with self._engine.catalog.read() as transaction:
            packs = list(transaction.packs())
        kept = {PackState.SEALED, PackState.CONDEMNED}
        return [(ordinal, row) for ordinal, row in packs if row.state in kept]

    def _compare(
        self, packs: list[tuple[int, PackRow]]
    ) -> tuple[list[tuple[int, PackRow]], set[str]]:
        """Return the packs that the replica lacks, and the names of those that only it has."""
        there = {name for name, _ in self._target.list("packs")}
        missing = [each for each in packs if pack_blob_name(each[1].id) not in there]
        return missing, there - {pack_blob_name(row.id) for _, row in packs}

    def _silence_journal(
        self, refs: list[Ref], packs: list[tuple[int, PackRow]]
    ) -> tuple[int, bytes]:
        """Say in the replica that it holds no journal beyond what these packs bring.

        Return number and id of the newest journal record that it will hold.
        """
        known = (*refs, *self._old_refs)
        newest = max((self._journal, *((ref.journal, ref.journal_id) for ref in known)))
        for ordinal, row in packs:
            newest = max(newest, self._journal_end_of(ordinal, row, newest[0]))
        self._journal = newest
        self._set_refs([ref for ref in self._old_refs if ref.volume_id == REGISTRY_ID], newest)
        return newest

    def _journal_end_of(self, ordinal: int, row: PackRow, after: int) -> tuple[int, bytes]:
        pack = StoredPack(self._source, pack_blob_name(row.id))
        seal = self._engine.chunks.reader.seal(ordinal)
        try:
            footer = read_footer(pack.read_at, row.size, seal)
        except (IntegrityError, NotFoundError):
            return (0, b"")  # it will not be copied
        if footer.last_journal <= after:
            return (0, b"")
        newest = (0, b"")
        for number, place in enumerate(footer.places):
            if place.kind is Kind.JOURNAL:
                stored = pack.read_at(place.offset + RECORD_OVERHEAD, place.stored_size)
                location = location_of(ordinal, number, place)
                encoded = open_record(
                    self._identifier, place.kind, place.id, location, stored, seal
                )
                newest = max(newest, (decode(encoded, JournalRecord).number, bytes(place.id)))
        return newest

    def _set_refs(self, refs: list[Ref], journal: tuple[int, bytes]) -> None:
        for ref in sorted(refs, key=lambda each: each.volume_id == REGISTRY_ID):
            commit = ObjectId(ref.commit)
            moved = new_ref(ref.volume_id, commit, ref.sequence, *journal)
            move_ref(self._target, self._identifier, moved)

    def _copy_config(self) -> None:
        """Write the config, last of all in a new replica, or anew if the keys are others now."""
        config, _ = self._source.read(CONFIG_NAME)
        try:
            old, token = self._target.read(CONFIG_NAME)
        except NotFoundError:
            self._target.replace(CONFIG_NAME, config, None)
            return
        if old != config:
            self._target.replace(CONFIG_NAME, config, token)

    def _copy(self, stage: str, packs: list[tuple[int, PackRow]]) -> list[str]:
        """Copy packs, the content of each record checked; return those that are damaged.

        Those that a collection takes away meanwhile are none of both.
        """
        self._watcher.stage(stage, len(packs))
        table = PackTable(self._engine, self._damages.append)
        damaged = []
        for ordinal, row in packs:
            try:
                is_copied = self._copy_sound(table, ordinal, row)
            except NotFoundError:
                is_copied = False
            if is_copied:
                self._copied[row.id] = row.size
            elif not table.is_gone(ordinal):
                damaged.append(row.id.hex())
            self._watcher.advance(1)
        return damaged

    def _copy_sound(self, table: PackTable, ordinal: int, row: PackRow) -> bool:
        """Copy a pack and return True, if nothing is wrong with it."""
        told = len(self._damages)
        checked = table.check(ordinal)
        if checked is None or read_pack(checked, self._identifier).bad:
            return False
        if len(self._damages) > told:
            return False
        name = pack_blob_name(row.id)
        self._target.put(name, self._source.get(name))
        return True

    def _publish(self, refs: list[Ref], journal: tuple[int, bytes], extra: set[str]) -> None:
        """Move the replica's refs, which makes it what is here; then remove what is gone here."""
        self._set_refs(refs, journal)
        self._copy_config()
        kept = {ref.volume_id for ref in refs}
        for ref in self._old_refs:
            if ref.volume_id not in kept:
                delete_ref(self._target, self._identifier, ref.volume_id)
        for name in extra:
            self._target.delete(name)
