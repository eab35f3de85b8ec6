"""`casdav completion`: the script that completes commands and options in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from tools.framework import Command
from tools.session import Session, pass_session


@click.command(
    cls=Command,
    examples="""
    eval "$(casdav completion bash)"       # in ~/.bashrc
    eval "$(casdav completion zsh)"        # in ~/.zshrc
    casdav completion fish > ~/.config/fish/completions/casdav.fish
    """,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
@pass_session
def completion(session: Session, context: click.Context, shell: str) -> None:
    """Print a script that lets the shell complete commands and options."""
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click has the three
    script = found(context.find_root().command, {}, "casdav", "_CASDAV_COMPLETE").source()
    session.output.document({"shell": shell, "script": script})
    session.output.text(script)
