"""How a run of `casdav` begins."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.support.processes import casdav_command, casdav_environment


def test_ctrl_c_while_it_is_being_loaded_says_nothing(tmp_path: Path) -> None:
    slow = tmp_path / "click.py"  # found before the real one
    slow.write_text("import os, signal\nos.write(1, b'loading')\nsignal.pause()\n")
    path = os.pathsep.join([str(tmp_path), casdav_environment()["PYTHONPATH"]])
    process = subprocess.Popen(
        [*casdav_command(), "gc"],
        env=casdav_environment({"PYTHONPATH": path}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.read(7) == b"loading"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert said == b""
    assert process.returncode == -signal.SIGINT  # a shell says 130
