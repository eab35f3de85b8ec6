"""What the tests of the command line share: a repository, and `casdav` as a function."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import cas
from tests.support.processes import casdav_command, casdav_environment
from tests.support.programs import ordinary_rights, run_program
from tools import cli

if TYPE_CHECKING:
    from collections.abc import Sequence


class Program:
    """The entry point in the shape that click's runner wants."""

    name = "casdav"

    def main(self, args: Sequence[str], prog_name: str, **_: object) -> None:
        cli.main(args, prog_name)


@dataclass(frozen=True)
class Ended:
    """What a run printed, and its exit code."""

    code: int
    out: str
    err: str
    out_bytes: bytes

    @property
    def document(self) -> Any:  # noqa: ANN401
        return json.loads(self.out)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Casdav:
    """Runs `casdav` in this process on one repository."""

    def __init__(self, store: Path) -> None:
        self.store = store

    def __call__(self, *arguments: str | Path, stdin: str = "", code: int | None = 0) -> Ended:
        """Run a command; fail unless it ends with the code (None: any)."""
        result = CliRunner().invoke(
            Program(),  # type: ignore[arg-type]
            [str(argument) for argument in arguments],
            input=stdin,
            env={"CASDAV_STORE": str(self.store)},
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        ended = Ended(result.exit_code, result.stdout, result.stderr, result.stdout_bytes)
        assert code is None or ended.code == code, f"ended with {ended}"
        return ended

    def without_rights(self, *arguments: str | Path) -> tuple[int, str]:
        """Run a command whom permission bits bind; return its exit code and standard error."""
        ended = run_program(
            *(*ordinary_rights(), *casdav_command(), *arguments),
            environment=casdav_environment({"CASDAV_STORE": str(self.store)}),
            check=False,
        )
        return ended.returncode, ended.stderr


@pytest.fixture(autouse=True)
def _user_directories(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the settings and caches of whoever runs the tests out of them."""
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))


@pytest.fixture
def casdav(tmp_path: Path) -> Casdav:
    """`casdav` on a new repository with the volume `v`."""
    store = tmp_path / "store"
    with cas.create(store) as repository:
        repository.create_volume("v")
    return Casdav(store)
