"""What is told about each request when it is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class AccessRecord(NamedTuple):
    """One request and its answer; it holds no header field and no query, so no secret.

    Attributes:
        method: The method as sent; "-" for a request that could not be read.
        path: The raw path of the target as sent, without query; "-" as above.
        status: The status code of the answer; 0 if none was sent.
        bytes_in: Bytes of the request body that were received.
        bytes_out: Bytes of the response body that were handed to the kernel.
        seconds: From the complete request head to the last byte of the answer.
        remote: The client's address, behind a trusted proxy the one that the proxy names.
        user: `environ["casdav.user"]` if the application set it, else "".
        protocol: "HTTP/1.1" or "HTTP/1.0"; "-" as above.
        complete: Whether the answer was sent to its end.
    """

    method: str
    path: str
    status: int
    bytes_in: int
    bytes_out: int
    seconds: float
    remote: str
    user: str
    protocol: str
    complete: bool


AccessLog = Callable[[AccessRecord], None]
