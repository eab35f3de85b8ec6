"""Moving the content of files between the linked folder and the server: small files while the
engine waits, large ones in the background, one up and one down at a time, the smallest first.
"""  # noqa: D205 - one sentence

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from typing import Final, TypeVar

import cas
from cas import wire
from syncd.disk.items import Item
from syncd.disk.linked_disk import LinkedDisk
from syncd.disk.staging import synced_behind, write_pieces
from syncd.fetching import Fetcher, Incoming
from syncd.jobs import Check, Job, Jobs
from syncd.pieces import Counted, Progress
from syncd.ports import Ahead, Download, OutdatedError, Upload
from syncd.reasons import is_full, words
from syncd.remote.client import Remote
from syncd.remote.errors import NoRoomError
from syncd.remote.pace import TokenBucket
from syncd.remote.transfer import IN_FLIGHT
from syncd.remote.transfer import Transfers as Lanes
from syncd.sending import Outgoing, Sender

LARGE: Final = 4 * 1024 * 1024
"""Bytes from which on a file is moved in the background."""
SLICE_SECONDS: Final = 2.0
"""With a limit, what takes longer than this is large, and no request of the background is longer:
a small change waits for no more.
"""
_SMALLEST_SLICE: Final = cas.CHUNK_SIZE_LIMIT
_Key = TypeVar("_Key", bound=Hashable)
_Made = TypeVar("_Made")


def slice_bytes(bucket: TokenBucket, most: int) -> int:
    """Return how many bytes pass a bucket in the time of one slice, at most so many."""
    if bucket.rate is None:
        return most
    return int(min(most, max(bucket.rate * SLICE_SECONDS, _SMALLEST_SLICE)))


