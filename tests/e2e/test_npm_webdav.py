"""The npm package `webdav`, which web applications and plugins use, as a client."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.programs import needs, run_program

if TYPE_CHECKING:
    from tests.support import Server

pytestmark = [pytest.mark.debian, needs("node", "npm")]

PACKAGE: Final = "webdav@5"
SCRIPT: Final = Path(__file__).with_name("webdav_client.mjs")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the package in it, and the script, which looks for it from where it is."""
    directory = tmp_path_factory.mktemp("node")
    (directory / "package.json").write_text('{"private": true}')
    run_program(
        *["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", PACKAGE],
        cwd=directory,
        timeout_seconds=300,
    )
    shutil.copy(SCRIPT, directory)
    return directory


def test_the_package_does_all_that_it_can(server: Server, project: Path) -> None:
    completed = run_program(
        *["node", SCRIPT.name, server.url, server.user, server.password], cwd=project
    )
    assert completed.stdout == "all as it must be\n"
