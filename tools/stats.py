"""`casdav stats`: what the repository holds, and what it takes on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

import cas
from tools.framework import Command
from tools.names import printable, size_text
from tools.session import Session, pass_session

_BLOCK = 512


@click.command(
    cls=Command,
    examples="""
    casdav stats
    casdav stats --json
    """,
)
@pass_session
def stats(session: Session) -> None:
    """Show how much the volumes hold, and how much disk the repository takes.

    Volumes are counted as people see their files, the disk as it is used: after deduplication
    and compression, with all history and what waits to be collected.
    """
    with session.open() as repository:
        roots = {}
        for info in repository.volumes():
            with repository.volume(info.name).view() as view:
                roots[info.name] = view.root
        repository.checkpoint()
        disk = _disk_usage(Path(repository.location))
        members = {
            "store": printable(repository.location),
            "identity": repository.identity.hex(),
            "volumes": len(roots),
            "files": sum(root.files for root in roots.values()),
            "folders": sum(root.folders for root in roots.values()),
            "size": sum(root.size for root in roots.values()),
            "disk": disk,
        }
    session.output.document(members)
    _describe(session, members, roots, disk)


def _describe(
    session: Session,
    members: dict[str, object],
    roots: dict[str, cas.Entry],
    disk: dict[str, int],
) -> None:
    session.output.text(f"store     {members['store']}")
    session.output.text(f"identity  {members['identity']}")
    session.output.text()
    rows = [
        [printable(name), f"{root.files:,}", f"{root.folders:,}", size_text(root.size)]
        for name, root in roots.items()
    ]
    session.output.table(["VOLUME", ">FILES", ">FOLDERS", ">SIZE"], rows)
    session.output.text()
    session.output.table(
        ["ON DISK", ">SIZE"], [[name, size_text(size)] for name, size in disk.items()]
    )


def _disk_usage(top: Path) -> dict[str, int]:
    """Return the bytes that the disk has given to each part of the repository, and to all."""
    usage: dict[str, int] = {}
    for path, status in _files(top):
        part = path.relative_to(top).parts[0]
        usage[part] = usage.get(part, 0) + status.st_blocks * _BLOCK
    return {**dict(sorted(usage.items())), "total": sum(usage.values())}


def _files(top: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for folder, _, names in os.walk(top):
        for name in names:
            path = Path(folder, name)
            try:
                yield path, path.lstat()
            except FileNotFoundError:
                continue  # Sealed or dropped by another process in this moment.