class LinkTransfers:
    """The transfers of one link; see `ports.Transfers`. One thread at a time; close it.

    Args:
        near: the server, for what the engine waits for.
        far: the same, for what goes on in the background.
        place: of the volume.
        disk: the linked folder.
        keys: of content ids.
        progress: is told how far they are.
    """

    def __init__(
        self,
        near: Remote,
        far: Remote,
        place: wire.Place,
        disk: LinkedDisk,
        keys: cas.ContentKeys,
        progress: Progress,
    ) -> None:
        self._near, self._far = near, far
        self._place = place
        self._disk = disk
        self._keys = keys
        self._progress = progress
        self._counts: dict[bytes, Counted] = {}
        self._fetched: set[bytes] = set()
        self._count_up = self._count_down = Counted(progress)
        self._near_lanes = self._lanes(near, lambda up, down: progress.moved(up=up, down=down))
        self._far_lanes = self._lanes(far, self._moved)
        self._fetcher = Fetcher(near, self._near_lanes, place, disk, keys, progress)
        self._up: Jobs[tuple[str, bytes], bool] = Jobs("syncd-up", disk.wake)
        self._down: Jobs[bytes, bool] = Jobs("syncd-down", disk.wake)

    def _lanes(self, remote: Remote, moved: Callable[[int, int], None]) -> Lanes:
        buckets = remote.connection.up, remote.connection.down

        def batch_size() -> int:
            together = min(slice_bytes(bucket, IN_FLIGHT * wire.BATCH_SIZE) for bucket in buckets)
            return max(together // IN_FLIGHT, _SMALLEST_SLICE)

        return Lanes(remote, self._keys, progress=moved, batch_size=batch_size)

    def _moved(self, up: int, down: int) -> None:
        """Count what goes in the background for the file whose turn it is."""
        if up:
            self._count_up.moved(up=up)
        if down:
            self._count_down.moved(down=down)

    def halt(self) -> None:
        """End what is in the background; it goes on when it is asked for again."""
        self._up.want({})
        self._down.want({})

    def close(self) -> None:
        """End what is in the background, for good."""
        self._up.close()
        self._down.close()
        self._near_lanes.close()
        self._far_lanes.close()

    def done(self, item: Item) -> int:
        """See `ports.Transfers`."""
        count = self._counts.get(item.content)
        return count.done if count is not None else 0

    def _keep_counts(self, sent: set[bytes], fetched: set[bytes]) -> None:
        wanted = sent | fetched
        self._counts = {key: count for key, count in self._counts.items() if key in wanted}

    def _begin_count(self, item: Item) -> Counted:
        count = self._counts[item.content] = Counted(self._progress)
        return count

    def is_large(self, item: Item) -> bool:
        """See `ports.Transfers`."""
        up, down = self._near.connection.up, self._near.connection.down
        return item.kind is cas.EntryKind.NODE_FILE and item.size >= min(
            slice_bytes(up, LARGE), slice_bytes(down, LARGE)
        )

    # Up.

    def upload(self, files: Sequence[Upload]) -> dict[int, str]:
        """See `ports.Transfers`."""
        sender = Sender(
            self._near, self._near_lanes, self._place, self._disk, self._keys, self._progress
        )
        return sender.send([self._outgoing(file) for file in files])

    def send_ahead(self, files: Sequence[Upload]) -> Ahead:
        """See `ports.Transfers`."""
        ahead = Ahead()
        keys: dict[int, tuple[str, bytes]] = {}
        jobs: dict[tuple[str, bytes], Job[bool]] = {}
        for index, file in enumerate(files):
            try:
                outgoing = self._outgoing(file)
            except OSError as error:
                ahead.failed[index] = words(error)
                continue
            keys[index] = (outgoing.disk_path, file.item.content)
            jobs[keys[index]] = Job(file.item.size, self._sending(outgoing))
        self._up.want(jobs)
        self._keep_counts({content for _, content in jobs}, set(self._fetched))
        for index, key in keys.items():
            _collect(ahead, index, self._up, key)
        return ahead

    def _sending(self, file: Outgoing) -> Callable[[Check], bool]:
        def work(check: Check) -> bool:
            count = self._count_up = self._begin_count(file.item)
            sender = Sender(
                self._far, self._far_lanes, self._place, self._disk, self._keys, count, check
            )
            for reason in sender.send([file]).values():
                raise OSError(reason)
            return True

        return work

    def _outgoing(self, file: Upload) -> Outgoing:
        return Outgoing(self._disk.disk_path(file.path), *file[1:])

    # Down.

    def prepare(self, files: Sequence[Download]) -> None:
        """See `ports.Transfers`."""
        self._fetcher.prepare([file[:3] for file in files])

    def download(self, file: Download) -> Iterator[bytes]:
        """See `ports.Transfers`."""
        yield from self._fetcher.content(self._incoming(file))

    def read(self, file: Upload) -> bytes:
        """See `ports.Transfers`."""
        descriptor = self._disk.open_at(self._disk.disk_path(file.path))
        with os.fdopen(descriptor, "rb") as opened:
            content = opened.read(file.item.size + 1)
        if self.identify(content).content != file.item.content:
            raise OSError(errno.EBUSY, "it was changed meanwhile")
        return content

    def identify(self, content: bytes) -> Item:
        """See `ports.Transfers`."""
        found = cas.identify_file(io.BytesIO(content), self._keys, on_node=self._disk.nodes.put)
        return Item(found.kind, found.id, found.size)

    def fetch_ahead(self, files: Sequence[Download], kept: Collection[bytes]) -> Ahead:
        """See `ports.Transfers`."""
        partials = self._disk.partials
        jobs = {
            file.item.content: Job(file.item.size, self._fetching(self._incoming(file)))
            for file in files
        }
        self._down.want(jobs)
        self._fetched = set(jobs)
        partials.sweep({*kept, *jobs})
        ahead = Ahead()
        begun: set[bytes] = set()
        for index, file in enumerate(files):
            content = file.item.content
            if content in begun:
                ahead.coming.add(index)  # It comes once for each place.
                continue
            begun.add(content)
            _collect(ahead, index, self._down, content)
            is_here = index not in ahead.coming and index not in ahead.failed
            if is_here and not partials.has_whole(content):
                self._down.forget(content)  # It came to nothing: a step took it, and failed.
                self._down.add(content, jobs[content])
                ahead.coming.add(index)
        return ahead

    def _fetching(self, file: Incoming) -> Callable[[Check], bool]:
        def work(check: Check) -> bool:
            count = self._count_down = self._begin_count(file.item)
            fetcher = Fetcher(
                self._far, self._far_lanes, self._place, self._disk, self._keys, count, check
            )
            _fetch(fetcher, file, self._disk)
            return True

        return work

    def _incoming(self, file: Download) -> Incoming:
        here = ""
        if file.here:
            try:
                here = self._disk.disk_path(file.here)
            except FileNotFoundError:
                here = ""  # It comes as a whole.
        return Incoming(*file[:3], here)


def _fetch(fetcher: Fetcher, file: Incoming, disk: LinkedDisk) -> None:
    """Have a whole file in syncd's own folder."""
    content = file.item.content
    if disk.partials.has_whole(content):
        return
    with disk.partials.opened(content) as descriptor:
        try:
            pieces = fetcher.content(file, descriptor)
            write_pieces(descriptor, synced_behind(descriptor, pieces))
            disk.partials.finish(content, descriptor)
        except OSError as error:
            if is_full(error):
                disk.partials.drop(content)  # What is here already must not keep the disk full.
            raise


def _collect(ahead: Ahead, index: int, jobs: Jobs[_Key, _Made], key: _Key) -> None:
    """Say of one file what came of its job.

    Raises:
        RemoteError: the server cannot be had.
    """
    try:
        if jobs.is_under_way(key):
            ahead.coming.add(index)
        else:
            jobs.result(key)
    except OutdatedError:
        ahead.coming.add(index)
        ahead.is_outdated = True
    except (OSError, NoRoomError) as error:
        ahead.failed[index] = words(error)
