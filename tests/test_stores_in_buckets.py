"""The tests of the drive's protocol and of history once more, with the store in a bucket."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import pytest

from tests.support.encrypted import VARIABLE
from tests.support.processes import CHECKOUT

HISTORY: Final = (
    *("deleted_volumes", "diff", "done", "folders", "log", "moves", "past"),
    *("rollback", "snapshots", "statistics", "versions", "views"),
)


@pytest.mark.soak
@pytest.mark.parametrize("durability", ["remote", "local"])
@pytest.mark.parametrize("encrypts", ["1", "0"], ids=["encrypted", "plain"])
def test_the_drive_and_its_history(durability: str, encrypts: str) -> None:
    history = [f"tests/cas/test_{name}.py" for name in HISTORY]
    words = ["-q", "-p", "no:cacheprovider", "--in-bucket", durability, "tests/dav/protocol"]
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *words, *history],
        cwd=CHECKOUT,
        env={**environment, **({VARIABLE: "1"} if encrypts == "1" else {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-5_000:]
