"""`casdav volume schedule`: which snapshots the server makes by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click

from dav import schedules
from tools.exits import Exit, Failure
from tools.framework import Command
from tools.names import json_name, printable
from tools.session import Session, author, pass_session

_COUNT: Final = click.IntRange(0, schedules.LARGEST_COUNT)


@click.command(
    cls=Command,
    examples="""
    casdav volume schedule alice --hourly 24 --daily 7 --weekly 5
    casdav volume schedule alice                    # show it
    casdav volume schedule alice --off
    """,
)
@click.argument("name", metavar="VOLUME")
@click.option("--hourly", type=_COUNT, metavar="N", help="Make one an hour, keep N of them.")
@click.option("--daily", type=_COUNT, metavar="N", help="One a day.")
@click.option("--weekly", type=_COUNT, metavar="N", help="One a week.")
@click.option("--monthly", type=_COUNT, metavar="N", help="One a month.")
@click.option("--yearly", type=_COUNT, metavar="N", help="One a year.")
@click.option("--off", is_flag=True, help="Make no more; those that are there stay.")
@pass_session
def schedule(session: Session, /, name: str, *, off: bool, **kept: int | None) -> None:
    """Let the server make snapshots of VOLUME, in place of the schedule that it had.

    They bear the beginning of the period in UTC, as in `hourly-2026-11-22T10-00Z`, and are made
    where something has changed since the last one. Only these go when there are more than N; those
    that people named or pinned stay.
    """
    given = {kind: count for kind, count in kept.items() if count is not None}
    if off and given:
        raise Failure("--off goes with no number", Exit.USAGE)
    with session.open() as repository:
        info = repository.volume(name).info
        if off:
            schedules.end_schedule(repository, info.id, author=author())
        elif given:
            schedules.set_schedule(repository, name, given, author=author())
        found = schedules.kept(repository, info.id)
    session.output.document({**json_name("volume", name), "schedule": found})
    session.output.text(f"{printable(name)}: {schedule_text(found, 'no scheduled snapshots')}")


def schedule_text(kept: Mapping[str, int] | None, nothing: str = "-") -> str:
    """Return a schedule as people read it: `24 hourly, 7 daily`."""
    return ", ".join(f"{count} {kind}" for kind, count in (kept or {}).items()) or nothing
