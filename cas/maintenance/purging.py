"""Purging a path from a volume's past: its content goes from every older state, for good."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from cas.errors import ConflictError, MissingObjectError, NotFoundError
from cas.journal import Action
from cas.kept import kept_states
from cas.maintenance.keeping import commits_of
from cas.maintenance.watching import Watcher
from cas.nodes import ReadNodes
from cas.objects import Entry, encode
from cas.paths import Names, join_names, split_path
from cas.purged import Purge, Purged, purge_records, purged_from
from cas.registry import head_of
from cas.repository import Repository
from cas.snapshots import Snapshot, load_commit
from cas.trees import lookup
from cas.volume import Volume

_SHARED_NAMED: Final = 5
_RECORDS_PER_EDIT: Final = 512
"""About 4 MiB: an edit has to fit in one record of the journal."""


class PurgeReport(NamedTuple):
    """What a purge took from the past, or would take.

    `paths` are those that it had, in this volume, `contents` the number of different contents,
    with `size` bytes in all. The present holds `shared` of them elsewhere, at `shared_at` among
    other places, as (volume, path): they stay there. `snapshots` are those that go on without it.
    """

    paths: list[str]
    contents: int
    size: int
    shared: int
    shared_at: list[tuple[str, str]]
    snapshots: list[str]
    is_dry_run: bool


def purge_path(
    repository: Repository,
    volume: Volume,
    path: str,
    *,
    author: str = "",
    is_dry_run: bool = False,
    confirm: Callable[[PurgeReport], None] | None = None,
    watcher: Watcher | None = None,
) -> PurgeReport:
    """Take the content of all that was ever at a path, and below it, from the volume's past.

    `confirm` is told what would go, before it goes; what it raises ends the purge.

    It cannot be read from older states any more as soon as this returns, and its bytes are
    deleted by the next collection. Names, sizes and times stay in the history. So does content
    that other volumes hold, and what this volume holds elsewhere at present.

    Raises:
        ConflictError: the path exists, or a pinned snapshot has some of the content, wherever;
            nothing was changed.
        NotFoundError: nothing that is kept was ever at the path.
        InvalidError: this cannot be a path.
        IntegrityError: the history is damaged.
    """
    purging = _Purging(repository, volume, path, watcher or Watcher())
    report = purging.look(is_dry_run=is_dry_run)
    if is_dry_run:
        return report
    if confirm is not None:
        confirm(report)
        if not purging.is_of_present():  # people take their time to answer
            purging = _Purging(repository, volume, path, watcher or Watcher())
            report = purging.look(is_dry_run=False)
    purging.write_down(author)
    return report


def write_purge(repository: Repository, volume_id: bytes, purge: Purge) -> None:
    """Say in the registry what is purged.

    Of very many contents it is several commits: after a kill between them the purge is to be made
    again, and finds all of it again.
    """
    records = purge_records(volume_id, purge)
    while some := list(islice(records, _RECORDS_PER_EDIT)):
        with repository.registry.edit(author=purge.author) as edit:
            edit.make_directory(some[0][0].rpartition("/")[0], parents=True)
            for place, record in some:
                edit.put_record(place, encode(record))


class _Purging:
    """Finds what a purge takes. `found` are the sizes of contents by their ids."""

    def __init__(self, repository: Repository, volume: Volume, path: str, watcher: Watcher) -> None:
        self._repository = repository
        self._engine = repository.engine
        self._volume = volume
        self._path = path
        self._watcher = watcher
        self._nodes = ReadNodes(repository.engine.nodes)
        self._seen: set[bytes] = set()
        self._met: set[tuple[Names, int]] = set()
        self._sequence = 0
        self.paths: set[Names] = {split_path(path)}
        self.found: dict[bytes, int] = {}
        self.is_met = False
        """Whether anything was ever there, were it without content."""

    def look(self, *, is_dry_run: bool) -> PurgeReport:
        """Find all that goes, and where it is."""
        self._refuse_present()
        self._look_back()
        snapshots = self._having()
        if not self.found:
            raise NotFoundError(self._why_nothing())
        shared, shared_at = self._shared()
        return PurgeReport(
            sorted(map(join_names, self.paths)),
            len(self.found),
            sum(self.found.values()),
            shared,
            shared_at,
            snapshots,
            is_dry_run,
        )

    def is_of_present(self) -> bool:
        """Return whether nothing has happened to the volume since it was looked at."""
        with self._engine.catalog.read() as transaction:
            return head_of(transaction, self._volume.id).sequence == self._sequence

    def _why_nothing(self) -> str:
        if self.is_met:
            what = f"what was at {self._path!r} in {self._volume.name!r} had no content"
            return f"{what}: nothing is to be purged"
        where = f"at {self._path!r} in {self._volume.name!r}"
        return f"nothing was ever {where}, or it is not kept any more"

    def _refuse_present(self) -> None:
        """Raise where there is something at the path."""
        with self._volume.view() as view:
            self._sequence = view.sequence
            if not self._path or view.get(self._path) is not None:
                message = f"{self._path or '/'!r} exists: remove it first"
                raise ConflictError(message)

    def _look_back(self) -> None:
        """Find what was there: by the changes, and by the states that are kept."""
        self._watcher.stage("looking back", None)
        self._engine.checkpointer.checkpoint(wait=True)  # what is looked at is in packs
        waiting: list[tuple[str, int | None]] = [(self._path, None)]
        while waiting:
            waiting += self._look_along(*waiting.pop())
        with self._engine.catalog.read() as transaction:
            head = head_of(transaction, self._volume.id)
            kept = kept_states(self._engine.nodes, transaction, self._volume.id)
        for _, commit in commits_of(self._engine, head.commit, kept):
            if kept.has(commit.last_sequence):
                self._add(self._at_paths(commit.root))
                self._watcher.advance(1)

    def _look_along(self, path: str, before: int | None) -> Iterator[tuple[str, int]]:
        """Find what the log leads to; yield the places that it left, and where it did so.

        The log follows what came to a path, and leaves behind what was at the path before that.
        """
        home: Names | None = split_path(path)
        for item in self._volume.log(path, before=before, recursive=True):
            names = split_path(item.path)
            if names == home and (names, item.sequence) in self._met:
                return  # from here on it has been looked along
            self._add(entry for entry in (item.old, item.new) if entry is not None)
            self._watcher.advance(1)
            if names not in self.paths:
                continue
            self._met.add((names, item.sequence))
            if item.source is None:
                continue
            if item.old is None:
                home = None  # it may have gone on elsewhere
                yield item.path, item.sequence
            if item.action is Action.MOVE and not item.source_volume:
                self.paths.add(split_path(item.source))
            elif item.old is None:
                return  # what it was copied from is another file, and keeps its past

    def _having(self) -> list[str]:
        """Return the names of the snapshots that have it, and find what they have.

        Raises:
            ConflictError: one is pinned.
        """
        having = set()
        roots = {}
        for snapshot in self._volume.snapshots():
            commit = load_commit(self._engine.chunks, snapshot.commit)
            roots[snapshot] = commit.root, commit.last_sequence
            entries = list(self._at_paths(commit.root))
            if entries:
                self._refuse_pinned(snapshot, self._path)
                having.add(snapshot.name)
                self._add(entries)
        without: set[bytes] = set()
        purged = self._purged()
        for snapshot, (root, sequence) in roots.items():
            for names, content in self._found_below(root, without):
                if purged is not None and purged.has(content, sequence):
                    continue  # it went with an earlier purge
                self._refuse_pinned(snapshot, join_names(names))
                having.add(snapshot.name)
                break
        return [snapshot.name for snapshot in roots if snapshot.name in having]

    def _found_below(self, root: Entry, without: set[bytes]) -> Iterator[tuple[Names, bytes]]:
        """Yield where a state has what was found; `without` are nodes known to have none."""
        waiting: list[tuple[Names, Entry]] = [((), root)]
        met: set[bytes] = set()
        has_any = False
        while waiting:
            folder, entry = waiting.pop()
            for name, below in _new_below(self._nodes, entry.content, met, without):
                if below.is_directory:
                    waiting.append(((*folder, name), below))
                elif below.is_file and below.content in self.found:
                    has_any = True
                    yield (*folder, name), below.content
        if not has_any:
            without |= met

    def _purged(self) -> Purged | None:
        with self._engine.catalog.read() as transaction:
            return purged_from(self._engine.nodes, transaction, self._volume.id)

    def _shared(self) -> tuple[int, list[tuple[str, str]]]:
        """Return how many of the contents the present has elsewhere, and some of the places."""
        self._watcher.stage("looking at what is there at present", None)
        shared: set[bytes] = set()
        places: list[tuple[str, str]] = []
        for info in self._repository.volumes():
            with self._repository.volume(info.name).view() as view:
                for path, entry in view.walk():
                    if entry.is_file and entry.content in self.found:
                        shared.add(entry.content)
                        if len(places) < _SHARED_NAMED:
                            places.append((info.name, path))
        return len(shared), places

    def write_down(self, author: str) -> None:
        """Say in the registry what is purged: from then on no older state gives it back."""
        self._engine.checkpointer.checkpoint(wait=True)
        with self._engine.catalog.read() as transaction:
            sequence = head_of(transaction, self._volume.id).commit_sequence
        self._begin_anew(sequence, author)
        path = join_names(split_path(self._path)).encode(errors="surrogateescape")
        now_ns = self._engine.clock.now_ns()
        before = self._purged()
        while before is not None and now_ns in before.times:
            now_ns += 1  # the clock went back: no earlier record is written over
        purge = Purge(path, sequence, now_ns, author, list(self.found))
        write_purge(self._repository, self._volume.id, purge)

    def _begin_anew(self, sequence: int, author: str) -> None:
        """Give the present a number above what is purged: what it has elsewhere has a past again.

        Without it a snapshot that is made now, or an undelete of what is removed now, would lack
        what the purge said to stay. This comes first: alone, it is an attribute set to what it was.
        """
        with self._engine.catalog.read() as transaction:
            head = head_of(transaction, self._volume.id)
        if head.sequence == sequence:
            with self._volume.edit(author=author) as edit:
                edit.set_properties("", mtime_ns=head.root.mtime_ns)

    def _at_paths(self, root: Entry) -> Iterator[Entry]:
        for names in self.paths:
            entry: Entry | None = root
            for name in names:
                if entry is None or not entry.is_directory:
                    entry = None
                    break
                entry = lookup(self._nodes, entry.content, name)
            if entry is not None:
                yield entry

    def _add(self, entries: Iterable[Entry]) -> None:
        waiting = list(entries)
        while waiting:
            entry = waiting.pop()
            self.is_met = True
            if entry.is_file and entry.content:
                self.found[entry.content] = entry.size
            elif entry.is_directory:
                new = _new_below(self._nodes, entry.content, self._seen, may_lack=True)
                waiting += (below for _, below in new)

    def _refuse_pinned(self, snapshot: Snapshot, path: str) -> None:
        if snapshot.is_pinned:
            message = (
                f"the pinned snapshot {self._volume.name}@{snapshot.name} has {path!r}: "
                "unpin it first, with `casdav snapshot pin --off`"
            )
            raise ConflictError(message)


def _new_below(
    nodes: ReadNodes,
    root: bytes,
    met: set[bytes],
    known: Container[bytes] = (),
    *,
    may_lack: bool = False,
) -> Iterator[tuple[bytes, Entry]]:
    """Yield what is in a folder's nodes that were not met, and add them to those that were.

    States share most of their nodes: to go through those of each is the product of both numbers.
    """
    waiting = [root] if root else []
    while waiting:
        node_id = waiting.pop()
        if node_id in met or node_id in known:
            continue
        met.add(node_id)
        try:
            node = nodes.load_tree_node(node_id)
        except MissingObjectError:
            if not may_lack:
                raise
            continue  # of a state that is not kept
        waiting += (child.id for child in node.children)
        yield from zip(node.names, node.entries, strict=False)  # an inner node has no entries
