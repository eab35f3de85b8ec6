"""`syncd versions` and `syncd restore`: what the server has kept of a path in a linked folder."""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple

import click
import msgspec

from syncd.client import links, places
from syncd.client.control import Question, ask
from syncd.client.daemon import only_one
from syncd.client.exits import Exit, Failure
from syncd.client.links import Link
from syncd.client.printing import say
from syncd.client.showing import size_words
from syncd.client.tokens import tokens_of
from syncd.disk.name_map import true_path
from syncd.disk.state import LinkState
from syncd.remote.connection import AccessTokens, Connection
from syncd.remote.credentials import Credentials, FixedToken
from syncd.remote.errors import GoneError

_SHOWN: Final = 20
_LOOKED_AT: Final = 100
_NANOSECONDS: Final = 1_000_000_000


class Version(msgspec.Struct):
    """What a change made of a path; `size` is None where it removed it. See `dav.api.files`."""

    sequence: int
    time_ns: int
    author: str
    device: str
    action: str
    path: str
    size: int | None
    etag: str | None


class _Versions(msgspec.Struct):
    items: list[Version]
    next: int | None


class _Item(msgspec.Struct):
    size: int
    etag: str


class _Restored(msgspec.Struct):
    sequence: int
    item: _Item


class _Named(NamedTuple):
    """A path of a link, and the id that the server's API has for it."""

    link: Link
    path: str
    id: str


_path = click.argument("path", type=click.Path())


@click.command(epilog="Example: syncd versions ~/Drive/plan.txt")
@_path
@click.option("-n", "--limit", default=_SHOWN, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a list of objects.")
def versions(path: str, limit: int, as_json: bool) -> None:  # noqa: FBT001 - as click calls it
    """List what was changed at PATH, newest first, also where it is not there any more."""
    named = _named(path)
    with _connected(named.link) as connection:
        found = _versions(connection, named, limit)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    for one in found:
        size = "-" if one.size is None else size_words(one.size)
        who = f"{one.author} on {one.device}" if one.device else one.author
        say(f"{one.sequence:>8}  {_time(one.time_ns)}  {size:>10}  {one.action}  {who}")


@click.command(
    epilog="Example: syncd restore ~/Drive/plan.txt brings back what was there before the last "
    "change; with --version 17 what change 17 made of it."
)
@_path
@click.option("--version", type=int, help="Of `syncd versions`; the one before the last if not.")
@click.option("--dry-run", is_flag=True, help="Only say which version it would be.")
def restore(path: str, version: int | None, dry_run: bool) -> None:  # noqa: FBT001 - as click calls it
    """Bring PATH back as it was. What is there now stays a version, and can be brought back too.

    It is brought back on the server, and comes to all devices from there.
    """
    named = _named(path)
    with _connected(named.link) as connection:
        if version is None:
            version = _before_last(_versions(connection, named, _LOOKED_AT))
        if dry_run:
            say(f"{path} would be as version {version}")
            return
        body = {"sequence": version}
        connection.ask_json("POST", f"restore/{named.id}", body, _Restored)
    say(f"{path} is as version {version} again")


def _before_last(found: list[Version]) -> int:
    """Return the newest version that is another than what is there now."""
    now = found[0].etag if found else None
    for one in found:
        if one.size is not None and one.etag != now:
            return one.sequence
    raise Failure("there is no version but what is there now", Exit.NOT_LINKED)


def _versions(connection: Connection, named: _Named, limit: int) -> list[Version]:
    """Return versions, newest first.

    Raises:
        Failure: there never was anything at this path.
    """
    try:
        found = connection.ask_json(
            "GET", f"versions/{named.id}?limit={max(1, min(limit, 1000))}", None, _Versions
        ).items
    except GoneError as error:
        raise Failure(f"{named.path} was never on the server", Exit.NOT_LINKED) from error
    if not found:
        raise Failure(f"{named.path} was never on the server", Exit.NOT_LINKED)
    return found


def _named(path: str) -> _Named:
    """Return what a path on this disk is in its volume.

    Raises:
        Failure: it is in no linked folder.
    """
    folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100 - the last name stays a link
    whole = os.path.join(os.path.realpath(folder), name)  # noqa: PTH118 - bytes that are no text
    link = links.find(links.load(), whole)
    inner = os.path.relpath(whole, link.root)
    state = LinkState(places.state_file(link.id))
    try:
        true = true_path(state.database, state.base, "" if inner == "." else inner)
    finally:
        state.close()
    in_volume = "/".join(filter(None, (link.path, true)))
    encoded = bytes.fromhex(link.volume_id) + os.fsencode(in_volume)
    return _Named(link, path, urlsafe_b64encode(encoded).rstrip(b"=").decode())


@contextmanager
def _connected(link: Link) -> Iterator[Connection]:
    """Give a connection for the block: with the daemon's token where it runs, for a refresh token
    has one user at a time.
    """  # noqa: D205 - one sentence
    with ExitStack() as opened:
        tokens: AccessTokens
        try:
            opened.enter_context(only_one())
            tokens = Credentials(tokens_of(link))
        except Failure as error:
            if error.code is not Exit.RUNNING:
                raise
            question = Question(do="token", link=link.id)
            tokens = FixedToken(ask(places.control_socket(), question).token)
        connection = Connection(link.server, tokens)
        opened.callback(connection.close)
        yield connection


def _time(at_ns: int) -> str:
    at = datetime.fromtimestamp(at_ns // _NANOSECONDS, UTC)
    return at.astimezone().isoformat(sep=" ", timespec="seconds")
