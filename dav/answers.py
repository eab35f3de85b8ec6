"""What a method hands back: status, headers and a body in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from http import HTTPStatus
from itertools import chain
from typing import Final, NamedTuple

from dav.multistatus import CONTENT_TYPE, XML_DECLARATION
from dav.multistatus import body as multistatus_body
from dav.status import STATUS_LINES, HttpError, condition_element

MESSAGE_NAMESPACE: Final = "http://sabredav.org/ns"
"""Where clients of Nextcloud and ownCloud look for an error's text."""

Headers = Sequence[tuple[str, str]]

REVALIDATED: Final = ("Cache-Control", "private, no-cache")
"""The header of files and folders: kept by nobody but the user, and asked for again each time."""


class Answer(NamedTuple):
    """An answer. A body that is a list goes out with its Content-Length, any other is streamed."""

    status: int
    headers: Headers = ()
    body: Iterable[bytes] = ()

    @property
    def status_line(self) -> str:
        """The text of a WSGI status."""
        return STATUS_LINES[self.status]


def xml(status: int, body: str, headers: Headers = ()) -> Answer:
    """Return an answer with an XML body; the declaration is added."""
    whole = (XML_DECLARATION + body).encode()
    return _sized(status, CONTENT_TYPE, whole, headers)


def text(status: int, body: str, headers: Headers = ()) -> Answer:
    """Return an answer with a body of plain text."""
    return _sized(status, "text/plain; charset=utf-8", body.encode("utf-8", "replace"), headers)


def multistatus(responses: Iterable[str], headers: Headers = ()) -> Answer:
    """Return a 207 answer; a body of one piece has a length, a longer one is streamed.

    The first piece is made here, so that what fails at once can still be answered as an error.
    """
    pieces = multistatus_body(responses)
    first = next(pieces)
    second = next(pieces, None)
    if second is None:
        return _sized(207, CONTENT_TYPE, first, headers)
    streamed: Iterator[bytes] = chain((first, second), pieces)
    return Answer(207, [("Content-Type", CONTENT_TYPE), *headers], streamed)


def error(problem: HttpError) -> Answer:
    """Return the answer for a failed request: XML where a condition is named, else plain text."""
    if problem.status == HTTPStatus.NOT_MODIFIED:
        return Answer(304, problem.headers)
    if not problem.condition:
        return text(problem.status, f"{problem}\n", problem.headers)
    inside = condition_element(problem.condition, problem.hrefs)
    # Characters that XML cannot carry may stand in a path that an error names.
    message = escape("".join(char for char in str(problem) if char.isprintable()), quote=False)
    return xml(
        problem.status,
        f'<D:error xmlns:D="DAV:" xmlns:s="{MESSAGE_NAMESPACE}">{inside}'
        f"<s:message>{message}</s:message></D:error>",
        problem.headers,
    )


def _sized(status: int, content_type: str, body: bytes, headers: Headers) -> Answer:
    length = ("Content-Length", str(len(body)))
    return Answer(status, [("Content-Type", content_type), length, *headers], [body])
