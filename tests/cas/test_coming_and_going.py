"""Processes that open and close a repository at once: none trips over another that ends."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import cas
from cas.catalog import Catalog
from cas.processes import Process, live_processes
from tests.support.checking import assert_sound
from tests.support.clock import FakeClock
from tests.support.processes import CHECKOUT, casdav_environment

if TYPE_CHECKING:
    from pathlib import Path

_COME_AND_GO = """
import sys
import cas
for number in range(0, 40, 2):
    one, other = cas.open(sys.argv[1]), cas.open(sys.argv[1])
    for step, repository in enumerate([one, other]):
        with repository.volume("v").edit() as edit:
            edit.make_directory(f"{sys.argv[2]}{number + step}")
        repository.close()
"""


def test_nothing_is_lost_and_nobody_fails_where_processes_come_and_go(tmp_path: Path) -> None:
    with cas.create(tmp_path) as repository:
        repository.create_volume("v")
    command = [sys.executable, "-c", _COME_AND_GO, str(tmp_path)]
    environment = casdav_environment()
    processes = [
        subprocess.Popen([*command, name], cwd=CHECKOUT, env=environment) for name in "abc"
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    with cas.open(tmp_path) as repository:
        with repository.volume("v").view() as view:
            found = {name for name, _ in view.list()}
        assert found == {f"{name}{number}" for name in "abc" for number in range(40)}
        assert_sound(repository)


def test_a_process_counts_until_its_catalog_is_closed(tmp_path: Path) -> None:
    """Else another would replace the catalog's file under it."""
    directory = tmp_path / "processes"
    catalog = Catalog(tmp_path / "catalog")
    process = Process(catalog, directory, FakeClock())
    process.close()
    assert live_processes(directory)
    catalog.close()
    process.let_go()
    assert not live_processes(directory)
    assert not list(directory.iterdir())
