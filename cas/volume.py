"""A volume's handle: views of it, uploads for it, edits on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cas.applying import entry_id
from cas.catalog import Catalog
from cas.chunkstore import ChunkStore
from cas.commit import Committer
from cas.edits import Edit
from cas.files import FileWriter, StoredFiles, store_files
from cas.folders import FolderWriter
from cas.nodes import NodeStore, UploadTreeNodes
from cas.objects import Entry, EntryKind
from cas.processes import Process
from cas.registry import VolumeInfo, head_of
from cas.reliance import Reliance
from cas.trees import TreeShape
from cas.views import View
from cas.workers import Workers


@dataclass(frozen=True, slots=True)
class Engine:
    """The parts of an open repository that its volumes work with."""

    catalog: Catalog
    chunks: ChunkStore
    nodes: NodeStore
    shape: TreeShape
    workers: Workers
    process: Process
    committer: Committer


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
        with self._engine.catalog.read() as transaction:
            return transaction.head_row(self.info.id) or b""

    def view(self) -> View:
        """Return the volume as it is now."""
        engine = self._engine
        head, generation = engine.process.pin(lambda catalog: head_of(catalog, self.info.id))
        return View(
            engine.nodes,
            engine.chunks,
            engine.workers,
            engine.process,
            head,
            generation,
        )

    def upload(self) -> FileWriter:
        """Return a writer for a new file's bytes; an edit then puts the content at a path."""
        engine = self._engine
        return FileWriter(engine.chunks, engine.nodes, engine.workers)

    def store(self, files: Sequence[bytes]) -> StoredFiles:
        """Store the bytes of several small files at once; an edit then puts the contents.

        Call `edit.rely_on` with the result. Much cheaper than an upload each.

        Raises:
            StoreError, StoreFullError: the disk failed or is full.
        """
        return store_files(self._engine.chunks, self._engine.nodes, files)

    def folder(self) -> FolderWriter:
        """Return a writer for a whole new folder; an edit then puts it at a path."""
        engine = self._engine
        nodes = UploadTreeNodes(engine.nodes, Reliance())
        return FolderWriter(nodes, engine.shape)

    def edit(
        self, *, author: str = "", device: str = "", lock_tokens: frozenset[str] = frozenset()
    ) -> Edit:
        """Return an edit; `lock_tokens` are those of locks that its author holds."""
        return Edit(
            self._engine.committer,
            self._engine.chunks,
            self._engine.nodes,
            self.info.id,
            author=author,
            device=device,
            lock_tokens=lock_tokens,
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
