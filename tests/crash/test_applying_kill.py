"""kill -9 at every rename and transaction of changes to a linked folder.

Afterwards each file that was to change has its old content or the new one, nothing is there
twice, and nothing is left in syncd's own folder once its time is over.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from syncd.disk.database import Database
from syncd.disk.folder import Folder
from syncd.disk.renames import NoRenames, renames_of_this_system
from tests.support import applying_driver
from tests.support.linked import Linked
from tests.support.processes import casdav_environment

if TYPE_CHECKING:
    from pathlib import Path

POSSIBLE: dict[str, set[bytes | None]] = {
    "edited": {b"mine", b"theirs"},
    "folder/new": {b"new", None},
    "moved": {b"moved", None},
    "folder/moved": {b"moved", None},
    "gone": {b"gone", None},
}
MOST_MOMENTS = 60


def run_killed(base: Path, *, which: int, two_steps: bool) -> bool:
    """Run the driver on a new folder; return whether it came to its end."""
    root = base / "linked"
    (root / "folder").mkdir(parents=True)
    for name, content in (("edited", b"mine"), ("moved", b"moved"), ("gone", b"gone")):
        (root / name).write_bytes(content)
    words = [str(root), str(base / "state"), str(which)]
    run = subprocess.run(
        [sys.executable, "-m", applying_driver.__name__, *words, *(["two"] if two_steps else [])],
        env=casdav_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode in {0, -9}, run.stderr
    return run.returncode == 0


def check_after(base: Path, *, two_steps: bool) -> None:
    renames = NoRenames() if two_steps else renames_of_this_system()
    with Folder(base / "linked", renames) as folder, Database(base / "state") as database:
        linked = Linked(folder, database)
        assert linked.trash.recover() == []
        tree = linked.tree()
        assert tree.pop("folder") is None
        assert set(tree) <= set(POSSIBLE)
        for path, contents in POSSIBLE.items():
            assert tree.get(path) in contents, path
        assert ("moved" in tree) != ("folder/moved" in tree)
        linked.trash.sweep(2**62)
        assert linked.hidden() == []
        with database.reading() as connection:
            assert connection.execute("SELECT count(*) FROM intents").fetchone() == (0,)
        assert linked.tree() == {**tree, "folder": None}


@pytest.mark.parametrize("way", ["one step", "two steps"])
def test_a_kill_at_any_moment_loses_and_doubles_nothing(tmp_path: Path, way: str) -> None:
    two_steps = way == "two steps"
    for which in range(1, MOST_MOMENTS):
        base = tmp_path / str(which)
        is_over = run_killed(base, which=which, two_steps=two_steps)
        check_after(base, two_steps=two_steps)
        if is_over:
            assert which > 8, "the driver should have been killed at least so often"
            return
    pytest.fail("the driver never came to its end")
