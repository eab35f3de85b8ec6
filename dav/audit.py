"""Who signed in, and who was refused: records in the registry, each bound to the one before it.

A record holds the hash of the record before, so none can be changed, left out or put in between
unnoticed; and like everything in the registry it is part of commits that are bound to each other
too. Records are written behind the requests, some at a time: a sign-in within a second, refused
attempts within half a minute. A server that is killed loses what it had not written.

Programs send their password with every request. Each that comes in is noted once an hour, by user,
way, credential and address; refused attempts that are alike are counted. However many attempts
there are, a server writes no more than a few of its records in a minute.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

import msgspec
from blake3 import blake3

import cas
from dav.challenge import Reason
from dav.identity import Method
from dav.records import AUDIT, Attempt, AuditRecord, decode, encode
from dav.registry import ensure_directory

KEPT_SECONDS: Final = 366 * 86_400.0
"""How long records are kept at least."""
AUTHOR: Final = "casdav"

_FOLDER_SIZE: Final = 1000
_ATTEMPTS_PER_RECORD: Final = 64
_KINDS_HELD: Final = 1024
_ALIKE_NS: Final = 3600 * 1_000_000_000
_SOON_SECONDS: Final = 1.0
_LATER_SECONDS: Final = 30.0
_logger = logging.getLogger(__name__)


class _Last(NamedTuple):
    number: int
    link: bytes


class RefusalWatch(Protocol):
    """Told of each refused attempt, in the thread of its request."""

    def __call__(self, way: str, reason: Reason) -> None:
        """Somebody was refused who came this way."""


class AuditLog:
    """Notes attempts and writes them. One per serving process, shared by its threads.

    `clock` returns nanoseconds since the epoch; `watch` is told of each refused attempt.
    """

    def __init__(
        self,
        repository: cas.Repository,
        clock: Callable[[], int] = time.time_ns,
        watch: RefusalWatch | None = None,
    ) -> None:
        self._repository = repository
        self._clock = clock
        self._watch = watch
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, ...], int] = OrderedDict()
        self._waiting: OrderedDict[tuple[str, ...], Attempt] = OrderedDict()
        self._has_entered = threading.Event()
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drive-audit", daemon=True)
        self._thread.start()

    def enter(self, user: str, address: str, method: Method, credential: str = "") -> None:
        """Note that somebody came in, unless the same was noted within the hour."""
        key = (user, address, method.value, credential)
        now_ns = self._clock()
        known_ns = self._known.get(key)
        if known_ns is not None and known_ns <= now_ns < known_ns + _ALIKE_NS:
            return
        with self._lock:
            self._known[key] = now_ns
            self._known.move_to_end(key)
            if len(self._known) > _KINDS_HELD:
                self._known.popitem(last=False)
            self._waiting[key] = Attempt(now_ns, user, address, method.value, "", credential)
        self._has_entered.set()

    def refuse(self, user: str, address: str, way: str, reason: Reason) -> None:
        """Note that somebody was refused."""
        if self._watch is not None:
            self._watch(way, reason)
        key = (user, address, way, "", reason.value)
        with self._lock:
            if key not in self._waiting and len(self._waiting) >= _ATTEMPTS_PER_RECORD:
                key, user, address = ("", "", way, "", reason.value), "", ""
            before = self._waiting.get(key)
            if before is not None:
                self._waiting[key] = msgspec.structs.replace(before, count=before.count + 1)
            else:
                self._waiting[key] = Attempt(self._clock(), user, address, way, reason.value)

    def close(self) -> None:
        """Write what waits, and end."""
        self._is_closing.set()
        self._has_entered.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_closing.is_set():
            if self._has_entered.wait(_LATER_SECONDS):
                self._is_closing.wait(_SOON_SECONDS)  # more may come in
            self._has_entered.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        with self._lock:
            attempts = sorted(self._waiting.values(), key=lambda attempt: attempt.time_ns)
            self._waiting.clear()
        for start in range(0, len(attempts), _ATTEMPTS_PER_RECORD):
            batch = attempts[start : start + _ATTEMPTS_PER_RECORD]
            try:
                append(self._repository, batch, self._clock())
            except cas.CasError:
                _logger.exception("%d sign-ins could not be recorded", len(batch))


def append(repository: cas.Repository, attempts: list[Attempt], now_ns: int) -> None:
    """Write a record behind the newest one, whichever process wrote that.

    Raises:
        CasError: it could not be written.
    """
    while True:
        with repository.registry.view() as view:
            last = _last(view)
        number = last.number + 1
        path = _path(number)
        ensure_directory(repository, path.rpartition("/")[0], AUTHOR)
        record = encode(AuditRecord(number, last.link, attempts))
        try:
            with repository.registry.edit(author=AUTHOR) as edit:
                edit.put_record(path, record, expect=cas.ABSENT)
        except (cas.PreconditionError, cas.AlreadyExistsError):
            continue  # another process was first: this record comes after it
        if number % _FOLDER_SIZE == 0:
            _forget(repository, now_ns)
        return


def _forget(repository: cas.Repository, now_ns: int) -> None:
    """Remove folders in which all is older than is to be kept."""
    oldest_ns = now_ns - int(KEPT_SECONDS * 1_000_000_000)
    with repository.registry.view() as view:
        folders = [name for name, _ in view.list(AUDIT)][:-1]
        expired = []
        for folder in folders:
            newest = _record(list(view.list(f"{AUDIT}/{folder}"))[-1][1])
            if not newest.attempts or newest.attempts[-1].time_ns < oldest_ns:
                expired.append(folder)
    for folder in expired:
        with repository.registry.edit(author=AUTHOR) as edit:
            edit.remove(f"{AUDIT}/{folder}")


def attempts_backward(view: cas.View) -> Iterator[Attempt]:
    """Yield all attempts that are kept in this state of the registry, newest first.

    Raises:
        FormatError: a record cannot be decoded.
    """
    for folder in reversed(_folders(view)):
        for _, entry in reversed(list(view.list(f"{AUDIT}/{folder}"))):
            yield from reversed(_record(entry).attempts)


class Verified(NamedTuple):
    """What holds together: numbers of the oldest and newest record, and of attempts in all.

    `newest` is the newest record's hash; `broken` says what does not hold, empty for nothing.
    """

    first: int
    last: int
    attempts: int
    newest: bytes
    broken: str


def verify(view: cas.View, known: tuple[int, bytes] | None = None) -> Verified:
    """Return whether each record that is kept is bound to the one before it, none left out.

    `known` is number and hash of a record that has to be among them, unless it has expired.
    """
    first = attempts = 0
    last = _Last(0, b"")
    for folder in _folders(view):
        for name, entry in view.list(f"{AUDIT}/{folder}"):
            try:
                record = _record(entry)
            except cas.FormatError as error:
                return Verified(first, last.number, attempts, last.link, f"{name}: {error}")
            broken = _misfit(f"{AUDIT}/{folder}/{name}", record, last)
            if broken:
                return Verified(first, last.number, attempts, last.link, broken)
            first = first or record.number
            attempts += len(record.attempts)
            last = _Last(record.number, _link(entry.content))
            if known is not None and known[0] == last.number and known[1] != last.link:
                broken = f"record {last.number} is not the one that it was"
                return Verified(first, last.number, attempts, last.link, broken)
    broken = ""
    if known is not None and known[0] > last.number:
        broken = f"records {last.number + 1} to {known[0]} are missing"
    return Verified(first, last.number, attempts, last.link, broken)


def _misfit(path: str, record: AuditRecord, last: _Last) -> str:
    """Return why a record cannot come after another; empty if it can."""
    is_first = not last.number and (record.number == 1 or record.number % _FOLDER_SIZE == 0)
    if path != _path(record.number):
        return f"{path} says that it is record {record.number}"
    if record.number != last.number + 1 and not is_first:
        return f"record {last.number + 1} is missing"
    if record.before != last.link and (last.number or record.number == 1):
        return f"record {last.number} is not the one that record {record.number} came after"
    return ""


def _last(view: cas.View) -> _Last:
    folders = _folders(view)
    for folder in reversed(folders):
        entries = list(view.list(f"{AUDIT}/{folder}"))
        if entries:
            name, entry = entries[-1]
            return _Last(int(name), _link(entry.content))
    return _Last(0, b"")


def _folders(view: cas.View) -> list[str]:
    return [] if view.get(AUDIT) is None else [name for name, _ in view.list(AUDIT)]


def _path(number: int) -> str:
    return f"{AUDIT}/{number // _FOLDER_SIZE:09d}/{number:012d}"


def _record(entry: cas.Entry) -> AuditRecord:
    return decode(entry.content, AuditRecord)


def _link(record: bytes) -> bytes:
    return blake3(record).digest()
