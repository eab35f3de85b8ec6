"""Lines of the server's log hold what strangers send, and stay lines."""

from __future__ import annotations

import json
import logging

import pytest

from dav.http.access import AccessRecord
from tools.logs import JsonFormatter, TextFormatter

EVIL = "x\n2026-01-01T00:00:00Z admin signed in \x1b[2J\x9b31m\u202e"


def record(message: str, error: BaseException | None = None) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("dav.api", logging.ERROR, __file__, 1, "%s", (message,), info)


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_names_in_messages_begin_no_line_and_steer_no_terminal(
    formatter: logging.Formatter,
) -> None:
    line = formatter.format(record(f"PUT {EVIL} failed"))
    assert "\n" not in line
    assert line.isprintable()


def test_what_an_error_says_is_set_in() -> None:
    lines = TextFormatter().format(record("PUT failed", OSError(EVIL))).split("\n")
    assert len(lines) == 3
    assert all(line.startswith("    ") and line.isprintable() for line in lines[1:])
    document = json.loads(JsonFormatter().format(record("PUT failed", OSError(EVIL))))
    assert EVIL in document["exception"]


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_paths_of_requests_are_escaped(formatter: logging.Formatter) -> None:
    access = AccessRecord(
        "GET", EVIL, 200, 0, 0, 0.1, "127.0.0.1", "alice", "HTTP/1.1", complete=True
    )
    one = record("GET")
    one.access = access
    assert formatter.format(one).isprintable()
