"""The entry point of `casdav`: the table of commands, and how every run ends."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import click

import cas
from tools.exits import MEANINGS, Exit, Failure, exit_code
from tools.framework import LazyGroup, PipeClosed, Place
from tools.session import Session

COMMANDS: Final[dict[str, Place]] = {
    "init": Place("tools.init", "init", "Make a repository."),
    "serve": Place("tools.serve", "serve", "Serve the drive over WebDAV."),
    "import": Place("tools.imports", "import_", "Copy a directory into a volume."),
    "export": Place("tools.exports", "export", "Copy a folder of a volume to a directory."),
    "ls": Place("tools.listing", "ls", "List a folder, or the volumes."),
    "cat": Place("tools.contents", "cat", "Print files."),
    "stat": Place("tools.contents", "stat", "Show all that is known of a file or folder."),
    "du": Place("tools.listing", "du", "Show how much folders hold."),
    "log": Place("tools.history", "log", "Show what happened to a path, and its versions."),
    "find": Place("tools.finding", "find", "Find files by name, kind, size or age."),
    "restore": Place(
        "tools.restoring", "restore", "Bring a file, folder or volume back as it was."
    ),
    "purge": Place("tools.purging", "purge", "Take a path's content out of all history."),
    "undelete": Place("tools.restoring", "undelete", "Bring back what was deleted."),
    "volume": Place("tools.volumes", "volume", "Volumes: create, list, delete, share, limit."),
    "snapshot": Place("tools.snapshots", "snapshot", "Snapshots: names for states of a volume."),
    "diff": Place("tools.comparing", "diff", "Show what differs between two states."),
    "user": Place("tools.users", "user", "Users: add, list, password, quota, delete."),
    "token": Place("tools.tokens", "token", "App passwords and tokens: create, list, revoke."),
    "lock": Place("tools.locks", "lock", "WebDAV locks: list, break."),
    "audit": Place("tools.audit", "audit", "Who came in and who changed what: list, verify."),
    "key": Place("tools.key", "key", "Keys of an encrypted repository: add, remove, rotate."),
    "store": Place("tools.store", "store", "The bucket: what it can do, which gateway writes."),
    "replicate": Place("tools.replicate", "replicate", "Copy the repository to a second store."),
    "gc": Place("tools.gc", "gc", "Delete what nothing refers to any more."),
    "check": Place("tools.check", "check", "Check that all is there, and as it was written."),
    "repair": Place("tools.repair", "repair", "Take damaged packs out of use, name what is lost."),
    "index": Place("tools.index", "index", "The catalog: make it anew from the packs."),
    "stats": Place("tools.stats", "stats", "Show sizes and numbers of the repository."),
    "upgrade": Place("tools.upgrade", "upgrade", "Bring a repository to the newest format."),
    "config": Place("tools.config", "config", "Show the effective settings."),
    "completion": Place("tools.completion", "completion", "Print a completion script."),
}
"""Every command: where it is, and its line in `casdav --help`."""


_ALLOCATIONS_PER_COLLECTION: Final = 50_000
_CODES = "\n".join(["\b", "Exit codes:", *(f"{code:5}  {MEANINGS[code]}" for code in Exit)])


@click.group(cls=LazyGroup, places=COMMANDS, epilog=_CODES)
@click.version_option(package_name="casdav", message="casdav %(version)s")
def casdav() -> None:
    """A self-hosted file store that you mount, sync and rewind.

    `casdav COMMAND --help` explains a command with examples. The common options may stand before
    or after the command.
    """


def main(args: Sequence[str] | None = None, prog_name: str = "casdav") -> NoReturn:
    """Run the command line and end the process with a code of `tools.exits`."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    # What a command holds by the thousand has no cycles, and by default the collector walks all of
    # it again and again.
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_PER_COLLECTION)
    session = Session()
    code = _run(args, prog_name, session)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        code = code or Exit.BROKEN_PIPE
    sys.exit(code)


def _run(args: Sequence[str] | None, prog_name: str, session: Session) -> int:
    try:
        # Without standalone mode, click returns the code of what ended early, as `--help` does.
        code = casdav.main(args, prog_name, standalone_mode=False, obj=session)
    except click.Abort:
        session.output.failure(KeyboardInterrupt())
        return Exit.INTERRUPTED
    except click.UsageError as error:
        return _usage(error, session)
    except PipeClosed:
        _silence_stdout()
        return Exit.BROKEN_PIPE
    except (cas.CasError, Failure, OSError, KeyboardInterrupt) as error:
        session.output.failure(error)
        return exit_code(error)
    return code or Exit.OK


def _usage(error: click.UsageError, session: Session) -> int:
    hint = f" (try `{error.ctx.command_path} --help`)" if error.ctx else ""
    session.output.failure(Failure(f"{error.format_message()}{hint}", Exit.USAGE))
    return Exit.USAGE


def _silence_stdout() -> None:
    """Keep the interpreter from complaining at its end about what nobody reads."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
