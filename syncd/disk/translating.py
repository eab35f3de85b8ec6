"""From the planner's steps to those of the disk: its paths and names, and what it expects."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import cas
from syncd.disk.base import Base
from syncd.disk.folder import check_name, split
from syncd.disk.linked import Linked
from syncd.disk.signatures import Signature
from syncd.disk.staging import (
    Manner,
    Staged,
    finish_file,
    stage_file,
    stage_link,
    temporary_name,
)
from syncd.disk.steps import (
    ChangedError,
    Install,
    MakeFolder,
    Move,
    RemoveFile,
    RemoveFolder,
    SetManner,
)
from syncd.disk.steps import Step as DiskStep
from syncd.plan import Action, Step
from syncd.trees import Node, Overlay, below, find

Read = Callable[[Step], Iterable[bytes]]
"""Yields the content of a file that is to be put."""


class ContentError(Exception):
    """The content of a file could not be had; `cause` is why."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Translator:
    """Translates steps in their order. Each changes what it is told that the disk holds.

    Args:
        linked: the linked folder.
        base: what was last in sync.
        tree: what the disk holds now; changed by `expect`.
        shown: how what differs from the base looks.
        unsure: nodes that may look as they did and be something else.
        read: yields the content of files.
    """

    def __init__(
        self,
        linked: Linked,
        base: Base,
        tree: Overlay,
        shown: dict[int, Signature],
        unsure: set[int],
        read: Read,
    ) -> None:
        self._linked = linked
        self._base = base
        self._tree = tree
        self._shown = shown
        self._unsure = unsure
        self._read = read
        self._gone: dict[int, list[int]] = {}

    def translate(self, step: Step) -> list[DiskStep]:
        """Return the steps of the disk that a step takes: one, but for the removal of a folder.

        Raises:
            ChangedError: the disk is not as the step expects.
            OSError: a file cannot be staged.
            ContentError: its content cannot be had.
        """
        self._recognise(step)
        match step.action:
            case Action.MAKE_FOLDER:
                return [MakeFolder(self._new_place(step))]
            case Action.MOVE:
                old_path = self._place(step.node)
                return [Move(old_path, self._new_place(step), self._expected(step.node, step))]
            case Action.PUT:
                return [self._put(step)]
            case Action.SET:
                manner = Manner(step.item.mtime_ns, step.item.is_executable, 0)
                path = self._place(step.node)
                if step.item.kind is cas.EntryKind.SYMLINK:
                    return [self._put(step)]
                return [SetManner(path, manner, self._expected(step.node, step))]
            case Action.REMOVE:
                return self._remove(step)

    def _recognise(self, step: Step) -> None:
        """Call what is at the step's place by the number that the plan has for it.

        A file that becomes a conflict copy is a node of its own there: its old number belongs to
        what the server has, and is new here.
        """
        if step.old is None or self._tree.get(step.node) is not None:
            return
        old = find(self._tree, step.source or step.path)
        if old is None:
            return
        shown = self._shown.pop(old, None) or self._base.signature(old)
        if shown is not None:
            self._shown[step.node] = shown
        if old in self._unsure:
            self._unsure.discard(old)
            self._unsure.add(step.node)
        self._tree.take_over(old, step.node)

    def expect(self, step: Step) -> None:
        """Take a step for done, for those that follow it. If it fails, they find that out."""
        if step.action is Action.REMOVE:
            self._gone[step.node] = [step.node, *below(self._tree, step.node)]
            self._tree.remove(step.node)
            return
        folder, name = split(step.path)
        parent = find(self._tree, folder)
        if parent is not None and self._tree.child(parent, name) in {None, step.node}:
            self._tree.put(step.node, Node(parent, name, step.item))

    def follow(self, step: Step, signature: Signature | None) -> None:
        """A step was carried out, and what it left looks so."""
        if step.action is Action.REMOVE:
            self._linked.names.forget(self._gone.pop(step.node, ()))
        elif signature is None:
            self._shown.pop(step.node, None)
            self._unsure.add(step.node)
        else:
            self._shown[step.node] = signature
            self._unsure.discard(step.node)

    def _place(self, node: int) -> str:
        try:
            return self._linked.names.path(self._tree, node)
        except KeyError as error:
            raise ChangedError(errno.EBUSY, "it is not there any more") from error

    def _new_place(self, step: Step) -> str:
        """Return where something is to be on the disk, by a name that the disk can hold."""
        folder, name = split(step.path)
        check_name(name)
        parent = find(self._tree, folder)
        if parent is None:
            raise ChangedError(errno.EBUSY, "its folder is not there", step.path)
        local = self._linked.names.assign(self._tree, parent, step.node, name)
        place = self._place(parent)
        return f"{place}/{local}" if place else local

    def _expected(self, node: int, step: Step) -> Signature:
        found = self._shown.get(node) or self._base.signature(node)
        if found is None or node in self._unsure:
            raise ChangedError(errno.EBUSY, "it may have been changed", step.path)
        return found

    def _put(self, step: Step) -> DiskStep:
        is_new = step.old is None  # Then nothing is replaced, whatever is there.
        path = self._new_place(step) if is_new else self._place(step.node)
        expected = None if is_new else self._expected(step.node, step)
        return Install(path, self._stage(step, path, is_new=is_new), expected)

    def _stage(self, step: Step, path: str, *, is_new: bool) -> Staged:
        folder, item = self._linked.folder, step.item
        if item.kind is cas.EntryKind.SYMLINK:
            if not self._linked.abilities.has_links:
                raise OSError(errno.ENOTSUP, "this disk holds no symbolic links", path)
            return stage_link(folder, temporary_name(), os.fsdecode(item.content), item.mtime_ns)
        mode = self._linked.new_mode
        if not is_new:
            with suppress(OSError):
                mode = stat.S_IMODE(folder.status(path).st_mode)
        manner = Manner(item.mtime_ns, item.is_executable, mode)
        return self._stage_whole(item.content, manner) or stage_file(
            folder, temporary_name(), self._pieces(step), manner, sync=False
        )

    def _stage_whole(self, content: bytes, manner: Manner) -> Staged | None:
        """Stage a large file that has come beforehand, if it has."""
        name = temporary_name()
        descriptor = self._linked.partials.take(content, name)
        if descriptor is None:
            return None
        try:
            staged = finish_file(self._linked.folder, descriptor, name, manner, sync=False)
            return staged._replace(kept=content)
        except BaseException:
            self._linked.partials.give_back(content, name)
            raise
        finally:
            os.close(descriptor)

    def _pieces(self, step: Step) -> Iterator[bytes]:
        if not step.item.size:
            return
        try:
            yield from self._read(step)
        except Exception as error:
            raise ContentError(error) from error

    def _remove(self, step: Step) -> list[DiskStep]:
        """Return the removal of something; of a folder, of all known in it first."""
        if step.item.kind is not cas.EntryKind.DIRECTORY:
            return [RemoveFile(self._place(step.node), self._expected(step.node, step))]
        steps: list[DiskStep] = []
        for node in [step.node, *below(self._tree, step.node)]:
            found = self._tree.get(node)
            if found is None:
                continue
            path = self._place(node)
            if found.is_folder:
                steps.append(RemoveFolder(path))
            else:
                steps.append(RemoveFile(path, self._expected(node, step)))
        return steps[::-1]
