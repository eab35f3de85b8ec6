"""Hints from watchdog's observers: FSEvents on macOS, ReadDirectoryChangesW on Windows, kqueue."""

from __future__ import annotations

import os

from watchdog.events import (
    EVENT_TYPE_CLOSED_NO_WRITE,
    EVENT_TYPE_CREATED,
    EVENT_TYPE_MOVED,
    EVENT_TYPE_OPENED,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from syncd.disk.folder import Folder
from syncd.disk.watching import Listener, is_own


class ObserverWatcher(FileSystemEventHandler):
    """Watches one linked folder by an observer of watchdog."""

    def __init__(self, folder: Folder, listener: Listener) -> None:
        self._root = os.fspath(folder.root)
        self._listener = listener
        self._observer = Observer()

    def start(self) -> None:
        """See `Watcher`."""
        self._observer.schedule(self, self._root, recursive=True)
        self._observer.start()

    def stop(self) -> None:
        """See `Watcher`."""
        self._observer.stop()
        self._observer.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Pass on where something has happened, whatever it was; called by the observer."""
        if event.event_type in {EVENT_TYPE_OPENED, EVENT_TYPE_CLOSED_NO_WRITE}:
            return
        is_new = event.event_type in {EVENT_TYPE_CREATED, EVENT_TYPE_MOVED}
        for path in (event.src_path, event.dest_path):
            if path:
                self._tell(os.fsdecode(path), deep=event.is_directory and is_new)

    def _tell(self, path: str, *, deep: bool) -> None:
        relative = os.path.relpath(path, self._root).replace(os.sep, "/")
        if relative == ".":
            self._listener.changed("", deep=False)
        elif not relative.startswith("../") and not is_own(relative):
            self._listener.changed(relative, deep=deep)
