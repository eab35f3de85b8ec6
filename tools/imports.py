"""`casdav import`: copy a directory of this machine into a volume."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import click

import cas
from tools.exits import Exit, Failure
from tools.framework import Command
from tools.import_batch import Batch
from tools.import_plan import Totals
from tools.importer import Choices, Importer
from tools.names import json_name, printable, size_text
from tools.output import Output, Progress
from tools.parameters import LOCATION, Location
from tools.session import Session, author, pass_session
from tools.source_tree import Excluded, count_tree, read_patterns
from tools.stat_cache import StatCache, cache_path

_MENDING = (
    "the last check found damage: every file is read again, so that what is lost and comes here "
    "is mended; `casdav check` says whether all is"
)
_SIGNS = {"add": "+", "replace": "~", "set": "=", "remove": "-", "compare": "?"}


class _Report:
    """Tells of single files: problems always, changes with `-v` and in a dry run."""

    def __init__(self, output: Output, *, dry_run: bool) -> None:
        self._output = output
        self._shows_actions = dry_run or output.verbosity > 0

    def problem(self, path: str, reason: str) -> None:
        self._output.problem(path, reason)

    def action(self, action: str, path: str) -> None:
        if self._shows_actions:
            self._output.message("action", {"action": action, **json_name("path", path or ".")})
            self._output.text(f"{_SIGNS[action]} {printable(path or '.')}")


@click.command(
    "import",
    cls=Command,
    examples="""
    casdav import ~/Pictures alice:/pictures
    casdav import --exclude node_modules --exclude '*.tmp' ~/src alice:/src
    casdav import --delete --dry-run ~/Music alice:/music
    casdav import --delete --snapshot "$(date +%F)" ~/Documents alice:/documents
    """,
)
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path, exists=True))
@click.argument("place", metavar="VOLUME:/PATH", type=LOCATION)
@click.option(
    "--exclude", "patterns", metavar="PATTERN", multiple=True, help="Leave out, as .gitignore does."
)
@click.option(
    "--exclude-file",
    "pattern_files",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file with such patterns.",
)
@click.option("-x", "--one-file-system", is_flag=True, help="Do not go into other file systems.")
@click.option("--delete", is_flag=True, help="Remove from the folder what SRC does not have.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--snapshot", metavar="NAME", help="Give the volume as it is afterwards this name.")
@pass_session
def import_(
    session: Session,
    *,
    source: Path,
    place: Location,
    patterns: tuple[str, ...],
    pattern_files: tuple[Path, ...],
    one_file_system: bool,
    delete: bool,
    dry_run: bool,
    snapshot: str | None,
) -> None:
    """Copy what is in the directory SRC into a folder, which is made if need be.

    SRC may be a single file; then the path is the file's own. Kept are content, names of any
    bytes, times to the nanosecond, permission bits and symlinks; hard links become copies. Not
    kept are owners, extended attributes and ACLs. What is there and equal is left alone, other
    files are replaced (their old versions stay in the history), and nothing is deleted without
    --delete.

    Sockets, devices, pipes and what cannot be read are listed as problems, and the command ends
    with 3. A file that changes while it is read is read again, and listed if it does not settle.

    Run it again to go on after an interruption, or to bring what has changed since: files whose
    size, times and inode are as before are not read again.

    With --snapshot the volume gets a snapshot when the import has come to its end, also one with
    problems; a name that is taken is refused before anything is done.
    """
    with session.open() as repository:
        volume = repository.volume(place.volume)
        if snapshot is not None:
            _check_free(volume, snapshot)
        excluded = Excluded([*patterns, *read_patterns(pattern_files)])
        choices = Choices(excluded, one_file_system, delete, dry_run, _directory_of(repository))
        if repository.is_hurt:
            session.output.warn(_MENDING)
        with StatCache(
            cache_path(repository.identity), is_believed=not repository.is_hurt
        ) as cache:
            report = _Report(session.output, dry_run=dry_run)
            with (
                Batch(volume, author(), cache, report, dry_run=dry_run) as batch,
                session.output.progress("import") as progress,
            ):
                importer = Importer(volume, batch, cache, choices, progress)
                with _Counting(source, excluded, progress):
                    _run(importer, batch, source, place.path)
            if cache.failure is not None:
                session.output.detail(f"the cache of file times was not used: {cache.failure}")
        if snapshot is not None and not dry_run:
            volume.create_snapshot(snapshot, author=author())
        made = None if snapshot is None else f"{printable(place.volume)}@{snapshot}"
        session.output.message(
            "summary", {"dry_run": dry_run, **batch.totals.members(), "snapshot": snapshot}
        )
        _finish(session.output, batch.totals, made, dry_run=dry_run)


def _check_free(volume: cas.Volume, snapshot: str) -> None:
    """Raise where no snapshot of this name can be made: before an import, not after it.

    Raises:
        cas.InvalidError: it cannot be a name.
        cas.AlreadyExistsError: it is taken.
    """
    cas.snapshot_name(snapshot)
    with suppress(cas.NotFoundError):
        volume.snapshot(snapshot)
        raise cas.AlreadyExistsError(f"{volume.name!r} has a snapshot {snapshot!r} already")


def _run(importer: Importer, batch: Batch, source: Path, path: str) -> None:
    try:
        if source.is_dir():
            importer.import_directory(source, path)
        elif path:
            importer.import_file(source, path)
        else:
            raise Failure("a single file needs a path in the volume", Exit.USAGE)
    except KeyboardInterrupt:
        batch.commit()  # What was read stays.
        raise


def _finish(output: Output, totals: Totals, snapshot: str | None, *, dry_run: bool) -> None:
    words = [
        f"{totals.added:,} added",
        f"{totals.replaced:,} replaced",
        f"{totals.unchanged:,} unchanged",
    ]
    for count, word in [
        (totals.attributes_set, "with new time or mode"),
        (totals.directories_added, "folders added"),
        (totals.removed, "removed"),
        (totals.excluded, "excluded"),
        (totals.undecided, "to be read and compared"),
        (totals.problems, "problems"),
    ]:
        if count:
            words.append(f"{count:,} {word}")
    prefix = "would be: " if dry_run else ""
    output.done(f"{prefix}{', '.join(words)}; read {size_text(totals.bytes_read)}")
    if snapshot is not None:
        output.done(f"{'would make' if dry_run else 'made'} the snapshot {snapshot}")
    if totals.problems:
        raise Failure(f"{totals.problems:,} problems; they are listed above", Exit.PROBLEMS)


def _directory_of(repository: cas.Repository) -> tuple[int, int] | None:
    """Return device and inode of the repository's directory, if it is one."""
    with suppress(OSError):
        status = repository.directory.stat()
        return status.st_dev, status.st_ino
    return None


class _Counting:
    """Counts the source in the background for the progress bar, until the context ends."""

    def __init__(self, source: Path, excluded: Excluded, progress: Progress) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if progress.is_shown and source.is_dir():
            self._thread = threading.Thread(
                target=self._count, args=(source, excluded, progress), name="count"
            )

    def __enter__(self) -> None:
        if self._thread is not None:
            self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _count(self, source: Path, excluded: Excluded, progress: Progress) -> None:
        counted = count_tree(source, excluded, self._stop)
        if counted is not None:
            progress.expect(*counted)
