"""`casdav export`: copy a folder or file of a volume to this machine."""

from __future__ import annotations

import os
from pathlib import Path

import click

import cas
from tools.entries import viewed
from tools.exits import Exit, Failure
from tools.exporter import Exporter, Written
from tools.framework import Command
from tools.names import json_name, printable, size_text
from tools.output import Output
from tools.parameters import PAST_LOCATION, Location
from tools.session import Session, pass_session
from tools.target_tree import TargetTree, open_destination


class _Report:
    """Tells of single files: problems always, the others with `-v` and in a dry run."""

    def __init__(self, output: Output, *, dry_run: bool) -> None:
        self._output = output
        self._shows_actions = dry_run or output.verbosity > 0

    def problem(self, path: str, reason: str) -> None:
        self._output.problem(path, reason)

    def action(self, action: str, path: str) -> None:
        if self._shows_actions:
            self._output.message("action", {"action": action, **json_name("path", path)})
            self._output.text(f"{'~' if action == 'overwrite' else '+'} {printable(path)}")


@click.command(
    cls=Command,
    examples="""
    casdav export alice:/photos ~/photos
    casdav export --overwrite alice:/docs /mnt/usb/docs
    casdav export alice:/notes.txt ./notes.txt
    """,
)
@click.argument("place", metavar="VOLUME[@WHEN]:/PATH", type=PAST_LOCATION)
@click.argument("destination", metavar="DEST", type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Write into a directory that is not empty.")
@click.option("--keep-set-id", is_flag=True, help="Keep set-user-id and set-group-id of files.")
@click.option("--sync/--no-sync", default=True, help="Wait until the disk has it. Default: yes.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be written.")
@pass_session
def export(
    session: Session,
    *,
    place: Location,
    destination: Path,
    overwrite: bool,
    keep_set_id: bool,
    sync: bool,
    dry_run: bool,
) -> None:
    """Copy what is in a folder into the directory DEST, which is made if need be.

    PATH may be a file; then DEST is the file to write. Content, names, times, permission bits and
    symlinks are as they went in. Every byte is checked: a damaged file is named and left out, the
    rest goes on, and the command ends with 3.

    Each file is written under a temporary name (.casdav-export-*) and renamed when it is whole.
    Nothing is written through a symlink in DEST, and nothing deleted there. Files are not synced
    one by one: at the end the command waits once until the disk has all of them, unless
    --no-sync is given.
    """
    with session.open() as repository, viewed(repository, place) as (view, entry):
        report = _Report(session.output, dry_run=dry_run)
        if dry_run:
            written = _foresee(view, place.path, entry, destination, report)
        else:
            with session.output.progress("export") as progress:
                progress.expect(entry.file_count, entry.size)
                tree = TargetTree(overwrite=overwrite, keep_set_id=keep_set_id)
                exporter = Exporter(view, tree, report, progress)
                if entry.is_directory:
                    descriptor = open_destination(destination, overwrite=overwrite)
                    exporter.export_directory(place.path, entry, descriptor)
                else:
                    _check_file(destination, overwrite=overwrite)
                    exporter.export_file(place.path, entry, destination)
                written = exporter.written
            if sync:
                os.sync()
        _finish(session.output, written, dry_run=dry_run)


def _check_file(destination: Path, *, overwrite: bool) -> None:
    if destination.is_dir():
        raise Failure(f"{str(destination)!r} is a directory; name the file to write", Exit.CONFLICT)
    if not overwrite and os.path.lexists(destination):
        raise Failure(f"{str(destination)!r} exists; add --overwrite to replace it", Exit.CONFLICT)


def _foresee(
    view: cas.View, path: str, entry: cas.Entry, destination: Path, report: _Report
) -> Written:
    """Report what an export would write."""
    written = Written()
    found = view.walk(path) if entry.is_directory else iter([(path, entry)])
    for below, item in found:
        relative = below.removeprefix(path).lstrip("/")
        is_there = os.path.lexists(destination / relative)
        if item.is_directory:
            written.folders += not is_there
            continue
        written.symlinks += not item.is_file
        written.files += item.is_file
        written.bytes += item.size if item.is_file else 0
        report.action("overwrite" if is_there else "write", below)
    return written


def _finish(output: Output, written: Written, *, dry_run: bool) -> None:
    output.message("summary", {"dry_run": dry_run, **written.members()})
    verb = "would write" if dry_run else "wrote"
    links = f", {written.symlinks:,} symlinks" if written.symlinks else ""
    size = size_text(written.bytes)
    output.done(f"{verb} {written.files:,} files{links}, {written.folders:,} folders, {size}")
    if written.problems:
        problems = f"{written.problems:,} problems; they are listed above"
        raise Failure(problems, Exit.PROBLEMS)
