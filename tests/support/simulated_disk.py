"""A linked folder and a state in memory, for simulations of syncd's engine."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from syncd.disk.items import Item
from syncd.disk.signatures import Signature
from syncd.plan import Action, Step
from syncd.ports import Done, Observed, OutdatedError
from syncd.trees import ROOT, EmptyTree, Node, NodeIds, Overlay, below, find, is_inside
from tests.support.drawn_trees import Drawing, MemoryBase, Side, drawn


class SimulatedState:
    """A state in memory. What was not committed is gone after a kill."""

    def __init__(self) -> None:
        self.base = MemoryBase()
        self.values: dict[str, bytes] = {}
        self._depth = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        kept = copy.deepcopy((self.base.__dict__, self.values)) if self._depth == 0 else None
        self._depth += 1
        try:
            yield
        except BaseException:
            if kept is not None:
                self.base.__dict__.update(kept[0])
                self.values = kept[1]
            raise
        finally:
            self._depth -= 1

    def read(self, key: str) -> bytes | None:
        return self.values.get(key)

    def write(self, key: str, value: bytes) -> None:
        self.values[key] = value


class SimulatedDisk:
    """A folder of inodes. `step` is called wherever a real disk would let others run."""

    def __init__(self, state: SimulatedState, ids: NodeIds, step: Callable[[], None]) -> None:
        self.state = state
        self.ids = ids
        self.step = step
        self.files = Overlay(EmptyTree())
        self.inodes = NodeIds(1000)
        self.versions: dict[int, int] = {}
        self._seen: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        self._time = 0

    @property
    def user(self) -> Side:
        """The user, who writes without asking anybody."""
        return Side(self.files, self.inodes)

    def drawing(self) -> Drawing:
        return drawn(self.files)

    def touch(self, inode: int) -> None:
        self._time += 1
        self.versions[inode] = self._time

    def user_writes(self, path: str, item: Item) -> None:
        self.user.write(path, item)
        self.touch(self.user.node(path))

    def signature(self, inode: int) -> Signature:
        found = self.files.get(inode)
        assert found is not None
        return Signature(inode, found.item.size, found.item.mtime_ns, self.versions.get(inode, 0))

    # What the engine asks.

    def look(self) -> Observed:
        self.step()
        base = self.state.base
        observed = Observed(Overlay(base))
        self._numbers = self._identify()
        self._seen = {inode: self.versions.get(inode, 0) for inode in self._numbers}
        here = set(self._numbers.values())
        places = {
            self._numbers[inode]: self._node(inode) for inode in self._numbers
        }  # folders first
        gone: set[int] = set()
        for node in [*below(base, ROOT)]:
            if node not in here:
                gone.add(node)
                found = base.get(node)
                if found is None or found.parent not in gone:  # the topmost, as a real disk's
                    observed.tree.remove(node)
            elif places[node] != base.get(node):
                observed.tree.remove(node)
        for node, found in places.items():
            if found != base.get(node):
                observed.tree.put(node, found)
        for inode, node in self._numbers.items():
            observed.signatures[node] = self.signature(inode)
        observed.vanished = sum(1 for node in base.nodes if node not in here)
        return observed

    def _node(self, inode: int) -> Node:
        found = self.files.get(inode)
        assert found is not None
        parent = self._numbers[found.parent] if found.parent != ROOT else ROOT
        return Node(parent, found.name, found.item)

    def _identify(self) -> dict[int, int]:
        """Return which node each inode is, folders before what is in them."""
        base = self.state.base
        known = {
            signature.inode: node
            for node, signature in base.signatures.items()
            if signature is not None
        }
        inodes = list(below(self.files, ROOT))
        named = self._folders_by_name(inodes)
        known = {inode: node for inode, node in known.items() if node not in named.values()} | named
        here = {known[inode] for inode in inodes if inode in known}
        numbers: dict[int, int] = {ROOT: ROOT}
        for inode in inodes:
            found = self.files.get(inode)
            assert found is not None
            node = known.get(inode)
            if node is None:
                same = base.child(numbers[found.parent], found.name)
                old = base.get(same) if same is not None else None
                is_alike = old is not None and old.is_folder == found.is_folder
                node = same if is_alike and same not in here else None
            if node is None:
                node = self._numbers.get(inode)
            if node is None or node in numbers.values():
                node = self.ids.new()
            numbers[inode] = node
        del numbers[ROOT]
        return numbers

    def _folders_by_name(self, inodes: list[int]) -> dict[int, int]:
        """Return which folders are where the base has folders: whatever inode, they are those."""
        base = self.state.base
        named = {ROOT: ROOT}
        for inode in inodes:
            found = self.files.get(inode)
            if found is None or found.parent not in named or not found.is_folder:
                continue
            node = base.child(named[found.parent], found.name)
            there = base.get(node) if node is not None else None
            if node is not None and there is not None and there.is_folder:
                named[inode] = node
        del named[ROOT]
        return named

    def apply(
        self,
        steps: Sequence[Step],
        read: Callable[[Step], Iterable[bytes]],
        record: Callable[[list[Done]], None],
    ) -> None:
        staged: dict[int, bytes | None] = {}
        for index, step in enumerate(steps):
            if step.action is Action.PUT and step.item.kind.name != "SYMLINK":
                try:
                    staged[index] = b"".join(read(step))
                except OutdatedError:
                    staged[index] = None
        done: list[Done] = []
        stayed: set[str] = set()
        for index, step in enumerate(steps):
            if any(one.step.node == step.node for one in done):  # as a real disk's batches
                self._record(done, record)
                done = []
            self.step()
            is_free = step.path not in stayed or step.old is not None
            if staged.get(index, b"") is None or not is_free:
                done.append(Done(step, is_outdated=True))
            else:
                assert index not in staged or staged[index] == step.item.content
                done.append(self._carry_out(step))
            if step.action is Action.MOVE and done[-1].is_outdated:
                stayed.add(step.source)
        self._record(done, record)

    def _record(self, done: list[Done], record: Callable[[list[Done]], None]) -> None:
        self.step()
        with self.state.transaction():
            record(done)
        self.step()

    def _carry_out(self, step: Step) -> Done:  # noqa: PLR0911 - many things are outdated
        folder, _, name = step.path.rpartition("/")
        parent, there = find(self.files, folder), find(self.files, step.path)
        above = self.files.get(parent) if parent is not None else None
        if parent is None or above is None or not above.is_folder:
            return Done(step, is_outdated=True)
        place = Node(parent, name, step.item)
        if step.action is Action.REMOVE:
            return self._remove(step, there)
        if step.action is Action.MOVE:
            source = find(self.files, step.source)
            if source is None or there is not None or not self._is_as_seen(source):
                return Done(step, is_outdated=True)
            if is_inside(self.files, parent, source):
                return Done(step, is_outdated=True)
            found = self.files.get(source)
            assert found is not None
            self.files.put(source, place._replace(item=found.item))
            return self._done(step, source)
        if step.action is Action.MAKE_FOLDER or (step.action is Action.PUT and step.old is None):
            if there is not None:
                return Done(step, is_outdated=True)
            there = self.inodes.new()
        elif there is None or not self._is_as_seen(there):
            return Done(step, is_outdated=True)
        elif step.action is Action.PUT:
            self.files.remove(there)
            there = self.inodes.new()
        self.files.put(there, place)
        return self._done(step, there)

    def _done(self, step: Step, inode: int) -> Done:
        self.touch(inode)
        self._seen[inode] = self.versions[inode]
        self._numbers[inode] = step.node
        return Done(step, signature=self.signature(inode))

    def _is_as_seen(self, inode: int) -> bool:
        found = self.files.get(inode)
        assert found is not None
        if found.is_folder:
            return inode in self._seen
        return self._seen.get(inode) == self.versions.get(inode, 0)

    def _remove(self, step: Step, there: int | None) -> Done:
        if there is None:
            return Done(step, is_outdated=True)
        inside = [there, *below(self.files, there)]
        if not all(self._is_as_seen(inode) for inode in inside):
            return Done(step, is_outdated=True)
        for inode in reversed(inside):
            self.files.remove(inode)
        return Done(step)

    def wait(self, seconds: float | None) -> None:
        self.step()

    def wake(self) -> None:
        pass
