"""Open packs: the files that this process appends records to, and holds locked while it does.

Appends go through one lock and are strictly sequential: a record is on the disk only if all
before it are, so that a scan after a crash loses nothing that was synced.

Where small commits follow each other, the file is kept longer than what is in it, by zeros: to
sync what is written over blocks that are there takes half the time of a sync that has to make the
file longer too.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

from cas.catalog import Location
from cas.disk import StoreErrors, directory_error, sync_directory
from cas.errors import StoreError
from cas.formats import PACK_RECORD_LIMIT, PACK_SIZE_TARGET, KiB
from cas.ids import Kind, ObjectId
from cas.packfile import (
    RECORD_OVERHEAD,
    Footer,
    PackKind,
    Record,
    RecordPlace,
    encode_footer,
    encode_header,
    encode_record_header,
    seal_record,
)
from cas.sealing import Sealing

_BUFFERS_PER_CALL: Final = 512  # Linux takes 1024 in one writev
_SMALL_APPEND: Final = 64 * KiB
_ROOM_SIZE: Final = 256 * KiB
_ROOM: Final = bytes(_ROOM_SIZE)


def open_pack_name(process_id: bytes, pack_id: bytes) -> str:
    """Return the file name of a pack while the process that made it appends to it."""
    return f"{process_id.hex()}-{pack_id.hex()}.pack"


def open_pack_pattern(process_id: bytes) -> str:
    """Return what to look for where a process's packs are."""
    return f"{process_id.hex()}-*.pack"


def location_of(ordinal: int, number: int, place: RecordPlace) -> Location:
    """Return where a record lies, of a pack's ordinal and the record's number and place in it."""
    kind, _, offset, stored_size, plain_size, codec = place
    return Location(ordinal, offset, stored_size, plain_size, number, kind, codec)


def locations_of(
    ordinal: int, places: Sequence[RecordPlace], entered: AbstractSet[int] = frozenset()
) -> list[tuple[ObjectId, Location]]:
    """Return where each object of a pack lies, by id; journal records are not looked up.

    Records with numbers in `entered` are left out.
    """
    return sorted(
        (place.id, location_of(ordinal, number, place))
        for number, place in enumerate(places)
        if place.kind is not Kind.JOURNAL and number not in entered
    )


