"""Rules about the source itself that ruff, mypy and import-linter do not know."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.processes import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHIPPED: Final = ("cas", "dav", "syncd", "tools")
LONGEST_FILE: Final = 400
LONGEST_FUNCTION: Final = 80
LONG_FUNCTION: Final = 40
LONG_FUNCTION_SHARE: Final = 0.05


def shipped_files() -> list[Path]:
    return sorted(path for name in SHIPPED for path in (CHECKOUT / name).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def tracked_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        pytest.skip("this is not a git checkout")
    return [CHECKOUT / name for name in listing.stdout.split("\0") if name]


def project() -> dict[str, object]:
    table: dict[str, object] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return table


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def statement_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body without its docstring: documentation is never too long."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_source_file_is_longer_than_400_lines() -> None:
    lengths = {relative(path): len(path.read_text().splitlines()) for path in shipped_files()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_functions_are_short() -> None:
    lengths = {
        f"{relative(path)}:{function.lineno} {function.name}": statement_lines(function)
        for path in shipped_files()
        for function in functions(ast.parse(path.read_text()))
    }
    long = sorted(name for name, length in lengths.items() if length > LONG_FUNCTION)
    assert [name for name in long if lengths[name] > LONGEST_FUNCTION] == []
    assert len(long) <= LONG_FUNCTION_SHARE * len(lengths), long


def test_every_public_constant_and_type_says_what_it_is_where_the_name_cannot() -> None:
    """Ruff asks functions, classes and modules for docstrings; type aliases it does not ask."""
    silent = []
    for path in shipped_files():
        body = ast.parse(path.read_text()).body
        for statement, following in zip(body, [*body[1:], None], strict=True):
            if not is_public_type(statement):
                continue
            documented = isinstance(following, ast.Expr) and isinstance(
                following.value, ast.Constant
            )
            if not documented:
                silent.append(f"{relative(path)}:{statement.lineno}")
    assert silent == []


def is_public_type(statement: ast.stmt) -> bool:
    """Whether the statement makes a public name with NewType or TypeAlias."""
    if isinstance(statement, ast.Assign):
        targets, value = statement.targets, statement.value
        makes_type = (
            isinstance(value, ast.Call)
            and isinstance(value.func, ast.Name)
            and value.func.id == "NewType"
        )
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
        makes_type = isinstance(statement.annotation, ast.Name) and (
            statement.annotation.id == "TypeAlias"
        )
    else:
        return False
    public = any(isinstance(name, ast.Name) and not name.id.startswith("_") for name in targets)
    return makes_type and public


def test_nothing_names_a_path_of_somebodys_machine() -> None:
    """Home directories and scratch directories in a committed file work on one machine only."""
    # Written in pieces, so that this file does not accuse itself.
    pattern = re.compile(r"(?<![\w.~}])/(?:" + "home|root|Users|work" + r")/[A-Za-z0-9_.]")
    guilty = []
    for path in tracked_files():
        try:
            text = path.read_text()
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # Binary, or deleted and not yet committed.
        guilty += [
            f"{relative(path)}:{number}"
            for number, line in enumerate(text.splitlines(), 1)
            if pattern.search(line)
        ]
    assert guilty == []


def imported_packages() -> set[str]:
    packages: set[str] = set()
    for path in shipped_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                packages |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                packages.add(node.module.partition(".")[0])
    return packages - set(SHIPPED) - sys.stdlib_module_names


def declared_distributions() -> set[str]:
    dependencies = project()["dependencies"]
    assert isinstance(dependencies, list)
    return {normal(re.split(r"[<>=~!;\[ ]", text, maxsplit=1)[0]) for text in dependencies}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_declared_dependencies_are_the_imported_ones() -> None:
    owners = importlib.metadata.packages_distributions()
    imported = {normal(owners[package][0]) for package in imported_packages()}
    assert declared_distributions() == imported


def test_every_dependency_has_a_floor() -> None:
    dependencies = project()["dependencies"]
    assert isinstance(dependencies, list)
    assert [text for text in dependencies if ">=" not in text and "==" not in text] == []


def test_the_wheel_ships_the_four_packages_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top_level = {name.partition("/")[0] for name in names}
    assert {name for name in top_level if not name.endswith(".dist-info")} == set(SHIPPED)
    assert "cas/py.typed" in names
