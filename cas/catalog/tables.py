"""The tables of the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from lmdb import _Database

TABLE_NAMES: Final = (
    b"meta",
    b"locations",
    b"packs",
    b"pack_ordinals",
    b"heads",
    b"journal",
    b"nursery_even",
    b"nursery_odd",
    b"processes",
    b"locks",
    b"lock_tokens",
    b"scratch",
    b"changes",
    b"changed_paths",
)


class Tables(NamedTuple):
    """LMDB's handles of the tables."""

    meta: _Database
    locations: _Database
    packs: _Database
    pack_ordinals: _Database
    heads: _Database
    journal: _Database
    nursery_even: _Database
    nursery_odd: _Database
    processes: _Database
    locks: _Database
    lock_tokens: _Database
    scratch: _Database
    changes: _Database
    changed_paths: _Database
