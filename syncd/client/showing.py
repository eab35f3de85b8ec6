"""`syncd status`: how all links stand, once or until they are in sync."""

from __future__ import annotations

import sys
import time
from datetime import timedelta

import click
import msgspec

from syncd.client import links, places
from syncd.client.control import Question, ask
from syncd.client.exits import Exit, Failure
from syncd.client.printing import say
from syncd.client.status import LinkStatus, Phase, code_of, will_go_on

_POLL_SECONDS = 0.1
_UNIT = 1024
_STARTING_SECONDS = 10.0
"""How long `--wait` waits for a daemon that is being started."""


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("folder", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--wait", is_flag=True, help="Return when all is in sync, or cannot be by itself.")
@click.option("--timeout", type=float, metavar="SECONDS", help="How long --wait waits at most.")
@click.pass_context
def status(
    context: click.Context,
    folder: str | None,
    as_json: bool,  # noqa: FBT001 - as click calls it
    wait: bool,  # noqa: FBT001 - as above
    timeout: float | None,
) -> None:
    """Say how FOLDER, or every linked folder, stands; the exit code says it to scripts."""
    chosen = links.find(links.load(), folder).id if folder else ""
    question = Question(do="status", link=chosen)
    found = _ask(question, patience_s=_STARTING_SECONDS if wait else 0.0)
    if wait:
        found = _wait(question, found, timeout)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        for one in found:
            say(in_words(one))
        if not found:
            click.echo("nothing is linked")
    context.exit(code_of(found) if found else Exit.NOT_LINKED)


def _ask(question: Question, patience_s: float) -> list[LinkStatus]:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return ask(places.control_socket(), question).links
        except Failure as error:
            if error.code is not Exit.RUNNING or time.monotonic() > deadline:
                raise
        time.sleep(_POLL_SECONDS)


def _wait(question: Question, found: list[LinkStatus], seconds: float | None) -> list[LinkStatus]:
    from rich.console import Console  # noqa: PLC0415 - slow to import, rarely needed
    from rich.progress import (  # noqa: PLC0415 - as above
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    deadline = None if seconds is None else time.monotonic() + seconds
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task("syncing", total=None)
        while any(map(will_go_on, found)):
            if deadline is not None and time.monotonic() > deadline:
                break
            done = sum(one.uploaded + one.downloaded for one in found)
            left = sum(one.to_upload + one.to_download for one in found)
            bar.update(task, completed=done, total=done + left if left else None)
            time.sleep(_POLL_SECONDS)
            found = ask(places.control_socket(), question).links
    return found


def _what_is_left(link: LinkStatus) -> list[str]:
    parts = []
    if link.files_left:
        parts.append(f"{link.files_left} steps left")
    for word, left, rate in (
        ("up", link.to_upload, link.upload_rate),
        ("down", link.to_download, link.download_rate),
    ):
        if left:
            speed = f" ({size_words(rate)}/s)" if rate else ""
            parts.append(f"{size_words(left)} {word}{speed}")
    if link.seconds_left and (link.upload_rate or link.download_rate):
        parts.append(f"{timedelta(seconds=link.seconds_left)} left")
    return parts


def size_words(count: float) -> str:
    """Return bytes as people read them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < _UNIT:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _UNIT
    return f"{count:.1f} TiB"


def in_words(link: LinkStatus) -> str:
    """Return the line that people read."""
    parts = [link.phase.value]
    if link.detail:
        parts.append(link.detail)
    if link.phase in {Phase.SYNCING, Phase.FULL, Phase.OFFLINE}:
        parts += _what_is_left(link)
    if link.problems:
        parts.append(f"{link.problems} problems (`syncd problems`)")
    if link.conflicts:
        parts.append(f"{link.conflicts} conflict copies (`syncd conflicts`)")
    return f"{link.root} <> {link.place}: {'; '.join(parts)}"
