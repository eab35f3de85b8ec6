"""`syncd problems`, `conflicts`, `ignored`, `log`: lists that the daemon keeps for people."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from syncd.client import links
from syncd.client.choosing import skipped_now
from syncd.client.exits import Exit
from syncd.client.links import Link
from syncd.client.places import state_file
from syncd.client.printing import say
from syncd.disk.folder import Folder
from syncd.disk.ignoring import IGNORE_NAME, Ignored, parse_lines
from syncd.disk.state import LinkState, Noted
from syncd.disk.walk import Kind, walk

_NO_TIME = "-" * len("2026-01-01T00:00:00Z")
_folder = click.argument("folder", required=False)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, a list of objects.")


@click.command()
@_folder
@_json
@click.pass_context
def problems(context: click.Context, folder: str | None, as_json: bool) -> None:  # noqa: FBT001 - as click calls it
    """List what cannot be synced, with the reason, and names that this disk holds otherwise.

    Another name is no failure: what has one is in sync, and has its own everywhere else.
    """
    link, state = _open(folder)
    try:
        found = state.problems()
        otherwise = state.other_names()
    finally:
        state.close()
    _print([*found, *otherwise], link, "reason", as_json=as_json)
    context.exit(Exit.PROBLEMS if found else Exit.OK)


@click.command()
@_folder
@_json
def conflicts(folder: str | None, as_json: bool) -> None:  # noqa: FBT001 - as click calls it
    """List conflict copies that are still there, with the file that each is a copy of."""
    link, state = _open(folder)
    try:
        found = [noted for noted in state.conflicts() if (Path(link.root) / noted.path).exists()]
    finally:
        state.close()
    _print(found, link, "original", as_json=as_json)


@click.command()
@_folder
@click.option("-n", "--limit", default=50, show_default=True, help="How many lines.")
@_json
def log(folder: str | None, limit: int, as_json: bool) -> None:  # noqa: FBT001 - as click calls it
    """Show what was decided lately, the newest at the end."""
    link, state = _open(folder)
    try:
        found = state.logged(limit)
    finally:
        state.close()
    _print(found, link, "what", as_json=as_json)


@click.command()
@_folder
@_json
def ignored(folder: str | None, as_json: bool) -> None:  # noqa: FBT001 - as click calls it
    """List what `.syncignore` and the built-in rules leave out, the topmost of each."""
    link = links.find(links.load(), folder)
    rules = Ignored(_lines(link))
    skipped = skipped_now(link)
    found: list[dict[str, Any]] = []
    with Folder(Path(link.root)) as opened:

        def is_wanted(path: str) -> bool:
            return not rules.matches(path, is_folder=True) and path not in skipped

        for listing in walk(opened, "", is_wanted):
            for name, seen in sorted(listing.names.items()):
                path = f"{listing.path}/{name}" if listing.path else name
                if rules.matches(path, is_folder=seen.kind is Kind.FOLDER):
                    found.append({"path": path, "why": "ignored"})
                elif path in skipped:
                    found.append({"path": path, "why": "not wanted on this device"})
    if as_json:
        shown = [{**one, "path": _shown(one["path"])} for one in found]
        click.echo(msgspec.json.encode(shown).decode())
    else:
        for one in found:
            say(f"{one['path']}  ({one['why']})")
    for line, reason in rules.mistakes:
        say(f"{IGNORE_NAME}: {line!r} is no pattern: {reason}", is_error=True)


def _lines(link: Link) -> list[str]:
    try:
        return parse_lines((Path(link.root) / IGNORE_NAME).read_bytes())
    except FileNotFoundError:
        return []


def _open(folder: str | None) -> tuple[Link, LinkState]:
    link = links.find(links.load(), folder)
    return link, LinkState(state_file(link.id))


def _print(found: Iterable[Noted], link: Link, word: str, *, as_json: bool) -> None:
    if as_json:
        lines = [
            {"path": _shown(one.path), word: one.text, "at": _time(one.at_ns), "root": link.root}
            for one in found
        ]
        click.echo(msgspec.json.encode(lines).decode())
        return
    for one in found:
        say(f"{_time(one.at_ns) or _NO_TIME}  {one.path}  {one.text}")


def _shown(path: str) -> str:
    """Return a path as JSON can hold it: bytes that are no UTF-8 escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _time(at_ns: int | None) -> str | None:
    if at_ns is None:
        return None
    return datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).isoformat().replace("+00:00", "Z")
