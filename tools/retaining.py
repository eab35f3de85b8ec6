"""`casdav volume retention`: how much of one volume's history a collection keeps."""

from __future__ import annotations

from typing import Final

import click
import msgspec

import cas
from tools.collecting import version_policy
from tools.exits import Exit, Failure
from tools.framework import Command
from tools.keeping import keep_options
from tools.names import json_name, printable, time_text
from tools.session import Session, author, pass_session
from tools.settings import GcSettings

_FOREVER: Final = cas.CalendarSpan(years=9999)
_UNLIMITED: Final = "unlimited"


@click.command(
    cls=Command,
    examples="""
    casdav volume retention photos --keep-all
    casdav volume retention projects --keep-within 90d --keep-weekly 52 --keep-log-for unlimited
    casdav volume retention scratch --keep-versions 3
    casdav volume retention projects                 # show what holds, and where its history begins
    casdav volume retention projects --off           # as the settings say
    """,
)
@click.argument("name", metavar="VOLUME")
@keep_options
@click.option("--keep-all", is_flag=True, help="Keep every version for ever.")
@click.option(
    "--keep-versions",
    type=click.IntRange(min=1),
    help="Keep so many versions of each path, in place of --keep-within.",
)
@click.option(
    "--keep-log-for",
    metavar="SPAN",
    help="Keep who changed what that long at least, 2y or `unlimited`. Default: as the settings.",
)
@click.option("--off", is_flag=True, help="Have no rules of its own any more.")
@pass_session
def retention(
    session: Session,
    *,
    name: str,
    rules: cas.Retention,
    keep_all: bool,
    keep_versions: int | None,
    keep_log_for: str | None,
    off: bool,
) -> None:
    """Say how much of VOLUME's history is kept, in place of the settings `gc`; or show it.

    Every version of --keep-within is kept, and of what is older the states that any of the other
    rules keeps, with the meaning that they have for snapshots. Nothing else is: --keep-daily 30
    alone keeps one state a day. The present and snapshots stay in any case. Whatever options
    `casdav gc` is given, the volume's own rules hold. What an earlier gc has dropped does not come
    back.
    """
    wanted = session.settings().settings.gc
    has_rules = keep_all or keep_versions is not None or rules != cas.Retention()
    if off and (has_rules or keep_log_for):
        raise Failure("--off goes with no rule", Exit.USAGE)
    if keep_all and (keep_versions is not None or rules != cas.Retention() or keep_log_for):
        raise Failure("--keep-all goes with no other rule", Exit.USAGE)
    if keep_versions is not None and rules.within is not None:
        raise Failure("take either --keep-within or --keep-versions", Exit.USAGE)
    policy = _policy(wanted, rules, keep_versions, keep_log_for, keep_all=keep_all)
    with session.open() as repository:
        if off or has_rules or keep_log_for:
            chosen = None if off else policy
            cas.set_volume_policy(repository, name, chosen, author=author())
        volume = repository.volume(name)
        own = cas.volume_policy(repository, volume.id)
        begins = volume.beginning()
    _show(session, name, own, own or version_policy(wanted), begins)


def _policy(
    wanted: GcSettings,
    rules: cas.Retention,
    versions: int | None,
    keep_log_for: str | None,
    *,
    keep_all: bool,
) -> cas.VersionPolicy:
    """Return what is to be kept; what no rule says is as the settings have it."""
    if keep_all:
        return cas.VersionPolicy(every=_FOREVER, states=cas.Retention(), audit=None)
    settings = version_policy(wanted, keep_log_for=keep_log_for)
    if versions is None and rules == cas.Retention():
        return settings
    return cas.VersionPolicy(
        every=rules.within or cas.CalendarSpan(),
        states=msgspec.structs.replace(rules, within=None),
        versions=versions,
        audit=settings.audit,
    )


def _show(
    session: Session,
    name: str,
    own: cas.VersionPolicy | None,
    policy: cas.VersionPolicy,
    begins: cas.Beginning | None,
) -> None:
    session.output.document(
        {
            **json_name("volume", name),
            "own": own is not None,
            "retention": _members(policy),
            "history_begins": None
            if begins is None
            else {
                "sequence": begins.last_sequence,
                "time": time_text(begins.time_ns),
                "commit": begins.commit.hex() or None,
            },
        }
    )
    source = "rules of its own" if own is not None else "as the settings say"
    session.output.text(f"{printable(name)}: {_words(policy)} ({source})")
    session.output.text(cas.beginning_text(begins))


def _members(policy: cas.VersionPolicy) -> dict[str, object]:
    """Return the rules by their options' names; what is no rule is left out."""
    members: dict[str, object] = {}
    if policy.versions is not None:
        members["keep_versions"] = policy.versions
    elif policy.every == _FOREVER:
        members["keep_within"] = _UNLIMITED
    elif policy.every != cas.CalendarSpan():
        members["keep_within"] = str(policy.every)
    for rule, value in msgspec.structs.asdict(policy.states).items():
        if value:
            is_all = value == cas.UNLIMITED
            number_or_span = value if isinstance(value, int) else str(value)
            members[f"keep_{rule}"] = _UNLIMITED if is_all else number_or_span
    members["keep_log_for"] = _UNLIMITED if policy.audit is None else str(policy.audit)
    return members


def _words(policy: cas.VersionPolicy) -> str:
    """Return the rules as the options that set them."""
    if policy.every == _FOREVER and policy.versions is None:
        return "--keep-all"
    return " ".join(
        f"--{name.replace('_', '-')} {value}" for name, value in _members(policy).items()
    )
