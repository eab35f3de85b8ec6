"""Programs that bring directory trees in and out of a repository: ours, restic, borg.

borg runs without encryption, restic cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench import processes
from bench.corpus import Tree
from bench.peers import BORG, RESTIC, program
from tests.support.processes import casdav_command, casdav_environment, run_casdav

BORG_ZSTD = "borg zstd,1"
_VOLUME = "bench"


@dataclass
class BackupTool:
    """A tool with a repository: how it is made, filled, read back, checked to the last byte.

    `prune` forgets all states but the newest and gives their room back.
    """

    repository: Path
    initialise: Callable[[], object]
    ingest: list[str | Path]
    restore: Callable[[Path], list[str | Path]]
    check: list[str | Path]
    prune: list[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, command: list[str | Path]) -> processes.Cost:
        return processes.run(command, self.environment)


def casdav(place: Path, tree: Tree, key_file: Path | None = None) -> BackupTool:
    """Return ours; with a key file, the repository is encrypted."""
    repository = place / "casdav"
    keys = {"CASDAV_KEY_FILE": str(key_file), "CASDAV_ENCRYPT": "1"} if key_file else {}
    command: list[str | Path] = [*casdav_command()]

    def initialise() -> None:
        run_casdav("init", repository, environment=keys)
        run_casdav("volume", "create", _VOLUME, store=repository, environment=keys)

    return BackupTool(
        repository,
        initialise,
        [*command, "-q", "import", tree.top, f"{_VOLUME}:/tree"],
        lambda target: [*command, "-q", "export", f"{_VOLUME}:/tree", target / "tree"],
        [*command, "-q", "check", "--read-data"],
        [*command, "-q", "gc", "--keep-versions", "1", "--grace", "0"],
        casdav_environment({"CASDAV_STORE": str(repository), **keys}),
    )


def peers(place: Path, tree: Tree) -> dict[str, BackupTool]:
    tools: dict[str, BackupTool] = {}
    reasons = []
    for make in (_restic, _borg):
        try:
            tools |= make(place, tree)
        except pytest.skip.Exception as skipped:
            reasons.append(str(skipped))
    if not tools:
        pytest.skip("; ".join(reasons))
    return tools


def _restic(place: Path, tree: Tree) -> dict[str, BackupTool]:
    found = program("restic", "the Debian package restic")
    repository = place / "restic"
    environment = {"RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": str(repository)}
    tool = BackupTool(
        repository,
        lambda: processes.run([found, "init"], environment),
        [found, "-q", "backup", tree.top],
        lambda target: [found, "-q", "restore", "latest", "--target", target],
        [found, "-q", "check", "--read-data"],
        [found, "-q", "forget", "--keep-last", "1", "--prune"],
        environment,
    )
    return {RESTIC: tool}


def _borg(place: Path, tree: Tree) -> dict[str, BackupTool]:
    """Borg with its default compression (lz4, faster), and with ours."""
    found = program("borg", "the Debian package borgbackup")
    tools = {}
    for name, compression in ((BORG, "lz4"), (BORG_ZSTD, "zstd,1")):
        repository = place / name.replace(" ", "-").replace(",", "-")
        environment = {
            "BORG_REPO": str(repository),
            "BORG_BASE_DIR": str(place / "borg-base"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }
        tools[name] = _borg_tool(found, repository, compression, tree, environment)
    return tools


def _borg_tool(
    found: str, repository: Path, compression: str, tree: Tree, environment: Mapping[str, str]
) -> BackupTool:
    create: list[str | Path] = [found, "create", "--compression", compression]
    return BackupTool(
        repository,
        lambda: processes.run([found, "init", "--encryption", "none"], environment),
        # {now} names each archive anew; the microseconds make two in one second possible.
        [*create, "::{now:%H%M%S%f}", tree.top],
        lambda target: ["sh", "-c", _EXTRACT, found, target],
        [found, "check", "--verify-data"],
        ["sh", "-c", '"$0" prune --keep-last 1 && "$0" compact', found],
        environment,
    )


_EXTRACT = 'cd "$1" && "$0" extract "::$("$0" list --short --last 1)"'
"""borg extracts into the working directory, the newest archive if it is told its name."""
