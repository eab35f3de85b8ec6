"""Putting two changes of one text together, by lines, where that is beyond doubt. Pure.

This is diff3: lines that are the same in all three texts hold the others apart, and between two of
those only one side may have changed something, or both the same. Lines are matched as in patience
diff, which trusts only lines that a text has once, and what lies beside them: a file of braces and
blank lines is rather not merged than merged wrongly, and a hostile one takes no long time.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

TEXT_LIMIT: Final = 1024 * 1024
"""Bytes up to which a text is merged."""
_LINES_LIMIT: Final = 50_000
_ROUNDS: Final = 8
"""How deep it is looked for lines that are there once between two others that were matched."""


def merge_texts(base: bytes, one: bytes, other: bytes) -> bytes | None:
    """Return a text with the changes of both; None where they meet, or where one is no text.

    A text is UTF-8 without NUL, of `TEXT_LIMIT` bytes and 50,000 lines at most. Line ends are part
    of their lines: each stays as it is.

    Args:
        base: what both were made from.
        one: one of the two.
        other: the other; which is which makes no difference.
    """
    if not all(map(_is_text, (base, one, other))):
        return None
    merged = _merge(_lines(base), _lines(one), _lines(other))
    return None if merged is None else b"".join(merged)


def _is_text(content: bytes) -> bool:
    if len(content) > TEXT_LIMIT or b"\0" in content or content.count(b"\n") > _LINES_LIMIT:
        return False
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _lines(content: bytes) -> list[bytes]:
    """Return lines with their ends; only newlines end one, so that all of a line stays together."""
    lines = [line + b"\n" for line in content.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _merge(base: list[bytes], one: list[bytes], other: list[bytes]) -> list[bytes] | None:
    in_one, in_other = _matches(base, one), _matches(base, other)
    merged: list[bytes] = []
    at = at_one = at_other = 0
    common = [index for index in range(len(base)) if index in in_one and index in in_other]
    for index in [*common, len(base)]:
        to_one, to_other = in_one.get(index, len(one)), in_other.get(index, len(other))
        chosen = _choose(base[at:index], one[at_one:to_one], other[at_other:to_other])
        if chosen is None:
            return None
        merged += chosen
        merged += base[index : index + 1]
        at, at_one, at_other = index + 1, to_one + 1, to_other + 1
    return merged


def _choose(base: list[bytes], one: list[bytes], other: list[bytes]) -> list[bytes] | None:
    if other in (base, one):
        return one
    return other if one == base else None


def _matches(base: list[bytes], text: list[bytes]) -> dict[int, int]:
    """Return which line of a text each line of the base is, in one order."""
    found: dict[int, int] = {}
    pending = [(0, len(base), 0, len(text), _ROUNDS)]
    while pending:
        low, high, text_low, text_high, rounds = pending.pop()
        while low < high and text_low < text_high and base[low] == text[text_low]:
            found[low] = text_low
            low, text_low = low + 1, text_low + 1
        while low < high and text_low < text_high and base[high - 1] == text[text_high - 1]:
            high, text_high = high - 1, text_high - 1
            found[high] = text_high
        if low == high or text_low == text_high or rounds == 0:
            continue
        anchors = _anchors(base, text, range(low, high), range(text_low, text_high))
        if not anchors:
            continue
        found.update(anchors)
        for line, text_line in [*anchors, (high, text_high)]:
            pending.append((low, line, text_low, text_line, rounds - 1))
            low, text_low = line + 1, text_line + 1
    return found


def _anchors(
    base: list[bytes], text: list[bytes], lines: range, text_lines: range
) -> list[tuple[int, int]]:
    """Return the longest series of lines that both have once in those ranges, in one order."""
    there = _once(text, text_lines)
    pairs = [(line, there[key]) for key, line in _once(base, lines).items() if key in there]
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for number, (_, text_line) in enumerate(pairs):
        length = bisect_left(ends, text_line)
        before.append(last[length - 1] if length else -1)
        ends[length : length + 1] = [text_line]
        last[length : length + 1] = [number]
    series: list[tuple[int, int]] = []
    number = last[-1] if last else -1
    while number >= 0:
        series.append(pairs[number])
        number = before[number]
    return series[::-1]


def _once(lines: list[bytes], within: range) -> dict[bytes, int]:
    """Return where the lines are that are there once, in their order."""
    found: dict[bytes, int] = {}
    twice: set[bytes] = set()
    for number in within:
        if lines[number] in found:
            twice.add(lines[number])
        found[lines[number]] = number
    return {line: number for line, number in found.items() if line not in twice}
