"""Pages for people who open a folder in a browser: plain HTML, no scripts, names escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from html import escape
from itertools import chain
from typing import Final

import cas
from dav.answers import REVALIDATED, Answer
from dav.dates import NANOSECONDS
from dav.home import format_size
from dav.locations import Place
from dav.markup import PAGE_HEADERS, Html, page, render
from dav.paths import href, is_representable, quote_name
from dav.request import Request, Resource, representation_headers

_ROWS_PER_PIECE: Final = 200
_ROWS_MARK: Final = "casdav-rows-here"


def folder_page(request: Request, resource: Resource) -> Answer:
    """Return the page of a folder: its members with sizes, times and links, streamed."""
    _, view = request.view(resource.info.name)
    names = resource.location.names
    title = names[-1] if names else resource.info.name
    head, tail = _frame(title, _trail(resource), resource.href)
    headers: list[tuple[str, str]] = [
        (name, value) for name, value in PAGE_HEADERS if name.lower() != "cache-control"
    ]
    headers += [REVALIDATED, *representation_headers(resource)]
    if request.method == "HEAD":
        return Answer(200, headers)
    rows = _rows(view.list(resource.path), resource.href)
    return Answer(200, headers, chain([head], rows, [tail]))


def places_page(request: Request) -> Answer:
    """Return the page of the server's root or of the list of volumes."""
    if request.location.place is Place.ROOT:
        links = [("dav", "/dav/")]
    else:
        links = [
            (visible.volume.name, href(("dav", visible.volume.name), is_collection=True))
            for visible in request.volumes()
        ]
    rows = "".join(_row(name, link, "", "") for name, link in links)
    head, tail = _frame("casdav", Html(""), "")
    body = head + rows.encode() + tail
    headers = [*PAGE_HEADERS, ("Content-Length", str(len(body)))]
    return Answer(200, headers, [body])


def _frame(title: str, trail: Html, address: str) -> tuple[bytes, bytes]:
    """Return what stands before and after the rows."""
    listing = render(
        "listing.html", title=title, trail=trail, address=address, rows=Html(_ROWS_MARK)
    )
    head, _, tail = page(title, Html(""), listing).partition(_ROWS_MARK.encode())
    return head, tail


def _trail(resource: Resource) -> Html:
    """Return links to the folder and all folders above it, outermost first."""
    location = resource.location
    links = [('<a href="/dav/">volumes</a>')]
    for depth in range(len(location.names) + 1):
        names = location.names[:depth]
        link = href((*location.prefix, *names), is_collection=True)
        text = names[-1] if names else resource.info.name
        links.append(f'<a href="{link}">{escape(text)}</a>')
    return Html(" / ".join(links))


def _rows(members: Iterable[tuple[str, cas.Entry]], base: str) -> Iterator[bytes]:
    if base.count("/") > len("//"):
        yield _row("..", base.rstrip("/").rpartition("/")[0] + "/", "", "").encode()
    pieces: list[str] = []
    for name, entry in members:
        if not (entry.is_directory or entry.is_file) or not is_representable(name):
            continue
        end = "/" if entry.is_directory else ""
        size = "" if entry.is_directory else format_size(entry.size)
        pieces.append(_row(name + end, base + quote_name(name) + end, size, _time(entry.mtime_ns)))
        if len(pieces) >= _ROWS_PER_PIECE:
            yield "".join(pieces).encode()
            pieces = []
    yield "".join(pieces).encode()


def _row(name: str, link: str, size: str, time: str) -> str:
    download = ""
    if size:
        download = f'<a href="{link}?download">download</a>'
    return (
        f'<tr><td><a href="{link}">{escape(name)}</a></td><td class="number">{size}</td>'
        f"<td>{time}</td><td>{download}</td></tr>\n"
    )


def _time(time_ns: int) -> str:
    try:
        moment = datetime.fromtimestamp(time_ns // NANOSECONDS, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return moment.strftime("%Y-%m-%d %H:%M UTC")
