"""Bringing the base up to what both sides say, node by node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from syncd.disk.signatures import Signature
from syncd.names import parking_name, without_parking
from syncd.plan import Action, Step
from syncd.ports import Base
from syncd.trees import FOLDER, ROOT, Node, Overlay, Tree, below, find


def carry_out(tree: Overlay, step: Step) -> None:
    """Do in a tree what a step does.

    Raises:
        KeyError, ValueError: it is not possible there.
    """
    if step.action is Action.REMOVE:
        tree.remove(step.node)
        return
    folder, _, name = step.path.rpartition("/")
    parent = find(tree, folder)
    if parent is None:
        raise KeyError(folder)
    tree.put(step.node, Node(parent, name, step.item))
    if step.action is Action.MAKE_FOLDER:
        for _, inner in list(tree.children(step.node)):
            tree.remove(inner)  # It comes back empty, whatever it held once.


class Agreement:
    """The base, and how it follows what is the same on both sides.

    Args:
        base: what both sides last agreed on.
    """

    def __init__(self, base: Base) -> None:
        self._base = base

    def agree(
        self,
        nodes: Iterable[int],
        local: Tree,
        remote: Tree,
        signatures: Mapping[int, Signature | None],
    ) -> set[int]:
        """Let the base have those nodes that are the same on both sides; return those it has not.

        Folders go before what is in them, and what is removed goes last, so that nothing that
        stays is forgotten with the folder that it has left. What waits for another node is tried
        again as long as any makes headway.
        """
        waiting = {node for node in nodes if node != ROOT and local.get(node) == remote.get(node)}
        rest = {node for node in nodes if node != ROOT} - waiting
        for node in rest:
            self._agree_on_item(node, local, remote, signatures.get(node))
        headway = True
        while waiting and headway:
            headway = False
            for node in sorted(waiting, key=lambda node: remote.get(node) is None):
                if self._agree(node, remote, local, signatures.get(node)):
                    waiting.discard(node)
                    headway = True
            headway = headway or self._make_room(waiting, local, remote)
        return rest | waiting

    def _make_room(self, waiting: set[int], local: Tree, remote: Tree) -> bool:
        """Where the name of a node that waits is another's, let that go out of the way; tell so.

        The other waits itself, perhaps for this one, or is parked, or is gone on both sides, and
        what it held has yet to be agreed on. Any other has a place here by which it is known.
        """
        for node in waiting:
            new = remote.get(node)
            if new is None or self._base.get(new.parent) is None:
                continue
            other = self._base.child(*new.place)
            before = self._base.get(other) if other is not None and other != node else None
            if other is None or before is None or without_parking(before.name):
                continue
            here = local.get(other)
            is_parked = here is not None and bool(without_parking(here.name))
            if other in waiting or is_parked or (here is None and remote.get(other) is None):
                name, number = before.name, 1
                while self._base.child(before.parent, name) is not None:
                    name = parking_name(before.name, number)
                    number += 1
                self._base.agree(other, before._replace(name=name))
                return True
        return False

    def agree_as(self, states: Iterable[tuple[int, Node | None]], remote: Tree) -> None:
        """Let the base have nodes as they were after changes of this device, in their order.

        What cannot be yet is left: it is then found to be the same on both sides.
        """
        for node, new in states:
            if new is None:
                self._forget(node, self._base.get(node), remote)
            elif self._base.get(node) != new and self._has_room(node, new):
                self._base.agree(node, new)

    def part_with(self, kept: Iterable[int], remote: Overlay) -> bool:
        """Let the base know nothing any more of what one side has removed and is to stay.

        It is new on the other side from now on. Otherwise it stayed only until its folder is the
        same on both sides, and was taken for removed then, if it had not come along by that time.

        Args:
            kept: such nodes, folders before what is in them.
            remote: the server, which goes on to have what it has.

        Returns:
            whether the base knew anything of them.
        """
        theirs = [(node, found) for node in kept if (found := remote.get(node)) is not None]
        for node, found in theirs:
            remote.put(node, found)
        has_parted = False
        for node in reversed(list(kept)):
            if self._base.get(node) is not None and not any(self._base.children(node)):
                self._base.agree(node, None)
                has_parted = True
        return has_parted

    def _agree(self, node: int, tree: Tree, other: Tree, signature: Signature | None) -> bool:
        new, old = tree.get(node), self._base.get(node)
        if new is None:
            return self._forget(node, old, tree, other)
        if not self._has_room(node, new):
            return False
        if old != new or signature is not None:
            self._base.agree(node, new, signature)
        return True

    def _agree_on_item(
        self, node: int, local: Tree, remote: Tree, signature: Signature | None
    ) -> None:
        """Let the base know what a node is where both sides only have it at different places."""
        mine, theirs, old = local.get(node), remote.get(node), self._base.get(node)
        if mine is None or theirs is None or mine.item != theirs.item or signature is None:
            return
        new = theirs if old is None else old._replace(item=mine.item)
        if new != old and self._has_room(node, new):
            self._base.agree(node, new, signature)

    def _has_room(self, node: int, new: Node) -> bool:
        is_free = self._base.child(*new.place) in {None, node}
        return is_free and self._base.get(new.parent) is not None

    def _forget(self, node: int, old: Node | None, *trees: Tree) -> bool:
        if old is None:
            return True
        if old.item == FOLDER:
            for inner in below(self._base, node):
                if any(tree.get(inner) is not None for tree in trees):
                    return False
        self._base.agree(node, None)
        return True
