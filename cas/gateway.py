"""What this machine knows of the refs that several gateways move.

A gateway's catalog is a cache of the blob store: before a request sees a volume, the volume's ref
is asked for, and where it has moved, the packs of its commits are entered and the head is set.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from msgspec.structs import replace

from cas.catalog import Catalog, Head, PackState, WriteTransaction
from cas.chunkstore import ChunkStore
from cas.done import note_replayed
from cas.dropped import dropped_volumes
from cas.epochs import read_epoch
from cas.errors import ConflictError, IntegrityError, MissingObjectError, NotFoundError
from cas.formats import REGISTRY_ID
from cas.ids import Kind, ObjectId
from cas.journal import Batch, Change, ChangeNode, Commit
from cas.kept import KeptStates, kept_by
from cas.nodes import NodeStore, ReadNodes
from cas.objects import decode
from cas.pack_index import NamedPack, PackIndex
from cas.refs import SharedRef, decode_ref, encode_ref, read_refs, ref_name
from cas.registry import head_of
from cas.stores.base import BlobStore, Token
from cas.workers import waiting_map

PACKS_IN_REF: Final = 64
"""Packs that a ref names: as many as one request for what is new may have to look at."""
_COMMITS_READ: Final = 256
"""Commits of others whose keys of edits are learned; of older ones `find_edit` finds them."""
_RETRIED_NS: Final = 30 * 10**9
"""What was sent to another gateway so shortly before this one began may be sent to it again."""


class KnownRef(NamedTuple):
    """A ref as it was when this process last saw it; None of both where there is none."""

    token: Token | None
    ref: SharedRef | None

    @property
    def commit(self) -> bytes:
        """The id of the volume's newest commit, empty where there is none."""
        return b"" if self.ref is None else self.ref.commit


_UNSEEN: Final = KnownRef(None, None)


class _Asking:
    """A request to the store that has not begun: whoever comes before it does shares it."""

    def __init__(self) -> None:
        self.is_done = threading.Event()
        self.error: BaseException | None = None


