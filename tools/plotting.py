"""Sizes over time as a picture: an SVG, written by hand, which browsers and documents show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

import cas
from tools.names import printable, size_text

_WIDTH: Final = 960
_HEIGHT: Final = 480
_LEFT: Final = 90
_RIGHT: Final = 200
_TOP: Final = 30
_BOTTOM: Final = 50
_LINES: Final = 4
"""Horizontal lines of the grid above the lowest, and moments named below it after the first."""
_COLOURS: Final = ("#4269d0", "#e8850c", "#3ca951", "#d3425b", "#7c4dbd", "#8a6d3b", "#0e8ea0")
_SERIES_LIMIT: Final = len(_COLOURS)
_NANOSECONDS: Final = 1_000_000_000


def growth_plot(growths: Mapping[str, Sequence[cas.Growth]]) -> str:
    """Return an SVG document of sizes over time, a line for each volume, the largest first.

    There are seven lines at most; the title says how many volumes have none.
    """
    shown = {name: points for name, points in growths.items() if points}
    largest = sorted(shown, key=lambda name: -shown[name][-1].size)
    scale = _Scale([point for name in largest for point in shown[name]])
    lines = [
        _line(scale, number, name, shown[name])
        for number, name in enumerate(largest[:_SERIES_LIMIT])
    ]
    left_out = len(largest) - _SERIES_LIMIT
    title = "Size of the files" + (f" (and {left_out} smaller volumes)" if left_out > 0 else "")
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12" fill="#333"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
            f'<text x="{_LEFT}" y="18" font-size="14">{escape(title)}</text>',
            *_grid(scale),
            *lines,
            "</svg>\n",
        ]
    )


class _Scale:
    """From times and sizes to places in the picture."""

    def __init__(self, points: Sequence[cas.Growth]) -> None:
        times = [point.time_ns for point in points] or [0]
        self.begin, self.end = min(times), max(times)
        self.top = _round_up(max((point.size for point in points), default=0))

    def x(self, time_ns: int) -> float:
        share = (time_ns - self.begin) / max(self.end - self.begin, 1)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, size: float) -> float:
        return round(_HEIGHT - _BOTTOM - size / self.top * (_HEIGHT - _TOP - _BOTTOM), 1)


def _round_up(size: int) -> int:
    """Return a size that can be divided by the lines of the grid into sizes of few digits."""
    step = _LINES
    while step < size:
        step *= 2
    return step


def _grid(scale: _Scale) -> list[str]:
    parts = []
    for number in range(_LINES + 1):
        size = scale.top * number // _LINES
        y = scale.y(size)
        parts += [
            f'<path d="M{_LEFT} {y}H{_WIDTH - _RIGHT}" stroke="#ddd"/>',
            f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{size_text(size)}</text>',
        ]
        time_ns = scale.begin + (scale.end - scale.begin) * number // _LINES
        if number == 0 or scale.end > scale.begin:
            day = datetime.fromtimestamp(time_ns // _NANOSECONDS, UTC)
            wording = f"{day:%Y-%m-%d %H:%M}"
            place = f'x="{scale.x(time_ns)}" y="{_HEIGHT - _BOTTOM + 20}"'
            parts.append(f'<text {place} text-anchor="middle">{wording}</text>')
    return parts


def _line(scale: _Scale, number: int, name: str, points: Sequence[cas.Growth]) -> str:
    # A size holds until the next commit: steps, not slopes.
    path = f"M{scale.x(points[0].time_ns)} {scale.y(points[0].size)}"
    path += "".join(f"H{scale.x(time_ns)}V{scale.y(size)}" for time_ns, size, _ in points[1:])
    path += f"H{scale.x(scale.end)}"
    colour = _COLOURS[number]
    y = _TOP + 8 + number * 20
    legend = f"{printable(name)}, {size_text(points[-1].size)}"
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>\n'
        f'<rect x="{_WIDTH - _RIGHT + 15}" y="{y - 9}" width="10" height="10" fill="{colour}"/>\n'
        f'<text x="{_WIDTH - _RIGHT + 30}" y="{y}">{escape(legend)}</text>'
    )
