"""What both sides become: the rules of conflicts. Pure: no disk, no network, no clock, no chance.

Each node that either side has changed is decided by itself (`_decide`), by comparing where and what
it is in the base, on the disk and on the server. Then the tree that comes of it is put right, in
this order: folders that are gone but hold something that stays, folders that hold each other, names
that two nodes would have.

The server's tree is what was committed first: it keeps the name wherever two cannot have it, except
that a folder always keeps its name.
"""

from __future__ import annotations

from syncd.disk.items import Item
from syncd.judging import are_three_places, beats_removal, merge_manner, unparked
from syncd.names import conflict_name
from syncd.pairing import content_of, pair
from syncd.plan import Merge, MergeKey, Notice, Plan, Reason, Rules, TextMerge
from syncd.propagate import steps_to
from syncd.trees import ROOT, Node, NodeIds, Overlay, Tree, below, find, path_of


def make_plan(base: Tree, local: Overlay, remote: Overlay, rules: Rules, ids: NodeIds) -> Plan:
    """Return the steps that make both sides what they are to become.

    Nodes that are the same on both sides are given the same number in `local` and `remote`.

    Args:
        base: what both sides last agreed on.
        local: the disk, over the base.
        remote: the server, over the base.
        rules: what is to be known beside that.
        ids: gives numbers to nodes that the plan makes.
    """
    pair(base, local, remote)
    merge = reconcile(base, local, remote, rules, ids)
    return Plan(merge, steps_to(merge.local, merge.tree), steps_to(remote, merge.tree))


def reconcile(base: Tree, local: Overlay, remote: Overlay, rules: Rules, ids: NodeIds) -> Merge:
    """Return what both sides are to become."""
    return _Reconciler(base, local, remote, rules, ids).run()


