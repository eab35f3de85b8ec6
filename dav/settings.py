"""What the operator may set about the drive; the defaults suit most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DriveSettings:
    """Limits and names of the drive.

    Attributes:
        authorities: more `host` or `host:port` names under which clients know the server, beside
            the Host of each request; for proxies that change it.
        lock_seconds: longest life of a lock between refreshes.
        locks_per_user: locks that one user may hold at a time.
        infinity_limit: resources below a folder up to which PROPFIND with Depth infinity is
            answered; beyond it is refused (RFC 4918, section 9.1).
        transfer_seconds: life of a resumable upload since its last part.
        show_snapshots: whether the root of a volume lists `.snapshots`, which is there anyhow.
    """

    authorities: tuple[str, ...] = ()
    lock_seconds: int = 3600
    locks_per_user: int = 500
    infinity_limit: int = 200_000
    transfer_seconds: int = 24 * 3600
    show_snapshots: bool = False
