"""Programs that are clients or peers under test: finding them, running them, being root."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

# Where Debian keeps servers and mount helpers, which is on the path of root alone.
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def find_program(name: str) -> str | None:
    """Return the path of a program, also of one that only root has on its path."""
    return shutil.which(name, path=_PATH)


def needs(*names: str) -> pytest.MarkDecorator:
    """Return the mark that skips a test where one of the programs is not installed."""
    missing = [name for name in names if find_program(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def as_root(*words: str | Path) -> list[str]:
    """Return the words of a command that is run as root, with sudo where we are somebody else."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    return [*prefix, *map(str, words)]


def can_be_root() -> bool:
    """Whether `as_root` works here without a password."""
    if os.geteuid() == 0:
        return True
    if find_program("sudo") is None:
        return False
    return subprocess.run(as_root("true"), capture_output=True, check=False).returncode == 0


def ordinary_rights() -> list[str]:
    """Return the words before a command whom permission bits bind, even if root runs it.

    Skips the test where we are root and cannot give that up.
    """
    if os.geteuid() != 0:
        return []
    if find_program("setpriv") is None:
        pytest.skip("root may read and write everything, and setpriv is not installed")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]


def run_program(
    *words: str | Path,
    cwd: Path | None = None,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = 120.0,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it printed; unless told otherwise it must succeed.

    Args:
        *words: the program and its arguments.
        cwd: where it runs.
        stdin: text for standard input.
        environment: variables beside those of this process.
        timeout_seconds: when to kill it.
        check: whether an exit code other than 0 fails the test, with all that it printed.
    """
    completed = subprocess.run(
        [*map(str, words)],
        cwd=cwd,
        input=stdin,
        env={**os.environ, "PATH": _PATH, **(environment or {})},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_seconds,
        check=False,
    )
    if check:
        assert completed.returncode == 0, (
            f"{' '.join(map(str, words))} ended with {completed.returncode}\n"
            f"{completed.stdout}{completed.stderr}"
        )
    return completed
