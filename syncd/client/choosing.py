"""`syncd skip` and `syncd unskip`: which folders this device does not want."""

from __future__ import annotations

import os

import click
import msgspec

from syncd.client import links, places
from syncd.client.exits import Exit, Failure
from syncd.client.linking import reload_daemon
from syncd.client.links import Link
from syncd.client.printing import say
from syncd.client.showing import size_words
from syncd.disk.name_map import true_path
from syncd.disk.state import LinkState
from syncd.skipping import Skipped
from syncd.trees import below, find

_paths = click.argument("paths", nargs=-1, type=click.Path(), metavar="FOLDER...")


@click.command(epilog="Example: syncd skip ~/Drive/Films")
@_paths
@click.option("--dry-run", is_flag=True, help="Only say what would be removed here.")
def skip(paths: tuple[str, ...], dry_run: bool) -> None:  # noqa: FBT001 - as click calls it
    """Have folders no more on this device; without any, list those that are skipped.

    They stay on the server and on other devices. Here goes what the server has as it is; what was
    changed since stays, and is not synced.
    """
    if not paths:
        for link in links.load().links:
            for path in skipped_now(link):
                say(os.path.join(link.root, path))  # noqa: PTH118 - as text
        return
    link, chosen = _chosen(paths)
    if "" in chosen:
        raise Failure("the folder as a whole is unlinked, not skipped", Exit.USAGE)
    for path in chosen:
        files, size = _held(link, path)
        would = "would be " if dry_run else ""
        say(f"{path}: {files} files, {size_words(size)}, {would}removed from this device")
    if not dry_run:
        _save(link, {*skipped_now(link), *chosen})


@click.command(epilog="Example: syncd unskip ~/Drive/Films")
@_paths
def unskip(paths: tuple[str, ...]) -> None:
    """Have folders on this device again that were skipped."""
    if not paths:
        raise Failure("name the folders; `syncd skip` lists those that are skipped", Exit.USAGE)
    link, chosen = _chosen(paths)
    before = set(skipped_now(link))
    if unknown := [path for path in chosen if path not in before]:
        raise Failure(f"{unknown[0]} is not skipped; `syncd skip` lists what is", Exit.NOT_LINKED)
    _save(link, before - set(chosen))
    for path in chosen:
        say(f"{path}: comes to this device")


def _chosen(paths: tuple[str, ...]) -> tuple[Link, list[str]]:
    """Return the link that paths on this disk are in, and what they are in its place."""
    link = links.find(links.load(), paths[0])
    state = LinkState(places.state_file(link.id))
    chosen = []
    try:
        for path in paths:
            whole = os.path.realpath(path)
            if not links.is_within(whole, link.root):
                raise Failure(f"{path} is not in {link.root}", Exit.USAGE)
            inner = os.path.relpath(whole, link.root)
            chosen.append(true_path(state.database, state.base, "" if inner == "." else inner))
    finally:
        state.close()
    return link, chosen


def skipped_now(link: Link) -> list[str]:
    """Return what is skipped now, where it has been renamed since too."""
    state = LinkState(places.state_file(link.id))
    try:
        skipped = Skipped(state)
        return skipped.paths if skipped.said == sorted(link.skipped) else sorted(link.skipped)
    finally:
        state.close()


def _held(link: Link, path: str) -> tuple[int, int]:
    """Return how many files this device has in a folder, and their bytes."""
    state = LinkState(places.state_file(link.id))
    try:
        node = find(state.base, path)
        nodes = [] if node is None else [node, *below(state.base, node)]
        found = [one for one in map(state.base.get, nodes) if one is not None and not one.is_folder]
        return len(found), sum(one.item.size for one in found)
    finally:
        state.close()


def _save(link: Link, skipped: set[str]) -> None:
    settings = links.load()
    settings.links = [
        msgspec.structs.replace(one, skipped=sorted(skipped)) if one.id == link.id else one
        for one in settings.links
    ]
    links.save(settings)
    reload_daemon()
