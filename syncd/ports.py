"""What the engine needs of the world: a disk, a server, a place for its state, and time.

The daemon has real ones, the simulation has its own; the engine cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from cas import wire
from syncd.disk.items import Item
from syncd.disk.signatures import Signature
from syncd.plan import Notice, Step
from syncd.trees import Node, Overlay, Tree


class Base(Tree, Protocol):
    """What both sides last agreed on, on the disk. Numbers of nodes last."""

    def agree(self, node: int, new: Node | None, signature: Signature | None = None) -> None:
        """Both sides have a node now as `new`, whose folder is in the base, or no more.

        A signature is how it looks on the disk. Without one it is kept where only the place is
        another, and else the file has to be read again.
        """

    def signature(self, node: int) -> Signature | None:
        """Return how a node looked on the disk, None where it has to be read again."""

    def last_node(self) -> int:
        """Return the greatest number that a node has."""

    def count(self) -> tuple[int, int]:
        """Return how many files and links there are, and their bytes."""


class State(Protocol):
    """What a link remembers. What is written in a transaction is there as a whole or not at all."""

    @property
    def base(self) -> Base:
        """The base tree."""

    def transaction(self) -> AbstractContextManager[object]:
        """Have the state alone for the block; the disk has it at the end. May be nested."""

    def read(self, key: str) -> bytes | None:
        """Return what was written under a key, None where nothing was."""

    def write(self, key: str, value: bytes) -> None:
        """Write something under a key; empty bytes are as good as nothing."""


@dataclass(slots=True)
class Observed:
    """The linked folder at one moment.

    Attributes:
        tree: over the base.
        signatures: of the nodes that the base has otherwise.
        unread: nodes that look different and could not be read yet; they stand in the tree as the
            base has them, and nothing is to be done to them.
        shown: how what differs from the base looks, surely read or not.
        young: new files that may be changed once more without a sign.
        problems: what is not synced, with the reason, by path.
        vanished: how many files of the base are gone, with all in folders that are.
        is_reading: whether large files are being read; what they hold is seen later.
    """

    tree: Overlay
    signatures: dict[int, Signature] = field(default_factory=dict)
    unread: set[int] = field(default_factory=set)
    problems: dict[str, str] = field(default_factory=dict)
    vanished: int = 0
    is_reading: bool = False
    shown: dict[int, Signature] = field(default_factory=dict)
    young: set[int] = field(default_factory=set)

    def renumber(self) -> None:
        """Know nodes by the numbers that they have got in the tree since it was looked at."""
        now = self.tree.take_renumbered()
        if now:
            for known in (self.signatures, self.shown):
                found = {now.get(node, node): signature for node, signature in known.items()}
                known.clear()
                known.update(found)
            for nodes in (self.unread, self.young):
                renumbered = {now.get(node, node) for node in nodes}
                nodes.clear()
                nodes.update(renumbered)


class Done(NamedTuple):
    """What came of a step on the disk.

    Attributes:
        step: the step.
        failure: why it was not done, empty if it was.
        is_outdated: whether that was because the disk was not as last observed; it is to be looked
            at again.
        signature: how what the step left looks; None where it has to be read again.
    """

    step: Step
    failure: str = ""
    is_outdated: bool = False
    signature: Signature | None = None


class StoppedError(Exception):
    """The folder is not there, or is not the one that was linked: nothing may be done to it."""


class OutdatedError(Exception):
    """What a step would put is not on the server any more: there is something newer."""


class Disk(Protocol):
    """The linked folder."""

    def look(self) -> Observed:
        """Return what the folder holds, after a look where something may have changed.

        What differed from the base the last time is looked at again.

        Raises:
            StoppedError: the folder or its marker is missing.
        """

    def apply(
        self,
        steps: Sequence[Step],
        read: Callable[[Step], Iterable[bytes]],
        record: Callable[[list[Done]], None],
    ) -> None:
        """Carry out steps in their order; one that fails does not stop the others.

        Each changes what `look` last showed, as the steps before have left it, or nothing.

        Args:
            steps: what is to be done; paths as the volume has them.
            read: yields the content of a file that is to be put. With OutdatedError the step was
                not done, and is outdated; nothing else that it raises is caught.
            record: writes down what came of it, in the transaction that ends the intents.
        """

    def wait(self, seconds: float | None) -> None:
        """Return when something may have changed, when `wake` was called, or after a time."""

    def wake(self) -> None:
        """Let `wait` return. May be called by any thread."""


class Server(Protocol):
    """The volume. All methods raise `syncd.remote.errors.RemoteError`."""

    def delta(self, place: wire.Place, since: int, /) -> wire.Delta:
        """Return a page of changes after a state."""

    def tree(
        self, place: wire.Place, *, sequence: int = 0, path: bytes = b""
    ) -> Iterator[wire.TreePage]:
        """Yield the pages of a listing, all of one state."""

    def commit(self, request: wire.CommitRequest, /) -> wire.Committed:
        """Carry a commit out; again, with the same key, where there was no answer."""


class Upload(NamedTuple):
    """A file that is to be on the server: where it is here, what it is, what it is made from.

    `bases` are paths of files in the state `sequence` that have much of it already.
    """

    path: str
    item: Item
    signature: Signature | None
    bases: list[bytes]
    sequence: int


class Download(NamedTuple):
    """A file that is to be here: where it has this content on the server, in which state.

    `here` is a path of the linked folder that has much of it already, empty if none.
    """

    path: bytes
    sequence: int
    item: Item
    here: str


@dataclass(slots=True)
class Ahead:
    """What came of large files so far that are moved in the background.

    Attributes:
        coming: those on their way, by index.
        failed: why others cannot be moved, by index. The rest is there.
        is_outdated: whether the server has something newer in place of one.
    """

    coming: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)
    is_outdated: bool = False


class Transfers(Protocol):
    """Moves content. Methods raise RemoteError where the server cannot be had."""

    def is_large(self, item: Item, /) -> bool:
        """Whether a file is moved in the background, before the step that it is for."""

    def done(self, item: Item, /) -> int:
        """Return how many bytes of a large file are dealt with already."""

    def send_ahead(self, files: Sequence[Upload], /) -> Ahead:
        """Send these large files in the background, and no others, until they are asked for.

        Whenever one is there, or failed, `Disk.wait` returns.
        """

    def fetch_ahead(self, files: Sequence[Download], kept: Collection[bytes], /) -> Ahead:
        """Fetch these large files in the background, and no others, likewise.

        `kept` are all contents that are to come some time: what is here of others goes.
        """

    def upload(self, files: Sequence[Upload], /) -> dict[int, str]:
        """Send what the server lacks of some files.

        Returns:
            the reasons of those, by index, that could not be sent: they have been changed or
            cannot be read.
        """

    def prepare(self, files: Sequence[Download], /) -> None:
        """Say which files are asked for next, so that they can come together."""

    def download(self, file: Download, /) -> Iterator[bytes]:
        """Yield a file's content, every byte checked.

        Raises:
            OutdatedError: the server has not this content there any more.
        """

    def read(self, file: Upload, /) -> bytes:
        """Return the content of a small file that is here.

        Raises:
            OSError: it cannot be read, or is not as it was when it was looked at.
        """

    def identify(self, content: bytes, /) -> Item:
        """Return what a file with this content is, but for its time and exec bit."""


class Report(Protocol):
    """Who is told what the engine does; called by its control thread only."""

    def notices(self, notices: Sequence[Notice], /) -> None:
        """These conflicts were settled."""

    def problems(self, problems: dict[str, str], /) -> None:
        """These paths cannot be synced now, with the reason; all that there are."""

    def left(self, files: int, upload: int, download: int, /) -> None:
        """So much is still to be done: steps, and bytes of each direction."""

    def did(self, steps: int, /) -> None:
        """So many of the steps have been done, or have failed, since that was told."""


class Clock(Protocol):
    """Time: that of the calendar, and one that never jumps."""

    def now_ns(self) -> int:
        """Return nanoseconds since 1970, UTC."""

    def monotonic(self) -> float:
        """Return seconds of a clock that is never set."""
