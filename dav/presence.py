"""Says in the blob store that this gateway serves, and hears of others that do.

Where several serve one repository without a Redis, each knows its own locks alone: whoever runs
them is told so, once for each other gateway.
"""

from __future__ import annotations

import logging
import time
from importlib.metadata import PackageNotFoundError, version

import cas
from dav.upkeep import Job

_logger = logging.getLogger(__name__)


class Presence:
    """Announces one serving process. For one thread."""

    def __init__(self, repository: cas.Repository, *, has_shared_locks: bool) -> None:
        self._repository = repository
        self._has_shared_locks = has_shared_locks
        self._version = _version()
        self._started_ns = time.time_ns()
        self._told: set[str] = set()

    def announce(self) -> None:
        """Say that this gateway is there; warn of others that do not know its locks.

        Raises:
            CasError: the blob store cannot be reached.
        """
        others = cas.announce_gateway(self._repository, self._version, self._started_ns)
        for other in others:
            if not self._has_shared_locks and other.id not in self._told:
                _logger.warning("%s", _lone_locks(other))
            self._told.add(other.id)


def upkeep(repository: cas.Repository, *, has_shared_locks: bool) -> Job:
    """Return the job of a serving process."""
    presence = Presence(repository, has_shared_locks=has_shared_locks)
    return Job("the word that this gateway serves", cas.ANNOUNCE_SECONDS, presence.announce)


def _version() -> str:
    try:
        return version("casdav")
    except PackageNotFoundError:  # it runs from a checkout that was never installed
        return "unknown"


def _lone_locks(other: cas.KnownGateway) -> str:
    """Return what to say of another gateway that does not know the locks of this one."""
    return (
        f"the gateway on {other.record.host!r} serves this repository too, and neither knows the "
        "WebDAV locks of the other: give both --locks redis://HOST:6379/0"
    )
