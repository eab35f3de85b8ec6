"""Which gateways serve a repository that several may share: each says so in the blob store.

For people, and for a word of warning. Nothing that must hold depends on it: a gateway that is cut
off cannot say that it is there, and one that died does not say that it is gone.
"""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from cas.epochs import close_payload, open_payload
from cas.errors import CasError, ConflictError, FormatError, IntegrityError, NotFoundError
from cas.ids import Identifier
from cas.objects import decode, encode
from cas.repository import Repository
from cas.stores.base import Token
from cas.stores.ownership import gateway_id
from cas.workers import waiting_map

ANNOUNCE_SECONDS: Final = 600.0
"""How often a gateway says that it is there."""
STALE_SECONDS: Final = 3 * ANNOUNCE_SECONDS
"""After so long without a word a gateway is taken to be gone, however it went."""
_FORGOTTEN_SECONDS: Final = 30 * 24 * 3600
_WITHDRAWN_SECONDS: Final = 3.0
_SECOND_NS: Final = 1_000_000_000
_AREA: Final = "gateways"
_logger = logging.getLogger(__name__)


class GatewayRecord(msgspec.Struct, array_like=True, frozen=True):
    """What a gateway says of itself. Times are nanoseconds since 1970, by its own clock."""

    host: str
    version: str
    started_ns: int
    seen_ns: int


class KnownGateway(NamedTuple):
    """A gateway that has announced itself: its id, and what it said last.

    `is_stale` if that is more than `STALE_SECONDS` ago; `is_own` is this machine.
    """

    id: str
    record: GatewayRecord
    is_stale: bool
    is_own: bool


def announce_gateway(repository: Repository, version: str, started_ns: int) -> list[KnownGateway]:
    """Say that this machine serves the repository; return the others that do.

    `version` is the program's, `started_ns` when it began to serve. To be called again every
    `ANNOUNCE_SECONDS`. Records that nobody has renewed for a month are removed.
    Nothing is said of a repository of one machine alone.

    Raises:
        StoreError: the blob store cannot be reached.
    """
    if not repository.is_shared:
        return []
    now_ns = repository.engine.clock.now_ns()
    name = _own_name(repository)
    with suppress(ConflictError):  # another process of this machine says the same
        found = _read(repository, name)
        token = None if found is None else found[1]
        record = GatewayRecord(socket.gethostname(), version, started_ns, now_ns)
        payload = close_payload(_identifier(repository), name, encode(record))
        repository.engine.store.replace(name, payload, token)
    others = [each for each in list_gateways(repository) if not each.is_own]
    for each in others:
        if abs(now_ns - each.record.seen_ns) > _FORGOTTEN_SECONDS * _SECOND_NS:
            repository.engine.store.delete(f"{_AREA}/{each.id}")
    return [each for each in others if not each.is_stale]


def withdraw_gateway(repository: Repository) -> None:
    """Say that this machine does not serve the repository any more.

    A blob store that does not answer at once is not waited for: the others find out by themselves.
    """
    if not repository.is_shared:
        return
    thread = threading.Thread(target=_withdraw, args=(repository,), name="withdraw", daemon=True)
    thread.start()
    thread.join(_WITHDRAWN_SECONDS)
    if thread.is_alive():
        _logger.warning("the bucket does not answer: it is not said there that this gateway ends")


def _withdraw(repository: Repository) -> None:
    try:
        repository.engine.store.delete(_own_name(repository))
    except CasError as error:
        _logger.warning("it cannot be said that this gateway ends: %s", error)


def list_gateways(repository: Repository) -> list[KnownGateway]:
    """Return all gateways that have announced themselves and not withdrawn, the newest first.

    Empty for a repository of one machine alone.

    Raises:
        StoreError: the blob store cannot be reached.
    """
    if not repository.is_shared:
        return []
    now_ns = repository.engine.clock.now_ns()
    own = _own_name(repository)
    names = [name for name, _ in repository.engine.store.list(_AREA)]
    known = []
    found = waiting_map(lambda name: _read(repository, name), names)
    for name, each in zip(names, found, strict=True):
        if each is None or each[0] is None:
            continue
        is_stale = abs(now_ns - each[0].seen_ns) > STALE_SECONDS * _SECOND_NS
        gateway = name.rpartition("/")[2]
        known.append(KnownGateway(gateway, each[0], is_stale, name == own))
    return sorted(known, key=lambda gateway: -gateway.record.seen_ns)


def _read(repository: Repository, name: str) -> tuple[GatewayRecord | None, Token] | None:
    """Return what is said there, None of it where that is damaged; None where nothing is."""
    try:
        stored, token = repository.engine.store.read(name)
    except NotFoundError:
        return None
    try:
        payload = open_payload(_identifier(repository), name, stored)
        return decode(payload, GatewayRecord), token
    except (IntegrityError, FormatError) as error:
        _logger.warning("%s; its gateway writes it anew", error)
        return None, token


def _own_name(repository: Repository) -> str:
    return f"{_AREA}/{gateway_id(repository.engine.local)}"


def _identifier(repository: Repository) -> Identifier:
    return repository.engine.chunks.identifier
