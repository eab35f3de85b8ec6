"""The frame: help, common options, how a run ends, and that the documentation is complete."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from tests.support import casdav_command, run_casdav
from tests.support.processes import CHECKOUT, casdav_environment
from tools import cli, settings
from tools.exits import MEANINGS
from tools.framework import Command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tools.conftest import Casdav

README = (CHECKOUT / "tools" / "README.md").read_text()


def all_commands(
    command: click.Command = cli.casdav, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield words, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from all_commands(below, (*words, name))


COMMANDS = dict(all_commands())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_is_documented_and_has_help_with_an_example(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    assert isinstance(command, Command)
    assert command.help
    name = f"casdav {' '.join(words)}"
    examples = [line.strip() for line in command.examples.splitlines()]
    assert any(name in example for example in examples)
    assert f"`{name}" in README
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_options_in_the_readme_are_those_of_the_command(words: tuple[str, ...]) -> None:
    line = next(
        line for line in README.splitlines() if line.startswith(f"| `casdav {' '.join(words)}")
    )
    common = {option for parameter in cli.casdav.params for option in parameter.opts}
    written = set(re.findall(r"--[a-z-]+", line))
    known = {
        option
        for parameter in COMMANDS[words].params
        if isinstance(parameter, click.Option)
        for option in [*parameter.opts, *parameter.secondary_opts]
        if option.startswith("--")
    }
    assert written == known - common


def test_every_exit_code_stands_in_the_readme() -> None:
    for code in MEANINGS:
        assert re.search(rf"^\| {int(code)} \|", README, re.MULTILINE), code


def test_every_setting_stands_in_the_readme() -> None:
    for key in settings.load(None, {}, {}).values():
        assert f"`{settings.key_name(key)}`" in README


def test_every_type_of_json_line_stands_in_the_readme() -> None:
    used = set()
    for path in (CHECKOUT / "tools").glob("*.py"):
        used |= set(re.findall(r'\.message\(\s*"([a-z]+)"', path.read_text()))
    assert len(used) > 5
    for message_type in used:
        assert f"| `{message_type}` |" in README


def test_common_options_stand_before_or_after_the_command(casdav: Casdav) -> None:
    before = casdav("--json", "config", "show").out
    assert casdav("config", "show", "--json").out == before
    json.loads(before)


@pytest.mark.parametrize("words", [["nonsense"], ["ls", "--nonsense"], ["cat"], ["ls", "a", "b"]])
def test_wrong_usage_is_one_line_and_2(casdav: Casdav, words: list[str]) -> None:
    ended = casdav(*words, code=2)
    assert ended.out == ""
    assert ended.err.count("\n") == 1
    assert "--help" in ended.err


def test_no_repository_is_10_and_says_what_to_do(casdav: Casdav, tmp_path: Path) -> None:
    ended = casdav("--store", tmp_path / "none", "ls", code=10)
    assert ended.err.count("\n") == 1
    assert "casdav init" in ended.err
    assert casdav("init", casdav.store, code=14).err.count("\n") == 1


def test_the_default_store_is_in_the_users_data(tmp_path: Path) -> None:
    assert settings.default_store().is_relative_to(tmp_path)
    made = json.loads(run_casdav("init", "--json").stdout)
    assert Path(made["store"]) == settings.default_store()
    assert run_casdav("ls").stdout == ""


def test_a_reader_that_goes_away_is_no_error_message(casdav: Casdav, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(3000):
        (tmp_path / "many" / f"{number:05}-{'x' * 100}").touch()
    casdav("import", tmp_path / "many", "v:/many")
    for words in (["ls", "v:/many"], ["ls", "-l", "v:/many"], ["find", "v:/", "--json"]):
        listing = subprocess.Popen(
            [*casdav_command(), *words],
            env=casdav_environment({"CASDAV_STORE": str(casdav.store)}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.readline()
        listing.stdout.close()
        with listing:
            assert listing.stderr.read() == b""
        assert listing.returncode == 141


def test_odd_locales_do_not_break_the_output(casdav: Casdav, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "Grüße-👩").touch()
    casdav("import", tmp_path / "source", "v:/x")
    environment = {"CASDAV_STORE": str(casdav.store), "PYTHONIOENCODING": "ascii"}
    for words in (["ls", "v:/x"], ["ls", "--json", "v:/x"], ["-v", "stat", "v:/x/Grüße-👩"]):
        subprocess.run(
            [*casdav_command(), *words],
            env=casdav_environment(environment),
            check=True,
            capture_output=True,
        )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_complete_commands(casdav: Casdav, shell: str) -> None:
    assert "_CASDAV_COMPLETE" in casdav("completion", shell).out
    completed = subprocess.run(
        casdav_command(),
        env={
            **os.environ,
            **casdav_environment(),
            "_CASDAV_COMPLETE": "bash_complete",
            "COMP_WORDS": "casdav vol",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.stdout == "plain,volume\n"


def test_the_version_is_printed() -> None:
    if shutil.which("casdav") is None and Path(casdav_command()[0]).name != "casdav":
        pytest.skip("the distribution is not installed")
    assert re.fullmatch(r"casdav \d+\.\d+\.\d+\n", run_casdav("--version").stdout)
