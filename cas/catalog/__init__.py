"""The catalog: what a process must find fast, in LMDB. The only door to `lmdb`.

It holds where each object lies, the heads, the journal since the last checkpoint, young tree
nodes (the nursery), where the changes of a path are found, the processes at work, locks and scratch
values. It is a cache: losing it loses locks and scratch values; everything acknowledged is
rebuilt from packs and refs.

No read transaction outlives a request or a batch, and no value is a view into LMDB's memory.
"""

from cas.catalog.compaction import compact
from cas.catalog.environment import COMMIT_RESERVE, Catalog
from cas.catalog.reading import ReadTransaction
from cas.catalog.rows import (
    ChangesRow,
    Head,
    HistoryMark,
    KnownEpoch,
    Location,
    PackRow,
    PackState,
    ProcessRow,
    decode_location,
    decode_locations,
    encode_locations,
    record_of_location,
)
from cas.catalog.transactions import WriteTransaction

__all__ = [
    "COMMIT_RESERVE",
    "Catalog",
    "ChangesRow",
    "Head",
    "HistoryMark",
    "KnownEpoch",
    "Location",
    "PackRow",
    "PackState",
    "ProcessRow",
    "ReadTransaction",
    "WriteTransaction",
    "compact",
    "decode_location",
    "decode_locations",
    "encode_locations",
    "record_of_location",
]
