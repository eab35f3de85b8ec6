"""What somebody is told who is not let in: the status, and what to try."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

REALM: Final = "casdav"
BASIC_CHALLENGE: Final = f'Basic realm="{REALM}", charset="UTF-8"'
BEARER_CHALLENGE: Final = f'Bearer realm="{REALM}", error="invalid_token"'


class Reason(Enum):
    """Why somebody is not let in."""

    NO_CREDENTIALS = "no credentials"
    REFUSED = "wrong credentials"
    THROTTLED = "too many attempts"
    BUSY = "too many passwords to check at once"


class Challenge(NamedTuple):
    """The answer to somebody who is not let in: a status and what to try.

    `wait_seconds` is when to try again, for THROTTLED and BUSY.
    """

    reason: Reason
    wait_seconds: int = 0
    bearer: bool = False

    @property
    def status(self) -> str:
        """The HTTP status line."""
        match self.reason:
            case Reason.THROTTLED:
                return "429 Too Many Requests"
            case Reason.BUSY:
                return "503 Service Unavailable"
            case _:
                return "401 Unauthorized"

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers that go with the status."""
        if self.wait_seconds:
            return [("Retry-After", str(self.wait_seconds))]
        basic = ("WWW-Authenticate", BASIC_CHALLENGE)
        return [basic, ("WWW-Authenticate", BEARER_CHALLENGE)] if self.bearer else [basic]
