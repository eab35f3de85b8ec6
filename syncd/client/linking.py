"""`syncd link` and `syncd unlink`."""

from __future__ import annotations

import os
import platform
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final, TextIO

import click
import msgspec

from syncd.client import links, places
from syncd.client.control import Question, ask
from syncd.client.exits import Exit, Failure
from syncd.client.links import Link, Mode, Settings
from syncd.client.printing import say
from syncd.client.tokens import tokens_of
from syncd.disk.folder import STATE_NAME
from syncd.remote.client import Remote
from syncd.remote.connection import Connection
from syncd.remote.credentials import Credentials, TokenAnswer

_EXAMPLE: Final = "syncd link --server https://drive.example.org --volume alice --root ~/Drive"


@click.command(epilog=f"Example: {_EXAMPLE}")
@click.option("--server", required=True, metavar="URL", help="The server: https://host[:port].")
@click.option("--volume", "place", required=True, metavar="VOLUME[:/PATH]", help="What to sync.")
@click.option(
    "--root",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder; it is made if it is not there.",
)
@click.option(
    "--name", "device", default=platform.node(), help="What this machine is called in history."
)
@click.option(
    "--mode", type=click.Choice([mode.value for mode in Mode]), default=Mode.TWO_WAY.value
)
@click.option("--user", metavar="NAME", help="Who signs in; the volume's name by default.")
@click.option(
    "--password-file",
    type=click.File("r"),
    help="Where the password is; `-` for standard input. It is asked for otherwise.",
)
@click.option("--keyring", is_flag=True, help="Keep the sign-in in the system's keyring.")
@click.option("--skip", multiple=True, metavar="PATH", help="A folder not wanted here.")
@click.option(
    "--later-wins", multiple=True, metavar="PATH", help="A folder without conflict copies."
)
@click.option("--merge", multiple=True, metavar="PATTERN", help="Texts to merge by lines: *.md")
def link(
    server: str,
    place: str,
    root: Path,
    device: str,
    mode: str,
    user: str | None,
    password_file: TextIO | None,
    keyring: bool,  # noqa: FBT001 - as click calls it
    skip: tuple[str, ...],
    later_wins: tuple[str, ...],
    merge: tuple[str, ...],
) -> None:
    """Link a folder with a volume, or a folder of one, and sign this device in."""
    volume, path = links.parse_place(place)
    settings = links.load()
    folder = os.path.realpath(root)
    _require_free(settings, folder)
    account = user or volume
    new = Link(
        id=links.new_id(),
        root=folder,
        server=server.rstrip("/"),
        volume=volume,
        volume_id="",
        path=path,
        account=account,
        device=device,
        mode=Mode(mode),
        skipped=_paths(skip),
        later_wins=_paths(later_wins),
        merge_texts=list(merge),
        in_keyring=keyring,
    )
    password = _password(account, password_file)
    new = _sign_in(new, password)
    Path(folder).mkdir(parents=True, exist_ok=True)
    try:
        links.write_marker(folder, new.id)
    except BaseException:
        tokens_of(new).forget()
        raise
    settings.links.append(new)
    links.save(settings)
    reload_daemon()
    say(f"{folder} is linked with {new.place} on {new.server}")


def _require_free(settings: Settings, folder: str) -> None:
    for other in settings.links:
        if links.is_within(folder, other.root) or links.is_within(other.root, folder):
            raise Failure(f"{folder} and {other.root}, which is linked, overlap", Exit.CONFLICT)


def _paths(paths: tuple[str, ...]) -> list[str]:
    return ["/".join(filter(None, path.split("/"))) for path in paths]


def _password(account: str, file: TextIO | None) -> str:
    if file is not None:
        return str(file.read()).rstrip("\r\n")
    return str(click.prompt(f"Password of {account}", hide_input=True, err=True))


def _sign_in(new: Link, password: str) -> Link:
    """Sign the device in and find the volume; return the link with its id."""
    tokens = Credentials(tokens_of(new))
    connection = Connection(new.server, tokens)
    try:
        asked = {
            "grant_type": "password",
            "user": new.account,
            "password": password,
            "device": new.device,
        }
        tokens.take(connection.post_json("token", asked, TokenAnswer))
        volumes = {volume.name: volume for volume in Remote(connection).welcome().volumes}
    finally:
        connection.close()
    found = volumes.get(new.volume)
    if found is None:
        tokens_of(new).forget()
        known = ", ".join(sorted(volumes)) or "none"
        raise Failure(
            f"{new.account} may open no volume {new.volume!r}; there are: {known}", Exit.NOT_LINKED
        )
    return msgspec.structs.replace(new, volume_id=found.id.hex())


def reload_daemon() -> None:
    """Have a running daemon take what has changed."""
    with suppress(Failure):
        ask(places.control_socket(), Question(do="reload"))


@click.command()
@click.argument("folder", required=False)
def unlink(folder: str | None) -> None:
    """End the sync of FOLDER. All files stay, here and on the server."""
    settings = links.load()
    found = links.find(settings, folder)
    settings.links = [link for link in settings.links if link.id != found.id]
    links.save(settings)
    reload_daemon()
    tokens_of(found).forget()
    shutil.rmtree(places.state_file(found.id).parent, ignore_errors=True)
    state = Path(found.root) / STATE_NAME
    if links.marker(found.root).is_file():
        shutil.rmtree(state, ignore_errors=True)
    say(f"{found.root} is not linked any more")
