"""`casdav store`: what a bucket can do, and whose it is."""

from __future__ import annotations

from typing import Any

import click

import cas
from tools.exits import Exit, Failure
from tools.framework import Group
from tools.names import printable, short_time, time_text
from tools.session import Session, pass_session, repository_expected


@click.group(cls=Group)
def store() -> None:
    """Where the repository is kept: what a bucket can do, and which gateways use it."""


@store.command(
    examples="""
    casdav store validate 's3://bucket/prefix?endpoint=https://s3.example.org'
    casdav store validate
    """,
)
@click.argument("url", required=False)
@pass_session
def validate(session: Session, url: str | None) -> None:
    """Find out whether a bucket does what is needed of it, by doing it; half a minute.

    It writes a few small objects below `validate/` and removes them. Ends with 3 if something is
    not as it should be.
    """
    found = []
    for finding in cas.validate_bucket(url or session.location()):
        found.append(finding)
        session.output.detail(f"{finding.check}: {finding.detail}")
    bad = [each for each in found if not each.is_good]
    fit = not any(each.need is cas.Need.ALWAYS for each in bad)
    fit_for_several = fit and not any(each.need is cas.Need.GATEWAYS for each in bad)
    session.output.document(
        {
            "fit": fit,
            "fit_for_several_gateways": fit_for_several,
            "checks": [
                {"check": f.check, "need": f.need.value, "good": f.is_good, "detail": f.detail}
                for f in found
            ],
        }
    )
    rows = [["yes" if f.is_good else "NO", f.check, f.need.value, f.detail] for f in found]
    session.output.table(["", "CHECK", "NEEDED", "FOUND"], rows)
    if not fit:
        raise Failure("the bucket cannot keep a repository", Exit.PROBLEMS)
    if not fit_for_several:
        raise Failure("the bucket will do for one gateway, not for several", Exit.PROBLEMS)
    if bad:
        raise Failure("the bucket will do, but see what it does not", Exit.PROBLEMS)


@store.command(
    examples="""
    casdav store gateways
    casdav store gateways --json
    """,
)
@pass_session
def gateways(session: Session) -> None:
    """Show which gateways serve a bucket that several share, as each says of itself.

    One that ended says so; one that died is shown as gone once it has been silent for half an
    hour.
    """
    with session.open() as repository:
        found = cas.list_gateways(repository)
        is_shared = repository.is_shared
    session.output.document(
        {
            "shared": is_shared,
            "gateways": [
                {
                    "id": each.id,
                    "host": each.record.host,
                    "version": each.record.version,
                    "started": time_text(each.record.started_ns),
                    "seen": time_text(each.record.seen_ns),
                    "stale": each.is_stale,
                    "own": each.is_own,
                }
                for each in found
            ],
        }
    )
    if not found:
        here = "no gateway serves it at present" if is_shared else "it is of this machine alone"
        session.output.done(here)
        return
    rows = [
        [
            printable(each.record.host) + (" (here)" if each.is_own else ""),
            each.record.version,
            short_time(each.record.started_ns),
            short_time(each.record.seen_ns) + (", gone" if each.is_stale else ""),
            each.id[:8],
        ]
        for each in found
    ]
    session.output.table(["HOST", "VERSION", "SINCE", "SEEN", "ID"], rows)


@store.command(
    examples="""
    casdav store takeover --dry-run
    casdav store takeover --yes
    """,
)
@click.option("-n", "--dry-run", is_flag=True, help="Only say who writes there, and since when.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def takeover(session: Session, *, dry_run: bool, yes: bool) -> None:
    """Become the gateway that writes to the bucket, in place of one that is gone.

    What that one acknowledged and had not uploaded is on its disk alone: it is not in the bucket,
    and never will be. A gateway that still runs finds out, and stops uploading.
    """
    location = session.location()
    with repository_expected(location):
        found = cas.take_over(location, is_dry_run=True, unlock=session.unlock)
    if found.is_ours:
        session.output.document(_members(found, dry_run=dry_run, done=False))
        session.output.done("this machine is the one that writes there already")
        return
    _describe(session, found)
    if dry_run:
        session.output.document(_members(found, dry_run=True, done=False))
        return
    session.output.confirm("Take it over? What is named above may be lost.", yes=yes)
    taken = cas.take_over(location, unlock=session.unlock)
    session.output.document(_members(taken, dry_run=False, done=True))
    session.output.done("this machine is the one that writes there now")
    if taken.aside is not None:
        session.output.done(f"what it had of before was moved to {printable(str(taken.aside))}")


def _describe(session: Session, found: cas.Takeover) -> None:
    if found.before is None:
        session.output.done("no gateway has written there with its newest data on its own disk")
        return
    newest = found.newest.isoformat(timespec="seconds") if found.newest else "its beginning"
    session.output.done(
        f"the gateway on {printable(found.before.host)} writes there since {found.before.since}; "
        f"what it acknowledged after {newest} and has not uploaded may be lost"
    )


def _members(found: cas.Takeover, *, dry_run: bool, done: bool) -> dict[str, Any]:
    before = found.before
    return {
        "dry_run": dry_run,
        "taken": done,
        "host": before.host if before else None,
        "since": before.since if before else None,
        "newest": found.newest.isoformat(timespec="seconds") if found.newest else None,
        "volumes": found.volumes,
        "aside": str(found.aside) if found.aside else None,
    }
