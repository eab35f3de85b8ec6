"""The parts of an open repository that work together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cas.catalog import Catalog, WriteTransaction
from cas.checkpoint import Checkpointer
from cas.chunkstore import ChunkStore
from cas.clock import Clock
from cas.commit import Committer
from cas.gateway import Freshen, Gateway
from cas.group_queue import Commits
from cas.history_index import HistoryIndex
from cas.locks import Locks
from cas.nodes import NodeStore
from cas.past import Past
from cas.processes import Process
from cas.registry import Registry
from cas.shared_commit import SharedCommitter
from cas.stores.base import BlobStore
from cas.trees import TreeShape
from cas.workers import Workers


@dataclass(frozen=True, slots=True)
class Engine:
    """The parts of an open repository that its volumes, and its upkeep, work with.

    `local` is the directory of this machine's part, `recover` makes good what processes that
    died left behind, `freshen` lets the catalog have what other gateways did to a volume. The
    `gateway` is there where several share the blob store.
    """

    catalog: Catalog
    store: BlobStore
    local: Path
    chunks: ChunkStore
    nodes: NodeStore
    shape: TreeShape
    registry: Registry
    workers: Workers
    process: Process
    committer: Commits
    checkpointer: Checkpointer
    history: HistoryIndex
    past: Past
    clock: Clock
    recover: Callable[[WriteTransaction], None]
    freshen: Freshen
    gateway: Gateway | None


def make_committer(
    catalog: Catalog,
    chunks: ChunkStore,
    nodes: NodeStore,
    shape: TreeShape,
    locks: Locks,
    registry: Registry,
    process: Process,
    clock: Clock,
    recover: Callable[[WriteTransaction], None],
    gateway: Gateway | None,
    local: Path,
) -> Commits:
    """Return what commits to a repository: of this machine alone, or of several gateways."""
    common = (catalog, chunks, nodes, shape, locks, registry, process, clock)
    if gateway is None:
        return Committer(*common, recover)
    return SharedCommitter(*common, gateway, local / "commit.lock")