class _Reconciler:
    def __init__(
        self, base: Tree, local: Overlay, remote: Overlay, rules: Rules, ids: NodeIds
    ) -> None:
        self._base = base
        self._remote = remote
        self._rules = rules
        self._ids = ids
        self._changed = dict.fromkeys((*remote.changed(), *local.changed()))
        self._merge = Merge(Overlay(base), local.copy())
        self._local = self._merge.local
        self._decided: dict[int, Node | None] = {}
        self._names: dict[tuple[int, str], list[int]] = {}
        self._copied: list[tuple[int, int, Reason]] = []

    def run(self) -> Merge:
        for node in self._changed:
            self._decide(node)
        self._keep_holders()
        self._put_right()
        self._resolve_names()
        self._build()
        self._tell()
        return self._merge

    # Each node by itself.

    def _decide(self, node: int) -> None:
        base, local, remote = self._three(node)
        if local is None and remote is None:
            self._decided[node] = None
        elif base is None:
            self._decided[node] = self._of_new(node, local, remote)
        elif local is None or remote is None:
            stays = local or remote
            assert stays is not None  # noqa: S101 - for the type checker
            self._decided[node] = stays if beats_removal(base, stays) else None
            if self._decided[node] is not None and base.is_folder:
                self._keep_all(node)
        else:
            place = self._place_of(node, base, local, remote)
            item = self._item_of(node, base, local, remote)
            self._decided[node] = Node(*place, item)

    def _keep_all(self, folder: int) -> None:
        """Let all stay that only the folder's removal has taken away."""
        for node in below(self._base, folder):
            if node not in self._changed:
                self._decided[node] = self._base.get(node)
                self._merge.kept.append(node)

    def _three(self, node: int) -> tuple[Node | None, Node | None, Node | None]:
        base, local = unparked(self._base.get(node), None), self._local.get(node)
        return base, unparked(local, base), self._remote.get(node)

    def _of_new(self, node: int, local: Node | None, remote: Node | None) -> Node | None:
        if local is None or remote is None:
            return local or remote
        if content_of(local.item) != content_of(remote.item):
            return remote._replace(item=self._of_two_edits(node, None, local, remote))
        return remote._replace(item=merge_manner(None, local.item, remote.item, remote.item))

    def _place_of(self, node: int, base: Node, local: Node, remote: Node) -> tuple[int, str]:
        if remote.place == base.place:
            return local.place
        return remote.place

    def _item_of(self, node: int, base: Node, local: Node, remote: Node) -> Item:
        if base.is_folder:
            return base.item
        mine, theirs, before = map(content_of, (local.item, remote.item, base.item))
        if mine in (before, theirs):
            return merge_manner(base.item, local.item, remote.item, remote.item)
        if theirs == before:
            return merge_manner(base.item, local.item, remote.item, local.item)
        return self._of_two_edits(node, base, local, remote)

    def _of_two_edits(self, node: int, base: Node | None, local: Node, remote: Node) -> Item:
        path = path_of(self._remote, node)
        if base is not None and self._rules.may_merge(path):
            key = MergeKey(node, local.item.content, remote.item.content)
            if key not in self._rules.merged:
                text = TextMerge(node, path, base.item, local.item, remote.item)
                self._merge.texts.append(text)
            merged = self._rules.merged.get(key)
            if merged is not None:
                self._merge.notices.append(Notice(Reason.MERGED, path))
                return merge_manner(base.item, local.item, remote.item, merged)
        if self._rules.later_wins(path):
            self._merge.notices.append(Notice(Reason.OVERWRITTEN, path))
            return local.item
        copy = self._ids.new()
        self._local.take_over(node, copy)
        self._decided[copy] = local
        self._copied.append((node, copy, Reason.EDITED_TWICE))
        return remote.item

    # The tree that comes of it.

    def _keep_holders(self) -> None:
        """Let folders stay, each for itself alone, of which the server has more than is seen."""
        for path in self._rules.holders:
            node = find(self._remote, path)
            found = self._remote.get(node) if node is not None else None
            if node is None or found is None or self._local.get(node) is not None:
                continue
            if found.is_folder:
                self._bring_back(node)

    def _place(self, node: int) -> Node | None:
        """Return a node as it is to be, whether its folder is there or not."""
        return self._decided[node] if node in self._decided else self._base.get(node)

    def _put_right(self) -> None:
        """Repeat until nothing changes: each loop undone may need a folder, and so on."""
        while True:
            for node, decided in list(self._decided.items()):
                if decided is not None:
                    self._keep_folders(node)
            if not self._undo_loops():
                break

    def _keep_folders(self, node: int) -> None:
        """Let the folders stay that hold a node, each for itself alone."""
        at, seen = self._parent(node), {node}
        while at != ROOT and at not in seen:
            if self._decided.get(at, at) is None or self._place(at) is None:
                self._bring_back(at)
                at, seen = self._parent(node), {node}
            else:
                seen.add(at)
                at = self._parent(at)

    def _parent(self, node: int) -> int:
        found = self._place(node)
        return found.parent if found else ROOT

    def _bring_back(self, folder: int) -> None:
        base, local, remote = self._three(folder)
        back = remote or local or base
        assert back is not None  # noqa: S101 - a node is somewhere
        self._decided[folder] = back
        for _, child in self._base.children(folder):
            if child not in self._decided:
                self._decided[child] = None

    def _undo_loops(self) -> bool:
        """Where folders hold each other, give one its place on the server again."""
        for node, decided in list(self._decided.items()):
            if decided is None or not decided.is_folder:
                continue
            loop = self._loop_from(node)
            if loop:
                self._break(loop)
                return True
        return False

    def _loop_from(self, node: int) -> list[int]:
        seen: dict[int, None] = {}
        at = node
        while at != ROOT:
            if at in seen:
                names = list(seen)
                return names[names.index(at) :]
            seen[at] = None
            at = self._parent(at)
        return []

    def _break(self, loop: list[int]) -> None:
        for node in sorted(loop):
            decided, committed = self._decided.get(node), self._remote.get(node)
            if decided and committed and committed.place != decided.place:
                self._decided[node] = decided._replace(parent=committed.parent, name=committed.name)
                self._merge.notices.append(Notice(Reason.CYCLE, path_of(self._remote, node)))
                return
        # The server has none of them elsewhere: they are only on the disk, or brought back.
        top = min(loop)
        found = self._place(top)
        assert found is not None  # noqa: S101 - it is in the loop
        self._decided[top] = found._replace(parent=ROOT)

    # Names.

    def _resolve_names(self) -> None:
        for node, decided in self._decided.items():
            if decided is not None:
                self._names.setdefault(decided.place, []).append(node)
        pending = list(self._names)
        while pending:
            pending.extend(self._resolve(pending.pop()))

    def _resolve(self, place: tuple[int, str]) -> list[tuple[int, str]]:
        """Leave one node at a place; return the places to which others have come."""
        nodes = self._at(place)
        if len(nodes) < 2:  # noqa: PLR2004 - two are one too many
            return []
        winner = min(nodes, key=lambda node: self._rank(node, place))
        changed: list[tuple[int, str]] = []
        for node in nodes:
            if node != winner:
                changed.extend(self._give_way(node, winner, place))
        return changed

    def _at(self, place: tuple[int, str]) -> list[int]:
        nodes = [node for node in self._names.get(place, []) if self._is_at(node, place)]
        other = self._base.child(*place)
        if other is not None and other not in nodes and self._is_at(other, place):
            nodes.append(other)
        return list(dict.fromkeys(nodes))

    def _is_at(self, node: int, place: tuple[int, str]) -> bool:
        found = self._place(node)
        return found is not None and found.place == place

    def _rank(self, node: int, place: tuple[int, str]) -> tuple[bool, bool, bool, int]:
        found, remote, base = self._place(node), self._remote.get(node), self._base.get(node)
        return (
            not (found is not None and found.is_folder),
            not (remote is not None and remote.place == place),
            not (base is not None and base.place == place),
            node,
        )

    def _give_way(self, node: int, winner: int, place: tuple[int, str]) -> list[tuple[int, str]]:
        mine, other = self._place(node), self._place(winner)
        assert mine is not None  # noqa: S101 - both are at the place
        assert other is not None  # noqa: S101
        if mine.is_folder:
            return self._merge_folders(node, winner)
        if not other.is_folder and content_of(mine.item) == content_of(other.item):
            self._decided[node] = None
            self._copied = [
                (winner if of == node else of, copy, why)
                for of, copy, why in self._copied
                if copy != node
            ]
            return []
        if not other.is_folder and self._rules.later_wins(self._decided_path(winner)):
            later, earlier = self._by_commit(node, winner)
            self._decided[earlier] = None
            path = self._decided_path(later)
            self._merge.notices.append(Notice(Reason.OVERWRITTEN, path))
            return []
        if all(copied[1] != node for copied in self._copied):
            reason = Reason.FILE_AND_FOLDER if other.is_folder else Reason.ADDED_TWICE
            self._copied.append((winner, node, reason))
        return [self._rename(node, mine)]

    def _by_commit(self, node: int, winner: int) -> tuple[int, int]:
        return (node, winner) if self._remote.get(node) is None else (winner, node)

    def _rename(self, node: int, mine: Node) -> tuple[int, str]:
        name = conflict_name(
            mine.name,
            self._rules.device,
            self._rules.time_ns,
            lambda name: (
                bool(self._at((mine.parent, name)))
                or self._remote.child(mine.parent, name) is not None
                or self._local.child(mine.parent, name) is not None
            ),
        )
        return self._move(node, mine._replace(name=name))

    def _move(self, node: int, new: Node) -> tuple[int, str]:
        self._decided[node] = new
        self._names.setdefault(new.place, []).append(node)
        return new.place

    def _merge_folders(self, node: int, winner: int) -> list[tuple[int, str]]:
        """Move all that is in one folder into the other."""
        changed = []
        for child in self._children(node):
            found = self._place(child)
            if found is not None:
                changed.append(self._move(child, found._replace(parent=winner)))
        self._decided[node] = None
        return changed

    def _children(self, folder: int) -> list[int]:
        decided = [
            node for node, new in self._decided.items() if new is not None and new.parent == folder
        ]
        undecided = [node for _, node in self._base.children(folder) if node not in self._decided]
        return decided + undecided

    def _decided_path(self, node: int) -> str:
        names = []
        while node != ROOT:
            found = self._place(node)
            assert found is not None  # noqa: S101 - folders that hold something stay
            names.append(found.name)
            node = found.parent
        return "/".join(reversed(names))

    # The result.

    def _build(self) -> None:
        tree = self._merge.tree
        for node in self._decided:
            tree.remove(node)
        placed: set[int] = set()
        for node, decided in self._decided.items():
            if decided is not None:
                self._build_node(node, placed)

    def _build_node(self, node: int, placed: set[int]) -> None:
        """Place a node, before it the folders that it lies in."""
        waiting = []
        at = node
        while at != ROOT and at not in placed:
            waiting.append(at)
            at = self._parent(at)
        for at in reversed(waiting):
            placed.add(at)
            new = self._decided.get(at)
            if new is not None:
                self._merge.tree.put(at, new)

    def _tell(self) -> None:
        for node, copy, reason in self._copied:
            path, copy_path = self._decided_path(node), self._decided_path(copy)
            self._merge.notices.append(Notice(reason, path, copy_path))
        for node in self._decided:
            base, local, remote = self._three(node)
            if base and local and remote and are_three_places(base, local, remote):
                path = path_of(self._remote, node)
                self._merge.notices.append(Notice(Reason.RENAMED_TWICE, path))
