"""`casdav check`: whether all is there, and as it was written; whom damage hits."""

from __future__ import annotations

import click

import cas
from tools.exits import Exit, Failure
from tools.framework import Command
from tools.names import size_text
from tools.output import Output
from tools.parameters import SHARE, SPAN
from tools.session import Session, pass_session
from tools.watching import DamagePrinter


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
    bar = session.output.progress("check", counted="packs")
    with session.open() as repository, bar as progress:
        scrub = cas.Scrub(repository, budget) if budget is not None else None
        reading = scrub or (cas.Share(share, seed) if share is not None else None)
        watcher = DamagePrinter(session.output, progress)
        summary = cas.check_repository(repository, reading=reading, watcher=watcher)
    _finish(session.output, summary, scrub)


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
