"""`casdav gc`: what nothing refers to any more is deleted."""

from __future__ import annotations

import click

import cas
from tools.collecting import grace_seconds, version_policy
from tools.exits import Exit, Failure
from tools.framework import Command
from tools.keeping import CALENDAR_SPAN
from tools.names import size_text
from tools.output import Output
from tools.parameters import SPAN
from tools.session import Session, pass_session
from tools.watching import StagePrinter

_NOTHING_DELETED = (
    "nothing was deleted, as damage might make it look like garbage: `casdav repair`, then import "
    "what is lost again, or delete the snapshots that hold it"
)


@click.command(
    cls=Command,
    examples="""
    casdav gc --dry-run                 # say what would go
    casdav gc                           # every version of 30 days stays, then one a day for a year
    casdav gc --keep-within 7d --budget 10m
    casdav gc --keep-versions 10 --grace 0s
    casdav gc --keep-log-for 5y         # who changed what, in place of two years
    """,
)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go.")
@click.option(
    "--keep-within",
    type=CALENDAR_SPAN,
    help="Keep every version of that long: 30d. Of what is older, one a day for a year.",
)
@click.option(
    "--keep-versions",
    type=click.IntRange(min=1),
    help="Keep so many versions of each path instead, the present one among them.",
)
@click.option(
    "--keep-log-for",
    metavar="SPAN",
    help="Keep who changed what that long at least, 2y or `unlimited`; it is what `log` shows.",
)
@click.option(
    "--grace",
    type=SPAN,
    help="Leave packs alone that are younger. Default: 1h.",
)
@click.option("--budget", type=SPAN, help="Stop after that long; the next one goes on.")
@pass_session
def gc(
    session: Session,
    *,
    dry_run: bool,
    keep_within: cas.CalendarSpan | None,
    keep_versions: int | None,
    keep_log_for: str | None,
    grace: int | None,
    budget: int | None,
) -> None:
    """Delete what no volume, snapshot or kept version refers to any more, and give its room back.

    It runs beside a server at work, which goes on reading and writing. The present and all
    snapshots stay; of history, what the options say, or the settings `gc`, by which `serve` does
    the same once a day. Where nothing else is kept of old states, who changed what goes after two
    years, the oldest first. A volume with rules of its own (`casdav volume retention`) keeps to
    these. An upload that has begun before is waited for. It can be stopped at any time: what was
    begun is finished by the next one.
    """
    if keep_within is not None and keep_versions is not None:
        raise click.UsageError("take either --keep-within or --keep-versions")
    wanted = session.settings().settings.gc
    policy = version_policy(wanted, keep_within, keep_versions, keep_log_for)
    bar = session.output.progress("gc", counted="steps", has_sizes=False)
    with session.open() as repository, bar as progress:
        try:
            report = cas.collect_garbage(
                repository,
                policy,
                grace_seconds=grace_seconds(wanted) if grace is None else grace,
                budget_seconds=budget,
                is_dry_run=dry_run,
                watcher=StagePrinter(session.output, progress),
            )
        except cas.IntegrityError as error:
            raise Failure(f"{error}; {_NOTHING_DELETED}", Exit.INTEGRITY) from error
    _show(session.output, report)


def _show(output: Output, report: cas.CollectionReport) -> None:
    output.document(
        {
            "dry_run": report.is_dry_run,
            "packs": report.packs,
            "size": report.size,
            "condemned_packs": report.condemned_packs,
            "condemned_size": report.condemned_size,
            "live_size": report.live_size,
            "removed_packs": report.removed_packs,
            "freed_size": report.freed_size,
            "damaged_packs": report.damaged_packs,
            "dropped_volumes": report.dropped_volumes,
            "young_packs": report.young_packs,
            "dropped_commits": report.dropped_commits,
        }
    )
    garbage = size_text(report.condemned_size - report.live_size)
    of_all = f"of {report.packs:,} packs"
    if report.dropped_volumes:
        verb = "would drop" if report.is_dry_run else "dropped"
        output.done(f"{verb} {report.dropped_volumes:,} deleted volumes, which are kept no longer")
    if report.dropped_commits:
        verb = "would drop" if report.is_dry_run else "dropped"
        commits = f"{report.dropped_commits:,} commits with their lists of changes"
        output.done(f"{verb} {commits}, as old as is not kept any more")
    if report.is_dry_run:
        packs = f"{report.condemned_packs:,} {of_all} ({size_text(report.size)} in all)"
        output.done(f"would free {garbage}, by emptying {packs}")
        _tell_of_young(output, report)
        return
    freed = size_text(report.freed_size)
    output.done(f"freed {freed}: emptied {report.removed_packs:,} {of_all}")
    _tell_of_young(output, report)
    left = report.condemned_packs - report.removed_packs - len(report.damaged_packs)
    if left:
        output.done(f"{left:,} packs are left for the next `casdav gc`")
    if report.damaged_packs:
        names = ", ".join(report.damaged_packs[:3])
        message = f"{len(report.damaged_packs):,} packs hold damage and were kept ({names}): "
        raise Failure(f"{message}run `casdav check --read-data`", Exit.INTEGRITY)


def _tell_of_young(output: Output, report: cas.CollectionReport) -> None:
    if report.young_packs:
        left = f"{report.young_packs:,} more packs were left alone, as they are young"
        output.done(f"{left}: --grace says how young")
