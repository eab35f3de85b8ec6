"""How a run of `casdav` begins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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


def test_who_has_no_bucket_does_not_wait_for_its_client(tmp_path: Path) -> None:
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print([m for m in ('boto3', 'rich', 'websockets', 'wsgidav')"
        " if m in sys.modules]))\n"
        "from tools.start import main\n"
        "main()\n"
    )
    store = str(tmp_path / "store")
    for command in (["init"], ["volume", "create", "v"], ["ls", "v:/"]):
        done = subprocess.run(
            [sys.executable, "-c", code, "--store", store, *command],
            env=casdav_environment(),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == "[]", command
