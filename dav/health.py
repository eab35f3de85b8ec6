"""Whether this process lives, and whether it can serve: for supervisors and load balancers.

    GET /health/live     200 as long as requests are answered at all
    GET /health/ready    200 where the store can be read, else 503

Both need no account and tell nothing else: programs ask them every few seconds. A full disk is no
reason not to be ready, since all that is there can still be read.
"""

from __future__ import annotations

import logging
from typing import Final

import cas
from dav.markup import Response
from dav.registry import Registry

LIVE: Final = "/health/live"
READY: Final = "/health/ready"

_HEADERS: Final = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
_logger = logging.getLogger(__name__)


def health(path: str, registry: Registry) -> Response | None:
    """Return the answer to a request for this path, None where it is another one."""
    if path == LIVE:
        return Response("200 OK", _HEADERS, b"alive\n")
    if path != READY:
        return None
    try:
        registry.state()
    except cas.CasError:
        _logger.exception("the store cannot be read")
        return Response("503 Service Unavailable", _HEADERS, b"the store cannot be read\n")
    return Response("200 OK", _HEADERS, b"ready\n")
