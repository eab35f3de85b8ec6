"""An upload that nobody finishes goes by itself."""

from __future__ import annotations

from pathlib import Path

import cas
from dav import transfers
from dav.unfinished import FOLDER
from dav.upkeep import Job, Upkeep
from tests.support.waiting import wait_until


def names(repository: cas.Repository) -> list[str]:
    with repository.registry.view() as view:
        return [path for path, _ in view.walk(FOLDER)]


def test_an_expired_transfer_is_removed_and_its_neighbour_stays(tmp_path: Path) -> None:
    with cas.create(tmp_path / "store") as repository:
        with repository.registry.edit() as edit:
            edit.make_directory(f"{FOLDER}/ann/old", parents=True)
            edit.make_directory(f"{FOLDER}/ann/new", parents=True)
            edit.set_properties(f"{FOLDER}/ann/old", mtime_ns=1)
        upkeep = Upkeep(transfers.upkeep(repository, 3600, interval_seconds=0.01))
        try:
            wait_until(lambda: len(names(repository)) == 2, "the old transfer is gone")
        finally:
            upkeep.close()
        assert names(repository) == [
            f"{FOLDER}/ann",
            f"{FOLDER}/ann/new",
        ]


def test_a_job_that_fails_is_done_again_and_holds_up_no_other() -> None:
    runs: list[str] = []

    def fail() -> None:
        runs.append("failed")
        raise cas.StoreError("the disk is broken")

    jobs = Job("failing", 0.001, fail), Job("another", 0.001, lambda: runs.append("done"))
    upkeep = Upkeep(*jobs)
    try:
        wait_until(lambda: min(map(runs.count, ("failed", "done"))) >= 3, "both jobs to go on")
    finally:
        upkeep.close()
