"""What was measured: figures in interleaved rounds, and the table of all at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, TypeAlias

from pytest_benchmark.fixture import BenchmarkFixture

OURS: Final = "casdav"

Contender: TypeAlias = Callable[[], Mapping[str, float]]
"""Does one round of the work; returns the round's values by the keys of the figures."""


@dataclass(frozen=True)
class Figure:
    """One kind of value.

    Attributes:
        key: the name under which contenders return it.
        title: what it is, for the table.
        unit: in which unit.
        higher_is_better: speeds are, times and sizes are not.
        ratio: the bar against a peer: how many times as good ours has to be at least, by the
            peer's name; a peer that is not named has no bar.
        limit: the bar for ours alone: its greatest value, or least where higher is better.
    """

    key: str
    title: str
    unit: str
    higher_is_better: bool = True
    ratio: Mapping[str, float] = field(default_factory=dict)
    limit: float | None = None


@dataclass
class Table:
    """The rows of a run, as they come."""

    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    HEADER = ("figure", "unit", "casdav", "spread", "peer", "its value", "ratio", "bar", "")

    def add(self, figure: Figure, values: Mapping[str, Sequence[float]]) -> None:
        """Add a figure: a row for each peer, or one if there is none."""
        ours = values[OURS]
        middle = median(ours)
        shown = (_number(middle), f"{_number(min(ours))}..{_number(max(ours))}")
        start = (figure.title, figure.unit, *shown)
        peers = [name for name in values if name != OURS]
        if figure.limit is not None or not peers:
            self.rows.append((*start, "", "", "", *_against_limit(figure, middle)))
        for name in peers:
            theirs = median(values[name])
            ratio = _ratio(figure, middle, theirs)
            bar = figure.ratio.get(name)
            verdict = ("", "") if bar is None else (f">= {bar:g} x", _verdict(ok=ratio >= bar))
            self.rows.append((*start, name, _number(theirs), f"{ratio:.2f}", *verdict))

    def lines(self) -> list[str]:
        """Return the table as text."""
        rows = [self.HEADER, *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(len(self.HEADER))]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return [*lines, *self.notes]


def compete(
    benchmark: BenchmarkFixture,
    table: Table,
    figures: Sequence[Figure],
    ours: Contender,
    peers: Mapping[str, Contender],
    rounds: int,
) -> None:
    """Let all contenders do their work in turns, round by round, and put the figures in the table.

    In every round the peers go first and ours last; before each all that was written is brought
    to the disk, so that none pays for another's.
    """
    values: dict[str, list[Mapping[str, float]]] = {name: [] for name in (OURS, *peers)}

    def theirs() -> None:
        for name, contender in peers.items():
            os.sync()
            values[name].append(contender())
        os.sync()

    benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: values[OURS].append(ours()), setup=theirs, rounds=rounds, iterations=1
    )
    for figure in figures:
        by_name = {
            name: [one[figure.key] for one in measured if figure.key in one]
            for name, measured in values.items()
        }
        by_name = {name: measured for name, measured in by_name.items() if measured}
        table.add(figure, by_name)
        benchmark.extra_info[figure.title] = {"unit": figure.unit, **by_name}


def _ratio(figure: Figure, ours: float, theirs: float) -> float:
    """Return how many times as good ours is."""
    better, worse = (ours, theirs) if figure.higher_is_better else (theirs, ours)
    return better / worse if worse else float("inf")


def _against_limit(figure: Figure, value: float) -> tuple[str, str]:
    if figure.limit is None:
        return ("", "")
    if figure.higher_is_better:
        return (f">= {figure.limit:g}", _verdict(ok=value >= figure.limit))
    return (f"<= {figure.limit:g}", _verdict(ok=value <= figure.limit))


def _verdict(*, ok: bool) -> str:
    return "met" if ok else "MISSED"


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
