"""What every command shares: the common options, the repository, the way to print."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

import cas
from tools import settings
from tools.exits import Exit, Failure
from tools.output import Output
from tools.unlocking import KeySources


class Session:
    """One run of `casdav`: filled by the common options, handed to the command."""

    def __init__(self) -> None:
        self.store: str | None = None
        self.config: Path | None = None
        self.output = Output()
        self.locks_url: str | None = None
        self.keys = KeySources()
        self._key: cas.RepositoryKey | None = None
        self._credential: cas.NewKey | None = None

    def settings(self, flags: Mapping[settings.Key, object] | None = None) -> settings.Loaded:
        """Read the settings, with what the command line says on top.

        Raises:
            Failure: they are not acceptable.
        """
        return settings.load(self.config, {("", "store"): self.store, **(flags or {})})

    def location(self) -> str:
        """Return which repository is meant: `--store`, the environment, the file, the default."""
        return self.settings().settings.store or str(settings.default_store())

    def locks(self) -> str:
        """Return the URL of the locks of several gateways; empty where there are none."""
        if self.locks_url is None:
            self.locks_url = self.settings().settings.server.locks
        return self.locks_url

    def open(self, location: str | None = None) -> cas.Repository:
        """Open the repository; close it, or use it as a context manager.

        Raises:
            Failure: there is none.
            cas.CasError: it cannot be opened.
        """
        place = location or self.location()
        with repository_expected(place):
            return self.adopt(cas.open(place, unlock=self.unlock, locks=self.locks()))

    def adopt(self, repository: cas.Repository) -> cas.Repository:
        """Return the repository, and remember what opens it."""
        self._key = repository.key
        return repository

    @property
    def key(self) -> cas.RepositoryKey | None:
        """What opens the repository that was opened last, for other processes."""
        return self._key

    def unlock(self) -> cas.Credential:
        """Return what opens an encrypted repository: found once, and a person is asked once.

        Raises:
            Failure: there is nothing, and nobody to ask.
        """
        if self._key is not None:
            return self._key
        if self._credential is None:
            self._credential = self.keys.ask()
        return self._credential


@contextmanager
def repository_expected(location: str) -> Iterator[None]:
    """Tell what to do where there is no repository at a location.

    Raises:
        Failure: what is done in the context has found none.
    """
    try:
        yield
    except cas.NotFoundError as error:
        raise Failure(
            f"there is no repository in {location!r}; make one with `casdav init {location}`, "
            "or name another with --store",
            Exit.NO_REPOSITORY,
        ) from error


def author() -> str:
    """Return whom the journal names for changes made by this command line."""
    try:
        return f"console:{getpass.getuser()}"
    except (KeyError, OSError):  # A user id without a name, as containers have.
        return "console"


pass_session: Final = click.make_pass_decorator(Session, ensure=True)
"""Hand the `Session` to a command as its first argument."""


def _set(apply: Callable[[Session, Any], None]) -> Callable[..., None]:
    def callback(context: click.Context, parameter: click.Parameter, value: object) -> None:
        del parameter
        if value is not None and value is not False and value != 0:
            apply(context.ensure_object(Session), value)

    return callback


def _set_store(session: Session, value: str) -> None:
    session.store = value


def _set_config(session: Session, value: Path) -> None:
    session.config = value


def _set_password_file(session: Session, value: Path) -> None:
    session.keys.password_file = value


def _set_password_command(session: Session, value: str) -> None:
    session.keys.password_command = value


def _set_key_file(session: Session, value: Path) -> None:
    session.keys.key_file = value


def _set_json(session: Session, value: bool) -> None:  # noqa: FBT001 - click passes it so
    session.output.json = value


def _louder(session: Session, value: int) -> None:
    session.output.verbosity += value


def _quieter(session: Session, value: int) -> None:
    session.output.verbosity -= value


def common_options() -> list[click.Parameter]:
    """Return new options that stand before or after any command."""
    return [
        click.Option(
            ["--store"],
            metavar="STORE",
            expose_value=False,
            callback=_set(_set_store),
            help="The repository: a directory. Default: CASDAV_STORE, then the user's data.",
        ),
        click.Option(
            ["--config"],
            metavar="FILE",
            type=click.Path(path_type=Path),
            expose_value=False,
            callback=_set(_set_config),
            help="The settings file (TOML).",
        ),
        click.Option(
            ["--password-file"],
            metavar="FILE",
            type=click.Path(path_type=Path),
            expose_value=False,
            callback=_set(_set_password_file),
            help="Its first line opens an encrypted repository. Default: CASDAV_PASSWORD_FILE.",
        ),
        click.Option(
            ["--password-command"],
            metavar="COMMAND",
            expose_value=False,
            callback=_set(_set_password_command),
            help="Prints the password. Default: CASDAV_PASSWORD_COMMAND.",
        ),
        click.Option(
            ["--key-file"],
            metavar="FILE",
            type=click.Path(path_type=Path),
            expose_value=False,
            callback=_set(_set_key_file),
            help="Opens an encrypted repository. Default: CASDAV_KEY_FILE.",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_set(_set_json),
            help="Print JSON on standard output.",
        ),
        click.Option(
            ["-q", "--quiet"],
            count=True,
            expose_value=False,
            callback=_set(_quieter),
            help="Print less.",
        ),
        click.Option(
            ["-v", "--verbose"],
            count=True,
            expose_value=False,
            callback=_set(_louder),
            help="Print more.",
        ),
    ]
