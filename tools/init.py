"""`casdav init`: make a repository."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

import cas
from tools.exits import Failure
from tools.framework import Command
from tools.names import printable
from tools.session import Session, pass_session
from tools.unlocking import make_key_file, new_passphrase

ENCRYPT_VARIABLE = "CASDAV_ENCRYPT"
"""Says `1` or `0` where nobody is to be asked."""


@click.command(
    cls=Command,
    examples="""
    casdav init                    # where `casdav serve` looks by default
    casdav init /srv/casdav
    casdav init /srv/casdav --encrypt
    casdav init /srv/casdav --encrypt --new-key-file ~/casdav.key
    """,
)
@click.argument("place", metavar="[STORE]", required=False)
@click.option(
    "--encrypt/--no-encrypt",
    default=None,
    envvar=ENCRYPT_VARIABLE,
    help="Encrypt all that is stored. Default: in a bucket yes, else a terminal is asked.",
)
@click.option(
    "--new-key-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Make a key file there, which opens the repository in place of a password.",
)
@pass_session
def init(
    session: Session, place: str | None, *, encrypt: bool | None, new_key_file: Path | None
) -> None:
    """Make a repository in a new or empty directory.

    It holds everything: files, history, users. Then add a user and serve it. An encrypted one is
    opened by a password, or a key file: without them nobody can ever read it again.
    """
    location = place or session.location()
    wanted = new_key_file is not None or should_encrypt(location, encrypt)
    key = new_key(session, new_key_file) if wanted else None
    try:
        with cas.create(location, key=key) as repository:
            members = {
                "store": printable(location),
                "identity": repository.identity.hex(),
                "encrypted": key is not None,
            }
    except (cas.CasError, OSError):
        if new_key_file is not None:
            new_key_file.unlink(missing_ok=True)
        raise
    session.output.document(members)
    kind = "an encrypted" if key is not None else "a"
    session.output.done(f"made {kind} repository in {printable(location)}")
    if key is not None:
        session.output.done(
            "without its key nobody can ever read it: add a second one with `casdav key add`, keep "
            "a copy of its config with `casdav key export`"
        )
    session.output.done("next: casdav user add NAME --admin, then casdav serve")


def should_encrypt(location: str, wanted: bool | None) -> bool:  # noqa: FBT001 - an option's value
    """Return whether a new repository is to be encrypted; a person at a terminal is asked."""
    if wanted is not None:
        return wanted
    if _is_bucket(location):
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return click.confirm("Encrypt all that is stored?", default=False, err=True)


def quickstart_encrypts(location: str) -> bool:
    """Return whether a repository that is made without a question is to be encrypted."""
    wanted = os.environ.get(ENCRYPT_VARIABLE, "").lower()
    return wanted in {"1", "true", "yes", "on"} or (not wanted and _is_bucket(location))


def _is_bucket(location: str) -> bool:
    return location.lower().startswith("s3:")


def new_key(session: Session, key_file: Path | None = None) -> cas.NewKey:
    """Return what is to open a new repository.

    Raises:
        Failure: it is not named, and nobody is there to ask.
    """
    if key_file is not None:
        return make_key_file(key_file)
    found = session.keys.find()
    try:
        return found or new_passphrase()
    except Failure as failure:
        message = f"{failure}; or do without encryption: --no-encrypt"
        raise Failure(message, failure.code) from failure
