"""Making LMDB's file as small as what is in it: by itself it only ever grows.

The file is a cache. Whatever happens to it here costs a rebuild at the most.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import lmdb

from cas.catalog.environment import mapped_errors
from cas.catalog.tables import TABLE_NAMES
from cas.disk import sync_directory
from cas.formats import MiB

LEAST_SIZE: Final = 1 * MiB
"""Bytes of a file that is left alone."""
_FREE_SHARE: Final = 0.5
"""Share of the file that must be free, so that it is worth while."""


def compact(directory: Path) -> bool:
    """Write the catalog anew if most of its file is free; return whether it was.

    Only where no process has it open, and none can open it meanwhile.

    Raises:
        StoreError, StoreFullError: the disk failed or is full; the catalog is as it was.
        IntegrityError: the catalog is damaged.
    """
    path, aside = directory / "data.mdb", directory.with_name(f"{directory.name}.compact")
    with mapped_errors():
        shutil.rmtree(aside, ignore_errors=True)
        if not path.exists() or path.stat().st_size <= LEAST_SIZE:
            return False
        environment = lmdb.open(str(directory), max_dbs=len(TABLE_NAMES), mode=0o600)
        try:
            if _used_size(environment) > path.stat().st_size * (1 - _FREE_SHARE):
                return False
            aside.mkdir(mode=0o700)
            environment.copy(str(aside), compact=True)
        finally:
            environment.close()
        compacted = aside / "data.mdb"
        with compacted.open("rb") as file:
            os.fsync(file.fileno())
        compacted.chmod(0o600)
        compacted.rename(path)
        sync_directory(directory)
        shutil.rmtree(aside)
    return True


def _used_size(environment: lmdb.Environment) -> int:
    """Return the bytes of the pages that hold something."""
    with environment.begin() as transaction:
        stats = [environment.stat()]
        stats += [
            transaction.stat(environment.open_db(name, transaction, create=False))
            for name in TABLE_NAMES
        ]
    return sum(
        (s["branch_pages"] + s["leaf_pages"] + s["overflow_pages"]) * s["psize"] for s in stats
    )
