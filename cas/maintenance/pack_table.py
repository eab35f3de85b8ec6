"""Packs as they say themselves what they hold, compared with what the catalog says of them.

What both agree on is marked as sound: a bit for each record. Beside live processes packs are
begun, grow, are sealed and vanish; so what does not fit is looked at again before it is damage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Final, NamedTuple

from cas.catalog import (
    Location,
    PackRow,
    PackState,
    decode_location,
    decode_locations,
    record_of_location,
)
from cas.engine import Engine
from cas.errors import FormatError, IntegrityError, NotFoundError, StoreError
from cas.formats import PACK_RECORD_LIMIT
from cas.ids import Kind
from cas.maintenance.checked_pack import CheckedPack, agreed, decoded, encoded_places, size_faults
from cas.maintenance.damage import Damage, DamageKind
from cas.maintenance.elsewhere import find_elsewhere, was_deleted
from cas.maintenance.marks import Marks
from cas.pack_reader import StoredPack, pack_blob_name
from cas.packfile import (
    HEADER_SIZE,
    decode_header,
    read_footer,
    scan,
)

_ATTEMPTS: Final = 3
_ROWS_AT_ONCE: Final = 10_000


class _Seen(NamedTuple):
    """A pack as it was compared: the first record that the catalog had not, and when."""

    row: PackRow
    first_lacking: int
    transaction: int


class PackTable:
    """The packs of a repository, and which of their records are sound. For one thread."""

    def __init__(self, engine: Engine, report: Callable[[Damage], None]) -> None:
        self._engine = engine
        self._report = report
        self._sound = Marks()
        self._damaged = Marks()
        self._seen: dict[int, _Seen] = {}
        self._lost: set[int] = set()
        self._scanned: set[int] = set()

    def ordinals(self) -> list[tuple[int, PackRow]]:
        """Return the packs that the catalog knows, without those that are about to be deleted."""
        with self._engine.catalog.read() as transaction:
            packs = list(transaction.packs())
        return [(ordinal, row) for ordinal, row in packs if row.state is not PackState.REMOVED]

    def seen(self) -> set[int]:
        """Return the packs that were looked at."""
        return set(self._seen)

    def is_gone(self, ordinal: int) -> bool:
        """Return whether a pack was removed since it was looked at."""
        row = self._row(ordinal)
        return row is None or row.state is PackState.REMOVED

    def forget_gone(self) -> None:
        """Forget what is known of packs that were removed since."""
        for ordinal in self._seen.keys() - {ordinal for ordinal, _ in self.ordinals()}:
            del self._seen[ordinal]
            self._sound.drop(ordinal)
            self._damaged.drop(ordinal)
            self._lost.discard(ordinal)
            self._scanned.discard(ordinal)

    def check(self, ordinal: int) -> CheckedPack | None:
        """Look at a pack; None if it cannot be read, or is gone.

        Raises:
            StoreError: the disk failed.
        """
        for _ in range(_ATTEMPTS):
            row = self._row(ordinal)
            if row is None or row.state is PackState.REMOVED:
                return None
            found: list[Damage] = []
            try:
                pack = self._open(ordinal, row, found)
            except (IntegrityError, NotFoundError):
                if was_deleted(self._engine, row):
                    return None
                if self._row(ordinal) != row:
                    continue
                self._lose(ordinal, row, DamageKind.MISSING, "is missing")
                return None
            except StoreError as error:
                if error.transient:
                    raise
                self._lose(ordinal, row, DamageKind.DAMAGED, f"cannot be read: {error}")
                return None
            if self._compare(pack, found):
                for damage in found:
                    self._report(damage)
                return pack
        return None

    def look(self, ordinal: int) -> CheckedPack | None:
        """Return a pack with what it says it holds, without comparing; None if it is gone."""
        row = self._row(ordinal)
        try:
            return None if row is None else self._open(ordinal, row, [])
        except (IntegrityError, NotFoundError):
            return None

    def mark_damaged(self, pack: CheckedPack, number: int) -> None:
        """Note that a record, by its number among the pack's places, is not what its id says."""
        (location,) = self.find([pack.places[number].id])
        if location is not None and location.pack == pack.ordinal:
            self._damaged.add(location.pack, location.number)

    def find(self, ids: Sequence[bytes]) -> list[Location | None]:
        """Return where the objects lie, as far as the catalog knows."""
        with self._engine.catalog.read() as transaction:
            rows = transaction.location_bytes(ids)
        if None in rows and find_elsewhere(self._engine, ids, rows):
            with self._engine.catalog.read() as transaction:
                rows = transaction.location_bytes(ids)
        return [decoded(row) for row in rows]

    def has_chunks(self, chunks: Sequence[tuple[bytes, int | None]]) -> bool:
        """Return whether all of these are sound chunks of these lengths: a quick look.

        If not, another look at each will tell why.
        """
        with self._engine.catalog.read() as transaction:
            rows = transaction.location_bytes([chunk_id for chunk_id, _ in chunks])
        if None in rows:
            return False
        try:
            places = decode_locations(b"".join(rows))  # type: ignore[arg-type]
        except IntegrityError:
            return False
        bits_of = self._sound.bits
        is_hurt = self._damaged.has if self._damaged else _never
        for (_, length), (pack, _, _, plain_size, number, kind, _) in zip(
            chunks, places, strict=True
        ):
            bits = bits_of(pack)
            if (
                kind != Kind.CHUNK
                or (length != plain_size and length is not None)
                or number >= PACK_RECORD_LIMIT
                or not bits[number >> 3] >> (number & 7) & 1
                or is_hurt(pack, number)
            ):
                return False
        return True

    def sound(self, object_id: bytes, location: Location | None) -> Location | None:
        """Return where a sound record of the object lies, by what the catalog says; else None."""
        for _ in range(_ATTEMPTS):
            if (
                location is None
                or location.pack in self._lost
                or self._damaged.has(location.pack, location.number)
            ):
                return None
            if self._sound.has(location.pack, location.number):
                return location
            if not self._look_again(location):
                return None
            (location,) = self.find([object_id])
        return None

    def locations(self) -> Iterator[tuple[bytes, Location]]:
        """Yield all objects that the catalog knows, and where they lie."""
        for object_id, row in self._rows():
            location = decoded(row)
            if location is not None:
                yield object_id, location

    def check_rows(self) -> None:
        """Look for rows of the catalog that lead to no record, or to another one's."""
        if self._knows_all():
            return
        wrong: Counter[int] = Counter()
        unreadable = shared = 0
        taken = Marks()
        for object_id, row in self._rows():
            try:
                pack, number = record_of_location(row)
                if self._sound.has(pack, number):
                    shared += not taken.add(pack, number)
                    continue
                location = decode_location(row)
            except IntegrityError:
                unreadable += 1
                continue
            if not self.sound(object_id, location):
                wrong[location.pack] += 1
        for count, what in (
            (unreadable, "rows of the catalog are no rows"),
            (shared, "rows of the catalog lead where other ones do too"),
        ):
            if count:
                self._report(Damage(DamageKind.CATALOG, f"{count} {what}"))
        for ordinal, count in sorted(wrong.items()):
            if ordinal not in self._lost:
                self._report(self._misplaced(ordinal, count))

    def _knows_all(self) -> bool:
        """Return whether there are just as many rows as records that were found by theirs."""
        with self._engine.catalog.read() as transaction:
            return transaction.counts()["locations"] == self._sound.count()

    def check_unlisted(self, broken: AbstractSet[bytes]) -> None:
        """Look in the packs for objects that the catalog does not find, or not where they are.

        After a collection a pack may hold what the catalog has forgotten; so that alone is none.
        """
        missing = {object_id for object_id in broken if not self._is_listed(object_id)}
        if not missing:
            return
        found: set[bytes] = set()
        for ordinal, _ in self.ordinals():
            pack = None if ordinal in self._scanned else self.look(ordinal)
            for number, place in enumerate(pack.places if pack else ()):
                if place.id in missing and not self._damaged.has(ordinal, number):
                    found.add(place.id)
        if found:
            message = f"the catalog does not find {len(found)} objects that lie in packs"
            self._report(Damage(DamageKind.CATALOG, message))

    def check_unknown(self) -> None:
        """Look for packs in the store that the catalog does not know."""
        for name, _ in self._engine.store.list("packs"):
            pack_id = bytes.fromhex(name.rpartition("/")[2])
            if self._is_unknown(pack_id):
                self._engine.chunks.look_for_new()  # another gateway may have stored it just now
            if self._is_unknown(pack_id) and self._is_there(name) and self._is_unknown(pack_id):
                message = f"the catalog does not know the pack {pack_id.hex()}"
                self._report(Damage(DamageKind.CATALOG, message, pack_id))

    def _is_listed(self, object_id: bytes) -> bool:
        """Return whether pack and catalog agree on where the object is, damaged or not."""
        (location,) = self.find([object_id])
        return location is not None and self._sound.has(location.pack, location.number)

    def _misplaced(self, ordinal: int, count: int) -> Damage:
        """Return what is wrong where rows lead to records that the pack does not have."""
        row = self._row(ordinal)
        if row is None:
            message = f"the catalog looks for {count} objects in a pack that it does not know"
            return Damage(DamageKind.CATALOG, message)
        if ordinal in self._scanned:
            message = f"{count} records of pack {row.id.hex()} are damaged or cut off"
            return Damage(DamageKind.DAMAGED, message, row.id)
        message = f"the catalog looks for {count} objects where pack {row.id.hex()} has others"
        return Damage(DamageKind.CATALOG, message, row.id)

    def _row(self, ordinal: int) -> PackRow | None:
        with self._engine.catalog.read() as transaction:
            return transaction.pack(ordinal)

    def _lose(self, ordinal: int, row: PackRow, kind: DamageKind, what: str) -> None:
        self._seen[ordinal] = _Seen(row, 0, self._engine.catalog.last_transaction())
        if ordinal not in self._lost:
            self._lost.add(ordinal)
            self._report(Damage(kind, f"pack {row.id.hex()} {what}", row.id))

    def _open(self, ordinal: int, row: PackRow, found: list[Damage]) -> CheckedPack:
        """Read what the pack says of itself; what is wrong with that is added to `found`."""
        file = self._engine.chunks.reader.open_file(ordinal) or StoredPack(
            self._engine.store, pack_blob_name(row.id)
        )
        size = file.size()
        name = f"pack {row.id.hex()}"
        seal = self._engine.chunks.reader.seal(ordinal)
        try:
            header = decode_header(file.read_at(0, HEADER_SIZE), is_sealed=seal is not None)
            if header != (row.kind, row.id, row.key_number):
                message = f"the header of {name} is that of another pack"
                found.append(Damage(DamageKind.DAMAGED, message, row.id))
        except (IntegrityError, FormatError) as error:
            message = f"the header of {name} cannot be read: {error}"
            found.append(Damage(DamageKind.DAMAGED, message, row.id))
        try:
            places = read_footer(file.read_at, size, seal).places
        except (IntegrityError, FormatError) as error:
            if row.state is not PackState.OPEN:
                message = f"the footer of {name} cannot be read: {error}"
                found.append(Damage(DamageKind.DAMAGED, message, row.id))
            places = [place for place, _ in scan(file.read_at, size, row.id, seal)]
            return CheckedPack(ordinal, row, file, size, places, has_footer=False, seal=seal)
        return CheckedPack(ordinal, row, file, size, places, has_footer=True, seal=seal)

    def _compare(self, pack: CheckedPack, found: list[Damage]) -> bool:
        """Compare the pack's records with the catalog's rows; False if the pack has moved on."""
        ordinal, row = pack.ordinal, pack.row
        places = [each for each in enumerate(pack.places) if each[1].kind is not Kind.JOURNAL]
        newest = self._engine.catalog.last_transaction()
        with self._engine.catalog.read() as transaction:
            if transaction.pack(ordinal) != row:
                return False
            rows = transaction.location_bytes([place.id for _, place in places])
            # A collection forgets what is dead, in all the packs that hold it.
            may_lack = row.state is PackState.OPEN or transaction.epoch() > 0
        lacking: list[int] = []
        wrong = 0
        if None not in rows and b"".join(rows) == encoded_places(ordinal, places):  # type: ignore[arg-type]
            self._sound.add_all(ordinal, [number for number, _ in places])
            places, rows = [], []
        for (number, place), stored in zip(places, rows, strict=True):
            if stored is None:
                lacking.append(number)
                continue
            found_at = agreed(pack, number, place, stored)
            if found_at is None:
                wrong += 1
            elif found_at >= 0:
                self._sound.add(ordinal, found_at)
        first_lacking = lacking[0] if lacking else len(pack.places)
        self._seen[ordinal] = _Seen(row, first_lacking, newest)
        (self._scanned.discard if pack.has_footer else self._scanned.add)(ordinal)
        missing = 0 if may_lack else len(lacking)
        if missing or wrong:
            message = (
                f"the catalog has {missing + wrong} of the {len(pack.places)} records of pack "
                f"{row.id.hex()} not, or in another place"
            )
            found.append(Damage(DamageKind.CATALOG, message, row.id))
        if row.state is not PackState.OPEN and pack.has_footer:
            found.extend(size_faults(pack))
        return True

    def _look_again(self, location: Location) -> bool:
        """Look at a pack that is new, or may have got the record since it was looked at."""
        row = self._row(location.pack)
        if row is None:
            return False
        seen = self._seen.get(location.pack)
        if seen is not None and seen.row == row:
            if self._engine.gateway is not None:
                # What lay elsewhere too may be found here now: the other pack is gone.
                may_gain = self._engine.catalog.last_transaction() != seen.transaction
            else:
                may_gain = row.state is PackState.OPEN and location.number >= seen.first_lacking
            if not may_gain:
                return False
        return self.check(location.pack) is not None

    def _rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all rows; no transaction stays open meanwhile."""
        after = b""
        while True:
            with self._engine.catalog.read() as transaction:
                rows = transaction.location_rows(after, _ROWS_AT_ONCE)
            if not rows:
                return
            yield from rows
            after = rows[-1][0]

    def _is_unknown(self, pack_id: bytes) -> bool:
        with self._engine.catalog.read() as transaction:
            return transaction.pack_ordinal(pack_id) is None

    def _is_there(self, name: str) -> bool:
        with suppress(NotFoundError):
            return self._engine.store.size(name) >= 0
        return False


def _never(pack: int, number: int) -> bool:
    del pack, number
    return False
