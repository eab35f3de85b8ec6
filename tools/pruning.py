"""`casdav snapshot prune`: snapshots go by rules."""

from __future__ import annotations

import time

import click

import cas
from tools.exits import Exit, Failure
from tools.framework import Command
from tools.keeping import keep_options
from tools.names import json_name, printable, short_time, time_text
from tools.session import Session, author, pass_session


@click.command(
    cls=Command,
    examples="""
    casdav snapshot prune alice --keep-daily 7 --keep-weekly 5 --dry-run
    casdav snapshot prune alice --keep-last 10 --keep-within 1y6m --yes
    """,
)
@click.argument("volume")
@keep_options
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would stay, and why.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def prune(session: Session, volume: str, *, rules: cas.Retention, dry_run: bool, yes: bool) -> None:
    """Delete the snapshots of VOLUME that no rule keeps, all at once.

    The rules mean what they mean to restic, by the time when each was created and the local
    calendar. N may be `unlimited`. Pinned snapshots stay.
    """
    if rules.is_empty:
        message = "without a rule nothing would be kept: give --keep-last, --keep-daily or another"
        raise Failure(message, Exit.USAGE)
    with session.open() as repository:
        found = repository.volume(volume)
        verdicts = judge(found.snapshots(), rules)
        going = [verdict.key for verdict in verdicts if not verdict.is_kept]
        if not session.output.json:
            _show(session, verdicts)
        if going and not dry_run:
            question = f"Delete {len(going):,} of {len(verdicts):,} snapshots?"
            session.output.confirm(question, yes=yes)
            found.remove_snapshots(going, author=author())
    members: dict[str, object] = {
        **json_name("volume", volume),
        "dry_run": dry_run,
        "kept": len(verdicts) - len(going),
        "removed": len(going),
        "snapshots": [_verdict_members(volume, verdict) for verdict in verdicts],
    }
    session.output.document(members)
    verb = "would delete" if dry_run else "deleted"
    counts = f"{len(going):,} of {len(verdicts):,} snapshots"
    session.output.done(f"{verb} {counts} of {printable(volume)}")


def judge(snapshots: list[cas.Snapshot], rules: cas.Retention) -> list[cas.Verdict[cas.Snapshot]]:
    """Return which snapshots rules keep now, the oldest first."""
    dated = [cas.Dated(each, each.created_ns, each.is_pinned) for each in snapshots]
    return cas.retain(dated, rules, now_ns=time.time_ns())[::-1]


def snapshot_members(volume: str, snapshot: cas.Snapshot) -> dict[str, object]:
    """Return the JSON members of a snapshot."""
    return {
        **json_name("volume", volume),
        "name": snapshot.name,
        "time": time_text(snapshot.time_ns),
        "created": time_text(snapshot.created_ns),
        "commit": snapshot.commit.hex(),
        "pinned": snapshot.is_pinned,
    }


def _show(session: Session, verdicts: list[cas.Verdict[cas.Snapshot]]) -> None:
    rows = [
        [
            verdict.key.name,
            short_time(verdict.key.created_ns),
            "keep" if verdict.is_kept else "delete",
            ", ".join(verdict.reasons),
        ]
        for verdict in verdicts
    ]
    session.output.table(["NAME", "CREATED", "", "WHY"], rows)


def _verdict_members(volume: str, verdict: cas.Verdict[cas.Snapshot]) -> dict[str, object]:
    members = snapshot_members(volume, verdict.key)
    return {**members, "kept": verdict.is_kept, "reasons": list(verdict.reasons)}
