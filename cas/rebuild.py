"""Building the catalog anew from packs and refs, where it is missing.

The footers of all packs say where each object lies; each ref names its volume's head; the
journal records behind the refs hold what was acknowledged since.
"""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from cas.catalog import Catalog, Head, WriteTransaction
from cas.chunkstore import ChunkStore
from cas.disk import StoreErrors
from cas.errors import IntegrityError
from cas.formats import REGISTRY_ID
from cas.ids import Kind
from cas.journal import Commit
from cas.objects import decode
from cas.pack_reader import pack_blob_name
from cas.processes import is_locked
from cas.recovery import FoundPack, Recovery
from cas.refs import Ref, read_ref, read_refs
from cas.stores.base import BlobStore

_logger = logging.getLogger(__name__)


def rebuild_if_needed(
    catalog: Catalog,
    store: BlobStore,
    chunks: ChunkStore,
    recovery: Recovery,
    local: Path,
    identity: bytes,
) -> None:
    """Fill an empty catalog from the store; return at once where it is complete.

    Raises:
        IntegrityError: the catalog is another repository's, or something acknowledged is missing.
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
        _rebuild(catalog, store, chunks, recovery, local, identity)
    finally:
        os.close(descriptor)


def _rebuild(
    catalog: Catalog,
    store: BlobStore,
    chunks: ChunkStore,
    recovery: Recovery,
    local: Path,
    identity: bytes,
) -> None:
    _refuse_strangers(catalog, local / "processes")
    packs: list[FoundPack] = []  # those with journal records that no commit holds
    covered = read_ref(store, chunks.identifier, REGISTRY_ID)
    after = covered.journal if covered else 0
    for path in sorted((local / "open").glob("*.pack")):
        pack = recovery.seal_file(path, after)
        if pack is not None:
            store.put_file(pack_blob_name(pack.id), path)
            _logger.info("sealed the open pack %s", pack.id.hex())
    for name, _ in store.list("packs"):
        path_of_pack = store.local_path(name)
        if path_of_pack is None:
            continue
        pack = recovery.read_pack(path_of_pack, bytes.fromhex(name.rpartition("/")[2]), after)
        with catalog.write() as transaction:
            recovery.enter(transaction, pack)
        if pack.journal or not pack.is_journal_whole:
            packs.append(pack._replace(footer=pack.footer._replace(places=[])))
    refs = read_refs(store, chunks.identifier)
    commits = [(ref, decode(chunks.get(Kind.COMMIT, ref.commit), Commit)) for ref in refs]
    # In one transaction: a rebuild that is cut off leaves nothing that the next one trips over.
    with catalog.write() as transaction:
        for ref, commit in commits:
            _set_head(transaction, ref, commit)
        if covered is not None:
            transaction.set_journal_end(covered.journal, covered.journal_id)
        recovery.replay_all(transaction, packs)
        transaction.set_identity(identity)


def _refuse_strangers(catalog: Catalog, processes: Path) -> None:
    """Refuse to go on while a process is at work on the catalog that was here before."""
    with catalog.read() as transaction:
        known = {process_id.hex() for process_id, _ in transaction.processes()}
    if any(path.stem not in known and is_locked(path) for path in processes.glob("*.lock")):
        raise IntegrityError(
            "the catalog is gone while another process still has the repository open: stop it, "
            "then try again"
        )


def _set_head(transaction: WriteTransaction, ref: Ref, commit: Commit) -> None:
    transaction.put_head(
        ref.volume_id,
        Head(
            commit.root,
            commit.last_sequence,
            ref.commit,
            commit.last_sequence,
            commit.time_ns,
            commit.snapshots,
        ),
    )
