"""Repairing a repository: damaged packs are taken out of use, what is sound in them stays.

Every pack is read. Of one that is damaged or missing the sound records are written to new packs,
what is lost is looked for in other packs, and what is nowhere is forgotten: it is missing then,
known to all processes, and stored when it comes again. Refs are written anew from the catalog.
Of histories it is written down what is lost: collections go on without that.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import NamedTuple

from cas.catalog import Location, PackRow
from cas.engine import Engine
from cas.errors import CasError, IntegrityError, InvalidError
from cas.ids import Identifier, Kind, ObjectId
from cas.maintenance.checked_pack import CheckedPack
from cas.maintenance.damage import Damage, DamageKind
from cas.maintenance.exclusive import exclusive
from cas.maintenance.giving_up import give_up_lost
from cas.maintenance.pack_table import PackTable
from cas.maintenance.quarantine import Held, Quarantine
from cas.maintenance.reading import read_pack
from cas.maintenance.shared_quarantine import SharedQuarantine
from cas.maintenance.watching import DamageWatcher
from cas.packfile import RecordPlace
from cas.packs import location_of
from cas.refs import read_ref, ref_name
from cas.repository import Repository

_logger = logging.getLogger(__name__)


class RepairedPack(NamedTuple):
    """What became of a pack that was damaged, or is `missing`.

    `kept` records were written anew, or found in other packs; `lost` objects are nowhere.
    """

    id: bytes
    reasons: list[str]
    is_missing: bool
    kept: int
    lost: int


@dataclass(slots=True)
class RepairReport:
    """What was found and done. `catalog` is damage that a new catalog mends, see `rebuild_index`.

    `packs_read` counts all packs; `refs` are those that were written anew, by their names.
    `given_up` are ids of commits and lists of changes without which collections go on from now.
    """

    is_dry_run: bool
    packs_read: int = 0
    packs: list[RepairedPack] = field(default_factory=list)
    refs: list[str] = field(default_factory=list)
    catalog: list[str] = field(default_factory=list)
    given_up: list[bytes] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether there was nothing to repair."""
        return not (self.packs or self.refs or self.catalog)


class _Hurt(NamedTuple):
    """A damaged pack: its records that are sound, or None where its file is missing."""

    row: PackRow
    reasons: list[str]
    pack: CheckedPack | None
    sound: list[RecordPlace]


def repair_repository(
    repository: Repository, *, is_dry_run: bool = False, watcher: DamageWatcher | None = None
) -> RepairReport:
    """Take damaged packs out of use, and write damaged refs anew. Runs beside servers at work.

    Raises:
        InvalidError: the repository is in memory.
        LockedError: a collection on another gateway is at work.
        IntegrityError: the catalog is damaged: it has to be rebuilt first. Or several gateways
            share the repository, and a ref is damaged.
        StoreError, StoreFullError: the disk failed or is full; call it again, it goes on.
    """
    engine = repository.engine
    if engine.store.machine_directory is None:
        raise InvalidError(f"{engine.store.location} is in memory: there is nothing to repair")
    watcher = watcher or DamageWatcher()
    with exclusive(engine, watcher):
        report = _Repair(engine, is_dry_run=is_dry_run).run(watcher)
        if not is_dry_run:
            try:
                report.given_up = give_up_lost(repository)
            except IntegrityError:  # what was found and done is still to be told
                _logger.warning("what is lost could not be written down", exc_info=True)
        return report


def _make_quarantine(engine: Engine) -> Quarantine:
    gateway, index = engine.gateway, engine.chunks.index
    if gateway is None or index is None:
        return Quarantine(engine)
    return SharedQuarantine(engine, gateway, index)


