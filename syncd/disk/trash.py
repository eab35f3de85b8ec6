"""What was replaced or removed stays in syncd's own folder a while, and is looked at once more.

A program may have had the file open and written to it after its name was gone. What was changed
so comes back as a conflict copy; all else is deleted. After a crash the intent journal tells what
lies in syncd's own folder, and it is dealt with in the same way.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import time
from contextlib import suppress
from typing import Final

from syncd.disk.applying import Applier
from syncd.disk.database import Database
from syncd.disk.folder import Folder, is_there, look_up, names_in
from syncd.disk.journal import Intent, Journal, is_expected, is_made
from syncd.disk.partials import is_kept
from syncd.disk.renames import Name
from syncd.disk.staging import discard
from syncd.disk.steps import Displaced

GRACE_NS: Final = 30_000_000_000
"""How long what was replaced or removed stays: programs write within seconds, if at all."""


class Trash:
    """Looks after syncd's own folder. One thread at a time, never beside the applier."""

    def __init__(self, folder: Folder, database: Database, applier: Applier) -> None:
        self._folder = folder
        self._database = database
        self._journal = Journal(database)
        self._applier = applier

    def recover(self) -> list[str]:
        """Finish what a process left that died; to be called before the folder is looked at.

        Returns:
            the paths under which changes of the user's came back.
        """
        rescued: list[str] = []
        for id, intent in self._journal.intents():
            displaced: list[Displaced] = []
            rescued += self._finish(intent, displaced)
            self._journal.end([id], displaced, 0)
        for name in names_in(self._folder.temporary):
            # Nothing of the user's gets here without an intent.
            if not is_kept(name):
                discard(self._folder, name)
        return rescued

    def _finish(self, intent: Intent, displaced: list[Displaced]) -> list[str]:
        path = os.fsdecode(intent.path)
        temporary = Name(self._folder.temporary, intent.name)
        old = Name(self._folder.trash, intent.name)
        if is_there(temporary) and not is_made(intent, self._folder.look_up(temporary)):
            self._folder.move(temporary, old)  # It was exchanged, and what came out is the user's.
        if not is_there(old):
            return []
        was_replaced = intent.made and not is_there(temporary)
        found = self._folder.look_up(old)
        if is_expected(intent, found) and (was_replaced or not intent.made):
            displaced.append(Displaced(intent.name, path, found))
            return []
        copy = self._applier.rescue(old, path) if was_replaced else self._give_back(old, path)
        return [copy] if copy else []

    def _give_back(self, old: Name, path: str) -> str | None:
        return self._applier.give_back(old, path)

    def sweep(self, now_ns: int | None = None) -> list[tuple[str, str]]:
        """Delete what has lain in the trash for long enough, and has not changed there.

        Returns:
            paths of which something was changed after all, each with the copy's path.
        """
        rescued: list[tuple[str, str]] = []
        limit = (time.time_ns() if now_ns is None else now_ns) - GRACE_NS
        for displaced in self._journal.displaced(limit):
            name = Name(self._folder.trash, displaced.name)
            try:
                found = self._folder.look_up(name)
            except FileNotFoundError:
                self._journal.forget(displaced.name)
                continue
            if not found.holds_same(displaced.signature):
                rescued.append((displaced.path, self._applier.rescue(name, displaced.path)))
            elif _is_written_to(name):
                continue
            else:
                os.unlink(name.name, dir_fd=name.directory)
            self._journal.forget(displaced.name)
        return rescued

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be looked at again."""
        with self._database.reading() as connection:
            return connection.execute("SELECT 1 FROM displaced LIMIT 1").fetchone() is None


def _is_written_to(name: Name) -> bool:
    """Whether a program has a file open to write to it, where the system can say so.

    Linux gives a lease to read only while nobody has the file open for writing.
    """
    if sys.platform != "linux" or not stat.S_ISREG(look_up(name).st_mode):
        return False
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with suppress(PermissionError):
        descriptor = os.open(name.name, flags, dir_fd=name.directory)
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except BlockingIOError:
            return True
        except OSError:
            return False  # This file system knows no leases: the time that has passed must do.
        finally:
            os.close(descriptor)
    return False
