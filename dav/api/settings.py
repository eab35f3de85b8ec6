"""What the operator may set about the API; the defaults suit most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ApiSettings:
    """Limits of the API.

    Attributes:
        registration: whether anybody may make an account.
        requests_per_minute: requests that one user, or one address, may send; bursts of as many.
        waiting: how many requests may wait for news at a time, in each process.
        wait_seconds: how long a request waits for news at most.
        feed: where the change feed is, a `ws://` or `wss://` address; empty for none.
    """

    registration: bool = False
    requests_per_minute: int = 6000
    waiting: int = 16
    wait_seconds: int = 60
    feed: str = ""
