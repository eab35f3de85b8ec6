"""`casdav volume freshness`: how old a view may be on one of several gateways."""

from __future__ import annotations

import click

import cas
from tools.exits import Exit, Failure
from tools.framework import Command
from tools.names import json_name, printable
from tools.parameters import SPAN
from tools.session import Session, author, pass_session

_SECOND_NS = 1_000_000_000


@click.command(
    cls=Command,
    examples="""
    casdav volume freshness alice 2s
    casdav volume freshness alice                   # show it
    casdav volume freshness alice 0
    casdav volume freshness --registry 2s
    """,
)
@click.argument("words", metavar="[VOLUME] [SPAN]", nargs=-1)
@click.option("--registry", is_flag=True, help="Of users, passwords, grants and the volumes' list.")
@pass_session
def freshness(session: Session, /, words: tuple[str, ...], *, registry: bool) -> None:
    """Say how old a view of VOLUME may be on a gateway, where several share a bucket.

    A request asks the bucket whether another gateway has written something; for SPAN after that,
    requests on the same gateway need not ask again. 0, as at the beginning: each asks. What a
    gateway writes it sees at once, and a condition (If-Match) always holds in the newest state.
    With --registry, who was locked out on one gateway may come in on another for that long.
    """
    given = list(words)
    name = None if registry else given.pop(0) if given else None
    if (name is None and not registry) or len(given) > 1:
        raise Failure("give a volume or --registry, and a span as in 2s", Exit.USAGE)
    with session.open() as repository:
        volume = repository.registry if name is None else repository.volume(name)
        if given:
            limit = SPAN.convert(given[0], None, None) * _SECOND_NS
            cas.set_freshness(repository, volume, limit, author=author())
        found = cas.freshness_of(repository, volume)
    members = {"volume": None} if name is None else json_name("volume", name)
    session.output.document({**members, "registry": registry, "freshness_ns": found})
    shown = f"up to {found / _SECOND_NS:g} s old" if found else "each asks the bucket"
    session.output.text(f"{'the registry' if name is None else printable(name)}: {shown}")
