"""cas/README.md tells the truth: its example runs, its layers and its map are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

from tests.support.processes import CHECKOUT

ENGINE: Final = CHECKOUT / "cas"
README: Final = (ENGINE / "README.md").read_text()


def section(heading: str) -> str:
    """Return what stands between a heading and the next one."""
    return README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def block(text: str, language: str) -> str:
    """Return the first fenced block of a language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def optional(name: str) -> str:
    """Return a module of the contract; nothing for one in parentheses that is not there yet."""
    plain = name.strip("()")
    is_there = (ENGINE / f"{plain}.py").exists() or (ENGINE / plain).is_dir()
    return plain if is_there or plain == name else ""


def test_the_example_prints_what_the_document_shows(tmp_path: Path) -> None:
    usage = section("How to use it")
    run = subprocess.run(
        [sys.executable, "-c", block(usage, "python")],
        cwd=tmp_path,
        env={"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.stdout, run.stderr) == (block(usage, "text"), "")


def test_the_layers_are_those_of_the_import_contract() -> None:
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (each for each in settings["contracts"] if each["id"] == "engine")
    layers = [
        [name for name in map(optional, layer.split(" | ")) if name] for layer in contract["layers"]
    ]
    lines = block(section("The layers"), "text").splitlines()
    shown = [re.split(r" {2,}", line.strip())[0].split(" | ") for line in lines]
    assert shown == [layer for layer in layers if layer]


def test_the_map_names_every_file_and_no_other() -> None:
    named = re.findall(r"^\| \[[^]]+\]\(([^)]+)\) \| \S", section("Map of the files"), re.MULTILINE)
    found = [path.relative_to(ENGINE).as_posix() for path in ENGINE.rglob("*.py")]
    assert sorted(named) == sorted(found)
