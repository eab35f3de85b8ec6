"""Views: a volume pinned to one root, read without locks however long it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from cas.chunkstore import ChunkStore
from cas.errors import ConflictError, IntegrityError, NotFoundError
from cas.files import FileReader
from cas.ids import Kind
from cas.nodes import ReadNodes
from cas.objects import Content, Entry, EntryKind, decode_properties
from cas.paths import Names, join_names, split_path
from cas.processes import Process
from cas.reliance import Pin
from cas.trees import iterate, lookup
from cas.workers import Workers

_Walk: TypeAlias = list[tuple[Names, Iterator[tuple[bytes, Entry]]]]
"""The folders that a walk is in, from its top down, each with what is left of it."""


class View:
    """One state of a volume. Shared by threads; close it, or use it in a `with` block.

    `root` is the root directory's entry, `sequence` the number of the change that led to it,
    `nodes` where `diff` reads the tree's nodes, `epoch` how often packs had been condemned.

    An open view keeps its state's tree readable; a file opened from it stays readable after the
    view is closed.
    """

    def __init__(
        self,
        nodes: ReadNodes,
        chunks: ChunkStore,
        workers: Workers,
        process: Process,
        *,
        root: Entry,
        sequence: int,
        pin: Pin,
    ) -> None:
        self.root = root
        self.sequence = sequence
        self.epoch = pin.epoch
        self.nodes = nodes
        self._chunks = chunks
        self._workers = workers
        self._process = process
        self._pin: Pin | None = pin

    def get(self, path: str) -> Entry | None:
        """Return the entry at the path, or None.

        Raises:
            InvalidError: this cannot be a path.
        """
        return self._find(split_path(path))

    def entry(self, path: str) -> Entry:
        """Return the entry at the path.

        Raises:
            NotFoundError: there is none.
        """
        entry = self.get(path)
        if entry is None:
            message = f"{path!r} does not exist"
            raise NotFoundError(message)
        return entry

    def list(self, path: str = "", after: str | None = None) -> Iterator[tuple[str, Entry]]:
        """Yield names and entries of a folder by name, those beyond `after` where it is given.

        Raises:
            NotFoundError: there is no such folder.
            ConflictError: it is not a folder.
        """
        entry = self._folder(path)
        beyond = next(iter(split_path(after or "")), None)
        return self._named(split_path(path), entry, beyond)

    def walk(self, path: str = "", after: str = "") -> Iterator[tuple[str, Entry]]:
        """Yield paths and entries of everything below a folder, folders before their content.

        `after` goes on behind a path that an earlier walk of the folder yielded; what stood there
        need not be there any more.

        Raises:
            NotFoundError: there is no such folder.
            ConflictError: it is not a folder.
        """
        top = split_path(path)
        waiting = self._resumed(top, self._folder(path), split_path(after)[len(top) :])
        while waiting:
            folder, names = waiting[-1]
            found = next(names, None)
            if found is None:
                waiting.pop()
                continue
            below = (*folder, found[0])
            yield join_names(below), found[1]
            if found[1].is_directory:
                waiting.append((below, self._entries(below, found[1])))

    def open(self, path: str | Entry, name: str = "") -> FileReader:
        """Return a reader of a file, by path or by its entry; `name` is for messages.

        Raises:
            NotFoundError: there is no such file.
            PurgedError: its content was purged from the volume's past.
            ConflictError: it is not a file.
        """
        if isinstance(path, str):
            name = name or path
            entry = self.entry(path)
        else:
            entry = path
        if not entry.is_file:
            message = f"{name!r} is not a file"
            raise ConflictError(message)
        self.nodes.check_readable(entry)
        content = Content(entry.kind, entry.size, entry.content)
        return FileReader(self._chunks, self.nodes, self._workers, content, name, self.epoch)

    def read_small(self, entries: Sequence[Entry]) -> Iterator[bytes | memoryview]:
        """Yield the bytes of files of one chunk each, in order; what lies together is read at once.

        Raises:
            IntegrityError, PurgedError: a file, and perhaps others that were not yielded yet,
                cannot be read: `open` says of each what is the matter.
        """
        for entry in entries:
            self.nodes.check_readable(entry)
        pieces = self._chunks.get_chunks([entry.content for entry in entries])
        for entry, piece in zip(entries, pieces, strict=True):
            if entry.kind is not EntryKind.CHUNK_FILE or len(piece) != entry.size:
                raise IntegrityError("a file has another size than its entry says")
            yield piece

    def properties(self, entry: Entry) -> dict[str, str]:
        """Return an entry's dead properties: values by name."""
        return load_properties(self._chunks, entry)

    def close(self) -> None:
        """Give up the pin; the view must not be used afterwards."""
        pin, self._pin = self._pin, None
        if pin is not None:
            self._process.unpin(pin)

    def __del__(self) -> None:
        """Give up the pin of a view that nobody closed: no nodes would ever be dropped again."""
        if self._pin is not None:
            self._process.forget_pin(self._pin)

    def __enter__(self) -> Self:
        """Return the view."""
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the view."""
        self.close()

    def _find(self, names: Names) -> Entry | None:
        entry: Entry | None = self.root
        for depth, name in enumerate(names):
            if entry is None or not entry.is_directory:
                return None
            try:
                entry = lookup(self.nodes, entry.content, name)
            except IntegrityError as error:
                raise _damage_of(names[:depth], names, error) from error
        return entry

    def _folder(self, path: str) -> Entry:
        entry = self.entry(path)
        if not entry.is_directory:
            message = f"{path!r} is not a folder"
            raise ConflictError(message)
        return entry

    def _resumed(self, top: Names, folder: Entry, after: Names) -> _Walk:
        """Return the walk that has just yielded the entry below `top` that `after` names."""
        waiting: _Walk = []
        for depth, name in enumerate(after):
            names = (*top, *after[:depth])
            waiting.append((names, self._entries(names, folder, name)))
            below = self._find((*names, name))
            if below is None or not below.is_directory:
                return waiting
            folder = below
        names = (*top, *after)
        return [*waiting, (names, self._entries(names, folder))]

    def _entries(
        self, names: Names, folder: Entry, after: bytes | None = None
    ) -> Iterator[tuple[bytes, Entry]]:
        try:
            yield from iterate(self.nodes, folder.content, after)
        except IntegrityError as error:
            raise _damage_of(names, names, error) from error

    def _named(
        self, names: Names, folder: Entry, after: bytes | None
    ) -> Iterator[tuple[str, Entry]]:
        for name, entry in self._entries(names, folder, after):
            yield join_names((name,)), entry


def load_properties(chunks: ChunkStore, entry: Entry) -> dict[str, str]:
    """Return an entry's dead properties."""
    if entry.properties_id:
        return decode_properties(chunks.get(Kind.CHUNK, entry.properties_id))
    return decode_properties(entry.properties)


def _damage_of(folder: Names, wanted: Names, error: IntegrityError) -> IntegrityError:
    """Return the error that says which path cannot be read, and which folder is damaged."""
    where = f"the folder {join_names(folder)!r}" if folder else "the volume's root folder"
    return IntegrityError(f"{join_names(wanted) or '/'}: {where} cannot be read: {error}")
