"""The tests of the engine, the drive and the command line once more, on encrypted repositories."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import pytest

from tests.support.encrypted import VARIABLE, is_asked
from tests.support.processes import CHECKOUT

SHORT: Final = (
    "tests/cas/test_repository.py",
    "tests/cas/test_rebuild.py",
    "tests/cas/test_snapshots.py",
)
"""A little of everything, for each run of the tests."""


def run(*words: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=CHECKOUT,
        env={**os.environ, VARIABLE: "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-5_000:]


@pytest.mark.skipif(is_asked(), reason="this run is one of those")
def test_a_short_pass() -> None:
    run(*SHORT)


@pytest.mark.soak
def test_all_of_them() -> None:
    run("tests/cas", "tests/dav", "tests/tools", "tests/models")
