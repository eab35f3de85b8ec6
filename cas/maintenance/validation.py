"""What a bucket can do: found out by doing it, below a key of its own, removed afterwards.

That conditional writes are atomic cannot be read in a server's manual: some have had the calls
for years and let two writers win. So they are raced.
"""

from __future__ import annotations

import dataclasses
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from cas.errors import AlreadyExistsError, CasError, ConflictError, IntegrityError, NotFoundError
from cas.stores.base import ByteRange, Token
from cas.stores.bucket_location import parse_bucket_location

if TYPE_CHECKING:
    from cas.stores.bucket import BucketStore

_LISTED: Final = 40
_CLOCK_SECONDS: Final = 60.0
_CONTENT: Final = bytes(range(256)) * 1024


class Effort(NamedTuple):
    """How hard a bucket is tried: rivals of a race, races, changes of each rival."""

    rivals: int
    rounds: int
    changes: int


THOROUGH: Final = Effort(16, 4, 2)
QUICK: Final = Effort(4, 1, 1)
"""For each start of a gateway: a few seconds where a server is slow under contention."""


class Need(Enum):
    """Who needs what a check looks for."""

    ALWAYS = "always"
    GATEWAYS = "several gateways"
    ADVICE = "advice"


class Finding(NamedTuple):
    """Whether a bucket does one thing as it should; `detail` says what was seen."""

    check: str
    need: Need
    is_good: bool
    detail: str


def validate_bucket(location: str, effort: Effort = THOROUGH) -> Iterator[Finding]:
    """Yield what a bucket can do, check by check; about half a minute in all.

    With little `effort` only what several gateways need is looked at.

    Raises:
        InvalidError: the location is no bucket's.
        StoreError: it cannot be reached, or the credentials do not do.
    """
    from cas.stores.bucket import BucketStore  # noqa: PLC0415 - boto3 takes long to import

    where = parse_bucket_location(location)
    prefix = f"{where.prefix}/validate/" if where.prefix else "validate/"
    store = BucketStore(dataclasses.replace(where, prefix=prefix + secrets.token_hex(8)))
    validation = _Validation(store, effort)
    with suppress(NotFoundError):
        store.read("config")  # there is a bucket, and it answers
    try:
        for name, need, check in validation.checks():
            if effort is QUICK and need is Need.ADVICE:
                continue
            yield _attempt(name, need, check)
    finally:
        validation.clean_up()
        store.close()


def _attempt(name: str, need: Need, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, need, True, check())
    except CasError as error:
        return Finding(name, need, False, str(error))


