"""Ports for servers under test."""

from __future__ import annotations

import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"


def free_port(host: str = LOOPBACK) -> int:
    """Return a TCP port of the host that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def accepts_connections(host: str, port: int) -> bool:
    """Whether somebody listens on the port and accepts a connection at this moment."""
    try:
        with socket.create_connection((host, port), timeout=5):
            return True
    except (ConnectionError, TimeoutError):
        return False
