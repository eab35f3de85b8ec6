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


class Session:
    """One run of `casdav`: filled by the common options, handed to the command."""

    def __init__(self) -> None:
        self.store: str | None = None
        self.config: Path | None = None
        self.output = Output()

    def settings(self, flags: Mapping[settings.Key, object] | None = None) -> settings.Loaded:
        """Read the settings, with what the command line says on top.

        Raises:
            Failure: they are not acceptable.
        """
        return settings.load(self.config, {("", "store"): self.store, **(flags or {})})

    def location(self) -> str:
        """Return which repository is meant: `--store`, the environment, the file, the default."""
        return self.settings().settings.store or str(settings.default_store())

    def open(self, location: str | None = None) -> cas.Repository:
        """Open the repository; close it, or use it as a context manager.

        Raises:
            Failure: there is none.
            cas.CasError: it cannot be opened.
        """
        place = location or self.location()
        with repository_expected(place):
            return cas.open(place)


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
