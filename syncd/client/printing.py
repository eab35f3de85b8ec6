"""What is told to people: names of files, of devices and of servers are other people's words."""

from __future__ import annotations

import logging
from types import TracebackType

import click

import cas

_ExceptionInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


def say(line: str, *, is_error: bool = False) -> None:
    """Print one line that cannot steer the terminal."""
    click.echo(cas.printable_line(line), err=is_error)


class LogFormatter(logging.Formatter):
    """Lines of the daemon's log: no name in one begins another."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        """Return the line."""
        return cas.printable_line(super().formatMessage(record))

    def formatException(self, ei: _ExceptionInfo) -> str:  # noqa: N802 - as above
        """Return what an error says, set in."""
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"    {cas.printable_line(line)}" for line in lines)
