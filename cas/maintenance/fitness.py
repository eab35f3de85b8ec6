"""Whether a bucket may be written to by several gateways, asked before one begins.

A server whose conditional writes are not atomic lets two gateways win one race: what one of them
acknowledged is gone. So the races are run before a gateway serves; what came of it holds for a
day on this machine, so that a gateway that was killed is back at once.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from cas.disk import StoreErrors
from cas.errors import StoreError
from cas.maintenance.validation import QUICK, Need, validate_bucket
from cas.stores.opening import open_working_store
from cas.stores.shared import SharedStore

_HOLDS_SECONDS: Final = 24 * 3600.0
_MARK: Final = "races.won"


def require_fit_for_gateways(location: str | Path) -> bool:
    """Refuse a bucket that several gateways cannot safely write to; return whether it was tried.

    It is not where the location is none for several gateways, nor within a day of the last time.

    Raises:
        StoreError: it does not do what several gateways need, or cannot be reached.
    """
    store = open_working_store(location)
    try:
        if not isinstance(store, SharedStore):
            return False
        mark = store.machine_directory / _MARK
    finally:
        store.close()
    if _is_fresh(mark):
        return False
    for finding in validate_bucket(str(location), QUICK):
        if not finding.is_good and finding.need is not Need.ADVICE:
            raise StoreError(
                f"the bucket cannot be written to by several gateways ({finding.check}: "
                f"{finding.detail}): see `casdav store validate`, or make a repository for one "
                "gateway, with durability=local in its location"
            )
    with StoreErrors():
        mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark.touch(mode=0o600)
    return True


def _is_fresh(mark: Path) -> bool:
    try:
        age = time.time() - mark.stat().st_mtime
    except OSError:
        return False
    return 0 <= age < _HOLDS_SECONDS  # a clock that went back says nothing
