"""The requests of the protocol (cas/WIRE.md), typed, each answer checked before it is returned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

from cas import wire
from syncd.remote.connection import Connection
from syncd.remote.errors import UntrustedError
from syncd.remote.trust import check_change, check_entry, check_item

_VOLUMES_LIMIT: Final = 10_000
_Part = TypeVar("_Part")


class Remote:
    """The volumes of one account on one server. Shared by threads.

    All methods raise RemoteError where there is no good answer.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def welcome(self) -> wire.Welcome:
        """Return the volumes that there are, and the keys of content ids."""
        welcome = self.connection.get("volumes", {}, wire.Welcome)
        keys = welcome.keys
        if len(keys.chunk) != 32 or len(keys.file_node) != 32 or not 0 <= keys.seed < 1 << 63:  # noqa: PLR2004 - bytes of a key
            raise UntrustedError("the server sent keys that are none")
        if len(welcome.volumes) > _VOLUMES_LIMIT:
            raise UntrustedError("the server sent too many volumes")
        return welcome

    def head(self, place: wire.Place) -> wire.Head:
        """Return the newest state of a place."""
        head = self.connection.get("sync/head", _query(place), wire.Head)
        check_entry(head.root)
        return head

    def delta(
        self,
        place: wire.Place,
        since: int,
        *,
        limit: int = wire.PAGE_LIMIT,
        wait_seconds: int = 0,
    ) -> wire.Delta:
        """Return a page of changes after a state; waits for one, if that is asked."""
        query = {**_query(place), "since": since, "limit": limit, "wait": wait_seconds}
        delta = self.connection.get("sync/delta", query, wire.Delta, wait_seconds=wait_seconds)
        if len(delta.changes) > limit:
            raise UntrustedError("the server sent more than was asked for")
        last = since
        for change in delta.changes:
            check_change(change)
            if not last < change.sequence <= delta.sequence:
                raise UntrustedError("the server sent changes that are not in order")
            last = change.sequence
        return delta

    def changes(self, place: wire.Place, since: int) -> Iterator[wire.Delta]:
        """Yield pages of changes up to the newest state; one with `is_unknown` is the last."""
        while True:
            delta = self.delta(place, since)
            yield delta
            if delta.is_unknown or delta.sequence >= delta.head:
                return
            if delta.sequence <= since:
                raise UntrustedError("the server's changes do not go on")
            since = delta.sequence

    def page(
        self,
        place: wire.Place,
        *,
        sequence: int = 0,
        path: bytes = b"",
        after: bytes = b"",
        is_recursive: bool = True,
        limit: int = wire.PAGE_LIMIT,
    ) -> wire.TreePage:
        """Return a page of a listing."""
        request = wire.TreeRequest(place, sequence, path, after, is_recursive, limit)
        page = self.connection.post("sync/tree", request, wire.TreePage)
        if len(page.items) > limit:
            raise UntrustedError("the server sent more than was asked for")
        for item in page.items:
            check_item(item)
        return page

    def tree(
        self,
        place: wire.Place,
        *,
        sequence: int = 0,
        path: bytes = b"",
        is_recursive: bool = True,
        limit: int = wire.PAGE_LIMIT,
    ) -> Iterator[wire.TreePage]:
        """Yield the pages of a listing, all of one state."""
        after = b""
        while True:
            page = self.page(
                place,
                sequence=sequence,
                path=path,
                after=after,
                is_recursive=is_recursive,
                limit=limit,
            )
            if sequence and page.sequence != sequence:
                raise UntrustedError("the server sent a page of another state")
            yield page
            if page.is_last:
                return
            if not page.items or page.items[-1].path == after:
                raise UntrustedError("the server's listing does not go on")
            sequence, after = page.sequence, page.items[-1].path

    def nodes(
        self, place: wire.Place, sequence: int, files: Sequence[wire.FilePart]
    ) -> list[bytes | None]:
        """Return some of the encoded file nodes that are asked for, the first ones."""
        request = wire.PartsRequest(place, sequence, list(files))
        found = self.connection.post("nodes/get", request, wire.Nodes).nodes
        return _checked(found, files)

    def chunks(
        self, place: wire.Place, sequence: int, files: Sequence[wire.FilePart]
    ) -> list[wire.PackedChunk | None]:
        """Return some of the chunks that are asked for, the first ones, as they travelled."""
        request = wire.PartsRequest(place, sequence, list(files))
        found = self.connection.post("chunks/get", request, wire.Chunks).chunks
        return _checked(found, files)

    def missing(
        self,
        place: wire.Place,
        chunks: Iterable[bytes],
        nodes: Iterable[bytes] = (),
        *,
        bases: Iterable[bytes] = (),
        sequence: int = 0,
    ) -> wire.Missing:
        """Return which chunks and nodes have to be sent."""
        request = wire.MissingRequest(place, list(chunks), list(nodes), list(bases), sequence)
        return self.connection.post("chunks/missing", request, wire.Missing)

    def send(
        self, place: wire.Place, chunks: Iterable[wire.PackedChunk], nodes: Iterable[bytes] = ()
    ) -> wire.Sent:
        """Send chunks and encoded nodes; they may be named for a day."""
        request = wire.SendRequest(place, list(chunks), list(nodes))
        return self.connection.post("chunks", request, wire.Sent)

    def commit(self, request: wire.CommitRequest) -> wire.Committed:
        """Carry a commit out; again, with the same key, where there was no answer."""
        done = self.connection.post("commit", request, wire.Committed)
        for entry in done.entries:
            if entry is not None:
                check_entry(entry)
        if not done.is_repeated and len(done.entries) != len(request.operations):
            raise UntrustedError("the server answered another commit")
        return done


def _query(place: wire.Place) -> dict[str, str | int | bytes]:
    found: dict[str, str | int | bytes] = {"volume": place.volume.hex()}
    if place.root:
        found["root"] = place.root
    return found


def _checked(found: list[_Part], files: Sequence[wire.FilePart]) -> list[_Part]:
    asked = sum(len(file.parts) for file in files)
    if len(found) > asked or (asked and not found):
        raise UntrustedError("the server sent another number of parts than was asked for")
    return found
