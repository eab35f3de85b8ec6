"""Exit codes of `syncd`; where `casdav` has one for the same, it is the same."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import cas
from syncd.remote.errors import (
    ConflictError,
    NoRoomError,
    RefusedError,
    RemoteError,
    SignedOutError,
    UnreachableError,
)


class Exit(IntEnum):
    """What `syncd` says to the shell."""

    OK = 0
    ERROR = 1
    USAGE = 2
    PROBLEMS = 3
    NOT_IN_SYNC = 4
    NOT_LINKED = 10
    RUNNING = 11
    SIGNED_OUT = 12
    CONFLICT = 14
    FULL = 15
    UNREACHABLE = 16
    STOPPED = 17
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS: Final[dict[Exit, str]] = {
    Exit.OK: "done; of `status`, all is in sync",
    Exit.ERROR: "error",
    Exit.USAGE: "wrong usage, or a name or setting that is not acceptable",
    Exit.PROBLEMS: "in sync but for some paths, which `syncd problems` lists",
    Exit.NOT_IN_SYNC: "something is still to be synced, or syncing is paused",
    Exit.NOT_LINKED: "there is no such linked folder",
    Exit.RUNNING: "the daemon runs already, or does not run",
    Exit.SIGNED_OUT: "the sign-in was refused, or is not valid any more",
    Exit.CONFLICT: "it exists already, or has changed meanwhile",
    Exit.FULL: "no space on this disk, on the server's, or within the quota",
    Exit.UNREACHABLE: "the server cannot be reached",
    Exit.STOPPED: "stopped for safety; `syncd status` says why",
    Exit.INTERRUPTED: "interrupted with Ctrl-C",
    Exit.BROKEN_PIPE: "the reader of the output went away",
}
"""One line for each code, for the documentation and `syncd --help`."""


class Failure(Exception):  # noqa: N818 - not every failure is an error of the program
    """A command's own end: one line that says what to do, and the exit code."""

    def __init__(self, message: str, code: Exit = Exit.ERROR) -> None:
        super().__init__(message)
        self.code = code


_CODES: Final[tuple[tuple[type[Exception], Exit], ...]] = (
    (SignedOutError, Exit.SIGNED_OUT),
    (UnreachableError, Exit.UNREACHABLE),
    (NoRoomError, Exit.FULL),
    (ConflictError, Exit.CONFLICT),
    (cas.InvalidError, Exit.USAGE),
)
_UNAUTHORIZED: Final = 401


def exit_code(error: BaseException) -> Exit:
    """Return the code for an error that ends a command."""
    if isinstance(error, Failure):
        return error.code
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    if isinstance(error, RefusedError) and error.status == _UNAUTHORIZED:
        return Exit.SIGNED_OUT
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return Exit.ERROR


EXPECTED: Final = (Failure, RemoteError, cas.CasError, OSError, KeyboardInterrupt)
"""What ends a command with one line; anything else is a mistake of the program."""
