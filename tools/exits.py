"""Exit codes: one table over the engine's errors, so that scripts can tell what happened."""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import Final

import cas


class Exit(IntEnum):
    """What `casdav` says to the shell. Where restic has a number for the same, it is the same."""

    OK = 0
    ERROR = 1
    USAGE = 2
    PROBLEMS = 3
    NO_REPOSITORY = 10
    LOCKED = 11
    WRONG_KEY = 12
    INTEGRITY = 13
    CONFLICT = 14
    FULL = 15
    UNREACHABLE = 16
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS: Final[dict[Exit, str]] = {
    Exit.OK: "done",
    Exit.ERROR: "error",
    Exit.USAGE: "wrong usage, or a name or setting that is not acceptable",
    Exit.PROBLEMS: "finished, but some files had problems; they are listed",
    Exit.NO_REPOSITORY: "there is no repository",
    Exit.LOCKED: "somebody else holds it",
    Exit.WRONG_KEY: "wrong key or password",
    Exit.INTEGRITY: "stored bytes are damaged or missing",
    Exit.CONFLICT: "it exists already, or has changed meanwhile",
    Exit.FULL: "no space on the disk, or within the quota",
    Exit.UNREACHABLE: "the store cannot be reached, read or written",
    Exit.INTERRUPTED: "interrupted with Ctrl-C",
    Exit.BROKEN_PIPE: "the reader of the output went away, as in `casdav ls ... | head`",
}
"""One line for each code, for the documentation and `casdav --help`."""


class Failure(Exception):  # noqa: N818 - not every failure is an error of the program
    """A command's own end: one line that says what to do, and the exit code."""

    def __init__(self, message: str, code: Exit = Exit.ERROR) -> None:
        super().__init__(message)
        self.code = code


ERROR_CODES: Final[dict[type[cas.CasError], Exit]] = {
    cas.CasError: Exit.ERROR,
    cas.NotFoundError: Exit.ERROR,
    cas.NotKeptError: Exit.ERROR,
    cas.BeforeHistoryError: Exit.ERROR,
    cas.PurgedError: Exit.ERROR,
    cas.AlreadyExistsError: Exit.CONFLICT,
    cas.ConflictError: Exit.CONFLICT,
    cas.PreconditionError: Exit.CONFLICT,
    cas.InvalidError: Exit.USAGE,
    cas.ReadOnlyError: Exit.ERROR,
    cas.LockedError: Exit.LOCKED,
    cas.StoreError: Exit.UNREACHABLE,
    cas.StoreFullError: Exit.FULL,
    cas.QuotaError: Exit.FULL,
    cas.WrongKeyError: Exit.WRONG_KEY,
    cas.IntegrityError: Exit.INTEGRITY,
    cas.FormatError: Exit.ERROR,
    cas.ExpiredError: Exit.CONFLICT,
}
"""The code of each error of the engine; a class that is not listed has its parent's."""

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def exit_code(error: BaseException) -> Exit:
    """Return the code with which `casdav` ends after this error."""
    if isinstance(error, Failure):
        return error.code
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    for ancestor in type(error).__mro__:
        if ancestor in ERROR_CODES:
            return ERROR_CODES[ancestor]
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return Exit.FULL
    return Exit.ERROR


def error_kind(error: BaseException) -> str:
    """Return the stable word for an error that `--json` prints."""
    if isinstance(error, cas.CasError):
        return error.kind
    return exit_code(error).name.lower()


def explain(error: BaseException) -> str:
    """Return the one line that tells a person what went wrong."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; what was finished stays, run it again to go on"
    if isinstance(error, OSError) and not isinstance(error, cas.CasError) and error.strerror:
        where = f"{error.filename!r}: " if error.filename is not None else ""
        return f"{where}{error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
