"""Rebuilding the catalog on demand: the old one is set aside, a new one is made from the packs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from cas.clock import Clock, SystemClock
from cas.disk import StoreErrors
from cas.errors import FormatError, IntegrityError, InvalidError, LockedError, NotFoundError
from cas.ids import Identifier
from cas.journal_replay import Loss
from cas.keys import Unlock
from cas.maintenance.history_walk import volume_names
from cas.pack_reader import StoredPack
from cas.packfile import HEADER_SIZE, decode_header, read_footer
from cas.preparing import local_directory, read_keys
from cas.processes import live_processes, opening
from cas.refs import read_named_ref
from cas.repository import Repository
from cas.stores.base import BlobStore
from cas.stores.opening import open_working_store

_SET_ASIDE: Final = "catalog.old"


class RebuildSource(NamedTuple):
    """What a catalog would be rebuilt from; `size` in bytes.

    `problems` are packs and refs that are damaged. `processes` are those that have the repository
    open, by the operating system's ids: they have to end first.
    """

    packs: int
    open_packs: int
    size: int
    volumes: int
    problems: list[str]
    processes: list[str]


class RebuiltIndex(NamedTuple):
    """What a new catalog knows, and what had to be given up, by the names of the volumes."""

    packs: int
    objects: int
    volumes: int
    losses: list[str]


def look_at_source(location: str | Path, *, unlock: Unlock | None = None) -> RebuildSource:
    """Return what the catalog would be rebuilt from. Changes nothing, and needs no catalog.

    Packs that processes at work remove or seal meanwhile are passed over.

    Raises:
        NotFoundError: there is no repository.
        WrongKeyError: it is encrypted, and does not open with what `unlock` returned.
        StoreError: it cannot be read.
    """
    store, local = _store_of(location)
    identifier = read_keys(store, unlock).identifier
    open_sizes = []
    for path in (local / "open").glob("*.pack"):
        with suppress(NotFoundError), StoreErrors():
            open_sizes.append(path.stat().st_size)
    sizes = []
    refs = list(store.list("refs"))
    problems = []
    for name, size in store.list("packs"):
        try:
            _look_at_pack(store, identifier, name, size)
        except NotFoundError:
            continue
        except (IntegrityError, FormatError) as error:
            problems.append(f"{name}: {error}")
        sizes.append(size)
    for name, _ in refs:
        try:
            read_named_ref(store, identifier, name)
        except (IntegrityError, FormatError) as error:
            problems.append(str(error))
    size = sum(sizes) + sum(open_sizes)
    processes = live_processes(local / "processes")
    return RebuildSource(len(sizes), len(open_sizes), size, len(refs), problems, processes)


def rebuild_index(
    location: str | Path,
    *,
    give_up: bool = False,
    clock: Clock | None = None,
    unlock: Unlock | None = None,
) -> RebuiltIndex:
    """Make the catalog anew from packs, refs and journal, whatever is the matter with the old one.

    Locks, throttles and last-used times are gone afterwards; nothing else is. Where refs, commits
    or journal are damaged, `give_up` goes on without what cannot be read, and says what that is.

    Raises:
        LockedError: another process has the repository open.
        WrongKeyError: the repository is encrypted, and does not open.
        IntegrityError: something acknowledged cannot be read; the old catalog is as it was.
        StoreError: the disk failed or is full; likewise.
    """
    store, local = _store_of(location)
    keys = read_keys(store, unlock)  # before anything is set aside
    losses: list[Loss] | None = [] if give_up else None
    clock = clock or SystemClock()
    with _aside(local), Repository(store, clock, losses, keys.unlock) as repository:
        repository.catch_up()
        with repository.engine.catalog.read() as transaction:
            counts = transaction.counts()
        labels = volume_names(repository.engine, lambda _: None)
        lost = [
            f"{labels.get(loss.volume_id, loss.volume_id.hex())}: {loss.message}"
            if loss.volume_id
            else loss.message
            for loss in losses or []
        ]
        return RebuiltIndex(counts["packs"], counts["locations"], counts["heads"], lost)


@contextmanager
def _aside(local: Path) -> Iterator[None]:
    """Set the catalog aside; put it back if what is done meanwhile fails."""
    catalog, old = local / "catalog", local / _SET_ASIDE
    with StoreErrors():
        local.mkdir(mode=0o700, exist_ok=True)
        with opening(local, alone=True):
            live = live_processes(local / "processes")
            if live:
                message = f"the repository is open in another process ({', '.join(live)}): stop it"
                raise LockedError(message)
            shutil.rmtree(old, ignore_errors=True)
            if catalog.exists():
                catalog.rename(old)
        try:
            yield
        except BaseException:
            with opening(local, alone=True):
                if old.exists() and not live_processes(local / "processes"):
                    shutil.rmtree(catalog, ignore_errors=True)
                    old.rename(catalog)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _store_of(location: str | Path) -> tuple[BlobStore, Path]:
    store = open_working_store(location)
    if store.machine_directory is None:
        raise InvalidError(f"{store.location} has its catalog in memory alone")
    return store, local_directory(store)[0]


def _look_at_pack(store: BlobStore, identifier: Identifier, name: str, size: int) -> None:
    pack = StoredPack(store, name)
    sealing = identifier.sealing
    header = decode_header(pack.read_at(0, HEADER_SIZE), is_sealed=sealing is not None)
    seal = None if sealing is None else sealing.pack(header.id, header.key_number)
    read_footer(pack.read_at, size, seal)
