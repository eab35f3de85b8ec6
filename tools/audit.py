"""`casdav audit`: who came in, who was refused, who changed what, and whether that holds."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from itertools import dropwhile, islice, takewhile
from pathlib import Path
from typing import Final, NamedTuple

import click

import cas
from dav import audit as records
from tools.exits import Exit, Failure
from tools.framework import Group
from tools.names import json_name, printable, short_time, time_text
from tools.parameters import PAST
from tools.session import Session, pass_session
from tools.watching import StagePrinter

_NOUNS: Final = {
    "users": "user",
    "tokens": "app password",
    "grants": "grant",
    "devices": "device",
    "schedules": "schedule",
    "volumes": "volume",
}
"""What the registry keeps, by the folder that it is in; of other folders nothing is told."""
_KINDS: Final = ("sign-in", "refused", "change")


class Event(NamedTuple):
    """Something that happened; `volume` is empty for what concerns people, rights and volumes."""

    time_ns: int
    kind: str
    user: str
    address: str
    what: str
    volume: str = ""
    path: str = ""
    sequence: int = 0
    times: int = 1


class _Known(NamedTuple):
    """What was there at an earlier time: newest commits by chain, the newest record of sign-ins.

    Of each commit `last` has the number of its newest change.
    """

    commits: dict[str, bytes]
    last: dict[str, int]
    record: tuple[int, bytes] | None


@click.group(cls=Group)
def audit() -> None:
    """Who came in, who was refused, who changed what; and whether that record still holds."""


@audit.command(
    "list",
    examples="""
    casdav audit list --newer 1d
    casdav audit list --kind refused
    casdav audit list --user alice --volume photos
    casdav audit list --json --newer 2026-11-01 > november.jsonl
    """,
)
@click.option("--newer", type=PAST, help="Only what happened after this moment: 7d, 2026-11-22.")
@click.option("--older", type=PAST, help="Only what happened before this moment.")
@click.option("--user", metavar="NAME", help="Only what this user did, or somebody as this user.")
@click.option("--kind", type=click.Choice(_KINDS), multiple=True, help="Only this; again for more.")
@click.option("--volume", metavar="VOLUME", help="Also each change of this volume's files.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Show the newest N.")
@pass_session
def list_(
    session: Session,
    *,
    newer: int | None,
    older: int | None,
    user: str | None,
    kind: tuple[str, ...],
    volume: str | None,
    limit: int | None,
) -> None:
    """List sign-ins, refused attempts, and changes of users, rights and volumes, newest first.

    A program that sends its password with each request is one sign-in an hour. Refused attempts
    that are alike are one line. Sign-ins are kept for a year, changes as long as their volume's
    history. With --json each is one line.
    """
    with session.open() as repository:
        events = _events(repository, volume)
        if older is not None:
            events = dropwhile(lambda event: event.time_ns >= older, events)
        if newer is not None:
            events = takewhile(lambda event: event.time_ns > newer, events)
        found = (
            event
            for event in events
            if (not kind or event.kind in kind) and (user is None or event.user == user)
        )
        is_first = True
        for event in islice(found, limit):
            if is_first and not session.output.json:
                session.output.text(_line("TIME", "WHO", "FROM", "WHAT"))
            is_first = False
            session.output.message("event", _members(event))
            if not session.output.json:
                session.output.text(_row(event))


@audit.command(
    "verify",
    examples="""
    casdav audit verify
    casdav audit verify --json > /media/stick/known.json
    casdav audit verify --known /media/stick/known.json
    """,
)
@click.option(
    "--known",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What --json printed earlier: all that was there then has to be there still.",
)
@pass_session
def verify(session: Session, *, known: Path | None) -> None:
    """Follow the chains: commits and records of sign-ins, each of which names the one before.

    It ends with 13 where a link does not hold: something was changed, left out or put in between.
    What it cannot see by itself is the end of a chain that was cut off: whoever can write to the
    store can put back an older state of everything. So keep what --json prints, elsewhere: the
    newest commit's id stands for all that was before it, and --known looks whether it is still in
    the chain. A chain begins where gc has kept it; what was noted before that cannot be compared.
    """
    earlier = _read_known(known)
    bar = session.output.progress("verify", counted="commits")
    with session.open() as repository, bar as progress:
        names = {info.id: info.name for info in repository.volumes()}
        watcher = StagePrinter(session.output, progress)
        wanted = frozenset(earlier.commits.values())
        chains = list(cas.follow_chains(repository, watcher, wanted))
        with repository.registry.view() as view:
            signed = records.verify(view, earlier.record)
    rows = [_chain_row(names, chain) for chain in chains]
    session.output.table(["CHAIN", ">COMMITS", ">CHANGES", "NEWEST COMMIT"], rows)
    session.output.done(
        f"sign-ins: records {signed.first:,} to {signed.last:,}, with {signed.attempts:,} attempts"
    )
    broken = [(_chain_name(names, chain), chain.broken) for chain in chains if chain.broken]
    broken += [("sign-ins", signed.broken)] * bool(signed.broken)
    found = frozenset[bytes]().union(*(chain.known for chain in chains))
    begins = {_chain_name(names, chain): chain.begins for chain in chains}
    for name, commit in earlier.commits.items():
        if earlier.last[name] < begins.get(name, 0):
            shown = f"{printable(name)}: what was there is older than all that is kept"
            session.output.done(f"{shown}, from #{begins[name]:,} on: note it anew")
        elif commit not in found:
            broken.append((name, f"commit {commit.hex()}, which was there, is in no chain"))
    session.output.document(
        {
            "holds": not broken,
            "chains": [_chain_members(names, chain) for chain in chains],
            "sign_ins": {**signed._asdict(), "newest": signed.newest.hex()},
        }
    )
    for name, reason in broken:
        session.output.warn(f"{printable(name)}: {reason}")
    if broken:
        raise Failure(
            "the record does not hold, as listed: `casdav check` says what is damaged, and a "
            "replica or backup what it was",
            Exit.INTEGRITY,
        )
    session.output.done("every link holds")


def _read_known(path: Path | None) -> _Known:
    """Return what was there at an earlier time.

    Raises:
        Failure: the file is not what `--json` prints.
    """
    if path is None:
        return _Known({}, {}, None)
    try:
        document = json.loads(path.read_text())
        chains = {chain["name"]: chain for chain in document["chains"] if chain["newest"]}
        commits = {name: bytes.fromhex(chain["newest"]) for name, chain in chains.items()}
        last = {name: int(chain["last"]) for name, chain in chains.items()}
        record = int(document["sign_ins"]["last"]), bytes.fromhex(document["sign_ins"]["newest"])
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise Failure(
            f"{path} is not what `audit verify --json` prints: {error}", Exit.USAGE
        ) from error
    return _Known(commits, last, record if record[0] else None)


def _events(repository: cas.Repository, volume: str | None) -> Iterator[Event]:
    """Yield what happened, newest first."""
    sources = [_sign_ins(repository), _changes(repository)]
    if volume is not None:
        sources.append(_file_changes(repository.volume(volume)))
    return heapq.merge(*sources, key=lambda event: -event.time_ns)


def _sign_ins(repository: cas.Repository) -> Iterator[Event]:
    with repository.registry.view() as view:
        for attempt in records.attempts_backward(view):
            if attempt.reason:
                kind, what = "refused", f"{attempt.way}: {attempt.reason}"
            else:
                kind, what = "sign-in", f"{attempt.way} {attempt.credential}".rstrip()
            yield Event(
                attempt.time_ns, kind, attempt.user, attempt.address, what, times=attempt.count
            )


def _changes(repository: cas.Repository) -> Iterator[Event]:
    for item in repository.registry.log("", recursive=True):
        folder, _, name = item.path.partition("/")
        noun = _NOUNS.get(folder)
        if noun is not None and name and not _is_folder(item):
            yield _change(item, f"{noun} {name} {_verb(item)}")


def _file_changes(volume: cas.Volume) -> Iterator[Event]:
    for item in volume.log("", recursive=True):
        what = f"{_verb(item)} {volume.name}:/{item.path}"
        yield _change(item, what)._replace(
            volume=volume.name, path=item.path, sequence=item.sequence
        )


def _change(item: cas.LogItem, what: str) -> Event:
    return Event(item.time_ns, "change", item.author, item.device, what, sequence=item.sequence)


def _verb(item: cas.LogItem) -> str:
    if item.new is None:
        return "removed" if item.target is None else "moved away"
    return "created" if item.old is None else "changed"


def _is_folder(item: cas.LogItem) -> bool:
    entry = item.new or item.old
    return entry is not None and entry.is_directory


def _members(event: Event) -> dict[str, object]:
    members: dict[str, object] = {
        "time": time_text(event.time_ns),
        "time_ns": event.time_ns,
        "kind": event.kind,
        "user": event.user,
        "from": event.address,
        "count": event.times,
        **json_name("what", event.what),
    }
    if event.volume:
        members |= {**json_name("volume", event.volume), **json_name("path", event.path)}
    if event.sequence:
        members["sequence"] = event.sequence
    return members


def _row(event: Event) -> str:
    what = event.what if event.kind == "change" else f"{event.kind}: {event.what}"
    times = f"  ({event.times} times)" if event.times > 1 else ""
    who = printable(event.user) or "-"
    where = printable(event.address) or "-"
    return _line(short_time(event.time_ns), who, where, printable(what) + times)


def _line(time: str, who: str, where: str, what: str) -> str:
    return f"{time:<19}  {who:<12}  {where:<15}  {what}"


def _chain_name(names: dict[bytes, str], chain: cas.Chain) -> str:
    if chain.is_registry:
        return "(people, rights, volumes)"
    return names.get(chain.volume_id, f"(deleted) {chain.volume_id.hex()}")


def _chain_row(names: dict[bytes, str], chain: cas.Chain) -> list[str]:
    newest = chain.newest.hex() or "-"
    young = f", {chain.young:,} later changes in no commit yet" if chain.young else ""
    name = printable(_chain_name(names, chain))
    return [name, f"{chain.commits:,}", f"{chain.changes:,}", newest + young]


def _chain_members(names: dict[bytes, str], chain: cas.Chain) -> dict[str, object]:
    return {
        **json_name("name", _chain_name(names, chain)),
        "commits": chain.commits,
        "changes": chain.changes,
        "first": chain.first,
        "last": chain.last,
        "begins": chain.begins,
        "young": chain.young,
        "newest": chain.newest.hex(),
        "broken": chain.broken,
    }
