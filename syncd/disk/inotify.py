"""Hints from the Linux kernel: a reader of inotify that notices when events were lost (inotify(7)).

Every folder has a watch. One that appears gets its watch before it is listed, and is told of with
all below it, so that nothing which happened before the watch is missed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from syncd.disk.folder import Folder
from syncd.disk.watching import Listener, is_own


class _Event:
    """Bits of inotify's events. No IntFlag: thousands come at once, and that one is slow."""

    MODIFY: Final = 0x2
    ATTRIB: Final = 0x4
    CLOSE_WRITE: Final = 0x8
    MOVED_FROM: Final = 0x40
    MOVED_TO: Final = 0x80
    CREATE: Final = 0x100
    DELETE: Final = 0x200
    DELETE_SELF: Final = 0x400
    MOVE_SELF: Final = 0x800
    UNMOUNT: Final = 0x2000
    OVERFLOW: Final = 0x4000
    IGNORED: Final = 0x8000
    ONLY_DIRECTORY: Final = 0x1000000
    DONT_FOLLOW: Final = 0x2000000
    IS_DIRECTORY: Final = 0x40000000


_WATCHED: Final = (
    _Event.MODIFY
    | _Event.ATTRIB
    | _Event.CLOSE_WRITE
    | _Event.MOVED_FROM
    | _Event.MOVED_TO
    | _Event.CREATE
    | _Event.DELETE
)
_OF_ROOT: Final = _Event.DELETE_SELF | _Event.MOVE_SELF
_HOW: Final = _Event.ONLY_DIRECTORY | _Event.DONT_FOLLOW
_CAME: Final = _Event.CREATE | _Event.MOVED_TO
_WENT: Final = _Event.DELETE | _Event.MOVED_FROM
_HEADER: Final = struct.Struct("=iIII")
_BUFFER: Final = 256 * 1024
_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class InotifyWatcher:
    """Watches one linked folder through inotify.

    Args:
        folder: the linked folder.
        listener: who is told.
        wants: which folders to watch; what is ignored needs no watch.
    """

    def __init__(self, folder: Folder, listener: Listener, wants: Callable[[str], bool]) -> None:
        self._root = os.fsencode(folder.root)
        self._device = folder.device
        self._listener = listener
        self._wants = wants
        self._library = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._check(self._library.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        self._stop_read, self._stop_write = os.pipe()
        self._paths: dict[int, str] = {}
        self._watches: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="syncd-inotify", daemon=True)

    @staticmethod
    def _check(result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def start(self) -> None:
        """See `Watcher`.

        Raises:
            OSError: the folder cannot be watched at all.
        """
        for _ in self._add("", _WATCHED | _OF_ROOT):
            pass
        self._thread.start()

    def stop(self) -> None:
        """See `Watcher`."""
        os.write(self._stop_write, b"x")
        if self._thread.is_alive():
            self._thread.join()
        for descriptor in (self._descriptor, self._stop_read, self._stop_write):
            os.close(descriptor)

    def _add(self, top: str, mask: int = _WATCHED) -> Iterator[str]:
        """Watch a folder and all below it; yield those that could be."""
        pending = [top]
        while pending:
            path = pending.pop()
            if path and (is_own(path) or not self._wants(path)):
                continue
            place = b"%s/%s" % (self._root, os.fsencode(path)) if path else self._root
            if not self._add_one(place, path, mask):
                continue
            mask = _WATCHED
            yield path
            # Listed after it is watched: what comes meanwhile is told by an event, or found here.
            with suppress(OSError), os.scandir(place) as items:
                prefix = f"{path}/" if path else ""
                pending += [
                    prefix + os.fsdecode(item.name)
                    for item in items
                    if item.is_dir(follow_symlinks=False)
                ]

    def _add_one(self, place: bytes, path: str, mask: int) -> bool:
        try:
            if os.lstat(place).st_dev != self._device:
                return False
            watch = self._check(
                self._library.inotify_add_watch(self._descriptor, place, mask | _HOW)
            )
        except OSError as error:
            if not path:
                raise
            if error.errno == errno.ENOSPC:
                self._listener.incomplete(
                    "the system allows no more watches (sysctl fs.inotify.max_user_watches)"
                )
            elif error.errno not in _GONE:
                self._listener.incomplete(f"{path}: {error.strerror}")
            return False
        before = self._paths.get(watch)
        if before is not None:
            self._watches.pop(before, None)
        self._paths[watch] = path
        self._watches[path] = watch
        return True

    def _remove(self, top: str) -> None:
        """Watch a folder, and all below it, no more: it has another name now, or none."""
        inside = f"{top}/"
        gone = [path for path in self._watches if path == top or path.startswith(inside)]
        for path in gone:
            watch = self._watches.pop(path)
            self._paths.pop(watch, None)
            self._library.inotify_rm_watch(self._descriptor, watch)

    def _run(self) -> None:
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLIN)
        waiting.register(self._stop_read, select.POLLIN)
        while not any(ready == self._stop_read for ready, _ in waiting.poll()):
            with suppress(BlockingIOError):
                self._handle(os.read(self._descriptor, _BUFFER))

    def _handle(self, buffer: bytes) -> None:
        start = 0
        while start < len(buffer):
            watch, mask, _, length = _HEADER.unpack_from(buffer, start)
            start += _HEADER.size
            name = os.fsdecode(buffer[start : start + length].rstrip(b"\0"))
            start += length
            self._handle_one(watch, mask, name)

    def _handle_one(self, watch: int, event: int, name: str) -> None:
        if event & _Event.OVERFLOW:
            self._start_over()
            return
        folder = self._paths.get(watch)
        if folder is None:
            return  # of a watch that was removed meanwhile
        if event & (_Event.IGNORED | _Event.UNMOUNT | _OF_ROOT):
            if event & _Event.IGNORED:
                self._paths.pop(watch)
                self._watches.pop(folder, None)
            self._listener.changed(folder, deep=True)
            return
        path = f"{folder}/{name}" if folder else name
        if is_own(path):
            return
        is_folder = bool(event & _Event.IS_DIRECTORY)
        if is_folder and event & _WENT:
            self._remove(path)
        if is_folder and event & _CAME:
            for _ in self._add(path):
                pass
        self._listener.changed(path, deep=is_folder and bool(event & _CAME))

    def _start_over(self) -> None:
        """Watch all folders again: those may have been missed that came in the meantime."""
        try:
            for _ in self._add("", _WATCHED | _OF_ROOT):
                pass
        except OSError as error:
            self._listener.incomplete(f"the folder cannot be watched: {error.strerror}")
        self._listener.lost("there were more changes at once than the system's queue holds")
