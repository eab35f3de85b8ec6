"""What can go wrong between a device and its server, grouped by what the device does next.

RemoteError
├── UnreachableError        no answer, or the server is busy; try again later
├── SignedOutError          the token is not valid any more: pause until there is a new one
├── UntrustedError          the server sent what it must not; nothing of it was used
└── RefusedError            the server's answer, with its status and message
├── GoneError           no such place for this account (404)
├── ConflictError       expectations did not hold; look at the newest state (409)
├── NotKeptError        that state is not kept any more: begin at the newest (410)
├── MissingError        chunks or file nodes have to be sent first (412)
├── LockedError         somebody edits it (423)
└── NoRoomError         the quota is used up, or the server's disk (507)
"""

from __future__ import annotations

from cas import wire


class RemoteError(Exception):
    """Base of all errors of this package."""


class UnreachableError(RemoteError):
    """There was no answer, or the server is too busy; `retry_s` is when to try again."""

    def __init__(self, message: str, retry_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_s = retry_s


class SignedOutError(RemoteError):
    """The device has no valid token any more. What it has stored stays."""


class UntrustedError(RemoteError):
    """The server sent something malformed, too large, or not what its id says."""


class RefusedError(RemoteError):
    """The server refused a request."""

    def __init__(self, status: int, refusal: wire.Refusal) -> None:
        super().__init__(f"{refusal.message} ({status} {refusal.kind})")
        self.status = status
        self.refusal = refusal


class GoneError(RefusedError):
    """There is no such place for this account."""


class ConflictError(RefusedError):
    """Operations did not meet what they expect; `refusal` says which, and the newest state."""


class NotKeptError(RefusedError):
    """A state is not kept any more."""


class MissingError(RefusedError):
    """Chunks or file nodes have to be sent first."""

    @property
    def missing(self) -> wire.Missing:
        """What has to be sent."""
        return self.refusal.missing or wire.Missing([])


class LockedError(RefusedError):
    """Somebody holds a lock on what a commit would change."""


class NoRoomError(RefusedError):
    """The quota is used up, or the server's disk is full."""


_BY_STATUS: dict[int, type[RefusedError]] = {
    404: GoneError,
    409: ConflictError,
    410: NotKeptError,
    412: MissingError,
    423: LockedError,
    507: NoRoomError,
}


def refused(status: int, refusal: wire.Refusal) -> RefusedError:
    """Return the error that a refusal is."""
    return _BY_STATUS.get(status, RefusedError)(status, refusal)