class OpenPack:
    """One growing pack file. Callers serialise `append` and `finish`; `sync` may come any time.

    After a failed sync nothing of the file may be trusted: the pack has `failed` and stays so.
    """

    def __init__(
        self,
        directory: Path,
        process_id: bytes,
        kind: PackKind,
        ordinal: int,
        sealing: Sealing | None = None,
    ) -> None:
        """Create the file and lock it.

        Raises:
            StoreError: the file cannot be made.
        """
        self.id = secrets.token_bytes(16)
        self.kind = kind
        self.ordinal = ordinal
        self.seal = None if sealing is None else sealing.new_pack(self.id)
        self.path = directory / open_pack_name(process_id, self.id)
        self.places: list[RecordPlace] = []
        self.entered: set[int] = set()
        """Numbers of the records that a commit has entered in the catalog."""
        self.size = 0
        self.failed = False
        self.is_stored = False
        """Whether a blob store that gateways share has it, and the catalog knows it."""
        self.store_lock = threading.Lock()
        self.first_journal = 0
        self.last_journal = 0
        self._synced_size = 0
        self._file_size = 0
        self._is_spent = False
        self._sync_lock = threading.Lock()
        with StoreErrors():
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            try:
                self._descriptor = os.open(self.path, flags, 0o600)
            except FileNotFoundError as error:
                raise directory_error(directory, error) from error
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            self._write([encode_header(kind, self.id, self.key_number)])
        except StoreError:
            self.abandon()
            self.path.unlink(missing_ok=True)
            raise

    @property
    def key_number(self) -> int:
        """The number of the key that seals the pack, 0 where none does."""
        return 0 if self.seal is None else self.seal.key_number

    @property
    def is_full(self) -> bool:
        """Whether nothing more goes into the pack: by its size, its records, or a failed write."""
        is_large = self.size >= PACK_SIZE_TARGET or len(self.places) >= PACK_RECORD_LIMIT
        return is_large or self._is_spent

    def append(self, records: Sequence[Record]) -> list[Location]:
        """Write the records behind each other and return where they lie.

        Raises:
            StoreError: they could not be written; the pack is as it was, and if it is sealed
                takes nothing more: no two things are ever sealed for one place.
        """
        if self._is_spent:
            message = f"a write to {self.path.name} has failed: it takes no more"
            raise StoreError(message, transient=True)
        buffers: list[bytes | memoryview] = []
        locations: list[Location] = []
        places: list[RecordPlace] = []
        offset = self.size
        for number, record in enumerate(records, len(self.places)):
            kind, record_id, plain_size, codec, stored = record
            if self.seal is None:
                buffers += (encode_record_header(record, number, self.id), stored)
            else:
                header, stored = seal_record(record, number, offset, self.seal)
                buffers += (header, stored)
            stored_size = len(stored)
            places.append(RecordPlace(kind, record_id, offset, stored_size, plain_size, codec))
            locations.append(
                Location(self.ordinal, offset, stored_size, plain_size, number, kind, codec)
            )
            offset += RECORD_OVERHEAD + stored_size
        try:
            self._write(buffers)
        except StoreError:
            self._is_spent = self.seal is not None
            raise
        self.places += places
        return locations

    def note_journal(self, number: int) -> None:
        """Remember that the pack holds the journal record of this number."""
        self.first_journal = self.first_journal or number
        self.last_journal = number

    def sync(self) -> None:
        """Return once everything appended so far would survive a power cut.

        Raises:
            StoreError: it may not; the pack has failed.
        """
        with self._sync_lock:
            if self.failed:
                message = f"the pack {self.path.name} failed earlier: send the data again"
                raise StoreError(message, transient=True)
            size = self.size
            if size == self._synced_size:
                return
            try:
                with StoreErrors():
                    os.fdatasync(self._descriptor)
                    if self._synced_size == 0:
                        sync_directory(self.path.parent)
            except StoreError:
                self.failed = True
                raise
            self._synced_size = size

    def finish(self) -> None:
        """Write the footer and sync; nothing may be appended afterwards."""
        footer = Footer(self.places, self.first_journal, self.last_journal)
        self._write([encode_footer(footer, self.seal)])
        if self._file_size > self.size:
            with StoreErrors():
                os.ftruncate(self._descriptor, self.size)
        self.sync()

    def abandon(self) -> None:
        """Close the file and give up its lock.

        An upload holds on to all packs that it wrote to, so what they held is let go of.
        """
        with self._sync_lock:  # a sync must not meet a number that is another file's by then
            self.failed |= self.size != self._synced_size
            os.close(self._descriptor)
        self.places = []

    def _write(self, buffers: list[bytes | memoryview]) -> None:
        """Write behind what is there; the size grows when all of it is written.

        Not before: a sync that comes in between must not take for synced what may be cut again.
        """
        end = self.size
        try:
            with StoreErrors():
                for first in range(0, len(buffers), _BUFFERS_PER_CALL):
                    end = self._write_some(buffers[first : first + _BUFFERS_PER_CALL], end)
        except StoreError:
            try:
                os.ftruncate(self._descriptor, self.size)
                self._file_size = self.size
            except OSError:
                self.failed = True
            raise
        self.size = end

    def _write_some(self, buffers: list[bytes | memoryview], offset: int) -> int:
        """Write all of the buffers; return where they end."""
        wanted = sum(map(len, buffers))
        room = [_ROOM] if self._needs_room(offset + wanted, wanted) else []
        written = os.pwritev(self._descriptor, [*buffers, *room], offset)
        if written < wanted:
            rest = memoryview(b"".join(buffers))
            while written < wanted:
                written += os.pwrite(self._descriptor, rest[written:], offset + written)
        # Of the room a full disk may have taken a part, or none: it is not insisted on.
        self._file_size = max(self._file_size, offset + written)
        return offset + wanted

    def _needs_room(self, end: int, size: int) -> bool:
        """Whether zeros should follow an append of this size that ends there.

        They should if what came before was synced, as it is when small commits come one by one:
        streams and imports are not written twice.
        """
        is_commit = 0 < self.size == self._synced_size and size < _SMALL_APPEND
        return is_commit and end + _SMALL_APPEND > self._file_size


