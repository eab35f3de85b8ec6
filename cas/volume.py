"""A volume's handle: views of it, uploads for it, edits on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from cas.applying import entry_id
from cas.catalog import Head
from cas.done import find_done, known_from
from cas.edits import Edit
from cas.engine import Engine
from cas.errors import AlreadyExistsError, NotFoundError, PreconditionError
from cas.files import FileWriter, StoredFiles, store_files
from cas.folders import FolderWriter
from cas.history import find_key
from cas.journal import Change
from cas.kept import Beginning
from cas.log import LogItem, PathLog
from cas.nodes import ReadNodes, UploadTreeNodes
from cas.objects import Entry, EntryKind
from cas.operations import ABSENT, EXISTS, ContentIs
from cas.past import PastState, beginning_text, sequence_at
from cas.paths import split_path
from cas.registry import VolumeInfo, head_of
from cas.reliance import Reliance
from cas.snapshots import (
    Snapshot,
    SnapshotRecord,
    commits_beginning,
    encode_snapshot,
    find_snapshot,
    iterate_snapshots,
    load_commit,
    snapshot_name,
)
from cas.views import View

_Seen = TypeVar("_Seen")


class Volume:
    """One versioned tree of a repository: a home or a shared space. Shared by threads."""

    def __init__(self, engine: Engine, info: VolumeInfo) -> None:
        self.info = info
        self._engine = engine

    @property
    def name(self) -> str:
        """The volume's name."""
        return self.info.name

    @property
    def id(self) -> bytes:
        """The volume's id, 16 bytes, which no other volume ever has."""
        return self.info.id

    def mark(self) -> bytes:
        """Return bytes that stand for the volume's present state: a cheap sign of news."""
        self._engine.freshen(self.id)
        with self._engine.catalog.read() as transaction:
            return transaction.head_row(self.info.id) or b""

    def sequence(self) -> int:
        """Return the number of the volume's last change."""
        self._engine.freshen(self.id)
        with self._engine.catalog.read() as transaction:
            return head_of(transaction, self.info.id).sequence

    def view(self) -> View:
        """Return the volume as it is now."""
        engine = self._engine
        engine.freshen(self.id)
        head, pin = engine.process.pin(lambda catalog: head_of(catalog, self.info.id))
        return self._view(PastState(head.root, ReadNodes(engine.nodes, pin), head.sequence, pin))

    def at(self, commit_id: bytes) -> View:
        """Return the volume as a commit has it.

        Raises:
            NotFoundError: it has no such commit, or the commit's files are not kept any more.
        """
        commit = load_commit(self._engine.chunks, commit_id)
        if commit.volume_id != self.id:
            message = f"there is no commit {commit_id.hex()} in {self.name!r}"
            raise NotFoundError(message)
        return self._view(self._engine.past.open_commit(self.id, commit_id, commit))

    def find_commit(self, prefix: str) -> bytes:
        """Return the id of the volume's commit that begins with these hex digits.

        Raises:
            NotFoundError: there is none, or more than one.
        """
        engine = self._engine
        found = [
            commit_id
            for commit_id in commits_beginning(engine.catalog, prefix)
            if load_commit(engine.chunks, commit_id).volume_id == self.id
        ]
        if len(found) != 1:
            how_many = "several commits begin" if found else "no commit begins"
            message = f"{how_many} with {prefix} in {self.name!r}: "
            raise NotFoundError(message + beginning_text(self.beginning()))
        return found[0]

    def beginning(self) -> Beginning | None:
        """Return the oldest state that is known; None where nothing was ever changed.

        What was before has been dropped when the audit period was over, or never was.

        Raises:
            IntegrityError: a commit or list of changes is damaged.
        """
        self._engine.freshen(self.id)
        return self._engine.history.open(self.id).beginning()

    def at_sequence(self, sequence: int) -> View:
        """Return the volume as it was after the change of this number.

        Between two commits, the changes since the first are done again, in memory alone.

        Raises:
            NotFoundError: there was no such change, or the files of then are not kept any more.
        """
        self._engine.freshen(self.id)
        return self._view(self._engine.past.open(self.id, lambda _: sequence))

    def at_time(self, time_ns: int) -> View:
        """Return the volume as it was at a time, in nanoseconds since the epoch.

        Where the clock was set back, time stands still until it has caught up.

        Raises:
            NotFoundError: it is before all that is known, or the files are not kept any more.
        """
        self._engine.freshen(self.id)
        past = self._engine.past
        return self._view(past.open(self.id, lambda history: sequence_at(history, time_ns)))

    def changes(self, after: int, upto: int) -> Iterator[Change]:
        """Yield what changed after the change of one number up to another, as far as it is kept.

        Raises:
            IntegrityError: a list of changes is damaged.
        """
        for recorded in self._engine.history.open(self.id).forward(after + 1):
            if recorded.sequence > upto:
                return
            yield recorded.change

    def find_edit(self, author: str, key: str, since: int) -> tuple[int, int] | None:
        """Return the numbers of the change before an author's edit with a key, and of its last.

        Of edits since the change of number `since`; None where there was none. What the catalog
        does not know, because it was lost, is found in the changes themselves.
        """
        engine = self._engine
        with engine.catalog.read() as transaction:
            now_ns = engine.clock.now_ns()
            found = find_done(transaction, self.id, author, key, now_ns)
            known = known_from(transaction, self.id)
            upto = head_of(transaction, self.id).sequence if known is None else known
        if found is not None or since >= upto:
            return found
        return find_key(engine.history.open(self.id).forward(since + 1), author, key, upto)

    def log(
        self,
        path: str,
        *,
        before: int | None = None,
        recursive: bool = False,
        may_follow: Callable[[bytes], bool] = lambda _: False,
    ) -> Iterator[LogItem]:
        """Return what was changed at a path, newest first, of changes below number `before`.

        With `recursive`, and below it. The history of what was moved or copied goes on under its
        old path; in another volume only if `may_follow` allows that for the volume's id. It is
        read as it is asked for: the newest changes cost the same however long the history is.

        Raises:
            InvalidError: this cannot be a path.
            IntegrityError: a change or a tree is damaged.
        """
        self._engine.freshen(self.id)
        log = PathLog(self._engine.nodes, self._engine.history.open, may_follow)
        return log.items(self.id, split_path(path), before=before, recursive=recursive)

    def snapshots(self) -> list[Snapshot]:
        """Return the snapshots, by name."""
        return self._look(iterate_snapshots)

    def snapshot(self, name: str) -> Snapshot:
        """Return the snapshot of this name.

        Raises:
            NotFoundError: there is none.
        """
        return self._look(lambda nodes, head: self._find_snapshot(nodes, head, name))

    def at_snapshot(self, name: str) -> tuple[Snapshot, View]:
        """Return the snapshot of this name, and the volume as it has it.

        The epoch of the view is one in which the snapshot was there, so that what is attached
        from it is safe from a collection that began when the snapshot was gone.

        Raises:
            NotFoundError: there is none.
        """
        engine = self._engine
        engine.freshen(self.id)
        head, pin = engine.process.pin(lambda reading: head_of(reading, self.info.id))
        nodes = ReadNodes(engine.nodes, pin)
        try:
            found = self._find_snapshot(nodes, head, name)
            commit = load_commit(engine.chunks, found.commit)
        except BaseException:
            engine.process.unpin(pin)
            raise
        state = PastState(commit.root, nodes, commit.last_sequence, pin)
        return found, self._view(engine.past.without_purged(self.id, state))

    def create_snapshot(self, name: str, *, is_pinned: bool = False, author: str = "") -> Snapshot:
        """Give the present state a name. Constant time, but for a checkpoint of what is young.

        Raises:
            AlreadyExistsError: there is a snapshot of this name.
            InvalidError: it cannot be a name.
        """
        snapshot_name(name)
        engine = self._engine
        engine.freshen(self.id)
        engine.checkpointer.checkpoint(wait=True)
        with engine.catalog.read() as transaction:
            head, epoch = head_of(transaction, self.info.id), transaction.epoch()
        record = SnapshotRecord(head.commit, head.commit_time_ns, is_pinned)
        try:
            with self.edit(author=author) as edit:
                edit.put_snapshot(name, record, epoch=epoch, expect=ABSENT)
        except PreconditionError as error:
            message = f"{self.name!r} has a snapshot {name!r} already"
            raise AlreadyExistsError(message) from error
        return self.snapshot(name)

    def change_snapshot(
        self,
        name: str,
        *,
        new_name: str | None = None,
        is_pinned: bool | None = None,
        author: str = "",
    ) -> None:
        """Give a snapshot another name, or pin it or not; None leaves that as it is.

        Raises:
            NotFoundError: there is no snapshot of this name.
            AlreadyExistsError: there is one of the new name.
        """
        with self._engine.catalog.read() as transaction:
            epoch = transaction.epoch()  # before it is looked for
        found = self.snapshot(name)
        pinned = found.is_pinned if is_pinned is None else is_pinned
        record = SnapshotRecord(found.commit, found.time_ns, pinned)
        is_renamed = new_name is not None and new_name != name
        try:
            with self.edit(author=author) as edit:
                if is_renamed:
                    edit.remove_snapshot(name)
                edit.put_snapshot(
                    new_name or name,
                    record,
                    epoch=epoch,
                    created_ns=found.created_ns,
                    expect=ABSENT if is_renamed else EXISTS,
                )
        except PreconditionError as error:
            if not is_renamed:
                message = f"{self.name!r} has no snapshot {name!r}"
                raise NotFoundError(message) from error
            message = f"{self.name!r} has a snapshot {new_name!r} already"
            raise AlreadyExistsError(message) from error

    def remove_snapshots(self, snapshots: Iterable[Snapshot], *, author: str = "") -> None:
        """Take the names of snapshots away, of all or of none, in one commit.

        Raises:
            PreconditionError: one is not any more what was given: it was pinned, say, or is gone.
        """
        with self.edit(author=author) as edit:
            for name, commit, time_ns, _, is_pinned in snapshots:
                record = encode_snapshot(SnapshotRecord(commit, time_ns, is_pinned))
                edit.remove_snapshot(name, expect=ContentIs(record))

    def upload(self) -> FileWriter:
        """Return a writer for a new file's bytes; an edit then puts the content at a path."""
        engine = self._engine
        return FileWriter(engine.chunks, engine.nodes, engine.workers, self._reliance())

    def store(self, files: Sequence[bytes]) -> StoredFiles:
        """Store the bytes of several small files at once; an edit then puts the contents.

        Call `edit.rely_on` with the result. Much cheaper than an upload each.

        Raises:
            StoreError, StoreFullError: the disk failed or is full.
        """
        return store_files(self._engine.chunks, self._engine.nodes, files, self._reliance())

    def folder(self) -> FolderWriter:
        """Return a writer for a whole new folder; an edit then puts it at a path."""
        engine = self._engine
        nodes = UploadTreeNodes(engine.nodes, self._reliance())
        return FolderWriter(nodes, engine.shape)

    def edit(
        self,
        *,
        author: str = "",
        device: str = "",
        lock_tokens: frozenset[str] = frozenset(),
        key: str = "",
    ) -> Edit:
        """Return an edit; `lock_tokens` are those of locks that its author holds.

        An edit with a `key` is not done again where the same author's edit of that key was done,
        within a week; `find_edit` knows of older ones and of those before the catalog was lost.
        """
        return Edit(
            self._engine.committer,
            self._engine.chunks,
            self._engine.nodes,
            self.info.id,
            self._reliance(),
            author=author,
            device=device,
            lock_tokens=lock_tokens,
            key=key,
        )

    def entry_id(self, entry: Entry) -> bytes:
        """Return the id of an entry: a hash of its content and attributes."""
        return entry_id(self._engine.chunks.identifier, entry)

    def etag(self, entry: Entry) -> str:
        """Return the strong entity tag of an entry's content, without quotes: 64 hex digits.

        It is the content id: of a folder its tree's, of an empty file the id of no bytes.
        """
        content = entry.content
        if entry.kind in {EntryKind.SYMLINK, EntryKind.RECORD} or not content:
            content = self._engine.chunks.identifier.chunk(content)
        return content.hex()

    def _view(self, state: PastState) -> View:
        engine = self._engine
        return View(
            state.nodes,
            engine.chunks,
            engine.workers,
            engine.process,
            root=state.root,
            sequence=state.sequence,
            pin=state.pin,
        )

    def _find_snapshot(self, nodes: ReadNodes, head: Head, name: str) -> Snapshot:
        found = find_snapshot(nodes, head, name)
        if found is None:
            message = f"{self.name!r} has no snapshot {name!r}"
            raise NotFoundError(message)
        return found

    def _reliance(self) -> Reliance:
        return Reliance(self._engine.process.rely(self.id))

    def _look(self, look: Callable[[ReadNodes, Head], _Seen]) -> _Seen:
        """Look at the newest state's nodes while they are pinned."""
        engine = self._engine
        engine.freshen(self.id)
        head, pin = engine.process.pin(lambda reading: head_of(reading, self.info.id))
        try:
            return look(ReadNodes(engine.nodes, pin), head)
        finally:
            engine.process.unpin(pin)
