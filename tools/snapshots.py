"""`casdav snapshot`: names for states of a volume."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from itertools import count

import click

import cas
from dav.schedules import period_of
from tools.exits import Exit, Failure
from tools.framework import Group
from tools.names import printable, short_time, time_text
from tools.pruning import prune, snapshot_members
from tools.session import Session, author, pass_session


@click.group(cls=Group)
def snapshot() -> None:
    """Snapshots: names for states of a volume, which stay readable as they were."""


@snapshot.command(
    examples="""
    casdav snapshot create alice                       # named by the time
    casdav snapshot create alice before-the-upgrade --pin
    casdav ls alice@before-the-upgrade:/photos
    """,
)
@click.argument("volume")
@click.argument("name", required=False)
@click.option("--pin", is_flag=True, help="No rule may remove it, only its name.")
@pass_session
def create(session: Session, volume: str, name: str | None, *, pin: bool) -> None:
    """Give the present state of VOLUME a name, in constant time."""
    _check_free(name)
    with session.open() as repository:
        found = repository.volume(volume)
        if name is None:
            made = _create_by_time(found, is_pinned=pin)
        else:
            made = found.create_snapshot(name, is_pinned=pin, author=author())
    session.output.document(snapshot_members(volume, made))
    session.output.done(f"made the snapshot {printable(volume)}@{made.name}")


@snapshot.command(
    "list",
    examples="""
    casdav snapshot list alice
    casdav snapshot list --json alice
    """,
)
@click.argument("volume")
@pass_session
def list_(session: Session, volume: str) -> None:
    """List the snapshots of VOLUME, the oldest state first."""
    with session.open() as repository:
        found = repository.volume(volume).snapshots()
    found.sort(key=lambda each: (each.time_ns, each.created_ns, each.name))
    session.output.document([snapshot_members(volume, each) for each in found])
    rows = [
        [
            each.name,
            short_time(each.time_ns),
            each.commit.hex()[:12],
            "pinned" if each.is_pinned else "",
        ]
        for each in found
    ]
    session.output.table(["NAME", "STATE OF", "COMMIT", ""], rows)


@snapshot.command(
    examples="""
    casdav snapshot show alice before-the-upgrade
    """,
)
@click.argument("volume")
@click.argument("name")
@pass_session
def show(session: Session, volume: str, name: str) -> None:
    """Show what is known of a snapshot."""
    with session.open() as repository:
        found = repository.volume(volume)
        one, view = found.at_snapshot(name)
        with view:
            root = view.root
    members = {**snapshot_members(volume, one), "size": root.size}
    members |= {"files": root.files, "folders": root.folders}
    session.output.document(members)
    for title, value in (
        ("snapshot", f"{printable(volume)}@{one.name}"),
        ("state of", time_text(one.time_ns) or str(one.time_ns)),
        ("created", time_text(one.created_ns) or str(one.created_ns)),
        ("commit", one.commit.hex()),
        ("pinned", "yes" if one.is_pinned else "no"),
        ("holds", f"{root.files:,} files, {root.folders:,} folders, {root.size:,} bytes"),
    ):
        session.output.text(f"{title + ':':<10}{value}")


@snapshot.command(
    examples="""
    casdav snapshot pin alice before-the-upgrade
    casdav snapshot pin alice before-the-upgrade --off
    """,
)
@click.argument("volume")
@click.argument("name")
@click.option("--off", is_flag=True, help="Let rules remove it again.")
@pass_session
def pin(session: Session, volume: str, name: str, *, off: bool) -> None:
    """Keep a snapshot from being removed by rules."""
    with session.open() as repository:
        found = repository.volume(volume)
        found.change_snapshot(name, is_pinned=not off, author=author())
        session.output.document(snapshot_members(volume, found.snapshot(name)))
    session.output.done(f"{'unpinned' if off else 'pinned'} {printable(volume)}@{name}")


@snapshot.command(
    examples="""
    casdav snapshot rename alice 2026-11-22T10.00.00Z before-the-upgrade
    """,
)
@click.argument("volume")
@click.argument("name")
@click.argument("new_name")
@pass_session
def rename(session: Session, volume: str, name: str, new_name: str) -> None:
    """Give a snapshot another name."""
    _check_free(new_name)
    with session.open() as repository:
        found = repository.volume(volume)
        found.change_snapshot(name, new_name=new_name, author=author())
        session.output.document(snapshot_members(volume, found.snapshot(new_name)))
    session.output.done(f"renamed {printable(volume)}@{name} to {new_name}")


@snapshot.command(
    examples="""
    casdav snapshot delete alice before-the-upgrade --dry-run
    casdav snapshot delete alice monday tuesday --yes
    """,
)
@click.argument("volume")
@click.argument("names", nargs=-1, required=True)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def delete(
    session: Session, volume: str, names: tuple[str, ...], *, dry_run: bool, yes: bool
) -> None:
    """Delete snapshots, all that are named or none. The volume stays as it is."""
    with session.open() as repository:
        found = repository.volume(volume)
        snapshots = [found.snapshot(name) for name in dict.fromkeys(names)]
        what = ", ".join(f"{printable(volume)}@{each.name}" for each in snapshots)
        if not dry_run:
            session.output.confirm(f"Delete {what}?", yes=yes)
            found.remove_snapshots(snapshots, author=author())
    members = [{**snapshot_members(volume, each), "deleted": not dry_run} for each in snapshots]
    session.output.document(members)
    session.output.done(f"{'would delete' if dry_run else 'deleted'} {what}")


def _check_free(name: str | None) -> None:
    """Raise if the name is one of those by which a schedule knows its own snapshots.

    Raises:
        Failure: it is.
    """
    if name is not None and period_of(name) is not None:
        message = f"{name!r} is a name of scheduled snapshots, which go by rule: take another"
        raise Failure(message, Exit.USAGE)


def _create_by_time(volume: cas.Volume, *, is_pinned: bool) -> cas.Snapshot:
    """Make a snapshot that is named by the time, and by a number if that is taken."""
    name = f"{datetime.now(UTC):%Y-%m-%dT%H.%M.%SZ}"
    for number in count(1):
        with suppress(cas.AlreadyExistsError):
            attempt = name if number == 1 else f"{name}-{number}"
            return volume.create_snapshot(attempt, is_pinned=is_pinned, author=author())
    raise AssertionError("unreachable: numbers do not end")


snapshot.add_command(prune)
