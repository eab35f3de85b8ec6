"""Bounds of the HTTP layer: what a client may send, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds in bytes, or in numbers where the name says so. RFC 9112, section 3 and 5."""

    request_line: int = 16 * 1024
    """Longest request line; a longer one is answered 414."""
    head: int = 64 * 1024
    """Longest request head (request line and fields); a longer one is answered 431."""
    fields: int = 100
    """Largest number of header fields; more are answered 431."""
    body: int | None = None
    """Largest request body; a larger one is answered 413. None sets no bound."""
    chunk_line: int = 1024
    """Longest chunk-size line with its extensions."""
    chunk_extensions: int = 16 * 1024
    """All chunk extensions of one body together."""
    trailers: int = 8 * 1024
    """All trailer fields of one body together."""
    drain: int = 1024 * 1024
    """Largest unread rest of a body that is read and dropped to keep the connection."""
    connections: int = 2048
    """Largest number of open connections of one process; those that wait give way to new ones."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines in seconds, and the pace that a slow client has to keep."""

    handshake: float = 10.0
    """From the first byte of a TLS connection to its end of handshake."""
    head: float = 20.0
    """From the first byte of a request head to its last; and from accept to the first byte."""
    idle: float = 120.0
    """How long a connection waits for its next request."""
    progress: float = 60.0
    """How long a body or an answer may stand still."""
    grace: float = 10.0
    """Seconds of waiting over which the pace of a client is measured."""
    minimum_rate: int = 1024
    """Bytes a second that a client has to move while others wait for a free thread."""
    drain: float = 10.0
    """How long the unread rest of a body is waited for."""
    linger: float = 30.0
    """How long a closing connection goes on reading, so that the client gets the answer."""
    shutdown: float = 30.0
    """How long a stopping server waits for running requests."""


PRIVATE_NETWORKS: Final = (
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
)
"""Loopback and private addresses, where a proxy is as a rule, and clients may be too."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """All that a `dav.server.Server` needs besides the application. Picklable.

    Attributes:
        host: A host name or an address; `0.0.0.0` is all of IPv4, `::` all of IPv6 and IPv4.
        port: The TCP port; 0 lets the system choose a free one.
        threads: How many requests are handled at the same time by one process.
        backlog: How many connections the kernel keeps until they are accepted.
        reuse_port: Share the port with other processes that ask for the same (SO_REUSEPORT).
        certificate: PEM file with the certificate chain. It turns TLS on.
        key: PEM file with the private key; None where the certificate's file holds it.
        behind_proxy: Believe X-Forwarded-For, -Proto and -Host from trusted addresses.
        trusted_proxies: Networks whose X-Forwarded fields are believed. With any but the default
            these are proxies and nothing else, and a chain of them is followed to its client.
        limits: Bounds on what a client may send.
        timeouts: Bounds on how long a client may take.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    threads: int = 64
    backlog: int = 1024
    reuse_port: bool = False
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False
    trusted_proxies: tuple[str, ...] = PRIVATE_NETWORKS
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
