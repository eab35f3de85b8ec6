"""cadaver, the WebDAV shell: a session with each of its commands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support import run_casdav
from tests.support.network import LOOPBACK
from tests.support.programs import needs, run_program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Server

pytestmark = [pytest.mark.debian, needs("cadaver")]


class Cadaver:
    """Runs sessions in the user's home on the server."""

    def __init__(self, server: Server, directory: Path) -> None:
        self._server = server
        self.directory = directory
        netrc = directory / ".netrc"
        netrc.write_text(f"machine {LOOPBACK} login {server.user} password '{server.password}'\n")
        netrc.chmod(0o600)

    def session(self, *commands: str) -> list[str]:
        """Type the commands; return what was printed for each."""
        printed = run_program(
            *["cadaver", self._server.url],
            cwd=self.directory,
            stdin="\n".join([*commands, "quit"]) + "\n",
            environment={"HOME": str(self.directory)},
        ).stdout
        return re.split(r"(?m)^dav:\S*> \S.*\n", printed)[1 : len(commands) + 1]


@pytest.fixture
def cadaver(server: Server, tmp_path: Path) -> Cadaver:
    server.password = "without-spaces"  # A .netrc cannot hold others.
    password = server.password
    run_casdav(
        *["user", "passwd", server.user, "--password-stdin"], store=server.store, stdin=password
    )
    (tmp_path / "local.txt").write_text("content\n")
    return Cadaver(server, tmp_path)


def test_files_and_folders_come_and_go(cadaver: Cadaver) -> None:
    printed = cadaver.session(
        "mkcol folder",
        "put local.txt remote.txt",
        "cat remote.txt",
        "copy remote.txt folder/copy.txt",
        "move remote.txt folder/moved.txt",
        "get folder/moved.txt back.txt",
        "ls folder",
        "delete folder/copy.txt",
        "ls folder",
        "ls",
        "rmcol folder",
        "ls",
    )
    assert [answer for answer in printed if "failed" in answer] == []
    assert printed[2] == "content\n"
    assert (cadaver.directory / "back.txt").read_text() == "content\n"
    listings = [re.findall(r"(\S+) +\d+  \w{3} ", printed[number]) for number in (6, 8, 9)]
    assert listings == [["copy.txt", "moved.txt"], ["moved.txt"], ["folder"]]
    assert "collection is empty" in printed[11]


def test_a_lock_holds_for_others_and_not_for_its_holder(cadaver: Cadaver, server: Server) -> None:
    def put_by_somebody_else() -> int:
        return server.request("PUT", "locked.txt", b"other")[0]

    during: list[int] = []
    locked = cadaver.session("put local.txt locked.txt", "lock locked.txt", "discover locked.txt")
    token = re.search(r"<(urn:uuid:[0-9a-f-]+)>", locked[2])
    assert token, locked
    during.append(put_by_somebody_else())
    stolen = cadaver.session(
        "steal locked.txt", "put local.txt locked.txt", "unlock locked.txt", "discover locked.txt"
    )
    assert [answer for answer in stolen if "failed" in answer] == []
    during.append(put_by_somebody_else())
    assert during == [423, 204]
    assert "urn:uuid" not in stolen[3]


def test_properties_are_kept_and_go_along_with_a_move(cadaver: Cadaver) -> None:
    printed = cadaver.session(
        "put local.txt file.txt",
        "set namespace urn:example",
        "propset file.txt colour green",
        "move file.txt other.txt",
        "propget other.txt colour",
        "propnames other.txt",
        "propdel other.txt colour",
        "propget other.txt colour",
    )
    assert "Value of colour is: green" in printed[4], printed
    assert "urn:example colour" in printed[5]
    assert "green" not in printed[7]
