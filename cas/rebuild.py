"""Building the catalog anew from packs and refs, where it is missing.

The footers of all packs say where each object lies; each ref names its volume's head; the
journal records behind the refs hold what was acknowledged since.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Final

from cas.catalog import Catalog, WriteTransaction
from cas.chunkstore import ChunkStore
from cas.clock import Clock
from cas.disk import StoreErrors
from cas.errors import REPAIR_HINT, IntegrityError
from cas.formats import REGISTRY_ID
from cas.gateway import Gateway, set_head
from cas.ids import Kind
from cas.journal import Commit
from cas.journal_replay import FoundPack, Loss
from cas.objects import decode
from cas.pack_reader import pack_blob_name, sealed_pack
from cas.processes import live_processes
from cas.recovery import Recovery
from cas.refs import Ref, read_ref, read_refs
from cas.salvage import covered_journal, find_starts, replay_rest
from cas.seen import SeenStates
from cas.stores.base import BlobStore

_NO_JOURNAL: Final = 2**63
_READERS: Final = 16
_READ_AT_ONCE: Final = 256
_ENTERED_AT_ONCE: Final = 200_000
"""Rows of packs that go into one transaction."""
_logger = logging.getLogger(__name__)


def rebuild_if_needed(
    catalog: Catalog,
    store: BlobStore,
    chunks: ChunkStore,
    recovery: Recovery,
    local: Path,
    identity: bytes,
    clock: Clock,
    seen: SeenStates,
    losses: list[Loss] | None = None,
    gateway: Gateway | None = None,
) -> None:
    """Fill an empty catalog from the store; return at once where it is complete.

    With `losses`, what cannot be read of refs, commits and journal is given up, and added there.
    With a `gateway` there is no journal: what was acknowledged is in commits.

    Raises:
        IntegrityError: the catalog is another repository's, or something acknowledged is missing,
            or an older state than one that was seen was put back.
    """
    with catalog.read() as transaction:
        found = transaction.identity()
    if found == identity:
        return
    if found is not None:
        message = f"the catalog in {local} belongs to another repository: move it away"
        raise IntegrityError(message)
    with StoreErrors():
        descriptor = os.open(local / "rebuild.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with catalog.read() as transaction:
            if transaction.identity() == identity:
                return
        _refuse_strangers(catalog, local / "processes")
        if gateway is not None:
            gateway.begin()
            with catalog.write() as transaction:
                transaction.set_identity(identity)
            return
        rebuild = _Rebuild(catalog, store, chunks, recovery, identity, seen)
        rebuild.seal_open_packs(local / "open")
        if losses is None:
            rebuild.run()
        else:
            rebuild.salvage(clock, losses)
    finally:
        os.close(descriptor)


class _Rebuild:
    def __init__(
        self,
        catalog: Catalog,
        store: BlobStore,
        chunks: ChunkStore,
        recovery: Recovery,
        identity: bytes,
        seen: SeenStates,
    ) -> None:
        self._seen = seen
        self._catalog = catalog
        self._store = store
        self._chunks = chunks
        self._recovery = recovery
        self._identity = identity

    def seal_open_packs(self, directory: Path) -> None:
        paths = sorted(directory.glob("*.pack"))
        for path, pack in self._recovery.seal_files(paths, _NO_JOURNAL, self._newest_journal):
            self._store.put_file(pack_blob_name(pack.id), path)
            _logger.info("sealed the open pack %s", pack.id.hex())

    def run(self) -> None:
        """Rebuild, or raise where something acknowledged is missing."""
        covered = read_ref(self._store, self._chunks.identifier, REGISTRY_ID)
        packs = self._enter_packs(covered.journal if covered else 0)
        refs = read_refs(self._store, self._chunks.identifier)
        commits = [(ref, self._commit(ref)) for ref in refs]
        # In one transaction: a rebuild that is cut off leaves nothing that the next trips over.
        with self._catalog.write() as transaction:
            for ref, commit in commits:
                set_head(transaction, ref.commit, commit)
            if covered is not None:
                transaction.set_journal_end(covered.journal, covered.journal_id)
            self._recovery.replay.all(transaction, packs)
            self._seen.refuse_older(_sequences(transaction))
            transaction.set_identity(self._identity)

    def _commit(self, ref: Ref) -> Commit:
        try:
            return decode(self._chunks.get(Kind.COMMIT, ref.commit), Commit)
        except IntegrityError as error:
            message = f"the newest commit of volume {ref.volume_id.hex()} ({error}): {REPAIR_HINT}"
            raise IntegrityError(message) from error

    def salvage(self, clock: Clock, losses: list[Loss]) -> None:
        """Rebuild as far as can be."""
        self._enter_packs(_NO_JOURNAL)
        starts = find_starts(self._catalog, self._store, self._chunks, losses)
        after = min((start.journal for start in starts.values()), default=0)
        packs = [pack for pack in self._found_packs(after) if pack.footer.last_journal > after]
        self._chunks.open_packs.refill_ordinals()
        with self._catalog.write() as transaction:
            for start in starts.values():
                set_head(transaction, start.commit_id, start.commit)
            flushed, lost = replay_rest(
                transaction, self._recovery, self._chunks, packs, clock, after
            )
            transaction.set_identity(self._identity)
            sequences = _sequences(transaction)
        self._seen.accept(sequences)  # what was given up is not waited for
        self._chunks.open_packs.confirm(flushed)
        losses += lost

    def _enter_packs(self, after: int) -> list[FoundPack]:
        """Tell the catalog of all packs; return those with journal records beyond the number."""
        packs = []
        found = self._found_packs(after)
        while some := _enough(found):
            with self._catalog.write() as transaction:  # which waits for the disk
                self._recovery.enter_all(transaction, some)
            packs += [
                pack._replace(footer=pack.footer._replace(places=[]))
                for pack in some
                if pack.journal or not pack.is_journal_whole
            ]
        return packs

    def _newest_journal(self) -> int:
        """Return the highest number of a journal record that is told of in the store."""
        found = (pack.footer.last_journal for pack in self._found_packs(_NO_JOURNAL))
        return max(covered_journal(self._store, self._chunks), *found, 0)

    def _found_packs(self, after: int) -> Iterator[FoundPack]:
        def read(found: tuple[str, int]) -> FoundPack:
            name, size = found
            pack_id = bytes.fromhex(name.rpartition("/")[2])
            return self._recovery.read_pack(sealed_pack(self._store, name, size), pack_id, after)

        packs = self._store.list("packs")
        with ThreadPoolExecutor(_READERS) as pool:  # far away each waits for an answer
            while some := list(islice(packs, _READ_AT_ONCE)):
                yield from pool.map(read, some)


def _enough(found: Iterator[FoundPack]) -> list[FoundPack]:
    """Return the next packs whose rows make a transaction; none at the end."""
    some: list[FoundPack] = []
    rows = 0
    for pack in found:
        some.append(pack)
        rows += len(pack.footer.places)
        if rows >= _ENTERED_AT_ONCE:
            break
    return some


def _refuse_strangers(catalog: Catalog, processes: Path) -> None:
    """Refuse to go on while a process is at work on the catalog that was here before."""
    with catalog.read() as transaction:
        known = {process_id.hex() for process_id, _ in transaction.processes()}
    live = live_processes(processes, known)
    if live:
        message = (
            f"the catalog is gone while another process ({', '.join(live)}) still has the "
            "repository open: stop it, then try again"
        )
        raise IntegrityError(message)


def _sequences(transaction: WriteTransaction) -> dict[bytes, int]:
    return {volume_id: head.sequence for volume_id, head in transaction.heads()}
