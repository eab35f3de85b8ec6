"""`syncd run`, `start`, `stop`, `pause`, `resume`, `limit`: the daemon and its course."""

from __future__ import annotations

import logging
from functools import partial

import click
import msgspec

from syncd.client import daemon, links, places, services
from syncd.client.control import Question, ask, is_running
from syncd.client.exits import Exit, Failure
from syncd.client.links import Link
from syncd.client.printing import LogFormatter
from syncd.client.worker import LinkWorker
from syncd.disk.staging import mode_of_new_files
from syncd.remote.pace import TokenBucket

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@click.command()
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
def run(verbose: bool) -> None:  # noqa: FBT001 - as click calls it
    """Keep all linked folders in sync, in the foreground, until Ctrl-C or `syncd stop`."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    logging.getLogger("websockets").setLevel(logging.WARNING)
    daemon.run(partial(_make_worker, new_mode=mode_of_new_files()))


def _make_worker(link: Link, up: TokenBucket, down: TokenBucket, *, new_mode: int) -> LinkWorker:
    return LinkWorker(link, up, down, new_mode)


@click.command()
@click.option("--background", is_flag=True, help="Without the system's service manager.")
def start(background: bool) -> None:  # noqa: FBT001 - as click calls it
    """Keep all linked folders in sync, now and after each log-in."""
    if is_running(places.control_socket()):
        raise Failure("syncd runs already", Exit.RUNNING)
    click.echo(services.service_of_this_system(in_background=background).start())


@click.command()
def stop() -> None:
    """End the daemon, and do not start it after the next log-in."""
    unit = services.Systemd().unit_file()
    background = (
        not unit.exists()
        and services.service_of_this_system(in_background=False).__class__ is services.Systemd
    )
    click.echo(services.service_of_this_system(in_background=background).stop())


@click.command()
@click.argument("folder", required=False)
def pause(folder: str | None) -> None:
    """Leave FOLDER, or all linked folders, alone until `syncd resume`."""
    _set_paused(folder, is_paused=True)
    ask(places.control_socket(), Question(do="pause", link=_id(folder)))


@click.command()
@click.argument("folder", required=False)
@click.option(
    "--accept-deletes", is_flag=True, help="Most files are gone on purpose: delete them everywhere."
)
def resume(folder: str | None, accept_deletes: bool) -> None:  # noqa: FBT001 - as click calls it
    """Go on with FOLDER, or all linked folders, after a pause or a stop for safety."""
    _set_paused(folder, is_paused=False)
    question = Question(do="resume", link=_id(folder), accepts_deletes=accept_deletes)
    ask(places.control_socket(), question)


def _id(folder: str | None) -> str:
    return links.find(links.load(), folder).id if folder else ""


def _set_paused(folder: str | None, *, is_paused: bool) -> None:
    """Remember it for the next start of the daemon."""
    settings = links.load()
    chosen = _id(folder)
    settings.links = [
        msgspec.structs.replace(link, is_paused=is_paused) if chosen in {"", link.id} else link
        for link in settings.links
    ]
    links.save(settings)


@click.command(epilog="Example: syncd limit --up 500K --down none")
@click.option("--up", metavar="SIZE|none", help="Bytes a second that go up at most: 500K, 2M.")
@click.option("--down", metavar="SIZE|none", help="The same for what comes down.")
def limit(up: str | None, down: str | None) -> None:
    """Limit how fast is sent and received, for all links together; without options show it."""
    settings = links.load()
    if up is not None:
        settings.up = _rate(up)
    if down is not None:
        settings.down = _rate(down)
    if up is not None or down is not None:
        links.save(settings)
        if is_running(places.control_socket()):
            ask(places.control_socket(), Question(do="limit"))
    for name, rate in (("up", settings.up), ("down", settings.down)):
        click.echo(f"{name}: {'no limit' if rate is None else f'{rate} bytes a second'}")


def _rate(text: str) -> int | None:
    if text == "none":
        return None
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    if unit not in _UNITS or not number.isascii() or not number.isdigit() or not int(number):
        raise Failure(f"{text!r} is no size: write 500K or 2M, or none", Exit.USAGE)
    return int(number) * _UNITS[unit]
