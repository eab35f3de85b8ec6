"""`casdav key`: the keys of an encrypted repository."""

from __future__ import annotations

import sys
from pathlib import Path

import click

import cas
from tools.exits import Failure
from tools.framework import Group
from tools.names import printable
from tools.session import Session, pass_session, repository_expected
from tools.unlocking import make_key_file, new_passphrase, read_key_file, read_password


@click.group(cls=Group)
def key() -> None:
    """Keys of an encrypted repository: passwords and key files, each of which opens it."""


@key.command(
    "list",
    examples="""
    casdav key list
    """,
)
@pass_session
def list_(session: Session) -> None:
    """List the keys. Needs no password: what is shown, everybody sees who has the store."""
    location = session.location()
    with repository_expected(location):
        found = cas.list_keys(location)
    session.output.document([_members(info) for info in found])
    rows = [[info.id, info.kind, info.created, printable(info.label)] for info in found]
    session.output.table(["ID", "KIND", "CREATED", "LABEL"], rows)


@key.command(
    examples="""
    casdav key add --label "for the safe"
    casdav key add --new-key-file /mnt/usb/casdav.key
    pass show casdav | casdav key add --new-password-file -
    """,
)
@click.option("--label", default="", metavar="TEXT", help="What to call it; everybody can read it.")
@click.option(
    "--new-password-file",
    metavar="FILE",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Its first line is the new password; - is standard input.",
)
@click.option(
    "--new-key-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Make a key file there in place of a password.",
)
@click.option(
    "--existing-key-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Let a key file open the repository that is there: 32 bytes.",
)
@pass_session
def add(
    session: Session,
    *,
    label: str,
    new_password_file: Path | None,
    new_key_file: Path | None,
    existing_key_file: Path | None,
) -> None:
    """Add a password or key file that opens the repository too.

    Without options, the new password is asked for. Keep a second key elsewhere: if the last one
    is lost, nobody can ever read the repository again.
    """
    if sum(map(bool, (new_password_file, new_key_file, existing_key_file))) > 1:
        raise click.UsageError("one new key at a time")
    location = session.location()
    with repository_expected(location):
        cas.list_keys(location)  # before anybody is asked, or a file made
        if new_key_file is not None:
            credential: cas.NewKey = make_key_file(new_key_file)
        elif existing_key_file is not None:
            credential = read_key_file(existing_key_file)
        elif new_password_file is not None:
            credential = read_password(new_password_file)
        else:
            credential = new_passphrase()
        try:
            info = cas.add_key(location, session.unlock, credential, label=label)
        except (cas.CasError, Failure):
            if new_key_file is not None:
                new_key_file.unlink(missing_ok=True)
            raise
    session.output.document(_members(info))
    session.output.done(f"added the {info.kind} {info.id}")


@key.command(
    examples="""
    casdav key remove 5f0c9a1e
    casdav key remove 5f0c9a1e --dry-run
    """,
)
@click.argument("key_id", metavar="ID")
@click.option("-n", "--dry-run", is_flag=True, help="Only say which key would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def remove(session: Session, *, key_id: str, dry_run: bool, yes: bool) -> None:
    """Let a key open the repository no more. The last one stays.

    Who had it may have kept what it opened: `casdav key rotate --drop-others` keeps them from
    reading what is written from then on.
    """
    location = session.location()
    with repository_expected(location):
        found = {info.id: info for info in cas.list_keys(location)}
    if key_id not in found:
        raise cas.NotFoundError(f"there is no key {key_id!r}: see `casdav key list`")
    if len(found) == 1:
        raise Failure(
            "this is the last key: without it nobody could ever read the repository again; add "
            "another one first"
        )
    info = found[key_id]
    if not dry_run:
        left = len(found) - 1
        question = f"Remove the {info.kind} {key_id}? {left} will be left."
        session.output.confirm(question, yes=yes)
        cas.remove_key(location, session.unlock, key_id)
    session.output.document({**_members(info), "removed": not dry_run})
    session.output.done(f"{'would remove' if dry_run else 'removed'} the {info.kind} {key_id}")


@key.command(
    examples="""
    casdav key rotate
    casdav key rotate --drop-others --yes
    """,
)
@click.option("--drop-others", is_flag=True, help="Remove all keys but the one used now.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_session
def rotate(session: Session, *, drop_others: bool, yes: bool) -> None:
    """Encrypt with a new key from now on.

    Passwords and key files stay as they are, or go with --drop-others. What is stored already is
    written anew bit by bit, by `casdav gc`. Servers at work use the new key once they are started
    again; after --drop-others they have to be.
    """
    location = session.location()
    if drop_others:
        with repository_expected(location):
            others = len(cas.list_keys(location)) - 1
        question = f"Remove {others} other keys? They open nothing any more then."
        session.output.confirm(question, yes=yes or not others)
    with repository_expected(location):
        done = cas.rotate_key(location, session.unlock, drop_others=drop_others)
    dropped = [_members(info) for info in done.dropped]
    session.output.document({"key_number": done.key_number, "dropped": dropped})
    gone = f"; removed {len(dropped):,} other keys" if dropped else ""
    session.output.done(f"key number {done.key_number} encrypts from now on{gone}")


@key.command(
    examples="""
    casdav key export --to /mnt/usb/casdav-config
    casdav key export > casdav-config
    """,
)
@click.option("--to", metavar="FILE", type=click.Path(path_type=Path), help="Write it there.")
@pass_session
def export(session: Session, *, to: Path | None) -> None:
    """Print the repository's config, to be kept elsewhere: without one nothing can be read.

    It holds no secret in the clear: a password or key file of today opens it. To use it, put it
    in the repository as the file `config`.
    """
    location = session.location()
    with repository_expected(location):
        document = cas.export_config(location)
    if to is None:
        sys.stdout.write(document.decode())
        return
    try:
        with to.open("xb") as file:
            file.write(document)
    except OSError as error:
        raise Failure(f"cannot write {str(to)!r}: {error.strerror}") from error
    session.output.document({"file": printable(str(to)), "size": len(document)})
    session.output.done(f"wrote {printable(str(to))}")


def _members(info: cas.KeyInfo) -> dict[str, object]:
    return {"id": info.id, "kind": info.kind, "label": info.label, "created": info.created}
