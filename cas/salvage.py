"""What a rebuild does where refs, commits or journal records cannot be read: as much as can be.

A volume falls back to its newest commit that can be read and goes on from there as long as its
changes follow each other. Nothing is made up: what a volume shows afterwards is a state that it
was in. Whatever is given up is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cas.catalog import Catalog, WriteTransaction
from cas.chunkstore import ChunkStore
from cas.clock import Clock
from cas.errors import CasError
from cas.formats import REGISTRY_ID
from cas.ids import Kind
from cas.journal import Batch, Commit, JournalRecord
from cas.journal_replay import FoundPack, Loss
from cas.objects import decode, encode
from cas.open_packs import Flushed
from cas.recovery import Recovery
from cas.refs import read_ref, volumes_with_refs
from cas.reliance import Reliance
from cas.stores.base import BlobStore


class Start(NamedTuple):
    """The commit that a volume goes on from; `journal` is the number of the last record before."""

    commit_id: bytes
    commit: Commit
    journal: int


def find_starts(
    catalog: Catalog, store: BlobStore, chunks: ChunkStore, losses: list[Loss]
) -> dict[bytes, Start]:
    """Return where each volume goes on from: its ref's commit, else the newest that can be read."""
    starts: dict[bytes, Start] = {}
    found = volumes_with_refs(store, chunks.identifier)
    covered = covered_journal(store, chunks)
    for volume_id in found:
        try:
            ref = read_ref(store, chunks.identifier, volume_id)
            if ref is not None:
                commit = decode(chunks.get(Kind.COMMIT, ref.commit), Commit)
                starts[volume_id] = Start(ref.commit, commit, covered)
        except CasError as error:
            losses.append(Loss(volume_id, f"an older commit has to do: {error}"))
    unknown = sum(1 for _ in store.list("refs")) - len(found)
    if unknown > 0:
        losses.append(Loss(b"", f"{unknown} refs cannot be read: older commits have to do"))
    is_short = covered == 0 or unknown > 0 or len(starts) < len(found)
    newest = _newest_commits(catalog, chunks) if is_short else {}
    for volume_id, (commit_id, commit) in newest.items():
        start = starts.get(volume_id)
        if start is None or start.commit.last_sequence < commit.last_sequence:
            starts[volume_id] = Start(commit_id, commit, commit.journal if covered else 0)
    return starts


def covered_journal(store: BlobStore, chunks: ChunkStore) -> int:
    """Return the number up to which all refs' commits hold the journal; 0 if that is lost."""
    try:
        ref = read_ref(store, chunks.identifier, REGISTRY_ID)
    except CasError:
        return 0
    return ref.journal if ref else 0


def replay_rest(
    transaction: WriteTransaction,
    recovery: Recovery,
    chunks: ChunkStore,
    packs: Sequence[FoundPack],
    clock: Clock,
    after: int,
) -> tuple[Flushed, list[Loss]]:
    """Apply what is left of the journal, and begin a new one with it behind all its numbers.

    So that the old one, which has a hole or ends at number `after`, is not needed any more. Call
    `confirm` of the open packs with what was flushed once the transaction is committed.
    """
    applied, losses = recovery.replay.rest(transaction, packs)
    losses += [
        Loss(b"", f"pack {pack.id.hex()} has damaged journal records: the last changes may be lost")
        for pack in packs
        if not pack.is_journal_whole
    ]
    last = max((pack.footer.last_journal for pack in packs), default=after)
    number, previous = max(transaction.journal_end()[0], last), b""
    relies = Reliance()
    for batches in [[batch] for batch in applied] or [list[Batch]()]:
        number += 1
        encoded = encode(JournalRecord(number, previous, clock.now_ns(), batches))
        previous = chunks.append_journal(number, encoded, relies)
        transaction.put_journal(number, previous, encoded)
    return chunks.open_packs.flush(transaction, [relies]), losses


def _newest_commits(catalog: Catalog, chunks: ChunkStore) -> dict[bytes, tuple[bytes, Commit]]:
    """Return the newest commit of each volume that can be read, with its id."""
    with catalog.read() as transaction:
        ids = [key for key, found in transaction.locations(b"") if found.kind is Kind.COMMIT]
    newest: dict[bytes, tuple[bytes, Commit]] = {}
    for commit_id in ids:
        try:
            commit = decode(chunks.get(Kind.COMMIT, commit_id), Commit)
        except CasError:
            continue
        known = newest.get(commit.volume_id)
        if known is None or _age(known[1]) < _age(commit):
            newest[commit.volume_id] = commit_id, commit
    return newest


def _age(commit: Commit) -> tuple[int, int]:
    return commit.last_sequence, commit.time_ns
