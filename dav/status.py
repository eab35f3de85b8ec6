"""The one exception that carries an HTTP answer, and the XML body that goes with it."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus} | {
    # RFC 9110 and 4918 say these a little differently from the standard library of some versions.
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}

STATUS_LINES: Final = {code: f"{code} {phrase}" for code, phrase in _PHRASES.items()}
"""Status code to the text of a WSGI status, such as `404 Not Found`."""


class HttpError(Exception):
    """A request ends with this status.

    Args:
        status: HTTP status code, 3xx to 5xx.
        message: one sentence for the person who reads it, plain text.
        condition: local name of the `DAV:` precondition or postcondition element that failed
            (RFC 4918, section 16), if there is one.
        hrefs: percent-encoded paths that the condition element names.
        headers: more response headers.
    """

    def __init__(
        self,
        status: int,
        message: str = "",
        *,
        condition: str = "",
        hrefs: Sequence[str] = (),
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message or _PHRASES[status])
        self.status = status
        self.message = message
        self.condition = condition
        self.hrefs = tuple(hrefs)
        self.headers = tuple(headers)


def condition_element(condition: str, hrefs: Sequence[str] = ()) -> str:
    """Return the condition's element in `D:` = `DAV:`; the hrefs are percent-encoded."""
    if not hrefs:
        return f"<D:{condition}/>"
    inside = "".join(f"<D:href>{href}</D:href>" for href in hrefs)
    return f"<D:{condition}>{inside}</D:{condition}>"
