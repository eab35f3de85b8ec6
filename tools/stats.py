"""`casdav stats`: what the repository holds, what it takes on the disk, and how it grew."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import click

import cas
from tools.exits import Exit, Failure
from tools.framework import Command
from tools.names import json_name, printable, short_time, size_text, time_text
from tools.output import Output
from tools.plotting import growth_plot
from tools.session import Session, pass_session

_BLOCK: Final = 512
_POINTS_SHOWN: Final = 12
_POINTS_PLOTTED: Final = 200


@click.command(
    cls=Command,
    examples="""
    casdav stats
    casdav stats --stored --json
    casdav stats --growth --plot growth.svg
    """,
)
@click.option("--stored", is_flag=True, help="Find out what each volume takes: reads all folders.")
@click.option("--growth", is_flag=True, help="Show sizes over time.")
@click.option(
    "--plot",
    metavar="FILE.svg",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw sizes over time.",
)
@pass_session
def stats(session: Session, *, stored: bool, growth: bool, plot: Path | None) -> None:
    """Show how much the volumes hold, and how much disk the repository takes.

    Volumes are counted as people see their files. What is kept is counted once, after
    deduplication and compression, with all history and what waits to be collected; the disk as it
    is used.
    """
    if plot is not None and plot.suffix.lower() != ".svg":
        raise Failure(
            f"{str(plot)!r}: plots are SVG, so give a name that ends with .svg", Exit.USAGE
        )
    with session.open() as repository:
        members = _members(repository, stored=stored)
        if growth:
            members["growth"] = _growth_members(repository)
        if plot is not None:
            plot.write_text(growth_plot(_growths(repository, _POINTS_PLOTTED)), encoding="utf-8")
    session.output.document(members)
    _describe(session, members)


def _members(repository: cas.Repository, *, stored: bool) -> dict[str, Any]:
    with ExitStack() as stack:
        views = {
            info.name: stack.enter_context(repository.volume(info.name).view())
            for info in repository.volumes()
        }
        volumes = [
            {
                **json_name("name", name),
                "files": view.root.files,
                "folders": view.root.folders,
                "size": view.root.size,
            }
            for name, view in views.items()
        ]
        found: list[cas.StoredSums] = []
        together = None
        if stored:
            found, together = cas.sum_states(repository, views.values())
    for volume, sums in zip(volumes, found, strict=False):
        volume |= {"unique": sums.plain, "stored": sums.stored}
    repository.checkpoint()
    kept = cas.sum_kept(repository)
    members: dict[str, Any] = {
        "store": printable(repository.location),
        "identity": repository.identity.hex(),
        "volumes": len(volumes),
        **{key: sum(each[key] for each in volumes) for key in ("files", "folders", "size")},
        "by_volume": volumes,
        "kept": {
            "chunks": kept.content.objects,
            "unique": kept.content.plain,
            "stored": kept.content.stored,
            "metadata_stored": kept.metadata.stored,
        },
        "disk": _disk_usage(repository.directory),
    }
    if (waiting := repository.waiting) is not None:
        members["waiting"] = waiting._asdict()
    if together is not None:
        members |= {"unique": together.plain, "stored": together.stored}
    return members


def _growths(repository: cas.Repository, points: int) -> dict[str, Sequence[cas.Growth]]:
    return {info.name: cas.growth(repository, info.id, points) for info in repository.volumes()}


def _growth_members(repository: cas.Repository) -> list[dict[str, Any]]:
    return [
        {
            **json_name("volume", name),
            "time": time_text(point.time_ns),
            "time_ns": point.time_ns,
            "size": point.size,
            "files": point.files,
        }
        for name, points in _growths(repository, _POINTS_SHOWN).items()
        for point in points
    ]


def _describe(session: Session, members: Mapping[str, Any]) -> None:
    output = session.output
    output.text(f"store     {members['store']}")
    output.text(f"identity  {members['identity']}")
    output.text()
    headings = ["VOLUME", ">FILES", ">FOLDERS", ">SIZE"]
    rows = list(members["by_volume"])
    if "stored" in members:
        headings += [">UNIQUE", ">STORED", ">DEDUP", ">COMPRESSION"]
        rows.append({**members, "name": "all together"})
    output.table(headings, [_row(each) for each in rows])
    output.text()
    kept = members["kept"]
    ratio = _ratio(kept["unique"], kept["stored"])
    output.text(
        f"kept in all, with history: {kept['chunks']:,} chunks, {size_text(kept['unique'])}, "
        f"stored as {size_text(kept['stored'])} ({ratio}); "
        f"folders and history {size_text(kept['metadata_stored'])}"
    )
    output.text()
    disk = members["disk"]
    output.table(["ON DISK", ">SIZE"], [[name, size_text(size)] for name, size in disk.items()])
    if "waiting" in members:
        output.text()
        _describe_waiting(output, members["waiting"])
    if "growth" in members:
        output.text()
        grown = [
            [
                printable(each["volume"]),
                short_time(each["time_ns"]),
                f"{each['files']:,}",
                size_text(each["size"]),
            ]
            for each in members["growth"]
        ]
        output.table(["VOLUME", "TIME", ">FILES", ">SIZE"], grown)


def _row(sums: Mapping[str, Any]) -> list[str]:
    row = [
        printable(sums["name"]),
        f"{sums['files']:,}",
        f"{sums['folders']:,}",
        size_text(sums["size"]),
    ]
    if "stored" in sums:
        row += [size_text(sums["unique"]), size_text(sums["stored"])]
        row += [_ratio(sums["size"], sums["unique"]), _ratio(sums["unique"], sums["stored"])]
    return row


def _ratio(size: int, smaller: int) -> str:
    return f"{size / smaller:.2f} x" if smaller else "-"


def _describe_waiting(output: Output, waiting: dict[str, Any]) -> None:
    output.text(
        f"not in the bucket yet: {size_text(waiting['size'])} in {waiting['packs']:,} packs and "
        f"open ones, {waiting['changes']:,} changes of refs"
    )
    if waiting["error"]:
        output.text(f"the last upload failed: {printable(waiting['error'])}")


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
