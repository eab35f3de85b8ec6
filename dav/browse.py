"""Pages for people who open a folder in a browser: plain HTML, no scripts, names escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from html import escape
from itertools import chain
from typing import Final

import cas
from dav.addressed import Resource, representation_headers
from dav.answers import REVALIDATED, Answer
from dav.dates import NANOSECONDS
from dav.home import format_size
from dav.locations import SNAPSHOTS_NAME, Place
from dav.markup import PAGE_HEADERS, Html, page, render
from dav.past import snapshot_entry, without_shadowed
from dav.paths import href, is_representable, quote_name
from dav.request import Request

_ROWS_PER_PIECE: Final = 200
_ROWS_MARK: Final = "casdav-rows-here"
_HOW: Final = '<a href="/">how to mount it</a>'
_NOTE: Final = Html(f"To change files, mount this folder as a drive: {_HOW}.")
_NOTE_OF_PAST: Final = Html(
    f"Nothing here ever changes. To bring files back, mount the drive and copy them out: {_HOW}."
)


def folder_page(request: Request, resource: Resource) -> Answer:
    """Return the page of a folder: its members with sizes, times and links, streamed."""
    view = request.view_of(resource)
    names = resource.location.names
    title = names[-1] if names else resource.info.name
    head, tail = _frame(title, resource)
    headers: list[tuple[str, str]] = [
        (name, value) for name, value in PAGE_HEADERS if name.lower() != "cache-control"
    ]
    headers += [REVALIDATED, *representation_headers(resource)]
    if request.method == "HEAD":
        return Answer(200, headers)
    members = without_shadowed(resource.volume, resource.location, view.list(resource.path))
    rows = _rows(members, resource.href)
    first = [head, _way_up(resource.href).encode()]
    if resource.location.is_volume_root and request.settings.show_snapshots:
        link = f"{resource.href}{SNAPSHOTS_NAME}/"
        first.append(_row(f"{SNAPSHOTS_NAME}/", link, "", "").encode())
    return Answer(200, headers, chain(first, rows, [tail]))


def snapshots_page(request: Request, resource: Resource) -> Answer:
    """Return the page of a volume's snapshots with the times of their states, newest first."""
    head, tail = _frame(SNAPSHOTS_NAME, resource)
    if request.method == "HEAD":
        return Answer(200, PAGE_HEADERS)
    base = resource.location.href(is_collection=True)
    snapshots = sorted(
        resource.volume.snapshots(), key=lambda each: (each.time_ns, each.name), reverse=True
    )
    members = ((each.name, snapshot_entry(each)) for each in snapshots)
    first = [head, _way_up(base).encode()]
    return Answer(200, PAGE_HEADERS, chain(first, _rows(members, base), [tail]))


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
    head, tail = _frame("casdav")
    body = head + rows.encode() + tail
    headers = [*PAGE_HEADERS, ("Content-Length", str(len(body)))]
    return Answer(200, headers, [body])


def _frame(title: str, resource: Resource | None = None) -> tuple[bytes, bytes]:
    """Return what stands before and after the rows of a list of places, or of a resource."""
    listing = render(
        "listing.html",
        title=title,
        trail=Html() if resource is None else _trail(resource),
        note=_NOTE_OF_PAST if resource is not None and resource.is_past else _NOTE,
        rows=Html(_ROWS_MARK),
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


def _way_up(base: str) -> str:
    """Return the row that leads to the folder above, empty where there is none."""
    if base.count("/") <= len("//"):
        return ""
    return _row("..", base.rstrip("/").rpartition("/")[0] + "/", "", "")


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