class _Validation:
    """The checks: each returns what it saw, or raises what is wrong as a CasError."""

    def __init__(self, store: BucketStore, effort: Effort) -> None:
        self._store = store
        self._effort = effort

    def checks(self) -> list[tuple[str, Need, Callable[[], str]]]:
        rivals = self._effort.rivals
        return [
            ("what is written is read", Need.ALWAYS, self._write_and_read),
            ("ranges", Need.ALWAYS, self._ranges),
            ("a name is written once", Need.ALWAYS, self._write_once),
            ("lists after writes", Need.ALWAYS, self._lists),
            ("reads after overwrites", Need.GATEWAYS, self._overwrites),
            (f"{rivals} rivals create one object", Need.GATEWAYS, self._race_to_create),
            (f"{rivals} rivals change one object", Need.GATEWAYS, self._race_to_change),
            ("wrong checksums are refused", Need.ADVICE, self._checksums),
            ("clocks agree", Need.ADVICE, self._clock),
        ]

    def clean_up(self) -> None:
        for area in ("packs", "refs", "config"):
            for name, _ in list(self._store.list(area)):
                self._store.delete(name)

    def _write_and_read(self) -> str:
        began = time.monotonic()
        self._store.put(_pack(0), _CONTENT)
        written = time.monotonic()
        if self._store.get(_pack(0)) != _CONTENT:
            raise IntegrityError("what was read is not what was written")
        read = time.monotonic()
        return f"256 KiB written in {_ms(written - began)}, read in {_ms(read - written)}"

    def _ranges(self) -> str:
        for start, stop in ((0, 1), (1000, 70_000), (262_000, 1 << 40), (1 << 30, 1 << 31)):
            if self._store.get(_pack(0), ByteRange(start, stop)) != _CONTENT[start:stop]:
                raise IntegrityError(f"the bytes from {start} to {stop} are not those")
        return "within, at and behind the end"

    def _write_once(self) -> str:
        try:
            self._store.put(_pack(0), b"another")
        except AlreadyExistsError:
            return "a second write was refused"
        raise IntegrityError("a second write replaced the first: If-None-Match is not heeded")

    def _lists(self) -> str:
        names = [_pack(number) for number in range(1, _LISTED + 1)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: self._store.put(name, b"1"), names))
            if missing := set(names) - {name for name, _ in self._store.list("packs")}:
                raise IntegrityError(f"{len(missing)} of {_LISTED} are not listed")
            list(pool.map(self._store.delete, names))
        if left := set(names) & {name for name, _ in self._store.list("packs")}:
            raise IntegrityError(f"{len(left)} of {_LISTED} are listed after their removal")
        return f"{_LISTED} objects, after each write and removal"

    def _overwrites(self) -> str:
        token = None
        for number in range(20):
            content = b"%d" % number
            token = self._store.replace("refs/00", content, token)
            if self._store.read("refs/00") != (content, token):
                raise IntegrityError("a read after a write gave what was there before")
        return "20 times"

    def _race_to_create(self) -> str:
        began = time.monotonic()
        for number in range(self._effort.rounds):
            name = f"refs/aa{number:02x}"
            tries: list[tuple[bytes, bool]] = self._race(lambda own, n=name: self._win(n, own))  # type: ignore[misc]
            winners = [own for own, has_won in tries if has_won]
            if [self._store.read(name)[0]] != winners:
                rivals = self._effort.rivals
                message = f"{len(winners)} of {rivals} were told that they had made one object"
                raise IntegrityError(message)
        rounds = self._effort.rounds
        return f"one won, {rounds} times, {_ms((time.monotonic() - began) / rounds)} each"

    def _race_to_change(self) -> str:
        began = time.monotonic()
        self._store.replace("refs/bb", b"0", None)
        self._race(self._count)
        found, wanted = (
            int(self._store.read("refs/bb")[0].partition(b" ")[0]),
            self._effort.rivals * self._effort.changes,
        )
        if found != wanted:
            raise IntegrityError(f"{wanted - found} of {wanted} changes were lost")
        return f"{wanted} changes, none lost, {_ms((time.monotonic() - began) / wanted)} each"

    def _race(self, act: Callable[[bytes], bool]) -> list[tuple[bytes, bool]]:
        """Let all rivals begin at one moment; return what each wrote, and whether it won."""
        barrier = threading.Barrier(self._effort.rivals)

        def run(_: int) -> tuple[bytes, bool]:
            own = secrets.token_hex(8).encode()
            barrier.wait()
            return own, act(own)

        with ThreadPoolExecutor(self._effort.rivals) as pool:
            return list(pool.map(run, range(self._effort.rivals)))

    def _win(self, name: str, own: bytes) -> bool:
        try:
            self._store.replace(name, own, None)
        except ConflictError:
            return False
        return True

    def _count(self, own: bytes) -> bool:
        done = 0
        while done < self._effort.changes:
            content, token = self._store.read("refs/bb")
            number = int(content.partition(b" ")[0]) + 1
            done += self._has_changed(b"%d %s" % (number, own), token)
        return True

    def _has_changed(self, content: bytes, token: Token) -> bool:
        try:
            self._store.replace("refs/bb", content, token)
        except ConflictError:
            return False
        return True

    def _checksums(self) -> str:
        if self._store.takes_wrong_checksum():
            raise IntegrityError("bytes with the checksum of others were taken")
        return "the server looks at them"

    def _clock(self) -> str:
        before = time.time()
        self._store.put(_pack(255), b"1")
        written = next(at for name, _, at in self._store.list_dated("packs/ff"))
        away = max(before - written - 1, written - time.time(), 0.0)
        if away > _CLOCK_SECONDS:
            raise IntegrityError(f"the server's clock is {away:.0f} s away from this machine's")
        return "within a minute"


def _pack(number: int) -> str:
    return f"packs/{number:02x}/{number:032x}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
