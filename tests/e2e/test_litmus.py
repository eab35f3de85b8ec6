"""litmus, the WebDAV protocol test suite, passes whole: nothing failed, skipped or warned of."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from tests.support import running_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.seaweed import Bucket
    from tests.support.server import Server

pytestmark = pytest.mark.debian

SUITES: Final = ["basic", "copymove", "props", "locks", "http"]


@pytest.mark.parametrize("workers", [1, 2])
def test_all_five_suites_pass_without_a_skip_or_a_warning(tmp_path: Path, workers: int) -> None:
    with running_server(tmp_path / "store", "--workers", str(workers)) as server:
        run_litmus(server, tmp_path)


@pytest.mark.parametrize(
    ("durability", "encrypts"),
    [
        ("remote", "1"),
        pytest.param("remote", "0", marks=pytest.mark.soak),
        pytest.param("local", "1", marks=pytest.mark.soak),
        ("local", "0"),
    ],
)
def test_they_pass_with_the_store_in_a_bucket(
    tmp_path: Path,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    durability: str,
    encrypts: str,
) -> None:
    monkeypatch.setenv("CASDAV_ENCRYPT", encrypts)
    monkeypatch.setenv("CASDAV_PASSWORD", "of this test alone")
    location = bucket.url(durability=durability, local=str(tmp_path / "local"))
    with running_server(tmp_path / "store", location=location) as server:
        run_litmus(server, tmp_path)


def run_litmus(server: Server, directory: Path) -> None:
    """Run all suites; all their tests must pass."""
    completed = subprocess.run(
        # -k: go on after a failed suite, so that the report is whole.
        ["litmus", "-k", server.url, server.user, server.password],
        cwd=directory,  # litmus writes its logs where it stands.
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    report = completed.stdout + completed.stderr
    print(report)
    assert completed.returncode == 0
    summaries = re.findall(r"summary for `(\w+)': of (\d+) tests run: (\d+) passed", report)
    assert [suite for suite, run, passed in summaries if run == passed] == SUITES
    assert not re.search(r"FAIL|SKIPPED|WARNING", report)
