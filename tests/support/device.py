"""A linked device as tests play it: its files, its commits, and a look at what came of them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import cas
from cas import wire
from dav.access_tokens import access_tokens
from dav.registry import read_state
from syncd.remote.client import Remote
from syncd.remote.connection import Connection
from syncd.remote.credentials import FixedToken
from tests.support.drive import Drive


@dataclass
class Device:
    """A linked device of a user, on a volume that the user owns."""

    drive: Drive
    volume: cas.Volume
    remote: Remote
    keys: cas.ContentKeys
    place: wire.Place
    _numbers: list[int] = field(default_factory=list)

    def file(self, data: bytes) -> LocalFile:
        return LocalFile(data, self.keys)

    def commit(self, *operations: wire.Operation, base: int = 0, **more: object) -> wire.Committed:
        self._numbers.append(0)
        key = str(more.pop("key", f"{id(self)}-{len(self._numbers)}"))
        place = self.place
        request = wire.CommitRequest(place, key, base, list(operations), **more)  # type: ignore[arg-type]
        return self.remote.commit(request)

    def put(self, path: bytes, data: bytes, **more: object) -> wire.Committed:
        """Put a small file in one request."""
        file = self.file(data)
        operation = wire.PutFile(path, file.content, 5, **more)  # type: ignore[arg-type]
        return self.commit(operation, chunks=file.packed(), nodes=list(file.nodes.values()))

    def read(self, path: str) -> bytes:
        with self.volume.view() as view, view.open(path) as file:
            return file.read()

    def paths(self) -> list[str]:
        with self.volume.view() as view:
            return [path for path, _ in view.walk()]


class LocalFile:
    """A file on the device: its content, chunks and nodes."""

    def __init__(self, data: bytes, keys: cas.ContentKeys) -> None:
        self.chunks: dict[bytes, bytes] = {}
        self.offsets: list[wire.Located] = []
        self.nodes: dict[bytes, bytes] = {}
        self.content = cas.identify_file(
            io.BytesIO(data), keys, on_chunk=self._take, on_node=self.nodes.__setitem__
        )

    def _take(self, piece: cas.FoundPiece) -> None:
        self.chunks[piece.id] = bytes(piece.plaintext)
        self.offsets.append(wire.Located(piece.id, piece.offset))

    def packed(self, ids: list[bytes] | None = None) -> list[wire.PackedChunk]:
        return [wire.pack_chunk(i, self.chunks[i]) for i in (self.chunks if ids is None else ids)]

    def load(self, node_id: bytes) -> cas.FileNode | None:
        encoded = self.nodes.get(node_id)
        return None if encoded is None else cas.read_file_node(encoded)


def remote_of(drive: Drive, user: str) -> Remote:
    tokens = access_tokens(drive.repository, cas.SystemClock().now_ns)
    token = tokens.issue(read_state(drive.repository).users[user])
    return Remote(Connection(f"http://127.0.0.1:{drive.port}", FixedToken(token)))


@contextmanager
def linked_device(drive: Drive, name: str) -> Iterator[Device]:
    """A device of alice's on a new volume of hers."""
    volume = drive.repository.create_volume(re.sub(r"\W+", "-", name)[:100], owner="alice")
    remote = remote_of(drive, "alice")
    try:
        yield Device(drive, volume, remote, remote.welcome().keys, wire.Place(volume.id))
    finally:
        remote.connection.close()
