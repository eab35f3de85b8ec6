"""How old a view may be: for so long a volume's ref is not asked for again before one is pinned.

Where several gateways share the blob store, each view asks the store whether another gateway has
moved the volume's ref. A volume may be set to do without for a while. That is about views alone:
a commit always asks, and conditions hold in the newest state. What this gateway commits, and what
it hears of others, is seen at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from cas.catalog import Catalog, ReadTransaction
from cas.formats import REGISTRY_ID
from cas.gateway import Freshen, Gateway
from cas.nodes import NodeStore, SeenNodes
from cas.objects import decode
from cas.paths import Names
from cas.registry import head_of
from cas.trees import iterate, lookup

FRESHNESS_LIMIT_NS: Final = 3600 * 10**9
"""Beyond an hour nobody would call it fresh."""
_FOLDER: Final = b"freshness"


class FreshnessRecord(msgspec.Struct, array_like=True, frozen=True):
    """The registry's record of how old views of a volume may be, in nanoseconds."""

    limit_ns: int


def freshness_path(volume_id: bytes) -> Names:
    """Return the path of a volume's record in the registry."""
    return (_FOLDER, volume_id.hex().encode())


def freshness_limits(nodes: NodeStore, transaction: ReadTransaction) -> dict[bytes, int]:
    """Return how old views may be, in nanoseconds, by the ids of those volumes that are set."""
    seen = SeenNodes(nodes, transaction)
    folder = lookup(seen, head_of(transaction, REGISTRY_ID).root.content, _FOLDER)
    if folder is None:
        return {}
    return {
        bytes.fromhex(name.decode()): decode(entry.content, FreshnessRecord).limit_ns
        for name, entry in iterate(seen, folder.content)
    }


class Freshness:
    """Asks for refs before views are pinned, no sooner than it must. Shared by threads."""

    def __init__(
        self,
        catalog: Catalog,
        nodes: NodeStore,
        ask: Freshen,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`ask` lets the catalog have a volume's newest state; `now_ns` never jumps back."""
        self._catalog = catalog
        self._nodes = nodes
        self._ask = ask
        self._now_ns = now_ns
        self._asked: dict[bytes, tuple[int, int]] = {}
        """When each ref was last asked for, and in which epoch."""
        self._limits: tuple[bytes | None, dict[bytes, int]] = (None, {})

    def freshen(self, volume_id: bytes) -> None:
        """Let the catalog have a state of the volume that is fresh enough to be seen.

        Raises:
            StoreError, IntegrityError: as `Gateway.freshen`.
        """
        now_ns = self._now_ns()  # what is acknowledged while it is asked may not be seen
        with self._catalog.read() as transaction:
            epoch = transaction.epoch()
            then_ns, then = self._asked.get(volume_id, (0, -1))
            # What an older epoch's head names may have been collected.
            if epoch == then and now_ns - then_ns < self._limit(volume_id, transaction):
                return
        self._ask(volume_id)
        self._asked[volume_id] = now_ns, epoch

    def _limit(self, volume_id: bytes, transaction: ReadTransaction) -> int:
        row = transaction.head_row(REGISTRY_ID)
        known, limits = self._limits
        if known != row:
            limits = freshness_limits(self._nodes, transaction)
            self._limits = (row, limits)
        return limits.get(volume_id, 0)


def make_freshen(catalog: Catalog, nodes: NodeStore, gateway: Gateway | None) -> Freshen:
    """Return what is called before a view is pinned; nothing where this machine is alone."""
    if gateway is None:
        return lambda _: None
    return Freshness(catalog, nodes, gateway.freshen).freshen
