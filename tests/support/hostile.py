"""A server that speaks the protocol of syncd and lies: what it lists is up to the test."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

import cas
from cas import wire
from dav.server import Server, ServerSettings
from tests.support.devices import Device

if TYPE_CHECKING:
    from tests.support.server import Server as RealServer

KEYS = cas.ContentKeys(bytes(32), bytes(range(32)), 7)
VOLUME = bytes(range(16))
CONTENT = b"from the server"


def chunk_id() -> bytes:
    return KEYS.chunk_id(CONTENT)


def file_entry(**changes: Any) -> wire.RemoteEntry:  # noqa: ANN401 - any field
    made = {
        "id": bytes(32),
        "kind": cas.EntryKind.CHUNK_FILE,
        "size": len(CONTENT),
        "mtime_ns": 5,
        "mode": 0o644,
        "content": chunk_id(),
    }
    return wire.RemoteEntry(**{**made, **changes})


def folder_entry() -> wire.RemoteEntry:
    return file_entry(kind=cas.EntryKind.DIRECTORY, size=0, content=b"")


def link_entry(target: bytes) -> wire.RemoteEntry:
    return file_entry(kind=cas.EntryKind.SYMLINK, size=len(target), content=target)


@dataclass
class HostileServer:
    """What it answers; everything else is as an honest server has it, with an empty volume.

    `chunk` is sent for every chunk, `answers` are raw answers by path.
    """

    items: list[wire.TreeItem] = field(default_factory=list)
    chunk: wire.PackedChunk = field(default_factory=lambda: wire.pack_chunk(chunk_id(), CONTENT))
    answers: dict[str, Callable[[], tuple[str, list[tuple[str, str]], Iterable[bytes]]]] = field(
        default_factory=dict
    )
    moments: list[tuple[str, float]] = field(default_factory=list)
    """What was asked, and when, in seconds."""
    sequence: int = 1
    user: str = "alice"
    password: str = "correct horse battery staple"
    port: int = 0

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        path = environ["PATH_INFO"].removeprefix("/api/v1/")
        body = environ["wsgi.input"].read()
        self.moments.append((path, time.monotonic()))
        if path in self.answers:
            status, headers, answer = self.answers[path]()
            start_response(status, headers)
            return answer
        start_response("200 OK", [])
        if path in _DOCUMENTS:
            return [json.dumps(_DOCUMENTS[path]).encode()]
        return [wire.encode_message(self._message(path, environ["QUERY_STRING"], body))]

    def _message(self, path: str, query: str, body: bytes) -> msgspec.Struct:
        now_ns, number = time.time_ns(), self.sequence
        if path == "chunks/get":
            asked = wire.decode_message(body, wire.PartsRequest)
            return wire.Chunks([self.chunk] * sum(len(file.parts) for file in asked.files))
        volume = wire.RemoteVolume(VOLUME, self.user, "manage", self.user, 0)
        messages: dict[str, msgspec.Struct] = {
            "volumes": wire.Welcome(1, bytes(16), self.user, KEYS, [volume], now_ns),
            "sync/head": wire.Head(number, folder_entry(), now_ns),
            "sync/tree": wire.TreePage(number, self.items, is_last=True),
            "sync/delta": wire.Delta([], number, number, f"since={number}" not in query.split("&")),
        }
        return messages.get(path, wire.Nodes([]))


_DOCUMENTS: Final[dict[str, dict[str, object]]] = {
    "": {"protocol": 1, "feed": ""},
    "token": {"access_token": "a", "expires_in": 900, "refresh_token": "r", "device_id": "d"},
}


def device_of(hostile: HostileServer, base: Path) -> Device:
    """A device whose server it is."""
    return Device("device", base, cast("RealServer", hostile))


@contextmanager
def hostile_server(hostile: HostileServer) -> Iterator[HostileServer]:
    """Let it answer, at a port of its own."""
    with Server(hostile, ServerSettings(port=0, threads=16)) as server:
        hostile.port = server.port
        yield hostile
