"""Options that say what is kept, in restic's words: `--keep-last 10 --keep-daily 30`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import click

import cas

_UNLIMITED: Final = "unlimited"
_COUNTED: Final = {
    "last": "The newest N.",
    "hourly": "The newest of each of N hours.",
    "daily": "The newest of each of N days.",
    "weekly": "The newest of each of N weeks.",
    "monthly": "The newest of each of N months.",
    "yearly": "The newest of each of N years.",
}
_WITHIN: Final = {
    "within": "All within a span before the newest, as 30d or 1y6m.",
    "within_hourly": "One an hour within a span.",
    "within_daily": "One a day within a span.",
    "within_weekly": "One a week within a span.",
    "within_monthly": "One a month within a span.",
    "within_yearly": "One a year within a span.",
}


class CountType(click.ParamType[int]):
    """How many to keep, or `unlimited`."""

    name = "N"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the number, `cas.UNLIMITED` for all."""
        if isinstance(value, int):
            return value
        text = str(value)
        if text == _UNLIMITED:
            return cas.UNLIMITED
        if not (text.isascii() and text.isdecimal()):
            self.fail(f"{value!r} is neither a number nor `{_UNLIMITED}`", param, ctx)
        return int(text)


class CalendarSpanType(click.ParamType[cas.CalendarSpan]):
    """A span of the calendar: `30d`, `1y6m`, where `m` is months."""

    name = "SPAN"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> cas.CalendarSpan:
        """Return the span."""
        if isinstance(value, cas.CalendarSpan):
            return value
        try:
            return cas.CalendarSpan.parse(str(value))
        except cas.InvalidError as error:
            self.fail(str(error), param, ctx)


COUNT: Final = CountType()
CALENDAR_SPAN: Final = CalendarSpanType()


def keep_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options, and what they say as its argument `rules`: a `Retention`."""

    @wraps(command)
    def with_rules(*arguments: object, **options: Any) -> None:  # noqa: ANN401 - as click has it
        found = {name: options.pop(f"keep_{name}") for name in (*_COUNTED, *_WITHIN)}
        rules = cas.Retention(**{name: value for name, value in found.items() if value})
        command(*arguments, rules=rules, **options)

    for name, words in reversed(_WITHIN.items()):
        with_rules = click.option(
            f"--keep-{name.replace('_', '-')}", type=CALENDAR_SPAN, help=words
        )(with_rules)
    for name, words in reversed(_COUNTED.items()):
        with_rules = click.option(f"--keep-{name}", type=COUNT, help=words)(with_rules)
    return with_rules
