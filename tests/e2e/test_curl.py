"""curl, the plainest client: ranges, resumed downloads, piped uploads, conditions."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.programs import needs, run_program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Server

pytestmark = needs("curl")

CONTENT = random.Random(7).randbytes(3_000_000)


class Curl:
    """Runs curl as the server's user, on files of its home."""

    def __init__(self, server: Server, directory: Path) -> None:
        self._server = server
        self._directory = directory

    def run(self, name: str, *arguments: str | Path, stdin: str = "", check: bool = True) -> str:
        """Return what curl prints: the answer's body unless the arguments say otherwise."""
        server = self._server
        credentials = f"{server.user}:{server.password}"
        return run_program(
            *["curl", "-sS", "-f", "--max-time", "60", "-u", credentials],
            *arguments,
            server.url + name,
            cwd=self._directory,
            stdin=stdin,
            check=check,
        ).stdout

    def status(self, name: str, *arguments: str | Path) -> int:
        """Return the status of the answer."""
        return int(self.run(name, *arguments, "-o", "/dev/null", "-w", "%{http_code}", check=False))

    def verbose(self, name: str, *arguments: str | Path) -> tuple[list[str], list[str]]:
        """Return the header lines that curl sent, and those that it got."""
        server = self._server
        completed = run_program(
            *["curl", "-sv", "--max-time", "60", "-u", f"{server.user}:{server.password}"],
            *arguments,
            *["-o", "/dev/null", server.url + name],
            cwd=self._directory,
        )
        lines = completed.stderr.splitlines()
        return tuple([line[2:] for line in lines if line[:2] == mark] for mark in ("> ", "< "))  # type: ignore[return-value]


@pytest.fixture
def curl(server: Server, tmp_path: Path) -> Curl:
    (tmp_path / "file").write_bytes(CONTENT)
    client = Curl(server, tmp_path)
    client.run("file", "-T", "file")
    return client


def test_an_upload_comes_back_byte_for_byte(curl: Curl, tmp_path: Path) -> None:
    curl.run("file", "-o", "back")
    assert (tmp_path / "back").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("0-0", CONTENT[:1]),
        ("100000-199999", CONTENT[100_000:200_000]),
        ("2999999-", CONTENT[-1:]),
        ("-77777", CONTENT[-77_777:]),
    ],
)
def test_a_range_is_exactly_what_was_asked_for(
    curl: Curl, tmp_path: Path, wanted: str, expected: bytes
) -> None:
    curl.run("file", "-r", wanted, "-o", "part")
    assert (tmp_path / "part").read_bytes() == expected


def test_several_ranges_come_as_parts_of_one_answer(curl: Curl, tmp_path: Path) -> None:
    curl.run("file", "-r", "5-9,1000000-1000004,-3", "-D", "head", "-o", "parts")
    assert "multipart/byteranges" in (tmp_path / "head").read_text()
    parts = (tmp_path / "parts").read_bytes()
    assert parts.count(b"Content-Range: bytes ") == 3
    for piece in (CONTENT[5:10], CONTENT[1_000_000:1_000_005], CONTENT[-3:]):
        assert b"\r\n\r\n" + piece + b"\r\n" in parts


def test_a_range_beyond_the_end_is_416(curl: Curl) -> None:
    assert curl.status("file", "-r", "3000000-") == 416


def test_a_broken_download_goes_on_where_it_stopped(curl: Curl, tmp_path: Path) -> None:
    (tmp_path / "back").write_bytes(CONTENT[:1_234_567])
    curl.run("file", "-C", "-", "-D", "head", "-o", "back")
    assert (tmp_path / "back").read_bytes() == CONTENT
    assert f"content-length: {len(CONTENT) - 1_234_567}" in (tmp_path / "head").read_text().lower()


def test_a_body_is_asked_for_only_when_it_is_wanted(curl: Curl) -> None:
    upload = ("-T", "file", "-H", "Expect: 100-continue", "--expect100-timeout", "30")
    sent, received = curl.verbose("new", *upload)
    assert [line for line in received if line.startswith("HTTP/")] == [
        "HTTP/1.1 100 Continue",
        "HTTP/1.1 201 Created",
    ]
    assert "Expect: 100-continue" in sent
    _, received = curl.verbose("no/such/folder", *upload)
    assert [line for line in received if line.startswith("HTTP/")] == ["HTTP/1.1 409 Conflict"]


def test_an_upload_from_a_pipe_has_no_length_and_is_whole(
    curl: Curl, server: Server, tmp_path: Path
) -> None:
    credentials = f"{server.user}:{server.password}"
    with (
        subprocess.Popen(["cat", tmp_path / "file"], stdout=subprocess.PIPE) as source,
        subprocess.Popen(
            ["curl", "-sSf", "-u", credentials, "-T", "-", f"{server.url}piped"],
            stdin=source.stdout,
        ) as sink,
    ):
        assert sink.wait(timeout=60) == 0
    curl.run("piped", "-o", "back")
    assert (tmp_path / "back").read_bytes() == CONTENT


def test_what_has_not_changed_is_not_sent_again(curl: Curl, tmp_path: Path) -> None:
    curl.run("file", "--etag-save", "tag", "-o", "first")
    assert curl.status("file", "--etag-compare", "tag") == 304
    curl.run("file", "--remote-time", "-o", "second")
    assert curl.status("file", "-z", "second") == 304
    (tmp_path / "file").write_bytes(b"changed")
    curl.run("file", "-T", "file")
    assert curl.status("file", "--etag-compare", "tag") == 200


def test_an_upload_over_something_else_than_expected_is_refused(curl: Curl, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("other")
    upload = ("-T", "other", "-H")
    assert curl.status("file", *upload, "If-None-Match: *") == 412
    assert curl.status("file", *upload, 'If-Match: "something-else"') == 412
    assert curl.status("absent", *upload, "If-Match: *") == 412
    curl.run("file", "-o", "back")
    assert (tmp_path / "back").read_bytes() == CONTENT
    assert curl.status("absent", *upload, "If-None-Match: *") == 201


def test_times_are_set_and_told(curl: Curl) -> None:
    assert curl.status("file", "-T", "file", "-H", "X-OC-Mtime: 1234567890.5") == 204
    head = curl.run("file", "-I").lower()
    assert "last-modified: fri, 13 feb 2009 23:31:30 gmt" in head


def test_a_wrong_password_is_401(curl: Curl) -> None:
    assert curl.status("file", "-u", "alice:wrong") == 401
