"""The server's log on standard error: one line for each request, as text or as JSON.

A line holds no header and no query, so no password, token or cookie. Other messages, of the
program and its libraries, come in the same form. Names in them may be anybody's: none can begin a
line, or steer the terminal.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

from dav.http.access import AccessRecord
from tools.names import printable, printable_line

ACCESS: Final = "casdav.access"
"""The logger of requests."""

_access = logging.getLogger(ACCESS)
# Their lowest levels print requests as they came, with passwords in them.
_TALKATIVE: Final = ("wsgidav", "cheroot", "urllib3")


def start_logging(log_format: str, verbosity: int) -> None:
    """Send the program's log to standard error.

    Args:
        log_format: `text` or `json`.
        verbosity: below 0 only warnings are logged, and no requests.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    level = logging.INFO if verbosity >= 0 else logging.WARNING
    for name in ("casdav", "cas", "dav", "tools"):
        logging.getLogger(name).setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def log_access(record: AccessRecord) -> None:
    """Log a request that is over; a `dav.http.access.AccessLog`."""
    _access.info("%s %s", record.method, record.path, extra={"access": record})


class TextFormatter(logging.Formatter):
    """Lines for people: time, address, user, request, status, sizes, seconds."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = _time(record)
        access = getattr(record, "access", None)
        if isinstance(access, AccessRecord):
            cut = "" if access.complete else " (cut)"
            return (
                f"{moment} {access.remote} {access.user or '-'} "
                f'"{printable(access.method)} {printable(access.path)}" {access.status} '
                f"in={access.bytes_in} out={access.bytes_out} {access.seconds:.3f}s{cut}"
            )
        message = printable_line(record.getMessage())
        line = f"{moment} {record.levelname.lower()} {record.name}: {message}"
        if record.exc_info:
            # Set in: what an error says may hold a name with a line end in it.
            for one in self.formatException(record.exc_info).split("\n"):
                line += f"\n    {printable_line(one)}"
        return line


class JsonFormatter(logging.Formatter):
    """Lines for programs, one JSON object each; sizes in bytes, durations in seconds."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        members: dict[str, object] = {"time": _time(record), "level": record.levelname.lower()}
        access = getattr(record, "access", None)
        if isinstance(access, AccessRecord):
            members |= {"event": "request", **access._asdict()}
            members["seconds"] = round(access.seconds, 6)
        else:
            members |= {"event": "message", "logger": record.name, "message": record.getMessage()}
            if record.exc_info:
                members["exception"] = self.formatException(record.exc_info)
        return json.dumps(members)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None)
    return f"{moment.isoformat(timespec='milliseconds')}Z"
