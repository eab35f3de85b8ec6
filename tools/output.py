"""What commands print: text or JSON on standard output, everything else on standard error.

With `--json`, standard output holds JSON and nothing else: one document for a short command, one
object a line with a `message_type` for a long one. Progress is shown on standard error, and only
where that is a terminal.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Protocol, Self

import click

from tools.exits import Exit, Failure, error_kind, exit_code, explain
from tools.names import json_name, printable, printable_line


class Progress(Protocol):
    """What a long command tells while it runs. It may be called for every file."""

    is_shown: bool
    """Whether anybody sees it."""

    def advance(self, files: int, size: int) -> None:
        """Say that so many more files and bytes are done."""

    def expect(self, files: int, size: int) -> None:
        """Say how many files and bytes there are in all, as soon as that is known."""


class NoProgress:
    """Progress that nobody sees."""

    is_shown = False

    def advance(self, files: int, size: int) -> None:
        """Do nothing."""

    def expect(self, files: int, size: int) -> None:
        """Do nothing."""


class Output:
    """Where a command's words go. `json` and the levels are set before the command runs."""

    def __init__(self) -> None:
        self.json = False
        self.verbosity = 0

    def text(self, line: str = "") -> None:
        """Print a line that a person asked for; nothing with `--json`."""
        if not self.json:
            sys.stdout.write(f"{line}\n")

    def exact(self, name: str) -> None:
        """Print a name as the bytes it is, ended by a NUL; nothing with `--json`."""
        if not self.json:
            sys.stdout.buffer.write(os.fsencode(name) + b"\0")

    def done(self, line: str) -> None:
        """Print what was done; nothing with `--json` or `-q`."""
        if self.verbosity >= 0:
            self.text(line)

    def detail(self, line: str) -> None:
        """Print what only `-v` shows, on standard error."""
        if self.verbosity > 0:
            click.echo(line, err=True)

    def warn(self, line: str) -> None:
        """Print a warning on standard error."""
        click.echo(f"casdav: {line}", err=True)

    def document(self, value: object) -> None:
        """Print the JSON document of a short command; nothing without `--json`."""
        if self.json:
            sys.stdout.write(f"{json.dumps(value, indent=2)}\n")

    def message(self, message_type: str, members: Mapping[str, object]) -> None:
        """Print one JSON line of a long command; nothing without `--json`."""
        if self.json:
            line = {"message_type": message_type, **members}
            sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")

    def problem(self, path: str, reason: str) -> None:
        """Name a file that could not be handled: on standard error, or as a JSON line."""
        if self.json:
            self.message("problem", {**json_name("path", path), "reason": reason})
        else:
            self.warn(f"{printable(path)}: {reason}")

    def failure(self, error: BaseException) -> None:
        """Print why the command ends, as one line on standard error."""
        if self.json:
            document = {
                "message_type": "error",
                "kind": error_kind(error),
                "code": int(exit_code(error)),
                "message": explain(error),
            }
            click.echo(json.dumps(document), err=True)
        else:
            click.echo(f"casdav: {printable_line(explain(error))}", err=True)

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, headings: bool = True
    ) -> None:
        """Print rows in aligned columns; nothing with `--json`.

        A heading that begins with `>` aligns its column to the right.
        """
        if self.json or not rows:
            return
        from rich.cells import cell_len  # noqa: PLC0415 - slow to import, and rarely needed

        first = [[column.removeprefix(">") for column in columns]] if headings else []
        lines = [*first, *rows]
        widths = [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)]
        for line in lines:
            cells = []
            for column, cell, width in zip(columns, line, widths, strict=True):
                padding = " " * (width - cell_len(cell))
                cells.append(padding + cell if column.startswith(">") else cell + padding)
            self.text("  ".join(cells).rstrip())

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before something is destroyed.

        Raises:
            Failure: the answer is no, or there is nobody to ask.
        """
        if yes:
            return
        if not sys.stdin.isatty():
            raise Failure(f"{question} Nobody is there to ask: add --yes to go on", Exit.USAGE)
        if not click.confirm(question, err=True):
            raise Failure("nothing was changed")

    @contextmanager
    def progress(
        self, title: str, *, counted: str = "files", has_sizes: bool = True
    ) -> Iterator[Progress]:
        """Show files, bytes, rate and time left on a terminal until the context ends.

        `counted` is the word for what is counted as files; without sizes, it alone is shown.
        """
        if self.verbosity < 0 or not _is_terminal(sys.stderr):
            yield NoProgress()
            return
        with _Bar(title, counted, has_sizes=has_sizes) as bar:
            yield bar


def _is_terminal(stream: IO[str]) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class _Bar:
    """A rich progress bar; `rich` honours NO_COLOR by itself."""

    def __init__(self, title: str, counted: str, *, has_sizes: bool) -> None:
        from rich import progress as rich_progress  # noqa: PLC0415 - slow to import, rarely needed
        from rich.console import Console  # noqa: PLC0415 - as above

        self.is_shown = True
        self._files = 0
        self._has_sizes = has_sizes
        sizes = (
            rich_progress.DownloadColumn(binary_units=True),
            rich_progress.TransferSpeedColumn(),
        )
        self._progress = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.TextColumn(f"{{task.fields[files]:,}} {counted}", markup=False),
            *(sizes if has_sizes else ()),
            rich_progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task(title, total=None, files=0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def advance(self, files: int, size: int) -> None:
        self._files += files
        done = size if self._has_sizes else files
        self._progress.update(self._task, advance=done, files=self._files)

    def expect(self, files: int, size: int) -> None:
        if self._has_sizes:  # They say better how far it is.
            self._progress.update(self._task, total=size)
        else:  # A stage begins, which counts its own steps.
            self._files = 0
            self._progress.update(self._task, completed=0, total=files, files=0)
