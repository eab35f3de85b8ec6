"""`casdav config`: the effective settings and where each comes from."""

from __future__ import annotations

import json

import click

from tools import settings
from tools.framework import Group
from tools.session import Session, pass_session

_MASK = "********"


@click.group(cls=Group)
def config() -> None:
    """Settings: flag over environment over file over default."""


@config.command(
    examples="""
    casdav config show
    CASDAV__SERVER__PORT=9000 casdav config show --json
    """,
)
@pass_session
def show(session: Session) -> None:
    """Show every setting with its value, its origin and the variable that sets it.

    Secrets are masked.
    """
    loaded = session.settings()
    members = {}
    rows = []
    for key, value in loaded.values().items():
        shown = value
        if key == ("", "store"):
            shown = value or str(settings.default_store())
        elif key in settings.SECRETS and value:
            shown = _MASK
        name, origin = settings.key_name(key), loaded.origin(key)
        variable = settings.variable_name(key)
        members[name] = {"value": shown, "origin": origin, "variable": variable}
        rows.append([name, variable, origin, json.dumps(shown)])
    session.output.document(members)
    session.output.table(["SETTING", "VARIABLE", "ORIGIN", "VALUE"], rows)
