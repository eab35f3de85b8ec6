"""Where the password or key file of an encrypted repository comes from.

Options go over the environment, a terminal is asked last. Nothing is looked for before it is
needed: a repository that is not encrypted asks for none.
"""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

import cas
from tools.exits import Exit, Failure

PASSWORD: Final = "CASDAV_PASSWORD"  # noqa: S105 - the name of a variable
PASSWORD_FILE: Final = "CASDAV_PASSWORD_FILE"  # noqa: S105 - likewise
PASSWORD_COMMAND: Final = "CASDAV_PASSWORD_COMMAND"  # noqa: S105 - likewise
KEY_FILE: Final = "CASDAV_KEY_FILE"
_SIZE_LIMIT: Final = 1 << 20
_NOBODY: Final = (
    f"the repository is encrypted: give its password in {PASSWORD}, {PASSWORD_FILE} or "
    f"{PASSWORD_COMMAND}, or a key file with --key-file"
)


@dataclass
class KeySources:
    """What the command line says; what it does not say is looked for in the environment."""

    password_file: Path | None = None
    password_command: str | None = None
    key_file: Path | None = None

    def find(self, environment: Mapping[str, str] = os.environ) -> cas.NewKey | None:
        """Return the credential that is named; None where only a person can tell.

        Raises:
            Failure: a file or command that is named gives none.
            cas.WrongKeyError: a key file has the wrong size.
        """
        named: list[tuple[object, Callable[[], cas.NewKey]]] = [
            (self.key_file, lambda: read_key_file(self.key_file)),
            (self.password_file, lambda: _from_file(self.password_file)),
            (self.password_command, lambda: _from_command(self.password_command)),
            (environment.get(KEY_FILE), lambda: read_key_file(environment[KEY_FILE])),
            (environment.get(PASSWORD), lambda: cas.Passphrase(environment[PASSWORD])),
            (environment.get(PASSWORD_FILE), lambda: _from_file(environment[PASSWORD_FILE])),
            (
                environment.get(PASSWORD_COMMAND),
                lambda: _from_command(environment[PASSWORD_COMMAND]),
            ),
        ]
        for value, make in named:
            if value:
                return make()
        return None

    def ask(self) -> cas.NewKey:
        """Return the credential for a repository, asked for on a terminal if need be.

        Raises:
            Failure: nobody is there to ask, or what is named gives none.
        """
        found = self.find()
        if found is not None:
            return found
        if not sys.stdin.isatty():
            raise Failure(_NOBODY, Exit.WRONG_KEY)
        typed = click.prompt("Password of the repository", hide_input=True, err=True)
        return cas.Passphrase(str(typed))


def new_passphrase() -> cas.Passphrase:
    """Return a new password, asked for twice on a terminal.

    Raises:
        Failure: nobody is there to ask.
    """
    if not sys.stdin.isatty():
        raise Failure(
            f"nobody is there to type a new password: give it in {PASSWORD}, {PASSWORD_FILE} or "
            f"{PASSWORD_COMMAND}, or make a key file",
            Exit.USAGE,
        )
    typed = click.prompt(
        "New password of the repository", hide_input=True, confirmation_prompt=True, err=True
    )
    return cas.Passphrase(str(typed))


def read_password(path: Path) -> cas.Passphrase:
    """Return the password in a file; `-` is standard input.

    Raises:
        Failure: it cannot be read, or is empty.
    """
    if str(path) == "-":
        return _passphrase(sys.stdin.readline(_SIZE_LIMIT), "standard input")
    return _from_file(path)


def read_key_file(path: str | Path | None) -> cas.KeyFile:
    """Return the content of a key file.

    Raises:
        Failure: it cannot be read.
        cas.WrongKeyError: it has the wrong size.
    """
    assert path is not None  # noqa: S101 - asked for by who has looked
    try:
        with Path(path).open("rb") as file:
            return cas.KeyFile(file.read(_SIZE_LIMIT))
    except OSError as error:
        message = f"cannot read the key file {str(path)!r}: {error.strerror}"
        raise Failure(message, Exit.WRONG_KEY) from error


def make_key_file(path: Path) -> cas.KeyFile:
    """Write a new random key to a file that nobody else can read; it is on the disk then.

    Raises:
        Failure: the file is there already, or cannot be made.
    """
    key = cas.KeyFile(secrets.token_bytes(cas.KEY_FILE_SIZE))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Failure(f"cannot make the key file {str(path)!r}: {error.strerror}") from error
    return key


def _from_file(path: str | Path | None) -> cas.Passphrase:
    assert path is not None  # noqa: S101 - asked for by who has looked
    try:
        with Path(path).open(encoding="utf-8", errors="surrogateescape") as file:
            return _passphrase(file.read(_SIZE_LIMIT), f"the file {str(path)!r}")
    except OSError as error:
        message = f"cannot read the password file {str(path)!r}: {error.strerror}"
        raise Failure(message, Exit.WRONG_KEY) from error


def _from_command(command: str | None) -> cas.Passphrase:
    """Return the first line that a command prints; it may ask on the terminal itself."""
    assert command is not None  # noqa: S101 - asked for by who has looked
    try:
        ended = subprocess.run(shlex.split(command), stdout=subprocess.PIPE, check=False)  # noqa: S603 - the user's own
    except (OSError, ValueError) as error:
        raise Failure(f"the password command cannot run: {error}", Exit.WRONG_KEY) from error
    if ended.returncode:
        message = f"the password command ended with {ended.returncode}"
        raise Failure(message, Exit.WRONG_KEY)
    return _passphrase(os.fsdecode(ended.stdout), "the password command")


def _passphrase(text: str, source: str) -> cas.Passphrase:
    line = text.partition("\n")[0].rstrip("\r")
    if not line:
        raise Failure(f"{source} gives no password", Exit.WRONG_KEY)
    return cas.Passphrase(line)