class _Repair:
    def __init__(self, engine: Engine, *, is_dry_run: bool) -> None:
        self._engine = engine
        self._report = RepairReport(is_dry_run)
        self._quarantine = _make_quarantine(engine)
        self._reasons: dict[bytes, list[str]] = {}
        self._packs = PackTable(engine, self._note)
        self._is_dry_run = is_dry_run

    def run(self, watcher: DamageWatcher) -> RepairReport:
        gateway = self._engine.gateway
        if gateway is not None:
            gateway.catch_up()  # which refuses a damaged ref: it alone knows its newest commit
        if not self._is_dry_run:
            self._quarantine.begin()
        if gateway is None:
            self._find_damaged_refs()
        hurt = self._find_hurt(watcher)
        self._packs.check_rows()
        self._packs.check_unknown()
        if (hurt or self._report.refs) and gateway is None and not self._is_dry_run:
            # Afterwards no journal record in a pack that goes is needed any more.
            self._engine.checkpointer.restore_refs()
        if hurt:
            self._mend(hurt)
        return self._report

    def _note(self, damage: Damage) -> None:
        if damage.kind in {DamageKind.DAMAGED, DamageKind.MISSING} and damage.pack:
            self._reasons.setdefault(damage.pack, []).append(damage.message)
        elif damage.kind is DamageKind.CATALOG:
            self._report.catalog.append(damage.message)

    def _find_damaged_refs(self) -> None:
        """Find refs that are damaged, missing or older: the catalog knows what they said."""
        with self._engine.catalog.read() as transaction:
            heads = [(volume_id, head) for volume_id, head in transaction.heads() if head.commit]
        for volume_id, head in heads:
            try:
                ref = read_ref(self._engine.store, self._identifier, volume_id)
            except CasError:
                ref = None
            if ref is None or ref.sequence < head.commit_sequence:
                self._report.refs.append(ref_name(self._identifier, volume_id))

    def _find_hurt(self, watcher: DamageWatcher) -> dict[int, _Hurt]:
        """Read all packs; return the sealed ones that are damaged, and the missing ones."""
        known = self._packs.ordinals()
        watcher.stage("reading packs", sum(row.size for _, row in known))
        hurt: dict[int, _Hurt] = {}
        for ordinal, row in known:
            pack = self._packs.check(ordinal)
            bad: set[int] = set()
            if pack is not None:
                self._report.packs_read += 1
                for number, reason in read_pack(pack, self._identifier).bad:
                    bad.add(number)
                    place = pack.places[number]
                    message = f"{place.kind.words} {place.id.hex()} at {place.offset}: {reason}"
                    self._reasons.setdefault(row.id, []).append(message)
                    self._packs.mark_damaged(pack, number)
            if row.id in self._reasons and (pack is None or not pack.is_open):
                places = enumerate(pack.places) if pack else ()
                sound = [place for number, place in places if number not in bad]
                hurt[ordinal] = _Hurt(row, self._reasons[row.id], pack, sound)
            watcher.advance(row.size)
        return hurt

    def _mend(self, hurt: dict[int, _Hurt]) -> None:
        if not self._is_dry_run:
            self._quarantine.condemn(list(hurt))
        held = self._held(set(hurt))
        lost: dict[int, list[Held]] = {}
        for ordinal, one in hurt.items():
            sound = {(place.id, place.offset) for place in one.sound}
            lost[ordinal] = [
                each for each in held[ordinal] if (each.id, each.location.offset) not in sound
            ]
        wanted = {each.id for some in lost.values() for each in some}
        spares = self._find_spares(wanted, hurt) if wanted else {}
        for ordinal, one in hurt.items():
            self._report.packs.append(
                self._mend_pack(ordinal, one, held[ordinal], lost[ordinal], spares)
            )
        if not self._is_dry_run:
            self._quarantine.end()

    def _mend_pack(
        self,
        ordinal: int,
        one: _Hurt,
        held: list[Held],
        lost: list[Held],
        spares: dict[bytes, Location],
    ) -> RepairedPack:
        gone = [each for each in lost if each.id not in spares]
        if not self._is_dry_run:
            if one.pack is not None:
                here = {each.id for each in held} - {each.id for each in lost}
                self._quarantine.copy(one.pack, [p for p in one.sound if p.id in here])
            rest = self._quarantine.rescue(lost)
            self._quarantine.set_aside(one.row.id)
            gone = self._quarantine.forget(ordinal, rest, spares)
            self._quarantine.remove(ordinal, one.row.id)
        return RepairedPack(
            one.row.id, one.reasons, one.pack is None, len(held) - len(gone), len(gone)
        )

    def _held(self, ordinals: set[int]) -> dict[int, list[Held]]:
        """Return the objects that the catalog finds in these packs."""
        found: dict[int, list[Held]] = {ordinal: [] for ordinal in ordinals}
        for object_id, location in self._packs.locations():
            if location.pack in found:
                found[location.pack].append(Held(ObjectId(object_id), location))
        return found

    def _find_spares(self, wanted: set[ObjectId], hurt: dict[int, _Hurt]) -> dict[bytes, Location]:
        """Return where other packs hold sound records of the wanted objects."""
        spares: dict[bytes, Location] = {}
        for ordinal, _ in self._packs.ordinals():
            pack = None if ordinal in hurt else self._packs.look(ordinal)
            if pack is None or pack.is_open:
                continue
            places = [
                (number, place)
                for number, place in enumerate(pack.places)
                if place.id in wanted and place.kind is not Kind.JOURNAL
            ]
            if places:
                bad = {each.number for each in read_pack(pack, self._identifier).bad}
                for number, place in places:
                    if number not in bad:
                        spares[place.id] = location_of(ordinal, number, place)
        return spares

    @property
    def _identifier(self) -> Identifier:
        return self._engine.chunks.identifier
