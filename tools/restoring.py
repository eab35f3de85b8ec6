"""`casdav restore` and `casdav undelete`: what was, back in constant time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import click

import cas
from tools.comparing import Sums, classify
from tools.deleted import list_deleted, newest_removal
from tools.entries import kind_word, viewed
from tools.exits import Exit, Failure
from tools.framework import Command
from tools.names import json_name, printable, size_text
from tools.parameters import LOCATION, PAST, PAST_LOCATION, Location
from tools.session import Session, author, pass_session

_LOOKS = 3
_TO = click.option("--to", metavar="VOLUME:/PATH", type=LOCATION, help="Put it there instead.")


@dataclass(frozen=True)
class Restored:
    """What is to be put where: an entry of a past view, and the volume that gets it."""

    source: Location
    target: Location
    origin: cas.Volume
    volume: cas.Volume
    past: cas.View
    entry: cas.Entry

    def commit(self, *, overwrite: bool) -> cas.Edit:
        """Put it there; missing folders above the target are made.

        Raises:
            Failure: locks stand in the way.
            PreconditionError: something is there, and is not to be overwritten.
        """
        edit = self.volume.edit(author=author())
        source_volume = b"" if self.origin.id == self.volume.id else self.origin.id
        epoch, nodes, source = self.past.epoch, self.past.nodes, self.source.path
        if not self.target.path:
            edit.replace_root(
                self.entry, epoch=epoch, nodes=nodes, source=source, source_volume=source_volume
            )
        else:
            parent = self.target.path.rpartition("/")[0]
            if parent:
                edit.make_directory(parent, parents=True)
            edit.attach(
                self.target.path,
                self.entry,
                epoch=epoch,
                nodes=nodes,
                overwrite=overwrite,
                source=source,
                source_volume=source_volume,
            )
        try:
            edit.commit()
        except cas.ConflictingLocksError as error:
            raise _locked(self.target, error) from error
        return edit

    def report(self, session: Session, edit: cas.Edit) -> None:
        """Print what was done, and where the state before can be found."""
        before = Location(self.target.volume, self.target.path, f"#{edit.sequence_before}")
        session.output.document(
            {**self.members(), "restored": True, "sequence": edit.sequence, "before": before.when}
        )
        what = f"{_shown(self.source)} to {_shown(self.target)} ({_holding(self.entry)})"
        session.output.done(f"restored {what}; the state before: {_shown(before)}")

    def members(self) -> dict[str, object]:
        """Return the JSON members that tell what goes where."""
        return {
            **json_name("volume", self.source.volume),
            **json_name("path", self.source.path),
            "when": self.source.when,
            **json_name("target_volume", self.target.volume),
            **json_name("target", self.target.path),
            "kind": kind_word(self.entry),
            "size": self.entry.size,
        }


@click.command(
    cls=Command,
    examples="""
    casdav restore alice@yesterday:/letter.odt
    casdav restore 'alice@#1234:/photos' --to alice:/photos-before
    casdav restore alice@2026-11-22T10:00:/ --dry-run       # what a rollback would change
    casdav restore alice@2026-11-22T10:00:/ --yes           # the whole volume, as it was then
    """,
)
@click.argument("place", metavar="VOLUME@WHEN:/PATH", type=PAST_LOCATION)
@_TO
@click.option("-n", "--dry-run", is_flag=True, help="Only count what would change.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def restore(
    session: Session, *, place: Location, to: Location | None, dry_run: bool, yes: bool
) -> None:
    """Bring a file, a folder or a whole volume back as it was, in place of what is there now.

    It takes the same short time for any size, and no room. It is one change like any other: what
    was there before can be restored in the same way. Snapshots stay as they are. A volume is not
    taken back while WebDAV clients hold locks in it.
    """
    if not place.when:
        raise click.UsageError("say which state is meant, as VOLUME@WHEN:/PATH; see `casdav log`")
    target = to or place._replace(when="")
    with session.open() as repository:
        origin, volume = repository.volume(place.volume), repository.volume(target.volume)
        asking = _Asking(session, yes=yes)

        def put() -> None:
            with viewed(repository, place) as (past, entry), volume.view() as present:
                plan = Restored(place, target, origin, volume, past, entry)
                now = present.get(target.path)
                if now == entry:
                    session.output.document({**plan.members(), "restored": False})
                    session.output.done(f"{_shown(target)} is as it was: nothing to do")
                elif dry_run:
                    _count(session, plan, present)
                else:
                    if now is not None:
                        what = f"{_shown(target)} ({_holding(now)}) by {_shown(place)}"
                        asking.ask(f"Replace {what} ({_holding(entry)})?")
                    plan.report(session, plan.commit(overwrite=True))

        _beside_collections(put)


@click.command(
    cls=Command,
    examples="""
    casdav undelete alice:/letter.odt
    casdav undelete alice:/photos --to alice:/photos-found
    casdav undelete alice:/ --list --newer 7d        # what was deleted, and where it is
    """,
)
@click.argument("place", metavar="VOLUME:/PATH", type=LOCATION)
@_TO
@click.option("--list", "lists", is_flag=True, help="List what was deleted at and below the path.")
@click.option("--newer", type=PAST, help="Only what was deleted after this moment: 7d, 2026-11-22.")
@click.option("--all", "each", is_flag=True, help="List temporary files of programs too.")
@pass_session
def undelete(
    session: Session,
    *,
    place: Location,
    to: Location | None,
    lists: bool,
    newer: int | None,
    each: bool,
) -> None:
    """Bring back what was deleted last at a path, with all that was in it.

    Nothing is overwritten: where the name is in use again, say with --to where it shall go.
    """
    if lists and to:
        raise click.UsageError("--list changes nothing: leave out --to")
    with session.open() as repository:
        origin = repository.volume(place.volume)
        if lists:
            list_deleted(session, repository, place, newer_ns=newer, each=each)
            return
        item = newest_removal(origin, place, is_elsewhere=to is not None, newer_ns=newer)
        source = place._replace(when=f"#{item.sequence - 1}")
        target = to or place
        volume = repository.volume(target.volume)

        def put() -> None:
            with viewed(repository, source) as (past, entry):
                plan = Restored(source, target, origin, volume, past, entry)
                try:
                    edit = plan.commit(overwrite=False)
                except cas.PreconditionError as error:
                    message = f"{_shown(target)} exists: say with --to where it shall go"
                    raise Failure(message, Exit.CONFLICT) from error
            plan.report(session, edit)

        _beside_collections(put)


class _Asking:
    """Asks one question once."""

    def __init__(self, session: Session, *, yes: bool) -> None:
        self._output = session.output
        self._yes = yes

    def ask(self, question: str) -> None:
        self._output.confirm(question, yes=self._yes)
        self._yes = True


def _beside_collections(put: Callable[[], None]) -> None:
    """Put something; again, with another look, if a collection has begun meanwhile."""
    for _ in range(_LOOKS - 1):
        try:
            return put()
        except cas.ExpiredError:
            continue
    return put()


def _count(session: Session, plan: Restored, present: cas.View) -> None:
    sums = Sums()
    source, target, entry = plan.source.path, plan.target.path, plan.entry
    differences: Iterable[cas.Difference] = [
        cas.Difference(target, present.get(target), entry)  # a file may be of another state
    ]
    if entry.is_directory:
        differences = cas.diff(present, plan.past, source, old_path=target)
    for difference in differences:
        found = classify(difference)
        if found is not None:
            sums.add(found)
    session.output.document({**plan.members(), "restored": False, **sums.members()})
    session.output.done(f"would restore {_shown(plan.source)} to {_shown(plan.target)}")
    for line in sums.lines():
        session.output.done(line)


def _locked(target: Location, error: cas.ConflictingLocksError) -> Failure:
    locks = ", ".join(
        f"{printable(lock.principal)} on {_shown(Location(target.volume, lock.path))}"
        for lock in sorted(error.locks, key=lambda lock: lock.path)
    )
    message = f"locks are held by {locks}; wait, or see `casdav lock break`"
    return Failure(message, Exit.LOCKED)


def _holding(entry: cas.Entry) -> str:
    size = size_text(entry.size)
    return f"{entry.files:,} files, {size}" if entry.is_directory else size


def _shown(place: Location) -> str:
    return printable(str(place))