class PackWriter:
    """Appends records of one kind of pack, going on in a new pack when one is full.

    Shared by threads. A full pack, or one that has failed, is handed to the caller, who seals
    it: that takes a sync and a transaction, which must not happen under this lock.
    """

    def __init__(self, make_pack: Callable[[], OpenPack]) -> None:
        self._make_pack = make_pack
        self._lock = threading.Lock()
        self._current: OpenPack | None = None
        self._ended: list[OpenPack] = []  # outlives an append that fails behind a full pack

    def append(
        self, records: Sequence[Record]
    ) -> tuple[list[tuple[OpenPack, list[Location]]], list[OpenPack]]:
        """Write the records; return where they lie, pack by pack, and the packs to be sealed."""
        with self._lock:
            return self._append(records, 0)

    def _append(
        self, records: Sequence[Record], journal_number: int
    ) -> tuple[list[tuple[OpenPack, list[Location]]], list[OpenPack]]:
        written: list[tuple[OpenPack, list[Location]]] = []
        for batch in self._batches(records):
            pack = self._current
            if pack is not None and (pack.failed or pack.is_full):
                self._ended.append(pack)
                pack = self._current = None
            if pack is None:
                pack = self._current = self._make_pack()
            written.append((pack, pack.append(batch)))
            if journal_number:
                pack.note_journal(journal_number)
            if pack.is_full:
                self._ended.append(pack)
                self._current = None
        ended, self._ended = self._ended, []
        return written, ended

    def take_ended(self) -> list[OpenPack]:
        """Return the packs that wait for being sealed because the append after them failed."""
        with self._lock:
            ended, self._ended = self._ended, []
        return ended

    def append_to(
        self, current: OpenPack | None, record: Record, journal_number: int
    ) -> tuple[OpenPack, list[OpenPack]] | None:
        """Append a journal record, unless `current` is not the current pack any more: None then.

        Where there is none, it goes to a new one. Returns its pack, and the packs to be sealed.
        """
        with self._lock:
            if self.current is not current:
                return None
            written, ended = self._append([record], journal_number)
            return written[0][0], ended

    @property
    def current(self) -> OpenPack | None:
        """The pack that is being filled, None where the next append begins one."""
        current = self._current
        return None if current is None or current.failed or current.is_full else current

    def take_current(self) -> OpenPack | None:
        """Return the pack that is being filled and go on in another one."""
        with self._lock:
            pack, self._current = self._current, None
        return pack

    def leave(self, pack: OpenPack) -> None:
        """Go on in another pack if this is the one that is being filled."""
        with self._lock:
            if self._current is pack:
                self._current = None

    def _batches(self, records: Sequence[Record]) -> Iterator[Sequence[Record]]:
        """Yield slices, each of which ends where the pack that takes it is full."""
        start = 0
        if len(records) == 1:  # as in every small commit; a pack that is there takes one more
            yield records
            return
        while start < len(records):
            pack = self._current
            is_usable = pack is not None and not pack.failed and not pack.is_full
            size, count = (pack.size, len(pack.places)) if pack and is_usable else (0, 0)
            stop = start
            while stop < len(records) and size < PACK_SIZE_TARGET and count < PACK_RECORD_LIMIT:
                size += RECORD_OVERHEAD + len(records[stop].stored)
                count += 1
                stop += 1
            yield records[start:stop]
            start = stop
