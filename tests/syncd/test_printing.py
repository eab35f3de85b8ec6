"""What other people's names can do to the terminal and the log of whoever syncs them: nothing."""

from __future__ import annotations

import logging

import pytest

from syncd.client.printing import LogFormatter, say

EVIL = "name\nfake line \x1b[2J\x9b31m\u202etxt.exe\udcff"


@pytest.mark.parametrize("is_error", [False, True])
def test_a_line_is_one_line(capsys: pytest.CaptureFixture[str], *, is_error: bool) -> None:
    say(f"conflict: {EVIL}", is_error=is_error)
    captured = capsys.readouterr()
    told = captured.err if is_error else captured.out
    assert told.endswith("\n")
    assert told[:-1].isprintable()
    assert "fake line" in told


def test_the_log_s_lines_are_lines() -> None:
    formatter = LogFormatter("%(levelname)s %(message)s")
    error = OSError(EVIL)
    record = logging.LogRecord(
        "syncd", logging.ERROR, __file__, 1, "%s", (EVIL,), (OSError, error, None)
    )
    first, *rest = formatter.format(record).split("\n")
    assert first.startswith("ERROR name")
    assert first.isprintable()
    assert len(rest) == 2
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
