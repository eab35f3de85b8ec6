"""The linked folder as the engine has it: looked at, changed, and waited for."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

import cas
from syncd.disk.batch import Batch
from syncd.disk.dirty import Dirty, Looks
from syncd.disk.ignoring import IGNORE_NAME
from syncd.disk.left_out import LeftOut
from syncd.disk.linked import Linked, check_marker
from syncd.disk.local_tree import LocalTree
from syncd.disk.node_cache import NodeCache
from syncd.disk.observing import Observer
from syncd.disk.reading_ahead import Reader
from syncd.disk.renames import Name
from syncd.disk.signatures import Signature
from syncd.disk.staging import Staged, discard
from syncd.disk.steps import ChangedError, Outcome, RemoveFolder
from syncd.disk.translating import ContentError, Read, Translator
from syncd.disk.trash import GRACE_NS
from syncd.disk.watching import Watcher, watch
from syncd.plan import Action, Step
from syncd.ports import Done, Observed, OutdatedError, StoppedError
from syncd.reasons import words
from syncd.trees import FOLDER, NodeIds, Overlay, find

WALK_SECONDS: Final = 6 * 3600.0
"""How often the whole folder is walked, hints or not."""
POLL_SECONDS: Final = 60.0
"""The same, where the system gives no hints for some folders."""
_SYNC_THREADS: Final = 8


class LinkedDisk:
    """One linked folder. `wake` may be called by any thread, all else by one.

    Args:
        linked: the open folder.
        link_id: what its marker holds.
        keys: of content ids.
        ids: numbers for what is new.
        skipped: returns the folders that are not wanted on this device.
        device_rules: patterns of this device alone.
    """

    def __init__(
        self,
        linked: Linked,
        link_id: str,
        keys: cas.ContentKeys,
        ids: NodeIds,
        skipped: Callable[[], Iterable[str]] = tuple,
        device_rules: Iterable[str] = (),
    ) -> None:
        self._linked = linked
        self._link_id = link_id
        self._base = linked.state.base
        self._dirty = Dirty()
        self._woken = threading.Condition()
        self._is_woken = False
        self._walk_seconds = WALK_SECONDS
        self._walked_s = 0.0
        self._swept_s = 0.0
        self._left_out = LeftOut(linked, skipped, device_rules)
        self.partials = linked.partials
        self.nodes = NodeCache(linked.state.database)
        observer = Observer(linked.folder, self._base, linked.names, self._left_out.has)
        self._reader = Reader(linked.folder, keys, self.nodes.put, self.wake)
        self._local = LocalTree(
            linked.folder,
            self._base,
            observer,
            linked.names,
            ids,
            self._reader,
            linked.abilities,
            self._dirty,
        )
        self._tree = Overlay(self._base)
        self._observed = Observed(self._tree)
        self._is_fresh = True
        self._unsure: set[int] = set()
        self._shown: dict[int, Signature] = {}
        self._watcher: Watcher | None = None
        self._syncing = ThreadPoolExecutor(_SYNC_THREADS, thread_name_prefix="syncd-fsync")

    def start(self) -> None:
        """Begin to watch; what is there is looked at the first time that `look` is called."""
        self._dirty.add([""], time.monotonic() - WALK_SECONDS, deep=True)
        self._walked_s = time.monotonic()
        self._watch()

    def _watch(self) -> None:
        watcher = watch(self._linked.folder, self, self._left_out.is_watched)
        watcher.start()
        self._watcher = watcher

    def _watch_no_more(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()

    def close(self) -> None:
        """End watching, and close the folder."""
        self._watch_no_more()
        self._reader.close()
        self._syncing.shutdown()
        self._linked.close()

    # What the watcher tells.

    def changed(self, path: str, *, deep: bool) -> None:
        """See `Listener`."""
        self._dirty.add([path], time.monotonic(), deep=deep)
        self._notify()

    def lost(self, reason: str) -> None:
        """See `Listener`."""
        del reason  # All is looked at, and that is all there is to say.
        self.changed("", deep=True)

    def incomplete(self, reason: str) -> None:
        """See `Listener`."""
        self._linked.state.log([("", f"no hints for some folders: {reason}")])
        self._walk_seconds = POLL_SECONDS
        self._notify()

    # The port.

    def look(self) -> Observed:
        """See `Disk`."""
        check_marker(self._linked.folder.root, self._link_id)
        now = time.monotonic()
        looks = self._dirty.take(now)
        if now - self._walked_s >= self._walk_seconds:
            looks.deep.add("")
        if "" in looks.deep:
            self._walked_s = now
        try:
            if IGNORE_NAME in looks.paths or "" in looks.deep:
                self._read_ignored(looks)
            observed = self._local.look(looks)
        except OSError as error:
            raise StoppedError(f"{self._linked.folder.root}: {error.strerror}") from error
        self._tree = Overlay(observed.tree)
        self._observed, self._is_fresh = observed, True
        return observed

    def _read_ignored(self, looks: Looks) -> None:
        """Take the patterns that hold now; with others, anything may be there to be seen."""
        if not self._left_out.read_patterns():
            return
        looks.deep.add("")
        self._walked_s = time.monotonic()
        if self._watcher is not None:
            self._watch_no_more()
            self._watch()

    def apply(
        self,
        steps: Sequence[Step],
        read: Read,
        record: Callable[[list[Done]], None],
    ) -> None:
        """See `Disk`."""
        check_marker(self._linked.folder.root, self._link_id)
        if self._is_fresh:  # Planning has given nodes the numbers that steps have.
            self._is_fresh = False
            young = (node for node in self._observed.young if self._base.get(node) is not None)
            self._unsure = {*self._observed.unread, *young}
            self._shown = dict(self._observed.shown)
        translator = Translator(
            self._linked, self._base, self._tree, self._shown, self._unsure, read
        )
        batch = Batch()
        try:
            for step in steps:
                if step.node in batch.nodes or batch.is_full:
                    self._carry_out(batch, translator, record)
                    batch = Batch()
                self._add(batch, translator, step)
            self._carry_out(batch, translator, record)
        except ContentError as error:
            self._carry_out(batch, translator, record)
            raise error.cause from None
        except BaseException:
            for staged in batch.staged():
                self._put_away(staged)
            raise

    def _add(self, batch: Batch, translator: Translator, step: Step) -> None:
        if step.item == FOLDER and step.action is not Action.REMOVE:
            self._left_out.expect_folder(step.path)
        try:
            batch.add(step, translator.translate(step))
            translator.expect(step)
        except ContentError as error:
            if not isinstance(error.cause, OutdatedError):
                raise
            batch.add(step, [])
            batch.failures[step.node] = ChangedError(errno.EBUSY, "there is something newer")
        except OSError as error:
            batch.add(step, [])
            batch.failures[step.node] = error

    def _carry_out(
        self, batch: Batch, translator: Translator, record: Callable[[list[Done]], None]
    ) -> None:
        if not batch.steps:
            return
        self._sync(batch.staged())

        def write(outcomes: list[Outcome]) -> None:
            done = self._done(batch, outcomes)
            for one in done:
                if not one.failure:
                    translator.follow(one.step, one.signature)
            record(done)

        flat = [inner for _, some in batch.steps for inner in some]
        self._linked.applier.apply(flat, write)
        for staged in batch.staged():
            self._put_away(staged)

    def _put_away(self, staged: Staged) -> None:
        """Remove, or keep for the next attempt, what was staged and did not get its name."""
        folder = self._linked.folder
        with suppress(FileNotFoundError):
            found = folder.look_up(Name(folder.temporary, staged.name))
            if not found.holds_same(staged.signature):
                return  # It was exchanged, and this is the user's: the intent tells.
            if staged.kept:
                self.partials.give_back(staged.kept, staged.name)
            else:
                discard(folder, staged.name)

    def _sync(self, files: list[Staged]) -> None:
        """Return once the disk has the staged files; many take hardly longer than one."""
        list(self._syncing.map(self._sync_one, files))

    def _sync_one(self, staged: Staged) -> None:
        with suppress(OSError):  # a link: it goes with its folder
            descriptor = os.open(
                staged.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._linked.folder.temporary
            )
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _done(self, batch: Batch, outcomes: list[Outcome]) -> list[Done]:
        done: list[Done] = []
        rest = iter(outcomes)
        for step, some in batch.steps:
            mine = [next(rest) for _ in some]
            error = batch.failures.get(step.node) or next(
                (one.failure for one in mine if one.failure is not None), None
            )
            if error is not None and mine and self._is_leftover(mine[-1]):
                error = None
            for one in mine:
                self._look_again(one)
            signature = mine[-1].signature if mine and error is None else None
            is_outdated = isinstance(error, ChangedError) or _is_not_empty(error)
            done.append(Done(step, _words(error), is_outdated, signature))
        return done

    def _look_again(self, outcome: Outcome) -> None:
        """See to it that is looked at what somebody has changed, and what has to be read again."""
        paths = [outcome.step.path]
        if outcome.rescued:
            paths.append(outcome.rescued)
        if outcome.failure is not None or outcome.signature is None or outcome.rescued:
            is_folder = isinstance(outcome.step, RemoveFolder)
            self._dirty.add(paths, time.monotonic(), deep=is_folder)

    def _is_leftover(self, outcome: Outcome) -> bool:
        """Whether a folder is only there still because of what is ignored in it."""
        step = outcome.step
        if not isinstance(step, RemoveFolder) or not _is_not_empty(outcome.failure):
            return False
        return self._left_out.is_leftover(step.path)

    def wait(self, seconds: float | None) -> None:
        """See `Disk`."""
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._woken:
            while not self._is_woken:
                self._sweep()
                now = time.monotonic()
                due = self._next_s(deadline)
                if due <= now:
                    break
                self._woken.wait(due - now)
                if self._is_due():
                    break
            self._is_woken = False

    def _is_due(self) -> bool:
        due_s = self._dirty.due_s()
        return due_s is not None and due_s <= time.monotonic()

    def _next_s(self, deadline: float | None) -> float:
        times = [self._walked_s + self._walk_seconds]
        due_s = self._dirty.due_s()
        times += [time_s for time_s in (deadline, due_s) if time_s is not None]
        if not self._linked.trash.is_empty:
            times.append(self._swept_s + GRACE_NS / 1e9)
        return min(times)

    def _sweep(self) -> None:
        now = time.monotonic()
        if now - self._swept_s >= GRACE_NS / 1e9:
            self._swept_s = now
            for _, copy in self._linked.trash.sweep():
                self._dirty.add([copy], now)

    def wake(self) -> None:
        """See `Disk`."""
        with self._woken:
            self._is_woken = True
            self._woken.notify_all()

    def _notify(self) -> None:
        with self._woken:
            self._woken.notify_all()

    # For what moves content.

    def disk_path(self, path: str) -> str:
        """Return where a path of the volume is on this disk.

        Raises:
            FileNotFoundError: nothing is there.
        """
        node = find(self._tree, path)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._linked.names.path(self._tree, node)

    def open_at(self, disk_path: str) -> int:
        """Open a file by its path on the disk, to read it; return its descriptor. Thread-safe.

        Raises:
            OSError: it cannot be opened.
        """
        return self._linked.folder.open_file(disk_path)

    def free_bytes(self) -> int:
        """Return how many bytes the disk has room for. Thread-safe."""
        return shutil.disk_usage(self._linked.folder.root).free

    def signature(self, descriptor: int) -> Signature:
        """Return the signature of an open file."""
        return self._linked.folder.signature(os.fstat(descriptor))

    def look_everywhere(self) -> None:
        """Have the whole folder looked at."""
        self._dirty.add([""], time.monotonic() - WALK_SECONDS, deep=True)
        self.wake()


def _is_not_empty(error: OSError | None) -> bool:
    return error is not None and error.errno in {errno.ENOTEMPTY, errno.EEXIST}


def _words(error: OSError | None) -> str:
    return "" if error is None else words(error)
