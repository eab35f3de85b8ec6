"""Repositories and volumes: the handles that people hold."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from blake3 import blake3

from cas.catalog import Catalog
from cas.checkpoint import Checkpointer
from cas.chunkstore import ChunkStore
from cas.clock import Clock
from cas.contents import ContentKeys
from cas.edits import Edit
from cas.engine import Engine, make_committer
from cas.errors import NotFoundError
from cas.following import Follower
from cas.formats import DAMAGE_MARK, REGISTRY_ID, SHARED, RepositoryConfig
from cas.freshness import make_freshen
from cas.gateway import Gateway
from cas.history_index import HistoryIndex
from cas.ids import Kind
from cas.index_upkeep import IndexUpkeep
from cas.journal_replay import Loss
from cas.keys import RepositoryKey, Unlock
from cas.locks import Locks
from cas.nodes import NodeStore
from cas.operations import ABSENT
from cas.pack_index import PackIndex
from cas.past import Past
from cas.paths import join_names
from cas.preparing import (
    local_directory,
    make_open_directory,
    open_exchange,
    read_keys,
    refuse_other_durability,
)
from cas.processes import Process, compact_if_alone, opening
from cas.rebuild import rebuild_if_needed
from cas.recovery import Recovery
from cas.registry import (
    REGISTRY_INFO,
    Registry,
    VolumeInfo,
    VolumeRecord,
    encode_record,
    refuse_another,
    refuse_existing,
    volume_path,
)
from cas.scratch import Scratch
from cas.seen import SeenStates
from cas.shared_locks import make_locks
from cas.shared_recovery import SharedRecovery
from cas.stores.base import BlobStore
from cas.stores.staged import StagedStore, Waiting
from cas.trees import TreeShape
from cas.upkeep import Upkeep
from cas.volume import Volume
from cas.workers import Workers


class Repository:
    """An open repository. Shared by threads; several processes may have the same one open.

    Close it, or use it in a `with` block. After a fork the child must open its own. `engine` and
    `upkeep` are for `cas.maintenance`.
    """

    def __init__(
        self,
        store: BlobStore,
        clock: Clock,
        losses: list[Loss] | None = None,
        unlock: Unlock | None = None,
        locks: str = "",
    ) -> None:
        self._locks_url = locks
        self._follower: Follower | None = None
        self._keys = read_keys(store, unlock)
        self._gateway: Gateway | None = None
        with ExitStack() as parts:
            self._open(store, clock, parts, losses)
            parts.pop_all()  # nothing has failed: they stay open until `close`

    def _open(
        self, store: BlobStore, clock: Clock, parts: ExitStack, losses: list[Loss] | None
    ) -> None:
        self.config: RepositoryConfig = self._keys.config
        is_shared = SHARED in self.config.write_features
        refuse_other_durability(store, is_shared=is_shared)
        store.begin()
        parts.callback(store.close)
        identity = self.config.identity
        self._exchange = open_exchange(self._locks_url, identity, parts, is_shared=is_shared)
        self.location = store.location
        self._store = store
        self._clock = clock
        self._local, self._is_temporary = local_directory(store)
        open_directory = make_open_directory(self._local)
        identifier = self._keys.identifier
        self._seen = SeenStates(self._local, identifier.sealing)
        ring = self._keys.ring
        self._seen.check_keys(None if ring is None else ring.generation)
        shape = TreeShape(self.config.tree_seed)
        with opening(self._local):
            self._catalog = Catalog(self._local / "catalog", identifier.sealing)
            with ExitStack() as failing:
                failing.callback(self._catalog.close)
                self._process = Process(self._catalog, self._local / "processes", clock)
                failing.pop_all()
            parts.callback(self._process.let_go)
            parts.callback(self._catalog.close)
            parts.callback(self._process.close)
        index = PackIndex(self._catalog, store, identifier.sealing) if is_shared else None
        chunks = ChunkStore(
            self._catalog,
            store,
            identifier,
            open_directory,
            self._process.id,
            self._keys.chunk_seed,
            index,
        )
        self._chunks = chunks
        self._nodes = NodeStore(self._catalog, chunks)
        if index is not None:
            now_ns = clock.now_ns()
            self._gateway = Gateway(self._catalog, store, chunks, self._nodes, index, now_ns)
            following = (self._gateway, store, identifier, self._volume_ids, self._exchange)
            self._follower = Follower(*following)
        self._registry = Registry(self._nodes)
        self._workers = Workers()
        kind = SharedRecovery if is_shared else Recovery
        recovery = kind(store, self._nodes, shape, identifier, self._process, open_directory)
        rebuild_if_needed(
            self._catalog,
            store,
            chunks,
            recovery,
            self._local,
            self.config.identity,
            clock,
            self._seen,
            losses,
            self._gateway,
        )
        with self._catalog.write() as transaction:
            recovery.adopt_dead(transaction)
        self._recovery = recovery
        self._assemble(chunks, shape, recovery)
        if losses is not None and not is_shared:
            self._checkpointer.restore_refs()  # behind the journal that was given up
        index_upkeep = None if index is None else IndexUpkeep(self._catalog, index, self._local)
        self.upkeep = Upkeep(self.engine, recovery, self.scratch, self.locks, index_upkeep)
        self.upkeep.start()

    def _assemble(self, chunks: ChunkStore, shape: TreeShape, recovery: Recovery) -> None:
        """Put together what works on a repository that has been made good."""
        self.locks: Locks = make_locks(self._catalog, self._keys, self._clock, self._exchange)
        self.scratch = Scratch(self._catalog, self._clock)
        self._committer = make_committer(
            self._catalog,
            chunks,
            self._nodes,
            shape,
            self.locks,
            self._registry,
            self._process,
            self._clock,
            recovery.adopt_dead,
            self._gateway,
            self._local,
        )
        self._checkpointer = Checkpointer(
            self._catalog,
            self._store,
            chunks,
            self._nodes,
            self._process,
            self._clock,
            self._local / "checkpoint.lock",
            self._seen,
        )
        self._history = HistoryIndex(self._catalog, chunks, self._nodes, self.config.secret)
        self.engine = Engine(
            self._catalog,
            self._store,
            self._local,
            chunks,
            self._nodes,
            shape,
            self._registry,
            self._workers,
            self._process,
            self._committer,
            self._checkpointer,
            self._history,
            Past(self._catalog, self._process, self._history, chunks, self._nodes, shape),
            self._clock,
            recovery.adopt_dead,
            make_freshen(self._catalog, self._nodes, self._gateway),
            self._gateway,
        )

    def _volume_ids(self) -> list[bytes]:
        with self._catalog.read() as transaction:
            return [info.id for info in self._registry.volumes(transaction).values()]

    @property
    def identity(self) -> bytes:
        """The repository's random id, 16 bytes."""
        return self.config.identity

    @property
    def is_hurt(self) -> bool:
        """Whether the last check found something missing or damaged."""
        return (self._local / DAMAGE_MARK).exists()

    @property
    def is_shared(self) -> bool:
        """Whether several gateways may use the repository at once."""
        return self._gateway is not None

    @property
    def key(self) -> RepositoryKey | None:
        """What opens this repository in another process; None where it is not encrypted."""
        return self._keys.key

    @property
    def directory(self) -> Path:
        """Where this machine keeps what it has of the repository: all of it, but for a bucket."""
        return self._local if self._is_temporary else self._local.parent

    @property
    def waiting(self) -> Waiting | None:
        """What the bucket does not have yet; None where nothing ever waits."""
        return self._store.waiting() if isinstance(self._store, StagedStore) else None

    @property
    def registry(self) -> Volume:
        """The reserved volume of users, tokens, volumes and grants; its files are records."""
        return Volume(self.engine, REGISTRY_INFO)

    def secret(self, purpose: str) -> bytes:
        """Return a 32-byte key for one purpose, derived from the repository's secret."""
        context = f"casdav 2026-11-22 {purpose}"
        return blake3(self.config.secret, derive_key_context=context).digest()

    def content_keys(self) -> ContentKeys:
        """Return what a linked device needs to compute the ids of its own files."""
        key = self._chunks.identifier.key
        return ContentKeys(key(Kind.CHUNK), key(Kind.FILE_NODE), self._keys.chunk_seed)

    def volumes(self) -> list[VolumeInfo]:
        """Return the volumes, by name."""
        self.engine.freshen(REGISTRY_ID)
        with self._catalog.read() as transaction:
            return sorted(self._registry.volumes(transaction).values(), key=lambda v: v.name)

    def volume(self, name: str) -> Volume:
        """Return the volume of this name.

        Raises:
            NotFoundError: there is none.
        """
        self.engine.freshen(REGISTRY_ID)
        with self._catalog.read() as transaction:
            info = self._registry.volumes(transaction).get(name)
        if info is None:
            message = f"there is no volume {name!r}"
            raise NotFoundError(message)
        return Volume(self.engine, info)

    def create_volume(
        self,
        name: str,
        *,
        owner: str = "",
        quota: int | None = None,
        author: str = "",
        alongside: Callable[[Edit], None] | None = None,
    ) -> Volume:
        """Make an empty volume; `quota` is in bytes, None for none.

        `alongside` may add operations on the registry that are committed with it, or not at all.

        Raises:
            AlreadyExistsError: there is one of this name.
            InvalidError: the name, the owner's or the quota cannot be a volume's.
        """
        path = volume_path(name)
        record = VolumeRecord(secrets.token_bytes(16), owner, quota, self._clock.now_ns())
        with self.registry.edit(author=author) as edit:
            edit.require(lambda state: refuse_existing(state.get(join_names(path)), name))
            edit.make_directory(join_names(path[:1]), parents=True)
            edit.put_record(join_names(path), encode_record(record), expect=ABSENT)
            if alongside is not None:
                alongside(edit)
        volume = self.volume(name)
        with volume.edit(author=author) as edit:
            edit.set_properties("", mtime_ns=record.created_ns, created_ns=record.created_ns)
        return volume

    def delete_volume(self, name: str, *, author: str = "") -> None:
        """Remove a volume with all that is in it; its history stays for the retention period.

        Raises:
            NotFoundError: there is none of this name.
        """
        self.volume(name)
        with self.registry.edit(author=author) as edit:
            edit.remove(join_names(volume_path(name)))

    def set_quota(self, name: str, quota: int | None, *, author: str = "") -> None:
        """Set a volume's quota in bytes, or lift it (None).

        Raises:
            NotFoundError: there is no volume of this name.
        """
        info = self.volume(name).info
        record = VolumeRecord(info.id, info.owner, quota, info.created_ns)
        path = volume_path(name)
        with self.registry.edit(author=author) as edit:
            edit.require(lambda state: refuse_another(state.get(join_names(path)), info))
            edit.put_record(join_names(path), encode_record(record))

    def checkpoint(self) -> bool:
        """Write what is young to packs and refs; done by itself every half minute.

        Returns whether there was something to write and no other process was at it.
        """
        return self._checkpointer.checkpoint()

    def catch_up(self) -> None:
        """Learn of all that other gateways have stored; done by itself as far as it is needed."""
        if self._gateway is not None:
            self._gateway.catch_up()

    def last_transaction(self) -> int:
        """Return a number that grows with every change by any process: a cheap sign of news.

        Who asks is taken to wait: for some seconds what other gateways do is followed, too.
        """
        if self._follower is not None:
            self._follower.want()
        return self._catalog.last_transaction()

    def close(self) -> None:
        """Write what is young, seal the open packs and let go of everything.

        Raises:
            StoreError, StoreFullError: the disk failed or is full; all is closed, nothing is
                lost, and whoever opens the repository next finishes it.
        """
        if not self.upkeep.stop():
            return
        if self._follower is not None:
            self._follower.close()
        self._workers.close()
        with ExitStack() as steps:  # from the last one up, each whether or not another fails
            if self._is_temporary:
                steps.callback(shutil.rmtree, self._local)
            steps.callback(compact_if_alone, self._local)
            steps.callback(self._store.close)
            steps.callback(self._process.let_go)
            steps.callback(self._catalog.close)
            steps.callback(self._sign_off)
            steps.callback(self._chunks.close)
            # In a bucket what was replayed is not safe until it is in the refs.
            if self._committer.has_committed or self._store.is_staging:
                steps.callback(self.upkeep.index_newest)
                steps.callback(self._checkpointer.checkpoint)

    def __enter__(self) -> Self:
        """Return the repository."""
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the repository."""
        self.close()

    def _sign_off(self) -> None:
        self._process.close(leaves_packs=self._chunks.open_packs.leaves_packs)