class Gateway:
    """The refs of a blob store that gateways share. Shared by threads."""

    def __init__(
        self,
        catalog: Catalog,
        store: BlobStore,
        chunks: ChunkStore,
        nodes: NodeStore,
        index: PackIndex,
        began_ns: int,
    ) -> None:
        """`began_ns` is the time, by the clock of commits."""
        self._since_ns = began_ns - _RETRIED_NS
        self._catalog = catalog
        self._store = store
        self._chunks = chunks
        self._nodes = nodes
        self._index = index
        self._identifier = chunks.identifier
        self._lock = threading.Lock()
        self._known: dict[bytes, KnownRef] = {}
        self._asking: dict[bytes, _Asking] = {}
        self._turns: dict[bytes, threading.Lock] = {}
        self.tell: Callable[[bytes], None] = lambda _: None
        """Tells other gateways that a volume has a newer state, where they can be told."""
        self._here = threading.local()
        index.before_missing = self.learn_epoch

    def freshen(self, volume_id: bytes) -> None:
        """Let the catalog have what was acknowledged by anybody before this was called.

        Raises:
            StoreError: the blob store cannot be reached.
            IntegrityError: the ref or its commit is missing or damaged, or an older ref was put
                back.
        """
        with self._lock:
            asking = self._asking.get(volume_id)
            is_mine = asking is None
            if asking is None:
                asking = self._asking[volume_id] = _Asking()
            turn = self._turns.setdefault(volume_id, threading.Lock())
        if not is_mine:
            asking.is_done.wait()
            if asking.error is not None:
                raise asking.error
            return
        with turn:
            with self._lock:
                del self._asking[volume_id]  # who comes from here on may see more than this does
            try:
                self._ask(volume_id)
            except BaseException as error:
                asking.error = error
                raise
            finally:
                asking.is_done.set()

    def begin(self) -> None:
        """Let an empty catalog have what a first request needs; the rest is found when asked for.

        Raises:
            StoreError, IntegrityError: as `freshen`.
        """
        self.freshen(REGISTRY_ID)

    def catch_up(self) -> None:
        """Let the catalog have all packs, and the newest state of every volume.

        Raises:
            StoreError, IntegrityError: as `freshen`.
        """
        self._index.look_for_new()
        self.learn_epoch()
        for ref in read_refs(self._store, self._identifier):
            self.freshen(ref.volume_id)

    def learn_epoch(self) -> None:
        """Let the catalog know what collections have condemned by now, or deleted.

        Behind the registry as it was when that began, or later: whatever retention had dropped
        is known to be dropped wherever this epoch is known.

        Raises:
            StoreError, IntegrityError: as `freshen`.
        """
        if getattr(self._here, "is_learning", False):
            return
        self._here.is_learning = True
        try:
            record, _ = read_epoch(self._store, self._identifier)
            number = self._epoch()
            if record.number <= number:
                return
            gone = self._unlisted() if number < record.forgotten else []
            with suppress(NotFoundError):
                found = self._read(ref_name(self._identifier, REGISTRY_ID), None)
                if found is not None:
                    self._adopt(found[0])
            with self._catalog.read() as transaction:
                dropped = dropped_volumes(self._nodes, transaction)
            with self._catalog.write() as transaction:
                if transaction.epoch() < record.number:
                    transaction.adopt_epoch(record.number, record.known, gone)
                    for volume_id in dropped:
                        transaction.delete_head(volume_id)
        finally:
            self._here.is_learning = False

    def fence(self, number: int) -> None:
        """Let nobody move a ref any more who does not know this epoch.

        Raises:
            StoreError: the blob store cannot be reached; some refs may be fenced.
            IntegrityError: a ref is damaged.
        """
        names = [name for name, _ in self._store.list("refs")]
        for _ in waiting_map(lambda name: self._fence(name, number), names):
            pass

    def _fence(self, name: str, number: int) -> None:
        while True:
            try:
                found = self._read(name, None)
            except NotFoundError:
                return
            if found is None or found[0].min_epoch >= number:
                return
            ref, token = found
            fenced = replace(ref, min_epoch=number, nonce=secrets.token_bytes(16))
            with suppress(ConflictError):  # a commit was faster: it is seen by what comes next
                self._store.replace(name, encode_ref(self._identifier, fenced), token)

    def open_ref(self, volume_id: bytes) -> None:
        """Make the ref of a volume that has none; whoever commits to it has looked at the epoch.

        Raises:
            StoreError: it may be there, or not.
        """
        ref = SharedRef(volume_id, ObjectId(b""), 0, 0, b"", secrets.token_bytes(16))
        with suppress(ConflictError):
            name = ref_name(self._identifier, volume_id)
            self._store.replace(name, encode_ref(self._identifier, ref), None)

    def _unlisted(self) -> list[bytes]:
        """Return the packs that the catalog knows and the store has no more."""
        with self._catalog.read() as transaction:
            rows = [row for _, row in transaction.packs()]
        stored = {row.id for row in rows if row.state in {PackState.SEALED, PackState.CONDEMNED}}
        return sorted(stored - {pack.id for pack in self._index.listed()}) if stored else []

    def _epoch(self) -> int:
        with self._catalog.read() as transaction:
            return transaction.epoch()

    def known(self, volume_id: bytes) -> KnownRef:
        """Return a volume's ref as it was last seen."""
        return self._known.get(volume_id, _UNSEEN)

    def move(self, ref: SharedRef, expected: Token | None) -> bool:
        """Make this the volume's ref if it is still in the state expected; False if it is not.

        An answer that was lost is made good by reading: the ref says whether its commit, or one
        that follows it, is there.

        Raises:
            StoreError: it may have moved, or not; nobody can tell now.
        """
        name = ref_name(self._identifier, ref.volume_id)
        try:
            token = self._store.replace(name, encode_ref(self._identifier, ref), expected)
        except ConflictError:
            try:
                found = self._read(name, None)
            except NotFoundError:
                return False
            if found is None or not self._follows(found[0], ref):
                return False
            self._known[ref.volume_id] = KnownRef(found[1], found[0])
            return True
        self._known[ref.volume_id] = KnownRef(token, ref)
        return True

    def _follows(self, found: SharedRef, mine: SharedRef) -> bool:
        """Whether a ref is the one that was written, or came after it."""
        if found.nonce == mine.nonce:
            return True
        if found.sequence < mine.sequence:
            return False
        if mine.packs and mine.packs[-1] in found.packs:  # random: no other commit brought it
            return True
        if len(found.packs) < PACKS_IN_REF:
            return False
        self._index.learn(found.packs)
        commit_id: bytes = found.commit
        while commit_id and commit_id != mine.commit:
            commit = decode(self._chunks.get(Kind.COMMIT, commit_id), Commit)
            commit_id = commit.parent if commit.last_sequence > mine.sequence else b""
        return bool(commit_id)

    def _ask(self, volume_id: bytes) -> None:
        with self._catalog.read() as transaction:
            before, epoch = head_of(transaction, volume_id), transaction.epoch()
        known = self.known(volume_id)
        try:
            found = self._read(ref_name(self._identifier, volume_id), known.token)
        except NotFoundError:  # nobody has written to it yet, or it was given up
            self._known[volume_id] = _UNSEEN
            return
        ref = known.ref if found is None else found[0]
        if ref is not None and ref.min_epoch > epoch:
            self.learn_epoch()
        if found is None:
            if known.ref is not None:
                self._adopt(known.ref)  # unless that has been done
            return
        ref, token = found
        if ref.sequence < before.commit_sequence:
            message = (
                f"the ref of volume {volume_id.hex()} names change {ref.sequence}, but "
                f"{before.commit_sequence} was seen: an older state of the store was put back"
            )
            raise IntegrityError(message)
        self._adopt(ref)
        self._known[volume_id] = KnownRef(token, ref)

    def _read(self, name: str, known: Token | None) -> tuple[SharedRef, Token] | None:
        """Return a ref, None if it is still the known one."""
        found = self._store.read_changed(name, known)
        if found is None:
            return None
        return decode_ref(self._identifier, found[0], name, SharedRef), found[1]

    def _adopt(self, ref: SharedRef) -> None:
        """Set the head of a volume to what its ref names, unless that is known."""
        with self._catalog.read() as transaction:
            head = head_of(transaction, ref.volume_id)
        if not ref.commit or head.commit == ref.commit:
            return
        # An empty catalog is in a hurry: the last pack has the commit.
        self._index.learn(ref.packs if head.commit else ref.packs[-1:])
        commit = decode(self._chunks.get(Kind.COMMIT, ref.commit), Commit)
        since = self._batches(commit, head, ref)
        while not self._set_head(ref, commit, since):
            pass

    def _set_head(self, ref: SharedRef, commit: Commit, since: list[Batch]) -> bool:
        """Make a commit the newest, unless the volume was dropped; False: look once more."""
        registry = self._undropped(ref.volume_id)
        if registry is None:
            return True
        with self._catalog.write() as transaction:
            if registry not in {b"", head_of(transaction, REGISTRY_ID).commit}:
                return False
            if head_of(transaction, ref.volume_id).commit_sequence < commit.last_sequence:
                set_head(transaction, ref.commit, commit)
                for batch in since:
                    note_replayed(transaction, batch)
        return True

    def _undropped(self, volume_id: bytes) -> bytes | None:
        """Return by which commit of the registry a volume is not dropped, None if it is."""
        while volume_id != REGISTRY_ID:
            with self._catalog.read() as transaction:
                registry = head_of(transaction, REGISTRY_ID).commit
                try:
                    dropped = dropped_volumes(self._nodes, transaction)
                except MissingObjectError:
                    if self._registry() == registry:
                        raise
                    continue  # it was an older state, and a newer one has been learned of
            return None if volume_id in dropped else registry
        return b""

    def _registry(self) -> bytes:
        with self._catalog.read() as transaction:
            return bytes(head_of(transaction, REGISTRY_ID).commit)

    def _batches(self, commit: Commit, head: Head, ref: SharedRef) -> list[Batch]:
        """Return what others have changed since the head, so that its keys are known here.

        Where the volume has not been seen, since this gateway began.
        """
        batches: list[Batch] = []
        newest = commit
        with suppress(MissingObjectError):  # lost, as a check says: neither it nor what is older
            for _ in range(_COMMITS_READ):
                if not head.commit and commit.time_ns < self._since_ns:
                    break
                changes = self._changes(commit.changes)
                batches.append(Batch(commit.volume_id, commit.first_sequence, changes, commit.root))
                if not commit.parent or commit.first_sequence <= head.commit_sequence + 1:
                    break
                self._index.learn(ref.packs)  # all at once, if that has not been done
                if not (parent := self._kept(newest).parent(commit)):
                    break
                commit = decode(self._chunks.get(Kind.COMMIT, parent), Commit)
        return batches[::-1]

    def _kept(self, newest: Commit) -> KeptStates:
        """Return what is kept of the volume whose newest commit this is."""
        root = newest.root  # of the registry: it is about to be learned
        if newest.volume_id != REGISTRY_ID:
            with self._catalog.read() as transaction:
                root = head_of(transaction, REGISTRY_ID).root
        return kept_by(ReadNodes(self._nodes), root.content, newest.volume_id)

    def _changes(self, node_id: bytes) -> list[Change]:
        node = decode(self._chunks.get(Kind.CHANGE_NODE, node_id), ChangeNode)
        if node.level == 0:
            return node.changes
        return [change for child in node.children for change in self._changes(child)]


def set_head(transaction: WriteTransaction, commit_id: bytes, commit: Commit) -> None:
    """Make a commit its volume's newest state."""
    head = Head(
        commit.root,
        commit.last_sequence,
        commit_id,
        commit.last_sequence,
        commit.time_ns,
        commit.snapshots,
    )
    transaction.put_head(commit.volume_id, head)


def newest_packs(ref: SharedRef | None, brought: list[NamedPack]) -> list[NamedPack]:
    """Return the packs that a ref names once a commit has brought some more."""
    return [*(() if ref is None else ref.packs), *brought][-PACKS_IN_REF:]


Freshen = Callable[[bytes], None]
"""Lets the catalog have a volume's newest state."""
