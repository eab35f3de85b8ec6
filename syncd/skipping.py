"""Selective sync: folders that this device does not want, as if the server had them not.

A skipped folder is known by its path, and by its new one where somebody renames it or a folder
that it is in. What is moved out of it is new here, what is moved into it is gone.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import msgspec

import cas
from cas import wire
from syncd.ports import Server, State

_KEY: Final = "skipped"


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    said: list[bytes]
    paths: list[bytes]


class Skipped:
    """The skipped paths of a link. One thread at a time.

    Args:
        state: where they are kept.

    Attributes:
        said: what the user last said, before anybody renamed anything.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        encoded = state.read(_KEY)
        kept = msgspec.msgpack.decode(encoded, type=_Kept) if encoded else _Kept([], [])
        self.said = [os.fsdecode(path) for path in kept.said]
        self._paths = [os.fsdecode(path) for path in kept.paths]

    @property
    def paths(self) -> list[str]:
        """The paths as they are now."""
        return list(self._paths)

    def holders(self) -> list[str]:
        """Return the folders that skipped ones are in, as the engine sees the server."""
        return sorted({path.rpartition("/")[0] for path in self._paths} - {""})

    def set(self, said: Collection[str]) -> None:
        """Skip what the user says now, and nothing else."""
        self.said, self._paths = sorted(said), _topmost(said)
        self._write()

    def has(self, path: str) -> bool:
        """Whether a path is skipped, or in a folder that is."""
        return any(_is_in(path, skipped) for skipped in self._paths)

    def has_below(self, path: str) -> bool:
        """Whether anything below a path is skipped."""
        return any(_is_in(skipped, path) and skipped != path for skipped in self._paths)

    def rename(self, source: str, path: str) -> None:
        """Somebody has moved something: what is skipped in it goes along."""
        moved = [
            path + skipped[len(source) :] if _is_in(skipped, source) else skipped
            for skipped in self._paths
        ]
        if moved != self._paths:
            self._paths = moved
            self._write()

    def _write(self) -> None:
        kept = _Kept(list(map(os.fsencode, self.said)), list(map(os.fsencode, self._paths)))
        self._state.write(_KEY, msgspec.msgpack.encode(kept))


class SkippingServer:
    """A server as a link sees it that does not want all of it; see `ports.Server`."""

    def __init__(self, server: Server, skipped: Skipped) -> None:
        self._server = server
        self._skipped = skipped

    def delta(self, place: wire.Place, since: int) -> wire.Delta:
        """See `Server`."""
        delta = self._server.delta(place, since)
        if not self._skipped.paths:
            return delta
        seen = (self._seen(change) for change in delta.changes)
        return msgspec.structs.replace(delta, changes=[one for one in seen if one is not None])

    def tree(
        self, place: wire.Place, *, sequence: int = 0, path: bytes = b""
    ) -> Iterator[wire.TreePage]:
        """See `Server`."""
        for page in self._server.tree(place, sequence=sequence, path=path):
            items = [one for one in page.items if not self._skipped.has(os.fsdecode(one.path))]
            yield msgspec.structs.replace(page, items=items)

    def commit(self, request: wire.CommitRequest) -> wire.Committed:
        """See `Server`."""
        committed = self._server.commit(request)
        for operation in request.operations:
            if isinstance(operation, wire.Move):
                self._skipped.rename(os.fsdecode(operation.source), os.fsdecode(operation.path))
        return committed

    def _seen(self, change: wire.RemoteChange) -> wire.RemoteChange | None:
        """Return a change as this device sees it, None where it sees nothing of it."""
        path, skipped = os.fsdecode(change.path), self._skipped
        source = os.fsdecode(change.source) if change.source else ""
        is_move = change.action is cas.Action.MOVE and bool(source)
        comes_from_there = bool(source) and skipped.has(source)
        goes_there = skipped.has(path)
        if is_move and (source in skipped.paths or skipped.has_below(source)):
            skipped.rename(source, path)
            return None if comes_from_there else change
        if goes_there:
            if not is_move or comes_from_there:
                return None
            return msgspec.structs.replace(
                change,
                action=cas.Action.REMOVE,
                path=os.fsencode(source),
                source=None,
                entry=None,
            )
        if comes_from_there:
            action = cas.Action.COPY if is_move else change.action
            return msgspec.structs.replace(change, action=action, source=None)
        if skipped.has_below(path) and not is_move:
            return msgspec.structs.replace(change, source=None)  # It is listed, without those.
        return change


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _topmost(paths: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(_is_in(path, other) for other in kept):
            kept.append(path)
    return kept
