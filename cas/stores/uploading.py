"""Bringing to the bucket what waits on this machine's disk: one process at a time, in order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from typing import Final

from cas.disk import file_lock
from cas.errors import CasError, ConflictError, LockedError, NotFoundError
from cas.stores.base import Token
from cas.stores.ownership import find_writer
from cas.stores.staged import StagedStore, is_removed
from cas.stores.upload_queue import Change

_UPLOADS_AT_ONCE: Final = 4
_TURN_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 30.0
_logger = logging.getLogger(__name__)


class Uploader:
    """Uploads what waits, in a thread of its own, while no other process does."""

    def __init__(self, store: StagedStore, gateway: str) -> None:
        self._store = store
        self._gateway = gateway
        self._lock = store.root / "uploading.lock"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="casdav-upload", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Upload what waits if the bucket can be reached, then end."""
        self._stopping.set()
        self._store.wake.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self.upload()
        except CasError as error:
            _logger.warning("what waits is uploaded when the repository is opened again: %s", error)

    def upload(self) -> bool:
        """Upload what waits now; False where another process is at it.

        Raises:
            StoreError: the bucket cannot be reached or is full; nothing is lost.
            LockedError: another gateway has taken the bucket over.
        """
        with file_lock(self._lock, wait=False) as is_mine:
            if not is_mine:
                return False
            packs = [name for name, _ in self._store.staged.list("packs")]
            changes = self._ready()
            if packs or changes:
                self._check_writer()
                self._upload_packs(packs)
                self._apply(self._ready())
        return True

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._store.wake.wait(_TURN_SECONDS)
            self._store.wake.clear()
            try:
                self.upload()
                failures = 0
                self._store.error = ""
            except CasError as error:
                failures += 1
                self._tell(error, failures)
                self._stopping.wait(min(_LONGEST_PAUSE_SECONDS, 0.5 * 2 ** min(failures, 10)))
            except Exception:
                failures += 1
                _logger.exception("uploading failed; it is tried again")
                self._stopping.wait(_LONGEST_PAUSE_SECONDS)

    def _tell(self, error: CasError, failures: int) -> None:
        self._store.error = str(error)
        if failures == 1:
            _logger.warning("uploading failed, it is tried again: %s", error)

    def _check_writer(self) -> None:
        found = find_writer(self._store.remote)
        if found is None or found[0].id != self._gateway:
            host = found[0].host if found else "nobody"
            message = (
                f"{self._store.location} has been taken over by {host!r}: what waits in "
                f"{self._store.root} is not uploaded any more"
            )
            raise LockedError(message)

    def _upload_packs(self, names: Sequence[str]) -> None:
        with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
            for done in [pool.submit(self._upload_pack, name) for name in names]:
                done.result()

    def _upload_pack(self, name: str) -> None:
        path = self._store.staged.local_path(name)
        if path is not None:
            self._store.cache.put_file(name, path)
            self._store.remote.put_file(name, path)

    def _ready(self) -> list[tuple[int, Change]]:
        """Return the changes, from the oldest on, whose packs are in the bucket."""
        changes = self._store.queue.changes()
        here: dict[str, bool] = {}

        def is_ready(item: tuple[int, Change]) -> bool:
            for pack in item[1].packs:
                if pack not in here:
                    here[pack] = self._store.is_here(pack)
            return not any(here[pack] for pack in item[1].packs)

        return list(takewhile(is_ready, changes))

    def _apply(self, changes: Sequence[tuple[int, Change]]) -> None:
        """Make the changes in the bucket: of each ref the last one, then what is removed."""
        last: dict[str, Change] = {}
        for _, change in changes:
            last.pop(change.name, None)  # the order is that of the last ones
            last[change.name] = change
        earlier = [change for _, change in changes]
        for change in last.values():
            if change.name.startswith("refs/"):
                self._move(change, earlier)
        removed = [n for n, c in last.items() if is_removed(c) and n.startswith("packs/")]
        with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
            for done in [pool.submit(self._remove_pack, name) for name in removed]:
                done.result()
        for number, _ in changes:
            self._store.queue.remove(number)

    def _remove_pack(self, name: str) -> None:
        self._store.cache.remove(name)
        self._store.staged.delete(name)
        self._store.remote.delete(name)

    def _move(self, change: Change, earlier: Sequence[Change]) -> None:
        """Move a ref in the bucket from a state that this machine knows.

        Raises:
            LockedError: somebody else has moved it.
        """
        remote, sent, name = self._store.remote, self._store.sent, change.name
        token: Token | None
        try:
            found, token = remote.read(name)
        except NotFoundError:
            found, token = None, None
        known = {each.content for each in earlier if each.name == name}
        try:
            known.add(sent.get(name))
        except NotFoundError:
            known.add(None)
        if found not in known:
            raise LockedError(f"{name} in {remote.location} was moved by another gateway")
        if change.content is None:
            remote.delete(name)
            sent.delete(name)
            return
        if found != change.content:
            try:
                remote.replace(name, change.content, token)
            except ConflictError as error:
                message = f"{name} in {remote.location} is moved by another gateway"
                raise LockedError(message) from error
        remember(self._store, name, change.content)


def remember(store: StagedStore, name: str, content: bytes) -> None:
    """Note what the bucket holds under a mutable name, unless that is noted."""
    try:
        noted, token = store.sent.read(name)
    except NotFoundError:
        token = None
    else:
        if noted == content:
            return
    store.sent.replace(name, content, token)


def fetch_refs(store: StagedStore) -> None:
    """Note what the bucket holds, when this machine has become the one who writes.

    Raises:
        StoreError: it cannot be reached.
    """
    for name, _ in list(store.sent.list("refs")):
        store.sent.delete(name)
    for name, _ in list(store.remote.list("refs")):
        remember(store, name, store.remote.read(name)[0])
