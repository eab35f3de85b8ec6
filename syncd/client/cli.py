"""The entry point of `syncd`: its commands, and how every run ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import click

from syncd.client.choosing import skip, unskip
from syncd.client.exits import EXPECTED, MEANINGS, Exit, exit_code
from syncd.client.linking import link, unlink
from syncd.client.listing import conflicts, ignored, log, problems
from syncd.client.printing import say
from syncd.client.running import limit, pause, resume, run, start, stop
from syncd.client.showing import status
from syncd.client.versions import restore, versions

_CODES: Final = "\n".join(["\b", "Exit codes:", *(f"{code:5}  {MEANINGS[code]}" for code in Exit)])


@click.group(epilog=_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="casdav", message="syncd %(version)s")
def syncd() -> None:
    """Keep folders in two-way sync with a casdav server.

    `syncd link --server URL --volume VOLUME --root DIR` links a folder, `syncd start` keeps it in
    sync from then on, `syncd status` says how it stands.
    """


for _command in (
    link,
    unlink,
    run,
    start,
    stop,
    status,
    pause,
    resume,
    problems,
    conflicts,
    ignored,
    limit,
    log,
    versions,
    restore,
    skip,
    unskip,
):
    syncd.add_command(_command)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with a code of `syncd.client.exits`."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    code = _run(args)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code or Exit.BROKEN_PIPE
    sys.exit(code)


def _run(args: Sequence[str] | None) -> int:
    try:
        # Without standalone mode, click returns the code of what ended early, as `--help` does.
        code = syncd.main(args, "syncd", standalone_mode=False)
    except click.Abort:
        return _fail(KeyboardInterrupt())
    except click.UsageError as error:
        hint = f" (try `{error.ctx.command_path} --help`)" if error.ctx else ""
        say(f"syncd: {error.format_message()}{hint}", is_error=True)
        return Exit.USAGE
    except EXPECTED as error:
        return _fail(error)
    return int(code or Exit.OK)


def _fail(error: BaseException) -> int:
    words = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
    say(f"syncd: {words}", is_error=True)
    return exit_code(error)
