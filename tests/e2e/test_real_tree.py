"""The tree of an installed Python goes in, comes out identical, and takes its room once."""

from __future__ import annotations

import json
import shutil
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.support import run_casdav, running_server
from tests.support.measures import bytes_on_disk
from tests.support.programs import needs, run_program
from tests.support.rclone import REMOTE, Rclone, find_rclone
from tests.tools.trees import describe_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = [pytest.mark.long, needs("diff")]

VOLUME: Final = "alice"
PATIENCE_SECONDS: Final = 600.0


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this Python's standard library, which nobody changes while it is read.

    Without what it has compiled: two thirds of the files, which add time and nothing else.
    """
    copy = tmp_path_factory.mktemp("real") / "python"
    unwanted = shutil.ignore_patterns("site-packages", "dist-packages", "__pycache__")
    shutil.copytree(sysconfig.get_path("stdlib"), copy, symlinks=True, ignore=unwanted)
    assert sum(1 for _ in copy.rglob("*.py")) > 500
    return copy


def import_tree(store: Path, tree: Path, path: str, cache: Path) -> Mapping[str, int]:
    """Import the tree and return the summary."""
    printed = run_casdav(
        *("--json", "import", tree, f"{VOLUME}:/{path}"),
        store=store,
        environment={"XDG_CACHE_HOME": str(cache)},
        timeout_seconds=PATIENCE_SECONDS,
    ).stdout
    summary: Mapping[str, int] = json.loads(printed.splitlines()[-1])
    return summary


def test_by_import_and_export(tree: Path, tmp_path: Path) -> None:
    store, cache, out = (tmp_path / name for name in ("store", "cache", "out"))
    run_casdav("init", store)
    run_casdav("volume", "create", VOLUME, store=store)
    first = import_tree(store, tree, "python", cache)
    assert first["problems"] == 0
    run_casdav("export", f"{VOLUME}:/python", out, store=store, timeout_seconds=PATIENCE_SECONDS)
    assert describe_tree(out) == describe_tree(tree)

    again = import_tree(store, tree, "python", cache)
    assert (again["added"], again["replaced"], again["bytes_read"]) == (0, 0, 0)
    assert again["unchanged"] == first["added"]

    stored = bytes_on_disk(store)
    assert import_tree(store, tree, "again", tmp_path / "other cache")["added"] == first["added"]
    assert bytes_on_disk(store) - stored < stored // 100


@pytest.mark.skipif(find_rclone() is None, reason="rclone is not installed")
def test_by_webdav(tree: Path, tmp_path: Path) -> None:
    with running_server(tmp_path / "store") as server:
        rclone, packs = Rclone(server), server.store / "packs"
        rclone.run("copy", "--links", "--transfers=8", tree, REMOTE + "python")
        server.stop()
        server.start()
        stored = bytes_on_disk(packs)
        rclone.run("copy", "--links", "--transfers=8", tree, REMOTE + "again")
        server.stop()
        server.start()
        # What is added is history: thousands of requests, each with its commit in the journal.
        assert bytes_on_disk(packs) - stored < bytes_on_disk(tree) // 50
        for name in ("python", "again"):
            rclone.run("copy", "--links", "--transfers=8", REMOTE + name, tmp_path / name)
            run_program("diff", "-r", "--no-dereference", tree, tmp_path / name)
