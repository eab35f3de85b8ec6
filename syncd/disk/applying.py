"""Changing the linked folder so that nothing of the user's is ever overwritten.

Before a step the disk is compared with what the planner saw. A file that is to go is not deleted
but swapped or renamed into syncd's own folder in one step of the file system, and looked at
there: what the user wrote in the last moment is given its place back, or a name of its own. It is
looked at once more before it really goes (see `trash`), because a program may have had it open.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from syncd.disk.database import Database
from syncd.disk.folder import Folder, look_up, names_in, split
from syncd.disk.ignoring import Ignored
from syncd.disk.journal import Journal
from syncd.disk.renames import Name
from syncd.disk.signatures import Signature
from syncd.disk.staging import mode_with, set_time, temporary_name
from syncd.disk.steps import (
    ChangedError,
    Displaced,
    Install,
    MakeFolder,
    Move,
    Outcome,
    RemoveFile,
    RemoveFolder,
    SetManner,
    Step,
)

CopyName = Callable[[str, int], str]
"""Gives the n-th name for a conflict copy of a path, in the same folder; n counts from 0."""

_OPEN_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_COPIES: Final = 1000


class Applier:
    """Carries out steps in a linked folder. One thread at a time.

    Args:
        folder: the linked folder.
        database: its state.
        copy_name: how conflict copies are named.
        ignored: what may be deleted along with its folder.
        clock: returns nanoseconds since the epoch.
    """

    def __init__(
        self,
        folder: Folder,
        database: Database,
        copy_name: CopyName,
        ignored: Callable[[], Ignored],
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._folder = folder
        self._database = database
        self._journal = Journal(database)
        self._copy_name = copy_name
        self._ignored = ignored
        self._clock = clock

    def apply(
        self, steps: Sequence[Step], record: Callable[[list[Outcome]], None]
    ) -> list[Outcome]:
        """Carry out steps in their order; one that fails does not stop the others.

        Args:
            steps: staged files among them are on the disk already. Those that do not get their
                name stay for the caller to discard.
            record: writes down what came of it, in the transaction that ends the intents. When it
                is called, the disk has the new names.
        """
        names = [
            step.staged.name if isinstance(step, Install) else temporary_name() for step in steps
        ]
        ids = self._journal.begin(zip(steps, names, strict=True))
        outcomes: list[Outcome] = []
        stayed: set[str] = set()
        for step, name in zip(steps, names, strict=True):
            outcome = self._carry_out(step, name, stayed)
            if isinstance(step, Move) and outcome.failure is not None:
                stayed.add(step.path)
            outcomes.append(outcome)
        over = [id for id, outcome in zip(ids, outcomes, strict=True) if id and outcome.is_settled]
        self._sync(_folders_of(outcome for outcome in outcomes if outcome.failure is None))
        displaced = [outcome.displaced for outcome in outcomes if outcome.displaced]
        with self._database.transaction():
            record(outcomes)
            self._journal.end(over, displaced, self._clock())
        return outcomes

    def _carry_out(self, step: Step, name: str, stayed: set[str]) -> Outcome:
        """Carry out a step; `stayed` are the paths of what earlier ones were to move away."""
        outcome = Outcome(step)
        try:
            match step:
                case Install():
                    if step.expected is None and step.path in stayed:
                        raise _changed(step.path)  # The user took it: its name is not for another.
                    self._install(step, outcome)
                case MakeFolder():
                    self._make_folder(step, outcome)
                case Move():
                    self._move(step, outcome)
                case RemoveFile():
                    self._remove_file(step, name, outcome)
                case RemoveFolder():
                    self._remove_folder(step)
                case SetManner():
                    self._set_manner(step)
        except OSError as error:
            outcome.failure = error
        except ValueError as error:  # a name with NUL
            outcome.failure = OSError(errno.EINVAL, str(error), step.path)
        return outcome

    def _install(self, step: Install, outcome: Outcome) -> None:
        temporary = Name(self._folder.temporary, step.staged.name)
        with self._folder.parent(step.path) as target:
            try:
                if step.expected is None:
                    self._folder.move(temporary, target)
                else:
                    self._require(target, step.expected, step.path)
                    self._replace(temporary, target, step.expected, outcome)
            except (FileExistsError, FileNotFoundError) as error:
                raise _changed(step.path) from error
            outcome.signature = self._installed(target, step.staged.signature)

    def _replace(
        self, temporary: Name, target: Name, expected: Signature, outcome: Outcome
    ) -> None:
        old = Name(self._folder.trash, temporary.name)
        if self._folder.exchange(temporary, target):
            outcome.is_settled = False
            self._folder.move(temporary, old)
        else:
            self._folder.move(target, old)
            outcome.is_settled = False
            try:
                self._folder.move(temporary, target)
            except OSError:
                outcome.rescued = self.give_back(old, outcome.step.path)
                outcome.is_settled = True
                raise
        found = self._folder.look_up(old)
        if found.holds_same(expected):
            outcome.displaced = Displaced(old.name, outcome.step.path, found)
        else:
            outcome.rescued = self.rescue(old, outcome.step.path)
        outcome.is_settled = True

    def _installed(self, target: Name, staged: Signature) -> Signature | None:
        """Return the signature of what has just got its name, if nobody has written to it since."""
        with suppress(FileNotFoundError):
            found = self._folder.look_up(target)
            return found if found.holds_same(staged) else None
        return None

    def _remove_file(self, step: RemoveFile, name: str, outcome: Outcome) -> None:
        with self._folder.parent(step.path) as target:
            self._require(target, step.expected, step.path)
            old = Name(self._folder.trash, name)
            self._folder.move(target, old)
            outcome.is_settled = False
            found = self._folder.look_up(old)
            if not found.holds_same(step.expected):
                outcome.rescued = self.give_back(old, step.path)
                outcome.is_settled = True
                raise _changed(step.path)
            outcome.is_settled = True
            outcome.displaced = Displaced(name, step.path, found)

    def _make_folder(self, step: MakeFolder, outcome: Outcome) -> None:
        with self._folder.parent(step.path) as target:
            try:
                os.mkdir(target.name, dir_fd=target.directory)
            except FileExistsError as error:
                if not stat.S_ISDIR(look_up(target).st_mode):
                    raise _changed(step.path) from error
            outcome.signature = self._folder.look_up(target)

    def _move(self, step: Move, outcome: Outcome) -> None:
        with self._folder.parent(step.path) as old, self._folder.parent(step.new_path) as new:
            status = look_up(old)
            is_folder = stat.S_ISDIR(status.st_mode)
            found = self._folder.signature(status)
            if not (found.is_same_file(step.expected) if is_folder else found == step.expected):
                raise _changed(step.path)
            try:
                self._folder.move(old, new)
            except FileExistsError as error:
                raise _changed(step.new_path) from error
            moved = self._folder.look_up(new)
            if is_folder or moved.holds_same(step.expected):
                outcome.signature = moved

    def _remove_folder(self, step: RemoveFolder) -> None:
        with self._folder.parent(step.path) as target:
            if not stat.S_ISDIR(look_up(target).st_mode):
                raise _changed(step.path)
            try:
                os.rmdir(target.name, dir_fd=target.directory)
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise
                if not self._remove_litter(step.path):
                    raise
                os.rmdir(target.name, dir_fd=target.directory)

    def _remove_litter(self, path: str) -> bool:
        """Remove from a folder what may go along with it; return False where there is other."""
        ignored = self._ignored()
        with self._folder.directory(path) as directory:
            found = [Name(directory, name) for name in names_in(directory)]
            for name in found:
                is_folder = stat.S_ISDIR(look_up(name).st_mode)
                if is_folder or not ignored.may_go(f"{path}/{name.name}", is_folder=False):
                    return False
            for name in found:
                os.unlink(name.name, dir_fd=name.directory)
        return True

    def _set_manner(self, step: SetManner) -> None:
        """Set time and mode. The file is read again afterwards: no signature would show that
        somebody wrote to it just before its time was set.
        """  # noqa: D205 - one sentence
        with self._folder.parent(step.path) as target:
            descriptor = os.open(target.name, _OPEN_FILE, dir_fd=target.directory)
            try:
                status = os.fstat(descriptor)
                if self._folder.signature(status) != step.expected:
                    raise _changed(step.path)
                mode = mode_with(status.st_mode, is_executable=step.manner.is_executable)
                with suppress(PermissionError):  # from a disk that keeps no modes
                    os.fchmod(descriptor, mode)
                set_time(descriptor, step.manner.mtime_ns)
            finally:
                os.close(descriptor)

    def _require(self, target: Name, expected: Signature, path: str) -> None:
        try:
            found = self._folder.look_up(target)
        except FileNotFoundError as error:
            raise _changed(path) from error
        if found != expected:
            raise _changed(path)

    def give_back(self, name: Name, path: str) -> str | None:
        """Give something its path back, or a copy's name beside it where that is taken.

        Returns:
            the copy's path, None where it has its own again.
        """
        try:
            with self._folder.parent(path) as target:
                self._folder.move(name, target)
        except OSError:
            return self.rescue(name, path)
        return None

    def rescue(self, name: Name, path: str) -> str:
        """Give something a copy's name beside the path it had, or at the top; return its path.

        Raises:
            OSError: it cannot be, as on a full disk. It stays in the trash then.
        """
        if not self._has_folder(split(path)[0]):
            path = split(path)[1]
        for number in range(_COPIES):
            copy = self._copy_name(path, number)
            with suppress(FileExistsError), self._folder.parent(copy) as target:
                self._folder.move(name, target)
                return copy
        raise FileExistsError(errno.EEXIST, "there are too many copies already", path)

    def _has_folder(self, path: str) -> bool:
        try:
            with self._folder.directory(path):
                return True
        except OSError:
            return False

    def _sync(self, folders: Iterable[str]) -> None:
        """Return once the names in folders would survive a power cut."""
        for path in folders:
            # Where the folder itself has gone since, there is nothing to keep.
            with (
                suppress(FileNotFoundError, NotADirectoryError),
                self._folder.directory(path) as descriptor,
            ):
                os.fsync(descriptor)


def _folders_of(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the folders in which names came or went, each once."""
    paths: dict[str, None] = {}
    for outcome in outcomes:
        paths[split(outcome.step.path)[0]] = None
        if isinstance(outcome.step, Move):
            paths[split(outcome.step.new_path)[0]] = None
    return list(paths)


def _changed(path: str) -> ChangedError:
    return ChangedError(errno.EBUSY, "it was changed meanwhile", path)
