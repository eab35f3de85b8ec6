"""What the settings `gc` say: which versions are kept, and when the server collects garbage."""

from __future__ import annotations

from typing import Final

import click

import cas
from dav.collector import CollectionPlan
from tools.exits import Exit, Failure
from tools.parameters import SPAN
from tools.settings import GcSettings

_OFF: Final = "off"
_UNLIMITED: Final = "unlimited"


def version_policy(
    wanted: GcSettings,
    keep_within: cas.CalendarSpan | None = None,
    keep_versions: int | None = None,
    keep_log_for: str | None = None,
) -> cas.VersionPolicy:
    """Return what is kept of history by the settings, where no option says otherwise.

    Raises:
        Failure: a setting is no span.
    """
    audit = _span_or_none("keep_log_for", keep_log_for or wanted.keep_log_for, _UNLIMITED)
    number = wanted.keep_versions if keep_within is None else 0
    if keep_versions or number:
        count = keep_versions or number
        return cas.VersionPolicy(versions=count, states=cas.Retention(), audit=audit)
    every = keep_within or _calendar_span("keep_within", wanted.keep_within)
    daily = _span_or_none("keep_daily_for", wanted.keep_daily_for, _OFF)
    states = cas.Retention(within_daily=daily)
    return cas.VersionPolicy(every=every, states=states, audit=audit)


def grace_seconds(wanted: GcSettings) -> int:
    """Return up to which age packs are left alone.

    Raises:
        Failure: the setting is no span.
    """
    return _seconds("grace", wanted.grace)


def collection_plan(wanted: GcSettings) -> CollectionPlan | None:
    """Return how the server collects garbage; None where it does not.

    Raises:
        Failure: a setting is no span.
    """
    policy = version_policy(wanted)
    grace = grace_seconds(wanted)
    budget = None if wanted.budget == _OFF else _seconds("budget", wanted.budget)
    if wanted.interval == _OFF:
        return None
    interval = _seconds("interval", wanted.interval)
    if not interval:
        raise Failure("gc.interval: take a span above 0, or `off`", Exit.USAGE)
    return CollectionPlan(
        interval_seconds=interval, policy=policy, grace_seconds=grace, budget_seconds=budget
    )


def _span_or_none(name: str, text: str, no_span: str) -> cas.CalendarSpan | None:
    """Return a span, None for the word that stands for none."""
    if text == no_span:
        return None
    try:
        return cas.CalendarSpan.parse(text)
    except cas.InvalidError as error:
        raise Failure(f"gc.{name}: {error}; or `{no_span}`", Exit.USAGE) from error


def _calendar_span(name: str, text: str) -> cas.CalendarSpan:
    try:
        return cas.CalendarSpan.parse(text)
    except cas.InvalidError as error:
        raise Failure(f"gc.{name}: {error}", Exit.USAGE) from error


def _seconds(name: str, text: str) -> int:
    try:
        return SPAN.convert(text, None, None)
    except click.UsageError as error:
        raise Failure(f"gc.{name}: {error.message}", Exit.USAGE) from error
