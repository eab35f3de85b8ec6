"""What a process does beside its work as long as it has a repository open."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from cas.engine import Engine
from cas.errors import StoreFullError
from cas.formats import MiB
from cas.index_upkeep import IndexUpkeep
from cas.locks import Locks
from cas.recovery import Recovery
from cas.scratch import Scratch

CHECKPOINT_SECONDS: Final = 30.0
NURSERY_LIMIT: Final = 32 * MiB
_TURN_SECONDS: Final = 1.0
_INDEXED_IN_A_TURN: Final = 20_000
_logger = logging.getLogger(__name__)


class Upkeep:
    """Checkpoints, and all else that comes again and again, in a thread of its own."""

    def __init__(
        self,
        engine: Engine,
        recovery: Recovery,
        scratch: Scratch,
        locks: Locks,
        index: IndexUpkeep | None = None,
    ) -> None:
        """`index` is where several gateways share the blob store."""
        self._engine = engine
        self._recovery = recovery
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="casdav-upkeep", daemon=True)
        self._index = index
        self._steps: tuple[Callable[[], object], ...] = (
            engine.checkpointer.checkpoint,
            self._index_history,
            self.move_adopted,
            engine.chunks.let_go_of_removed,
            engine.catalog.remove_dead_readers,
            scratch.remove_expired,
            locks.remove_expired,
            *(() if index is None else (index.consolidate, index.sweep)),
        )

    def start(self) -> None:
        """Begin; what dead processes left behind is moved at once, unless the disk is full."""
        _attempt(self.move_adopted)
        self._thread.start()

    def stop(self) -> bool:
        """End, once a step under way is done; False where that has been asked for before."""
        if self._stopping.is_set():
            return False
        self._stopping.set()
        self._thread.join()
        return True

    def seal_if_asked(self) -> None:
        """Seal the open packs if some process asked all to; done by itself within a second.

        Raises:
            StoreError, StoreFullError: the disk failed or is full; it is tried again.
        """
        number = self._engine.process.asked_to_seal()
        if number is not None:
            self._engine.chunks.open_packs.seal_current()
            self._engine.process.note_sealing(number)

    def adopt_dead(self) -> None:
        """Make good what processes that died left behind; done by itself at the next commit.

        Raises:
            StoreError, StoreFullError: the disk failed or is full.
            IntegrityError: the journal does not continue what the catalog holds.
        """
        with self._engine.catalog.write() as transaction:
            self._recovery.adopt_dead(transaction)
        self.move_adopted()

    def move_adopted(self) -> None:
        """Move the packs of processes that died to where sealed packs are.

        Raises:
            StoreError, StoreFullError: the disk failed or is full; it is tried again.
        """
        catalog = self._engine.catalog
        with catalog.read() as reading:
            if not any(row.is_adopted for _, row in reading.processes()):
                return
        catalog.sync()  # first what was replayed must be there for good
        with catalog.write() as transaction:
            self._recovery.move_adopted(transaction)
        self._engine.store.clean_up()

    def index_newest(self) -> None:
        """Index what has come while the repository was open; whatever is more, another time."""
        _attempt(self._index_newest)

    def _run(self) -> None:
        waited = 0.0
        while not self._stopping.wait(_TURN_SECONDS):
            waited += _TURN_SECONDS
            _attempt(self._engine.process.keep_up)
            _attempt(self.seal_if_asked)
            if self._index is not None:
                _attempt(self._index.learn_some)
            if waited >= CHECKPOINT_SECONDS or _attempt(self._is_checkpoint_due):
                waited = 0.0
                for step in self._steps:
                    _attempt(step)

    def _is_checkpoint_due(self) -> bool:
        return self._engine.checkpointer.is_due(NURSERY_LIMIT)

    def _index_history(self) -> None:
        self._engine.history.catch_up_all(_INDEXED_IN_A_TURN, self._stopping.is_set)

    def _index_newest(self) -> None:
        with self._engine.catalog.read() as transaction:
            changed = [volume_id for volume_id, _ in transaction.heads()]
        for volume_id in changed:
            self._engine.history.catch_up(volume_id, _INDEXED_IN_A_TURN)


def _attempt(step: Callable[[], object]) -> object:
    """Do a step; whatever it raises, the others and the next time follow."""
    try:
        return step()
    except StoreFullError as error:  # as it will be for a while: one line is enough
        _logger.warning("upkeep: %s; it is tried again", error)
        return None
    except Exception:
        _logger.exception("upkeep failed; it is tried again")
        return None
