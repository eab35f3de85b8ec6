"""The steps that make one tree another, in an order in which each is possible. Pure.

Folders and moves come first, from the top down, so that each finds its folder where it is to be;
then removals; then files, the small ones first. A node in the way of another is moved on before,
or, where names go round in a circle, parked under a name of its own for a moment.
"""

from __future__ import annotations

import cas
from syncd.names import parking_name
from syncd.pairing import content_of
from syncd.plan import Action, Step
from syncd.trees import ROOT, Node, Overlay, below, path_of


def steps_to(source: Overlay, target: Overlay) -> list[Step]:
    """Return the steps that make the source the target; both are over the same base.

    All nodes of `source` and `target` that are not in their lists of changes are the same in both.
    """
    return _Propagation(source, target).run()


class _Propagation:
    def __init__(self, source: Overlay, target: Overlay) -> None:
        self._source = source
        self._work = Overlay(source)
        self._target = target
        nodes = dict.fromkeys((*target.changed(), *source.changed()))
        self._changed = [node for node in nodes if source.get(node) != target.get(node)]
        self._steps: list[Step] = []
        self._done: set[int] = set()

    def run(self) -> list[Step]:
        for node in self._changed:
            self._settle(node)
        for node in self._changed:
            if self._target.get(node) is None and self._work.get(node) is not None:
                self._remove(node)
        self._write_files()
        return self._steps

    def _settle(self, node: int) -> None:
        """Bring a node, and before it the folders that it lies in, to its place."""
        waiting: list[int] = []
        at = node
        while at != ROOT and at not in self._done:
            found = self._target.get(at)
            if found is None:
                break
            waiting.append(at)
            at = found.parent
        for at in reversed(waiting):
            self._done.add(at)
            self._bring(at)

    def _bring(self, node: int) -> None:
        new, now = self._target.get(node), self._work.get(node)
        assert new is not None  # noqa: S101 - only such are brought
        if now is not None and now.place == new.place:
            return
        self._make_room(new)
        if now is not None:
            self._move(node, new)
        elif new.is_folder:
            self._work.put(node, new)
            # A folder that comes back is empty, whatever the base has in it.
            for _, inner in list(self._work.children(node)):
                self._work.remove(inner)
            self._steps.append(Step(Action.MAKE_FOLDER, node, path_of(self._work, node), new.item))

    def _move(self, node: int, new: Node, *, is_parked: bool = False) -> None:
        now = self._work.get(node)
        assert now is not None  # noqa: S101 - only such are moved
        source = path_of(self._work, node)
        self._work.put(node, Node(new.parent, new.name, now.item))
        path = path_of(self._work, node)
        self._steps.append(
            Step(Action.MOVE, node, path, now.item, source, now.item, is_parked=is_parked)
        )

    def _make_room(self, new: Node) -> None:
        """See to it that the name is free that a node is to have."""
        other = self._work.child(new.parent, new.name)
        if other is None:
            return
        goal, now = self._target.get(other), self._work.get(other)
        assert now is not None  # noqa: S101 - it has the name
        if goal is None and not self._holds_something(other):
            self._remove(other)
        elif goal is not None and self._is_open(other, goal):
            self._move(other, goal)
        else:
            self._park(other, now)

    def _holds_something(self, node: int) -> bool:
        return any(self._target.get(inner) is not None for inner in below(self._work, node))

    def _is_open(self, node: int, goal: Node) -> bool:
        """Whether a node can go to its place at once."""
        at = goal.parent
        while at != ROOT:
            if at == node:
                return False
            found, wanted = self._work.get(at), self._target.get(at)
            if found is None or wanted is None or found.place != wanted.place:
                return False
            at = found.parent
        return self._work.child(goal.parent, goal.name) is None

    def _park(self, node: int, now: Node) -> None:
        number = 0
        while True:
            number += 1
            name = parking_name(now.name, number)
            if (
                self._work.child(now.parent, name) is None
                and self._target.child(now.parent, name) is None
            ):
                break
        self._move(node, now._replace(name=name), is_parked=True)

    def _remove(self, node: int) -> None:
        """Remove a node, unless it lies in a folder that is removed as a whole."""
        now = self._work.get(node)
        assert now is not None  # noqa: S101 - only such are removed
        if now.parent != ROOT and self._target.get(now.parent) is None:
            top = now.parent
            if self._work.get(top) is not None:
                self._remove(top)
                return
        self._steps.append(
            Step(Action.REMOVE, node, path_of(self._work, node), now.item, old=now.item)
        )
        self._work.remove(node)

    def _write_files(self) -> None:
        puts = []
        for node in self._changed:
            new, now = self._target.get(node), self._work.get(node)
            if new is None or new.is_folder or (now is not None and now.item == new.item):
                continue
            path = path_of(self._target, node)
            if now is None:
                puts.append(Step(Action.PUT, node, path, new.item))
                continue
            if _is_link(now) and not _is_link(new):
                # No file is ever written over a link: the server does not take it.
                self._steps.append(Step(Action.REMOVE, node, path, now.item, old=now.item))
                puts.append(Step(Action.PUT, node, path, new.item))
                continue
            is_same = content_of(now.item) == content_of(new.item)
            action = Action.SET if is_same else Action.PUT
            puts.append(Step(action, node, path, new.item, old=now.item))
        puts.sort(key=lambda step: step.item.size if step.action is Action.PUT else 0)
        self._steps.extend(puts)


def _is_link(node: Node) -> bool:
    return node.item.kind is cas.EntryKind.SYMLINK
