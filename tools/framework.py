"""Commands and groups as click has them, with the common options and examples in the help."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from tools.parameters import PAST_LOCATION, WHENS
from tools.session import common_options

_HELP_NAMES = {"help_option_names": ["-h", "--help"]}


class PipeClosed(Exception):  # noqa: N818 - it is no error
    """Whoever read standard output has seen enough."""


class Command(click.Command):
    """A command with the common options and, under its help, examples.

    `examples` are lines as a user types them, with a comment after `#` where one helps.
    """

    def __init__(self, *arguments: Any, examples: str = "", **keywords: Any) -> None:  # noqa: ANN401
        keywords.setdefault("context_settings", _HELP_NAMES)
        super().__init__(*arguments, **keywords)
        self.examples = examples.strip("\n")
        self.params.extend(common_options())

    def invoke(self, ctx: click.Context) -> object:
        """Run the command.

        Raises:
            PipeClosed: nobody reads standard output any more. It is not an OSError, which click
                would end the process for.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise PipeClosed from error

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what WHEN may be, where there is one, and the examples as they are."""
        super().format_epilog(ctx, formatter)
        if any(parameter.type is PAST_LOCATION for parameter in self.params):
            with formatter.section("WHEN"):
                formatter.write_dl(WHENS)
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.splitlines():
                    formatter.write(f"{' ' * formatter.current_indent}{line.strip()}\n")


class Group(click.Group):
    """A noun with verbs; its commands are `Command`s."""

    command_class = Command

    def __init__(self, *arguments: Any, **keywords: Any) -> None:  # noqa: ANN401
        keywords.setdefault("context_settings", _HELP_NAMES)
        super().__init__(*arguments, **keywords)
        self.params.extend(common_options())


class Place(NamedTuple):
    """Where a command is defined, and its line in the list of commands."""

    module: str
    name: str
    summary: str


class LazyGroup(Group):
    """A group that imports a command only when it runs: `casdav ls` loads no web server."""

    def __init__(self, *arguments: Any, places: Mapping[str, Place], **keywords: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **keywords)
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        del ctx
        return list(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, imported now; None for an unknown name."""
        del ctx
        place = self.places.get(cmd_name)
        if place is None:
            return None
        command = getattr(importlib.import_module(place.module), place.name)
        assert isinstance(command, click.Command)  # noqa: S101 - the table is ours
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by the table, without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.summary) for name, place in self.places.items()])
