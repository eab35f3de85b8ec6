"""The documents tell the truth: commands shown in the README run, links lead somewhere.

How a console block is run. All blocks marked `console` are fed in their order to one shell in an
empty directory, so that a later block may build on an earlier one. Lines that begin with `$ ` are
commands, with `> ` their continuation; what follows is the output, in which `...` stands for
anything. Output that is not shown is not compared, but every command must end with exit code 0.

Four things differ from a reader's machine, and nothing else:

- `make serve` runs in the background, as the command that the Makefile gives for it, on a free
  port; the port 8080 in commands and output stands for that port;
- `make test` is not run, because it is what runs this test;
- `PASSWORD` stands for the app password that the server printed;
- the home directory holds a folder `Pictures`, and `.venv/bin` this checkout's programs.
"""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import pytest

from tests.support import casdav_command, free_port, wait_until
from tests.support.network import LOOPBACK, accepts_connections
from tests.support.processes import CHECKOUT, casdav_environment, end_group

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

DOCUMENTS: Final = sorted(
    path
    for path in [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("[a-z]*/**/*.md")]
    if "node_modules" not in path.parts
)
SHOWN_PORT: Final = "8080"
MARK: Final = "--- end of command"
NOT_RUN: Final = {"make test"}
SERVE_RECIPE: Final = "@CASDAV_STORE='$(STORE)' exec $(BIN)/casdav serve --quickstart $(ARGS)"


class Step(NamedTuple):
    """A command of a console block, and the output shown for it."""

    line: int
    command: str
    output: str


def console_steps(text: str) -> list[Step]:
    """Return the commands of all console blocks of a Markdown text, in order."""
    steps: list[Step] = []
    language: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            language = line[3:].strip() if language is None else None
        elif language != "console":
            continue
        elif line.startswith("$ "):
            steps.append(Step(number, line[2:], ""))
        elif line.startswith("> "):
            steps[-1] = steps[-1]._replace(command=f"{steps[-1].command}\n{line[2:]}")
        else:
            steps[-1] = steps[-1]._replace(output=f"{steps[-1].output}{line}\n")
    return steps


def matches(shown: str, printed: str) -> bool:
    """Whether the output is what the document shows; `...` and PASSWORD stand for anything."""
    pattern = re.escape(shown.strip()).replace(r"\.\.\.", r"[\s\S]*").replace("PASSWORD", r"\S+")
    return re.fullmatch(pattern, printed.strip()) is not None


class Session:
    """A shell in a directory laid out like a reader's checkout. For one thread."""

    def __init__(self, directory: Path) -> None:
        self._checkout = directory / "casdav"
        self._home = directory / "home"
        self._port = free_port()
        self._password = "unknown: the server was not started"
        self._server: subprocess.Popen[bytes] | None = None
        self._server_log = directory / "server.log"
        self._lay_out()
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self._checkout,
            env=casdav_environment(
                {
                    "HOME": str(self._home),
                    "XDG_RUNTIME_DIR": str(self._home),
                    "LC_ALL": "C.UTF-8",
                }
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.killpg(self._shell.pid, signal.SIGKILL)  # with what runs in its background
        self._shell.communicate()
        if self._server is not None:
            end_group(self._server)

    def run(self, command: str) -> tuple[int, str]:
        """Run one command as a reader would; return its exit code and what it printed."""
        if command in NOT_RUN:
            return 0, ""
        if command == "make serve":
            return 0, self._serve()
        real = command.replace(SHOWN_PORT, str(self._port)).replace("PASSWORD", self._password)
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{{ {real}\n}} </dev/null\nprintf '\\n{MARK} %d\\n' $?\n")
        self._shell.stdin.flush()
        printed = ""
        for line in self._shell.stdout:
            if line.startswith(MARK):
                return int(line.removeprefix(MARK)), self._as_shown(printed)
            printed += line
        message = f"the shell ended at: {command}\n{printed}"
        raise AssertionError(message)

    def _lay_out(self) -> None:
        pictures = self._home / "Pictures"
        (pictures / "2026").mkdir(parents=True)
        content = random.Random(1)
        (pictures / "cat.jpg").write_bytes(content.randbytes(300_000))
        (pictures / "2026" / "dog.jpg").write_bytes(content.randbytes(200_000))
        programs = self._checkout / ".venv" / "bin"
        programs.mkdir(parents=True)
        syncd = [sys.executable, "-m", "syncd"]
        for name, command in (("casdav", casdav_command()), ("syncd", syncd)):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
            program.chmod(0o755)

    def _serve(self) -> str:
        with self._server_log.open("wb") as log:
            self._server = subprocess.Popen(
                [*casdav_command(), "serve", "--quickstart", "--port", str(self._port)],
                cwd=self._checkout,
                env=casdav_environment({"CASDAV_STORE": "casdav-data"}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self._accepts, f"the server to listen on {self._port}")
        found = wait_until(self._find_password, "the app password to be printed")
        self._password = found[1]
        wait_until(lambda: "Ctrl-C" in self._server_log.read_text(), "the rest of what it prints")
        return self._as_shown(self._server_log.read_text())

    def _accepts(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, self._server_log.read_text()
        return accepts_connections(LOOPBACK, self._port)

    def _find_password(self) -> re.Match[str] | None:
        pattern = r"(?im)^\W*(?:app )?password\W+(\S+)"
        return re.search(pattern, self._server_log.read_text())

    def _as_shown(self, printed: str) -> str:
        return printed.replace(str(self._port), SHOWN_PORT)


def test_every_command_of_the_readme_does_what_it_shows(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("the README shows curl, which is not installed here")
    with Session(tmp_path) as session:
        for step in console_steps((CHECKOUT / "README.md").read_text()):
            code, printed = session.run(step.command)
            where = f"README.md:{step.line}: {step.command}\n{printed}"
            assert code == 0, where
            assert not step.output or matches(step.output, printed), where


def test_a_command_that_fails_or_prints_something_else_is_noticed(tmp_path: Path) -> None:
    commands = "$ printf 'a\\nb\\nc\\n'\na\n...\nc\n$ echo new\nold\n$ false ||\n> false\n"
    text = f"```text\n$ exit 1\n```\n\n```console\n{commands}```\n"
    with Session(tmp_path) as session:
        outcomes = [(session.run(step.command), step.output) for step in console_steps(text)]
    assert [code for (code, _), _ in outcomes] == [0, 0, 1]
    assert [matches(shown, printed) for (_, printed), shown in outcomes[:2]] == [True, False]


def test_make_serve_runs_what_this_test_runs() -> None:
    assert SERVE_RECIPE in (CHECKOUT / "Makefile").read_text()


def test_the_readme_begins_with_what_a_bare_machine_lacks() -> None:
    first_line = (CHECKOUT / "README.md").read_text().partition("\n")[0]
    assert "sudo apt-get install make python3-venv" in first_line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (document.parent / target).exists()] == []


def test_the_changelog_knows_this_version_or_is_ahead_of_it() -> None:
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    changelog = (CHECKOUT / "CHANGELOG.md").read_text()
    assert f"## [{version}]" in changelog or "## [Unreleased]" in changelog
