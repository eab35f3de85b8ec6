"""The Makefile tells people without a fitting Python, in one line, what to install."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def complaint(directory: Path, python: Path) -> str:
    """Run `make serve` with an interpreter that will not do, in an empty copy of the checkout."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(CHECKOUT / name, directory)
    completed = subprocess.run(
        ["make", "--no-print-directory", "serve", f"PYTHON={python}"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 2
    assert completed.stdout == ""
    assert not (directory / ".venv").exists()
    return completed.stderr


def interpreter(directory: Path, *, fails_on: str) -> Path:
    """Return a program that behaves like a Python 3.9 whose `-c` fails on code with this word."""
    path = directory / "python3"
    path.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = -V ]; then echo "Python 3.9.2"; exit; fi\n'
        f'case "$2" in *{fails_on}*) exit 1;; esac\n'
    )
    path.chmod(0o755)
    return path


def test_a_missing_interpreter_is_told_in_one_line_with_the_package_to_install(
    tmp_path: Path,
) -> None:
    [line] = complaint(tmp_path, tmp_path / "python3").splitlines()
    assert "does not run" in line
    assert "sudo apt-get install make python3-venv" in line


def test_an_old_interpreter_is_told_in_one_line_with_its_version(tmp_path: Path) -> None:
    [line] = complaint(tmp_path, interpreter(tmp_path, fails_on="version_info")).splitlines()
    assert "needs Python 3.11 or newer" in line
    assert "Python 3.9.2" in line
    assert "make PYTHON=" in line


def test_a_missing_venv_module_is_told_in_one_line_with_the_package_to_install(
    tmp_path: Path,
) -> None:
    [line] = complaint(tmp_path, interpreter(tmp_path, fails_on="ensurepip")).splitlines()
    assert "no venv module" in line
    assert "sudo apt-get install make python3-venv" in line


def test_help_is_what_make_alone_prints(tmp_path: Path) -> None:
    shutil.copy(CHECKOUT / "Makefile", tmp_path)
    printed = subprocess.run(
        ["make"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert "make serve" in printed
    assert "make test" in printed
