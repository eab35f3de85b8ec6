"""Tidying up after processes of a gateway that died.

Whatever was acknowledged is in the blob store: their open packs hold nothing that anybody counts
on, and go.
"""

from __future__ import annotations

import logging

from cas.catalog import WriteTransaction
from cas.disk import StoreErrors
from cas.packs import open_pack_pattern
from cas.recovery import Recovery

_logger = logging.getLogger(__name__)


class SharedRecovery(Recovery):
    """Forgets dead processes, where what was acknowledged is in the blob store."""

    def adopt_dead(self, transaction: WriteTransaction) -> None:
        """Remove what every process that has died left behind.

        Raises:
            StoreError: the disk failed.
        """
        for process_id, _ in self._process.others(transaction):
            if not self._process.is_alive(process_id):
                _logger.info("process %s ended without closing", process_id.hex())
                with StoreErrors():
                    for path in self._directory.glob(open_pack_pattern(process_id)):
                        path.unlink(missing_ok=True)
                self._process.forget(transaction, process_id)

    def move_adopted(self, transaction: WriteTransaction) -> None:
        """Do nothing: no pack of a dead process is needed."""
