"""Buckets that cannot be used: one line that says what to do, the exit code, nothing changed."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.support.network import LOOPBACK
from tests.support.processes import run_casdav
from tests.support.seaweed import BUCKET, CREDENTIALS
from tests.tools.conftest import Casdav

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.seaweed import Bucket

COMMANDS = (
    ("init", "--no-encrypt"),
    ("ls",),
    ("check",),
    ("import", __file__, "v:/"),
    ("serve", "--port", "0"),
    ("serve", "--quickstart", "--port", "0"),
)
REMOTE = {"durability": "remote"}


def at(location: str) -> Casdav:
    return Casdav(location)  # type: ignore[arg-type]


def refused(casdav: Casdav, reason: str, code: int) -> None:
    """Expect each command to end with the code and one line that has the reason in it."""
    for command in COMMANDS:
        words = [*command, casdav.store] if command[0] == "init" else [*command]
        ended = casdav(*words, code=code)
        assert reason in ended.err, command
        assert ended.err.count("\n") == 1, ended.err


def objects(bucket: Bucket) -> dict[str, str]:
    """Return all that is in the bucket, below any prefix, with what tells its state."""
    client = bucket.server.client()
    try:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {
            item["Key"]: item["ETag"]
            for page in pages
            for item in page.get("Contents", ())
            if item["Key"] != "ready"
        }
    finally:
        client.close()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.mark.parametrize("durability", ["local", "remote"])
@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("AWS_ACCESS_KEY_ID", "nobody", "set AWS_ACCESS_KEY_ID"),
        ("AWS_SECRET_ACCESS_KEY", "wrong", "set AWS_SECRET_ACCESS_KEY"),
        ("AWS_ACCESS_KEY_ID", "", "AWS_ACCESS_KEY_ID"),
    ],
    ids=["unknown key", "wrong secret", "none"],
)
def test_wrong_credentials(
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    durability: str,
    variable: str,
    value: str,
    reason: str,
) -> None:
    before = objects(bucket)
    monkeypatch.setenv(variable, value)
    if not value:
        monkeypatch.delenv(variable)
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    refused(at(bucket.url(durability=durability)), reason, 16)
    assert objects(bucket) == before


def test_a_bucket_that_is_not_there(bucket: Bucket) -> None:
    missing = bucket.url(**REMOTE).replace(f"s3://{BUCKET}/", "s3://not-there/")
    refused(at(missing), "there is no such bucket", 16)


@contextmanager
def answering(status: int, code: str) -> Iterator[str]:
    """Run a server that answers all requests with one error of S3; give its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _refuse(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = _refuse  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("status", "code", "reason", "exit_code"),
    [
        (400, "AuthorizationHeaderMalformed", "?region=", 16),
        (301, "PermanentRedirect", "?region=", 16),
        (403, "RequestTimeTooSkewed", "clocks", 16),
        (403, "AccessDenied", "needs to list the bucket", 16),
        (403, "QuotaExceeded", "no room left in the bucket", 15),
        (507, "XMinioStorageFull", "no room left in the bucket", 15),
    ],
)
def test_what_other_servers_answer(status: int, code: str, reason: str, exit_code: int) -> None:
    with answering(status, code) as endpoint:
        refused(at(f"s3://bucket/x?endpoint={endpoint}&durability=remote"), reason, exit_code)


def test_who_waits_for_a_bucket_is_told_and_waits_no_longer_than_the_location_says() -> None:
    with answering(503, "SlowDown") as endpoint:
        place = f"s3://bucket/x?endpoint={endpoint}&timeout="
        long, short = (run_casdav("ls", store=place + t, check=False) for t in ("5s", "1s"))
    assert long.returncode == short.returncode == 16
    assert "waiting for s3://bucket/x" in long.stderr
    assert "tried for 5 s" in long.stderr
    assert "waiting" not in short.stderr
    assert "SlowDown" in short.stderr


def test_something_else_or_another_repository_is_there(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    casdav = at(bucket.url(**REMOTE))
    client = bucket.server.client()
    client.put_object(Bucket=BUCKET, Key=f"{bucket.prefix}/holiday.jpg", Body=b"1")
    before = objects(bucket)
    for words in (("init", "--no-encrypt"), ("init", "--encrypt")):
        monkeypatch.setenv("CASDAV_PASSWORD", "what only this house knows")
        ended = casdav(*words, casdav.store, code=14)
        assert "take another prefix" in ended.err
        assert ended.err.count("\n") == 1
    ended = casdav("serve", "--quickstart", "--port", "0", code=14)
    assert "take another prefix" in ended.err
    assert objects(bucket) == before
    client.delete_object(Bucket=BUCKET, Key=f"{bucket.prefix}/holiday.jpg")
    client.close()

    casdav("init", casdav.store, "--encrypt")
    before = objects(bucket)
    assert "there is a repository" in casdav("init", casdav.store, "--encrypt", code=14).err
    other = at(bucket.url(durability="local"))
    assert other("ls", code=2).err.count("\n") == 1
    assert other("init", other.store, "--encrypt", code=14).err.count("\n") == 1
    monkeypatch.setenv("CASDAV_PASSWORD", "what nobody knows")
    short = tmp_path / "short.key"
    short.write_bytes(bytes(31))
    for options, reason in (
        ([], "the password does not open"),
        (["--key-file", str(short)], "has 32 bytes, this one has 31"),
    ):
        for command in COMMANDS[1:]:
            ended = casdav(*command, *options, code=12)
            assert reason in ended.err
            assert ended.err.count("\n") == 1
    assert objects(bucket) == before
