"""`casdav check`: whether all is there, and as it was written; whom damage hits."""

from __future__ import annotations

import click

import cas
from tools.exits import Exit, Failure
from tools.framework import Command
from tools.names import json_name, printable, size_text
from tools.output import NoProgress, Output, Progress
from tools.parameters import SHARE, SPAN
from tools.session import Session, pass_session

_STATES_SHOWN = 3
_REGISTRY = "(registry)"
_COMMIT_DIGITS = 64


@click.command(
    cls=Command,
    examples="""
    casdav check                       # all objects, by what the packs say they hold
    casdav check --read-data           # every byte
    casdav check --read-data=5%        # every byte of some packs
    casdav check --budget 10m          # for ten minutes, on from where the last one stopped
    """,
)
@click.option(
    "--read-data",
    "share",
    type=SHARE,
    is_flag=False,
    flag_value="100%",
    help="Read the packs too, or a random share of them.",
)
@click.option("--budget", type=SPAN, help="Read packs for that long, the next ones next time.")
@click.option("--seed", type=int, help="Choose the same share again.")
@pass_session
def check(session: Session, *, share: float | None, budget: int | None, seed: int | None) -> None:
    """Check that all is there that volumes, snapshots and history reach, and as it was written.

    It changes nothing, and runs beside a server at work. Damage is named with the paths that it
    hits; the command then ends with 13.
    """
    if share is not None and budget is not None:
        raise click.UsageError("take either --read-data or --budget")
    with session.open() as repository, session.output.progress("check") as progress:
        scrub = cas.Scrub(repository, budget) if budget is not None else None
        reading = scrub or (cas.Share(share, seed) if share is not None else None)
        watcher = Watcher(session.output, progress)
        summary = cas.check_repository(repository, reading=reading, watcher=watcher)
    _finish(session.output, summary, scrub)


class Watcher:
    """Prints what a check finds, as it finds it; one that is quiet only which paths are hit."""

    def __init__(
        self, output: Output, progress: Progress | None = None, *, quiet: bool = False
    ) -> None:
        self._output = output
        self._progress = progress or NoProgress()
        self._is_quiet = quiet
        self._is_first = True

    def damage(self, damage: cas.Damage) -> None:
        """Print one thing that is wrong."""
        if self._is_quiet:
            return
        self._output.message("damage", _damage_members(damage))
        self._output.text(f"{damage.kind}: {printable(damage.message)}")

    def affected(self, affected: cas.Affected) -> None:
        """Print a path that cannot be read."""
        if self._is_first:
            self._is_first = False
            self._output.text("\nThese cannot be read, in whole or in part:")
        members = {
            **json_name("volume", affected.volume),
            **json_name("path", affected.path),
            "states": list(affected.states),
        }
        self._output.message("affected", members)
        where = printable(f"{affected.volume or _REGISTRY}:/{affected.path}")
        self._output.text(f"  {where}{_states_text(affected.states)}")

    def expect(self, size: int) -> None:
        """Show how much will be read."""
        self._progress.expect(0, size)

    def advance(self, size: int) -> None:
        """Show how much was read."""
        self._progress.advance(1, size)


def _damage_members(damage: cas.Damage) -> dict[str, object]:
    return {
        "kind": damage.kind.value,
        "reason": damage.message,
        "pack": damage.pack.hex() or None,
        "offset": damage.offset or None,
        "object": damage.object_id.hex() or None,
        "object_kind": damage.object_kind.name.lower() if damage.object_kind else None,
    }


def _states_text(states: tuple[str, ...]) -> str:
    """Return in which states a path is hit; nothing if only in the present one."""
    past = [f"@{state}" if len(state) < _COMMIT_DIGITS else f"@{state[:12]}…" for state in states]
    if "" in states:
        past = ["now", *(f"@{state}" for state in states if state)]
    if past == ["now"]:
        return ""
    more = f" and {len(past) - _STATES_SHOWN:,} more" if len(past) > _STATES_SHOWN else ""
    return f"  ({', '.join(past[:_STATES_SHOWN])}{more})"


def _finish(output: Output, summary: cas.CheckSummary, scrub: cas.Scrub | None) -> None:
    members = {
        "sound": summary.is_sound,
        "damaged": summary.damaged,
        "kinds": sorted(kind.value for kind in summary.kinds),
        "affected": summary.affected,
        "unnamed": summary.unnamed,
        "packs": summary.packs,
        "packs_read": summary.packs_read,
        "records_read": summary.records_read,
        "bytes_read": summary.bytes_read,
        "volumes": summary.volumes,
        "snapshots": summary.snapshots,
        "commits": summary.commits,
        "changes": summary.changes,
        "objects": summary.objects,
        "scrub_rounds": scrub.rounds if scrub else None,
    }
    output.message("summary", members)
    if summary.unnamed:
        output.text(f"  and {summary.unnamed:,} more")
    output.done(
        f"{summary.volumes:,} volumes, {summary.snapshots:,} snapshots, {summary.commits:,} "
        f"commits, {summary.objects:,} nodes in {summary.packs:,} packs"
    )
    if summary.packs_read or scrub:
        output.done(
            f"read {summary.packs_read:,} packs: {summary.records_read:,} records, "
            f"{size_text(summary.bytes_read)} of plaintext"
        )
    if summary.is_sound:
        output.done("all is well")
        return
    raise Failure(_advice(summary), Exit.INTEGRITY)


def _advice(summary: cas.CheckSummary) -> str:
    """Return the line that says what is to be done about the damage."""
    count = f"{summary.damaged:,} things are" if summary.damaged > 1 else "one thing is"
    is_catalog = summary.kinds == {cas.DamageKind.CATALOG} or (
        cas.DamageKind.CATALOG in summary.kinds and cas.DamageKind.DAMAGED not in summary.kinds
    )
    command = "casdav index rebuild" if is_catalog else "casdav repair"
    return f"{count} wrong, as listed; `{command}` mends what can be mended"
