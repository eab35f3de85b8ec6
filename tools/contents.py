"""`casdav cat` and `casdav stat`: one path at a time."""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping

import click

import cas
from dav.paths import is_representable
from tools.entries import entry_members, link_target, viewed
from tools.exits import Exit, Failure
from tools.framework import Command
from tools.names import json_name, mode_text, printable, size_text, time_text
from tools.parameters import PAST_LOCATION, Location
from tools.session import Session, pass_session


@click.command(
    cls=Command,
    examples="""
    casdav cat alice:/notes.txt
    casdav cat alice:/backup.tar | tar -t
    """,
)
@click.argument(
    "places", metavar="VOLUME[@WHEN]:/PATH...", type=PAST_LOCATION, nargs=-1, required=True
)
@pass_session
def cat(session: Session, places: tuple[Location, ...]) -> None:
    """Print the content of files, verified against their hashes.

    With --json the content comes as lines with base64 pieces.
    """
    with session.open() as repository:
        for place in places:
            with viewed(repository, place) as (view, entry):
                if not entry.is_file:
                    raise Failure(f"{printable(str(place))!r} is no file", Exit.CONFLICT)
                with view.open(entry) as reader:
                    _print(session, place, reader)


@click.command(
    cls=Command,
    examples="""
    casdav stat alice:/photos/sea.jpg
    casdav stat --json alice:/
    """,
)
@click.argument("place", metavar="VOLUME[@WHEN]:/PATH", type=PAST_LOCATION)
@pass_session
def stat(session: Session, place: Location) -> None:
    """Show all that is known of a file or folder.

    Of a folder it also counts the names in it that WebDAV cannot show: symlinks, and names that
    XML or UTF-8 cannot carry.
    """
    with session.open() as repository, viewed(repository, place) as (view, entry):
        volume = repository.volume(place.volume)
        members: dict[str, object] = {
            **json_name("volume", place.volume),
            **entry_members(place.path, entry),
            "created": time_text(entry.created_ns) if entry.created_ns else None,
            "content_type": entry.content_type or None,
            "etag": None if entry.kind is cas.EntryKind.SYMLINK else volume.etag(entry),
            "properties": view.properties(entry),
        }
        if entry.is_directory:
            members["hidden"] = sum(_is_hidden(*item) for item in view.list(place.path))
        session.output.document(members)
        _describe(session, place, entry, members)


def _print(session: Session, place: Location, reader: cas.FileReader) -> None:
    offset = 0
    for piece in reader.chunks():
        if session.output.json:
            members: dict[str, object] = {
                **json_name("volume", place.volume),
                **json_name("path", place.path),
                "offset": offset,
                "data_base64": base64.b64encode(piece).decode(),
            }
            session.output.message("piece", members)
        else:
            sys.stdout.buffer.write(piece)
        offset += len(piece)


def _describe(
    session: Session, place: Location, entry: cas.Entry, members: Mapping[str, object]
) -> None:
    lines: list[tuple[str, str]] = [
        ("path", printable(str(place))),
        ("kind", str(members["kind"])),
        ("size", f"{entry.size:,} bytes ({size_text(entry.size)})"),
        ("modified", time_text(entry.mtime_ns) or str(entry.mtime_ns)),
        ("created", str(members["created"] or "-")),
        ("mode", mode_text(entry.mode)),
    ]
    if entry.kind is cas.EntryKind.SYMLINK:
        lines.append(("target", printable(link_target(entry))))
    else:
        lines.append(("etag", str(members["etag"])))
    if entry.content_type:
        lines.append(("content type", printable(entry.content_type)))
    if entry.is_directory:
        lines.append(("holds", f"{entry.files:,} files, {entry.folders:,} folders"))
        lines.append(("hidden", f"{members['hidden']} names that WebDAV cannot show"))
    properties = members["properties"]
    if isinstance(properties, Mapping):
        lines += [("property", f"{printable(name)}") for name in properties]
    for name, value in lines:
        session.output.text(f"{name + ':':<14}{value}")


def _is_hidden(name: str, entry: cas.Entry) -> bool:
    return entry.kind is cas.EntryKind.SYMLINK or not is_representable(name)
