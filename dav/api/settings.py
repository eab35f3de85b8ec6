"""What the operator may set about the API; the defaults suit most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ApiSettings:
    """Limits of the API.

    Attributes:
        registration: whether anybody may make an account.
        requests_per_minute: requests that one user, or one address, may send; bursts of as many.
        wait_seconds: how long a request waits for news at most.
        feed: whether there is a change feed.
        feed_port: the TCP port of the feed; 0 lets the system choose a free one.
        feed_url: where clients find the feed, where that is another address: behind a proxy,
            `wss://drive.example.org/api/v1/ws/sync`.
    """

    registration: bool = False
    requests_per_minute: int = 6000
    wait_seconds: int = 60
    feed: bool = True
    feed_port: int = 0
    feed_url: str = ""
