"""Making LMDB's file as small as what is in it: by itself it only ever grows.

After a collection most pages are half empty, beside those that are free. LMDB's own copy takes
pages as they are; so rows are written anew, in their order, which fills each page.

The file is a cache. Whatever happens to it here costs a rebuild at the most.
"""

from __future__ import annotations

import os
import shutil
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import lmdb

from cas.catalog.environment import mapped_errors
from cas.catalog.tables import TABLE_NAMES
from cas.disk import sync_directory
from cas.formats import KiB, MiB

if TYPE_CHECKING:
    from lmdb import _Database

LEAST_SIZE: Final = 512 * KiB
"""Bytes of a file that is left alone."""
_FREE_SHARE: Final = 0.5
"""Share of the file that must be free, so that it is worth while: pages that were filled in no
order are two thirds full, and after this every page that something comes to is split once."""
_SAMPLED_ROWS: Final = 256
_ROW_OVERHEAD: Final = 10  # bytes: a node's header, and its place in the page
_ROWS_AT_ONCE: Final = 20_000
_SPARE: Final = 16 * MiB


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
        size = path.stat().st_size if path.exists() else 0
        if size <= LEAST_SIZE:
            return False
        with lmdb.open(str(directory), max_dbs=len(TABLE_NAMES), mode=0o600) as environment:
            if _needed_size(environment) > size * (1 - _FREE_SHARE):
                return False
            aside.mkdir(mode=0o700)
            _write_anew(environment, aside, size + _SPARE)
        compacted = aside / "data.mdb"
        with compacted.open("rb") as file:
            os.fsync(file.fileno())
        compacted.chmod(0o600)
        compacted.rename(path)
        sync_directory(directory)
        shutil.rmtree(aside)
    return True


def _write_anew(environment: lmdb.Environment, aside: Path, map_size: int) -> None:
    """Write all rows to a new file; they come in the order of their keys."""
    count = len(TABLE_NAMES)
    with (
        environment.begin(buffers=True) as read,
        lmdb.open(str(aside), max_dbs=count, mode=0o600, map_size=map_size, sync=False) as copy,
    ):
        for name in TABLE_NAMES:
            table = environment.open_db(name, read, create=False)
            target = copy.open_db(name)
            rows = iter(read.cursor(table))
            while some := list(islice(rows, _ROWS_AT_ONCE)):
                with copy.begin(write=True) as write:
                    write.cursor(target).putmulti(some, append=True)
        copy.sync(True)


def _needed_size(environment: lmdb.Environment) -> int:
    """Return about how many bytes the rows take where pages are full."""
    with environment.begin(buffers=True) as transaction:
        tables = [environment.open_db(name, transaction, create=False) for name in TABLE_NAMES]
        return sum(_table_size(transaction, table) for table in tables)


def _table_size(transaction: lmdb.Transaction, table: _Database) -> int:
    stat = transaction.stat(table)
    page_size, entries = stat["psize"], stat["entries"]
    used = (stat["branch_pages"] + stat["leaf_pages"]) * page_size
    # The first ones: most tables have keys of no order, and rows alike.
    sample = islice(iter(transaction.cursor(table)), _SAMPLED_ROWS)
    sizes = [len(key) + len(row) for key, row in sample]
    if not sizes:
        return 0
    # What is too large for a page has pages of its own, which the copy has too.
    rows = entries * (_ROW_OVERHEAD + sum(sizes) / len(sizes))
    return int(min(rows, used)) + page_size + stat["overflow_pages"] * page_size
