"""A gateway that collects garbage and kills itself before one of its calls to the bucket.

    python -m tests.support.dying_collector LOCATION WHERE

WHERE is the number of a call that changes something there, from 0, or what such calls do, one
behind the other: it dies before the last one, as in `delete packs, replace epoch`. Nothing old is
kept. It writes what the call does before it dies, or `done`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Final, TypeVar

import cas
from cas.clock import SystemClock
from cas.maintenance import claims
from cas.repository import Repository
from cas.stores.opening import open_working_store
from tests.support.encrypted import KEY, is_asked
from tests.support.faulty_store import FaultyStore

PRESENT_ONLY: Final = cas.VersionPolicy(versions=1, states=cas.Retention())
_CHANGES: Final = frozenset({"put", "put_file", "replace", "delete"})
_Result = TypeVar("_Result")


class DyingStore(FaultyStore):
    """A store whose process is killed before one of its changes."""

    where: tuple[str, ...] = ()
    """What is met in turn, as above; nothing is counted before this is set."""
    changes = 0

    def _operate(
        self,
        operation: str,
        name: str,
        act: Callable[[], _Result],
        tear: Callable[[], _Result] | None = None,
    ) -> _Result:
        if self.where and operation in _CHANGES:
            what = f"{operation} {name.partition('/')[0]}"
            if self.where[0] in {str(self.changes), what}:
                if len(self.where) == 1:
                    _say(what)
                    os.kill(os.getpid(), signal.SIGKILL)
                self.where = self.where[1:]
            self.changes += 1
        return super()._operate(operation, name, act, tear)


def _say(what: str) -> None:
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


def main() -> None:
    claims.OVERTAKEN_SECONDS = 0  # type: ignore[misc] # those before have died
    store = DyingStore(open_working_store(sys.argv[1]))
    unlock = (lambda: KEY) if is_asked() else None
    with Repository(store, SystemClock(), unlock=unlock) as repository:
        store.where = tuple(sys.argv[2].split(", "))
        cas.collect_garbage(repository, PRESENT_ONLY, grace_seconds=0)
        store.where = ()
        _say("done")


if __name__ == "__main__":
    main()
