"""Options and fixtures of the benchmarks, and the table at the end of a run."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final

import pytest

from bench.figures import Table
from bench.scale import SCALES, Scale

_TABLE: Final = pytest.StashKey[Table]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("casdav benchmarks")
    group.addoption("--scale", choices=sorted(SCALES), default="quick", help="how much is measured")
    group.addoption(
        "--place",
        default=tempfile.gettempdir(),
        help="directory on the file system that is measured; everything there is removed again",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TABLE] = Table()


@pytest.fixture(scope="session")
def scale(request: pytest.FixtureRequest) -> Scale:
    return SCALES[request.config.getoption("--scale")]


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Table:
    return request.config.stash[_TABLE]


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, table: Table) -> Iterator[Path]:
    """A directory for this module's stores and trees, which peers under other users can enter."""
    parent = request.config.getoption("--place")
    directory = Path(tempfile.mkdtemp(prefix="casdav-bench-", dir=parent))
    directory.chmod(0o755)
    if not table.notes:
        table.notes.append(
            f"One write and fdatasync of 4 KiB took {_sync_seconds(directory):.3g} s."
        )
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """Keep the settings and caches of the person who runs this out of what is measured."""
    for name in list(os.environ):
        if name.startswith(("CASDAV_", "RCLONE_", "RESTIC_", "BORG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "config"))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    table = config.stash[_TABLE]
    if table.rows:
        terminalreporter.section(f"figures (--scale {config.getoption('--scale')})")
        for line in table.lines():
            terminalreporter.write_line(line)


def _sync_seconds(directory: Path) -> float:
    """Return the median time in seconds of a small write that is brought to the disk."""
    path = directory / "probe"
    times = []
    with path.open("wb", buffering=0) as file:
        for _ in range(21):
            start = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    path.unlink()
    return median(times)
