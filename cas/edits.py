"""Edits: operations that end in one commit, or in none."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from cas.chunkstore import ChunkStore
from cas.errors import ConflictError, InvalidError
from cas.files import FileWriter
from cas.folders import FolderWriter
from cas.formats import (
    LABEL_SIZE_LIMIT,
    PROPERTIES_SIZE_LIMIT,
    RECORD_SIZE_LIMIT,
)
from cas.group import Check, Request
from cas.group_queue import Commits
from cas.nodes import NodeStore, ReadNodes
from cas.objects import (
    DIRECTORY_MODE,
    INLINE_PROPERTIES_LIMIT,
    Content,
    Entry,
    encode_properties,
)
from cas.operations import (
    Applied,
    Attach,
    Attributes,
    Copy,
    Expectation,
    MakeDirectory,
    MakeSymlink,
    Move,
    Operation,
    Properties,
    Put,
    PutFolder,
    PutRecord,
    PutSnapshot,
    Remove,
    RemoveSnapshot,
    ReplaceRoot,
    SetProperties,
    check_size,
    check_time,
    symlink_content,
)
from cas.paths import split_path
from cas.reliance import Reliance, Relying
from cas.snapshots import SnapshotRecord, encode_snapshot, snapshot_name


class Edit:
    """Gathers operations and commits them together when its `with` block ends without error.

    Paths are checked as operations are added; everything else is decided at the commit, on the
    state that the volume has by then.
    """

    def __init__(
        self,
        committer: Commits,
        chunks: ChunkStore,
        nodes: NodeStore,
        volume_id: bytes,
        relies: Reliance,
        *,
        author: str,
        device: str,
        lock_tokens: frozenset[str],
        key: str = "",
    ) -> None:
        self._committer = committer
        self._chunks = chunks
        self._nodes = nodes
        self._operations: list[Operation] = []
        self._checks: list[Check] = []
        check_size("an author's name", _utf8(author), LABEL_SIZE_LIMIT)
        check_size("a device's name", _utf8(device), LABEL_SIZE_LIMIT)
        check_size("a commit's key", _utf8(key), LABEL_SIZE_LIMIT)
        self._request = Request(volume_id, (), author, device, lock_tokens, key, relies=relies)
        self._is_open = True

    @property
    def outcome(self) -> list[Applied]:
        """What each operation did, in order; empty before the commit."""
        return self._request.outcome

    @property
    def sequence(self) -> int:
        """The number of the edit's last change in its volume; 0 before the commit."""
        return self._request.sequence

    @property
    def sequence_before(self) -> int:
        """The number of the volume's last change before the edit's own; 0 before the commit."""
        return self._request.sequence_before

    @property
    def was_done(self) -> bool:
        """Whether an edit with the same key was carried out before, and nothing was done now.

        Its numbers are those of then; what its operations did is not known any more.
        """
        return self._request.was_done

    @property
    def failed(self) -> int | None:
        """After an error, the index of the operation that was not possible, if it was one."""
        return self._request.failed

    def require(self, check: Check) -> None:
        """Let `check` look at the state inside the commit; what it raises refuses the edit."""
        self._checks.append(check)

    def put(
        self,
        path: str,
        content: Content | FileWriter,
        *,
        mtime_ns: int | None = None,
        mode: int | None = None,
        created_ns: int | None = None,
        content_type: str | None = None,
        properties: Mapping[str, str] | None = None,
        expect: Expectation | None = None,
    ) -> None:
        """Make the path a file with this content; None keeps an attribute or takes its default.

        An upload may be given itself: it is finished here.
        """
        if isinstance(content, FileWriter):
            writer = content
            content = writer.finish()
            self.rely_on(writer)
        attributes = self._attributes(mtime_ns, mode, created_ns, content_type, properties)
        self._operations.append(Put(split_path(path), content, attributes, expect))

    def rely_on(self, stored: Relying) -> None:
        """Say that this edit puts content stored so: it fails if the packs that hold it do."""
        self._request.relies.include(stored.relies)

    def put_folder(
        self,
        path: str,
        folder: FolderWriter,
        *,
        mtime_ns: int,
        mode: int = DIRECTORY_MODE,
        created_ns: int = 0,
        expect: Expectation | None = None,
    ) -> Entry:
        """Make the path the folder as it is so far, in place of a folder that is there.

        Returns its entry. Constant time inside the commit, however much is in it.
        """
        entry = folder.finish(mtime_ns=mtime_ns, mode=mode, created_ns=created_ns)
        self.rely_on(folder)
        self._operations.append(PutFolder(split_path(path), entry, expect))
        return entry

    def put_record(self, path: str, record: bytes, *, expect: Expectation | None = None) -> None:
        """Make the path a record with these bytes, 16 KiB at most (of the registry only)."""
        check_size("a record", record, RECORD_SIZE_LIMIT)
        self._operations.append(PutRecord(split_path(path), record, expect))

    def make_directory(
        self,
        path: str,
        *,
        mtime_ns: int | None = None,
        mode: int | None = None,
        properties: Mapping[str, str] | None = None,
        parents: bool = False,
    ) -> None:
        """Make an empty directory; with `parents`, those missing above it too."""
        attributes = self._attributes(mtime_ns, mode, None, None, properties)
        self._operations.append(MakeDirectory(split_path(path), attributes, parents))

    def make_symlink(
        self, path: str, target: str, *, mtime_ns: int | None = None, mode: int | None = None
    ) -> None:
        """Make a symbolic link to `target`, which is kept as it is; 4096 bytes at most."""
        attributes = self._attributes(mtime_ns, mode, None, None, None)
        self._operations.append(MakeSymlink(split_path(path), symlink_content(target), attributes))

    def remove(self, path: str, *, expect: Expectation | None = None) -> None:
        """Remove the path with all below it, in constant time."""
        self._operations.append(Remove(split_path(path), expect))

    def move(self, source: str, target: str, *, overwrite: bool = True) -> None:
        """Move `source` to `target`, in constant time."""
        self._operations.append(Move(split_path(source), split_path(target), overwrite))

    def copy(
        self, source: str, target: str, *, overwrite: bool = True, recursive: bool = True
    ) -> None:
        """Copy `source` to `target`, in constant time; not `recursive`: a bare folder."""
        self._operations.append(Copy(split_path(source), split_path(target), overwrite, recursive))

    def attach(
        self,
        target: str,
        entry: Entry,
        *,
        epoch: int,
        nodes: ReadNodes,
        overwrite: bool = True,
        source: str = "",
        source_volume: bytes = b"",
    ) -> None:
        """Put an entry of another volume or an older state of this repository at `target`.

        `source` and `source_volume` say in the history where it came from. The view that the
        entry is from, whose `epoch` and `nodes` are given, must still be open. Where a collection
        has begun since it was made, the commit ends with ExpiredError: look again. Files whose
        content has been purged are left out of a folder.

        Raises:
            ExpiredError: the state that the entry is of is no longer kept.
            PurgedError: the entry is a file, and its content has been purged.
        """
        self._request.relies.take_over(epoch)
        entry = nodes.settle(entry, self._request.relies)
        self._operations.append(
            Attach(split_path(target), entry, overwrite, split_path(source), source_volume)
        )

    def replace_root(
        self,
        entry: Entry,
        *,
        epoch: int,
        nodes: ReadNodes,
        source: str = "",
        source_volume: bytes = b"",
        expect: Expectation | None = None,
    ) -> None:
        """Put a folder of another volume or an older state in place of all that the volume holds.

        For the root of an older state this takes the whole volume back to it, in constant time,
        as one change that can be taken back in the same way. Snapshots stay as they are. It is
        refused while others hold locks. The arguments are those of `attach`.

        Raises:
            ConflictError: the entry is no folder.
            ExpiredError: the state that the entry is of is no longer kept.
        """
        if not entry.is_directory:
            raise ConflictError("only a folder can take the place of a volume's root")
        self._request.relies.take_over(epoch)
        entry = nodes.settle(entry, self._request.relies)
        self._operations.append(ReplaceRoot(entry, split_path(source), source_volume, expect))

    def put_snapshot(
        self,
        name: str,
        record: SnapshotRecord,
        *,
        epoch: int,
        created_ns: int | None = None,
        expect: Expectation | None = None,
    ) -> None:
        """Give a commit a name; `created_ns` None is the time of this edit.

        `epoch` is that in which the commit was seen to be kept.
        """
        self._request.relies.take_over(epoch)
        encoded = encode_snapshot(record)
        self._operations.append(PutSnapshot(snapshot_name(name), encoded, created_ns, expect))

    def remove_snapshot(self, name: str, *, expect: Expectation | None = None) -> None:
        """Take a snapshot's name away."""
        self._operations.append(RemoveSnapshot(snapshot_name(name), expect))

    def set_properties(
        self,
        path: str,
        *,
        properties: Mapping[str, str] | None = None,
        mtime_ns: int | None = None,
        mode: int | None = None,
        created_ns: int | None = None,
        content_type: str | None = None,
        expect: Expectation | None = None,
    ) -> None:
        """Set attributes; None keeps one, `properties` replaces all dead properties."""
        attributes = self._attributes(mtime_ns, mode, created_ns, content_type, properties)
        self._operations.append(SetProperties(split_path(path), attributes, expect))

    def commit(self) -> None:
        """Carry all operations out, or none; return once they are durable and visible.

        Raises:
            CasError: they were not carried out; nothing has changed.
        """
        if not self._is_open:
            raise InvalidError("this edit was committed or given up already")
        self._is_open = False
        try:
            if self._operations or self._checks:
                self._request.operations = self._operations
                self._request.checks = self._checks
                self._committer.commit(self._request)
        finally:
            self._request.relies.let_go()
            # An error has the frames that it went through, and those have this edit: in a circle
            # they would stay, and hold what the content was stored with.
            self._request.error = None

    def __enter__(self) -> Self:
        """Return the edit."""
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Commit, unless the block failed or has committed already."""
        if error_type is not None:
            self._is_open = False
            self._request.relies.let_go()
        elif self._is_open:
            self.commit()

    def _attributes(
        self,
        mtime_ns: int | None,
        mode: int | None,
        created_ns: int | None,
        content_type: str | None,
        properties: Mapping[str, str] | None,
    ) -> Attributes:
        # Here and not in the commit, where it would fail the edits of others in the same group.
        for time_ns in (mtime_ns, created_ns):
            if time_ns is not None:
                check_time(time_ns)
        if content_type is not None:
            check_size("a content type", _utf8(content_type), LABEL_SIZE_LIMIT)
        kept = None if properties is None else self._store_properties(properties)
        return Attributes(mtime_ns, mode, created_ns, content_type, kept)

    def _store_properties(self, properties: Mapping[str, str]) -> Properties:
        for text in (*properties, *properties.values()):
            _utf8(text)
        encoded = encode_properties(properties)
        check_size("all dead properties together", encoded, PROPERTIES_SIZE_LIMIT)
        if len(encoded) <= INLINE_PROPERTIES_LIMIT:
            return Properties(encoded)
        (chunk_id,) = self._chunks.put_chunks([encoded], self._request.relies)
        return Properties(id=chunk_id)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        message = f"{text!r} is not Unicode text"
        raise InvalidError(message) from error
