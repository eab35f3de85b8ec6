"""`casdav repair`: damaged packs are taken out of use, and what cannot be read is named."""

from __future__ import annotations

import click

import cas
from tools.exits import Exit, Failure
from tools.framework import Command
from tools.index import look_at, refuse_processes
from tools.names import printable
from tools.output import Output
from tools.session import Session, pass_session
from tools.watching import DamagePrinter


@click.command(
    cls=Command,
    examples="""
    casdav repair --dry-run
    casdav repair --yes
    """,
)
@click.option("-n", "--dry-run", is_flag=True, help="Read everything, and only say what is wrong.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def repair(session: Session, *, dry_run: bool, yes: bool) -> None:
    """Take damaged packs out of use, and bring back all that is still somewhere.

    Every byte is read. Of a damaged pack what is sound is written anew, what is lost is looked
    for in other packs, and the file is kept in the directory `quarantine`. What is nowhere is
    missing from then on: its files are named, and mended when the same content comes again.
    Nothing is ever put in its place. It runs beside a server at work.

    If the repository cannot be opened, the catalog is made anew first; of volumes whose newest
    changes cannot be read, an older state is shown then, and it is said which.

    The command ends with 13 if something stays lost.
    """
    output = session.output
    location = session.location()
    source = look_at(session, location)
    if not dry_run:
        output.confirm("Read everything, and take damaged packs out of use?", yes=yes)
    losses = _make_openable(session, location, source, dry_run=dry_run)
    with session.open(location) as repository:
        with output.progress("repair", counted="packs") as progress:
            report = cas.repair_repository(
                repository, is_dry_run=dry_run, watcher=DamagePrinter(output, progress)
            )
        _tell(output, report)
        summary = cas.check_repository(repository, watcher=DamagePrinter(output, quiet=True))
    _finish(output, report, summary, losses)


def _make_openable(
    session: Session, location: str, source: cas.RebuildSource, *, dry_run: bool
) -> list[str]:
    """Make the catalog anew if the repository cannot be opened; return what was given up."""
    output = session.output
    try:
        session.open(location).close()
    except cas.IntegrityError as error:
        output.warn(f"the repository cannot be opened: {error}")
    else:
        return []
    if dry_run:
        raise Failure(
            "would make the catalog anew; if need be, without what cannot be read", Exit.INTEGRITY
        )
    refuse_processes(source)
    try:
        losses = cas.rebuild_index(location, unlock=session.unlock).losses
    except cas.IntegrityError as error:
        output.warn(f"the catalog cannot be made anew as it was: {error}")
        losses = cas.rebuild_index(location, give_up=True, unlock=session.unlock).losses
    for loss in losses:
        output.message("loss", {"reason": loss})
        output.text(f"given up: {printable(loss)}")
    output.done("made the catalog anew")
    return losses


def _tell(output: Output, report: cas.RepairReport) -> None:
    verb = "would take" if report.is_dry_run else "took"
    for pack in report.packs:
        members = {
            "pack": pack.id.hex(),
            "missing": pack.is_missing,
            "reasons": pack.reasons,
            "kept": pack.kept,
            "lost": pack.lost,
        }
        output.message("pack", members)
        for reason in pack.reasons:
            output.text(f"damaged: {printable(reason)}")
        what = "the missing pack" if pack.is_missing else "pack"
        output.text(
            f"{verb} {what} {pack.id.hex()} out of use: {pack.kept:,} objects kept, "
            f"{pack.lost:,} lost"
        )
    for name in report.refs:
        output.message("ref", {"ref": name})
        output.text(f"{'would write' if report.is_dry_run else 'wrote'} {name} anew")
    if report.given_up:
        count = len(report.given_up)
        output.text(
            f"{count:,} pieces of history are lost for good: `casdav gc` goes on without them"
        )
    for reason in report.catalog:
        output.message("catalog", {"reason": reason})
        output.text(f"catalog: {printable(reason)}")


def _finish(
    output: Output, report: cas.RepairReport, summary: cas.CheckSummary, losses: list[str]
) -> None:
    lost = sum(pack.lost for pack in report.packs)
    members = {
        "dry_run": report.is_dry_run,
        "packs_read": report.packs_read,
        "packs": len(report.packs),
        "lost": lost,
        "refs": len(report.refs),
        "losses": len(losses),
        "given_up": len(report.given_up),
        "affected": summary.affected,
        "unnamed": summary.unnamed,
        "sound": summary.is_sound,
    }
    output.message("summary", members)
    if report.catalog or cas.DamageKind.CATALOG in summary.kinds:
        raise Failure("the catalog is damaged: run `casdav index rebuild`", Exit.INTEGRITY)
    if summary.affected:
        raise Failure(
            f"{summary.affected + summary.unnamed:,} paths cannot be read; store the same files "
            "again, or bring them back from a snapshot or a copy",
            Exit.INTEGRITY,
        )
    if losses or not summary.is_sound:
        raise Failure("not all could be brought back, as listed", Exit.INTEGRITY)
    done = "nothing is damaged" if report.is_clean else "all is well again"
    output.done("this would be all" if report.is_dry_run and not report.is_clean else done)
