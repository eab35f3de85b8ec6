"""Standard output is for results; progress is for a terminal, on standard error."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.support import casdav_command
from tests.support.processes import casdav_environment
from tools.source_tree import Excluded, count_tree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.conftest import Casdav


@pytest.fixture
def source(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    (top / "folder").mkdir(parents=True)
    (top / "folder" / "a").write_bytes(b"a" * 1000)
    (top / "b").write_bytes(b"b" * 24)
    (top / "link").symlink_to("b")
    return top


def run_on_terminal(casdav: Casdav, *words: str) -> tuple[str, str]:
    """Run a command whose standard error is a terminal; return both outputs."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [*casdav_command(), *words],
        env=casdav_environment({"CASDAV_STORE": str(casdav.store), "TERM": "xterm"}),
        stdout=subprocess.PIPE,
        stderr=its,
    )
    os.close(its)
    shown = b""
    with suppress(OSError):  # The end of a terminal is an error on Linux.
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out.decode(), shown.decode()


def test_a_terminal_sees_progress_and_standard_output_stays_json(
    casdav: Casdav, source: Path
) -> None:
    out, shown = run_on_terminal(casdav, "import", "--json", str(source), "v:/x")
    [summary] = [json.loads(line) for line in out.splitlines()]
    assert summary["added"] == 3
    assert "import" in shown
    assert "3 files" in shown
    assert "\x1b[3" not in shown  # NO_COLOR is set.


@pytest.mark.parametrize(("command", "counted"), [("gc", "steps"), ("check", "packs")])
def test_long_upkeep_says_what_it_counts(
    casdav: Casdav, source: Path, command: str, counted: str
) -> None:
    casdav("import", source, "v:/x")
    _, shown = run_on_terminal(casdav, command)
    assert command in shown
    assert f" {counted}" in shown
    assert " files" not in shown


def test_quiet_shows_no_progress(casdav: Casdav, source: Path) -> None:
    assert run_on_terminal(casdav, "import", "-q", str(source), "v:/x") == ("", "")


def test_without_a_terminal_standard_error_stays_empty(casdav: Casdav, source: Path) -> None:
    assert casdav("import", source, "v:/x").err == ""


def test_counting_leaves_out_what_is_excluded_and_can_be_stopped(source: Path) -> None:
    stop = threading.Event()
    assert count_tree(source, Excluded([]), stop) == (3, 1024)
    assert count_tree(source, Excluded(["folder/"]), stop) == (2, 24)
    stop.set()
    assert count_tree(source, Excluded([]), stop) is None
