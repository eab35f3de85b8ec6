"""Locks as XML: activelock, lockdiscovery, supportedlock (RFC 4918, sections 14 and 15)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

import cas
from dav.dates import NANOSECONDS

SUPPORTED_LOCK: Final = "".join(
    f"<D:lockentry><D:lockscope><D:{scope}/></D:lockscope>"
    "<D:locktype><D:write/></D:locktype></D:lockentry>"
    for scope in ("exclusive", "shared")
)
"""Content of the supportedlock property: both scopes of write locks, everywhere."""


def active_lock(lock: cas.Lock, root_href: str, now_ns: int) -> str:
    """Return the activelock element; `root_href` is the percent-encoded path it was taken on."""
    left_s = max(0, -(-(lock.expires_ns - now_ns) // NANOSECONDS))
    return (
        "<D:activelock>"
        f"<D:lockscope><D:{'shared' if lock.shared else 'exclusive'}/></D:lockscope>"
        "<D:locktype><D:write/></D:locktype>"
        f"<D:depth>{'infinity' if lock.infinite else '0'}</D:depth>"
        f"{lock.owner}"
        f"<D:timeout>Second-{left_s}</D:timeout>"
        f"<D:locktoken><D:href>{lock.token}</D:href></D:locktoken>"
        f"<D:lockroot><D:href>{root_href}</D:href></D:lockroot>"
        "</D:activelock>"
    )


def active_locks(locks: Iterable[cas.Lock], href_of: Callable[[str], str]) -> str:
    """Return the content of a lockdiscovery property; `href_of` makes hrefs from lock paths."""
    now_ns = time.time_ns()
    return "".join(active_lock(lock, href_of(lock.path), now_ns) for lock in locks)


class LockIndex:
    """The locks that one listing can meet, looked up once.

    Args:
        covering: locks on the listed resource and those inherited from above it.
        below: locks on the listed resource and below it.
        href_of: makes a percent-encoded absolute path of a path in the volume.
    """

    def __init__(
        self,
        covering: Iterable[cas.Lock],
        below: Iterable[cas.Lock],
        href_of: Callable[[str], str],
    ) -> None:
        self._locks = list({lock.token: lock for lock in (*covering, *below)}.values())
        self._href_of = href_of

    @property
    def is_empty(self) -> bool:
        """Whether the listing meets no lock."""
        return not self._locks

    def discovery(self, path: str) -> str:
        """Return the content of the lockdiscovery property of a resource."""
        if not self._locks:
            return ""
        return active_locks((lock for lock in self._locks if covers(lock, path)), self._href_of)


def covers(lock: cas.Lock, path: str) -> bool:
    """Whether a path is in the scope of a lock of the same volume."""
    if lock.path == path:
        return True
    return lock.infinite and (not lock.path or path.startswith(lock.path + "/"))
