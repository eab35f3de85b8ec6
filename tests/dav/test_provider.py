"""The provider in a WsgiDAV application that is not ours, with WsgiDAV's own methods."""

from __future__ import annotations

import gc
import io
import random
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import unquote
from wsgiref.util import setup_testing_defaults

import pytest
from wsgidav.wsgidav_app import WsgiDAVApp

import cas
from dav.accounts import create_user
from dav.drive import Drive
from dav.grants import Rights
from dav.identity import Method, Principal, Role
from dav.provider import VolumesProvider
from dav.registry import Registry
from dav.resources import Session


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Application:
    """Somebody's WsgiDAV application with our provider at `/files`."""

    def __init__(self, repository: cas.Repository) -> None:
        alice = Principal("alice", Role.USER, Method.PASSWORD)
        rights = Rights(Registry(repository))
        provider = VolumesProvider(repository, rights, principal_of=lambda _: alice)
        self.app = WsgiDAVApp(
            {
                "provider_mapping": {"/files": provider},
                "logging": {"enable": False},
                "verbose": 0,
                "middleware_stack": [
                    "wsgidav.error_printer.ErrorPrinter",
                    "wsgidav.request_resolver.RequestResolver",
                ],
                "lock_storage": True,
                "property_manager": True,
            }
        )

    def __call__(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": unquote(path, "latin-1"),
            "SCRIPT_NAME": "",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        if "content_length" in headers:
            environ["CONTENT_LENGTH"] = headers["content_length"]
        setup_testing_defaults(environ)
        answer: list[Any] = []
        pieces = self.app(environ, lambda status, fields, _=None: answer.append((status, fields)))
        content = b"".join(pieces)
        status, fields = answer[-1]
        return Answer(int(status[:3]), {key.lower(): text for key, text in fields}, content)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[cas.Repository]:
    with cas.create(tmp_path / "store") as opened:
        create_user(opened, "alice")
        create_user(opened, "bob")
        yield opened


@pytest.fixture
def call(repository: cas.Repository) -> Application:
    return Application(repository)


def test_files_are_written_read_and_removed(call: Application) -> None:
    assert call("PUT", "/files/alice/a.txt", b"hello").status == 201
    assert call("PUT", "/files/alice/a.txt", b"hello again").status == 204
    got = call("GET", "/files/alice/a.txt")
    assert (got.status, got.body) == (200, b"hello again")
    assert got.headers["etag"].startswith('"')
    assert got.headers["content-type"] == "text/plain"
    assert call("GET", "/files/alice/a.txt", range="bytes=6-").body == b"again"
    assert call("DELETE", "/files/alice/a.txt").status == 204
    assert call("GET", "/files/alice/a.txt").status == 404


def test_a_new_file_is_one_commit_and_a_cut_one_none(
    call: Application, repository: cas.Repository
) -> None:
    volume = repository.volume("alice")
    with volume.view() as before:
        call("PUT", "/files/alice/a", b"x")
        with volume.view() as after:
            assert after.sequence == before.sequence + 1
    assert call("PUT", "/files/alice/a", b"short", content_length="100").status == 400
    assert call("PUT", "/files/alice/new", b"short", content_length="100").status == 400
    assert call("GET", "/files/alice/a").body == b"x"
    assert call("GET", "/files/alice/new").status == 404


def test_trees_are_made_listed_copied_and_moved(call: Application) -> None:
    assert call("MKCOL", "/files/alice/a").status == 201
    assert call("PUT", "/files/alice/a/%C3%A4", b"x").status == 201
    listing = call("PROPFIND", "/files/alice/a", depth="1")
    assert listing.status == 207
    assert b"/files/alice/a/%C3%A4" in listing.body
    copied = call("COPY", "/files/alice/a", destination="http://127.0.0.1/files/alice/b")
    assert copied.status == 201
    moved = call("MOVE", "/files/alice/b", destination="http://127.0.0.1/files/alice/c")
    assert moved.status == 201
    assert call("GET", "/files/alice/c/%C3%A4").body == b"x"
    assert call("GET", "/files/alice/b/%C3%A4").status == 404
    again = call("COPY", "/files/alice/a", destination="http://127.0.0.1/files/alice/c")
    assert again.status == 204


def test_rights_hold(call: Application) -> None:
    assert b"bob" not in call("PROPFIND", "/files/", depth="1").body
    assert call("PROPFIND", "/files/bob/", depth="0").status == 404
    assert call("PUT", "/files/bob/a", b"x").status >= 400
    assert call("DELETE", "/files/alice/").status == 403


def test_times_are_set_as_clients_ask(call: Application) -> None:
    call.app.config["hotfixes"]["emulate_win32_lastmod"] = True
    call("PUT", "/files/alice/a", b"x")
    body = (
        b'<propertyupdate xmlns="DAV:"><set><prop><Win32LastModifiedTime '
        b'xmlns="urn:schemas-microsoft-com:">Sun, 06 Nov 1994 08:49:37 GMT'
        b"</Win32LastModifiedTime></prop></set></propertyupdate>"
    )
    assert call("PROPPATCH", "/files/alice/a", body).status == 207
    got = call("GET", "/files/alice/a")
    assert got.headers["last-modified"] == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_a_lock_on_a_free_name_makes_an_empty_file(call: Application) -> None:
    body = (
        b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope>'
        b"<locktype><write/></locktype></lockinfo>"
    )
    assert call("LOCK", "/files/alice/new", body, depth="0").status == 201
    assert call("GET", "/files/alice/new").body == b""


def test_names_that_cannot_be_shown_are_refused(call: Application) -> None:
    assert 400 <= call("PUT", "/files/alice/a%0Ab", b"x").status < 500


def test_the_past_is_read_and_copied_out_of_and_nothing_else(
    call: Application, repository: cas.Repository
) -> None:
    call("MKCOL", "/files/alice/a")
    call("PUT", "/files/alice/a/b", b"then")
    repository.volume("alice").create_snapshot("then")
    call("PUT", "/files/alice/a/b", b"now")
    past = "/files/alice/.snapshots"
    assert b".snapshots" not in call("PROPFIND", "/files/alice/", depth="1").body
    assert f"{past}/then/<".encode() in call("PROPFIND", past, depth="1").body
    assert f"{past}/then/a/b<".encode() in call("PROPFIND", f"{past}/then", depth="infinity").body
    assert call("GET", f"{past}/then/a/b").body == b"then"
    for path in ("/never", "/then/none", "/then/a/b/c"):
        assert call("GET", past + path).status == 404
    assert call("GET", "/files/bob/.snapshots").status == 404
    target = "http://127.0.0.1/files/alice/"
    body = b'<propertyupdate xmlns="DAV:"><set><prop><x/></prop></set></propertyupdate>'
    lock = b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope></lockinfo>'
    for path in ("", "/then", "/then/a", "/then/a/b", "/then/a/new"):
        for method in ("PUT", "MKCOL", "DELETE", "MOVE", "PROPPATCH", "LOCK"):
            sent = {"PROPPATCH": body, "LOCK": lock}.get(method, b"")
            answer = call(method, past + path, sent, destination=target + "x", depth="infinity")
            assert answer.status >= 400 or b" 403 " in answer.body
    assert call("COPY", "/files/alice/a", destination=target + ".snapshots").status == 403
    assert call("COPY", "/files/alice/a", destination=target + ".snapshots/then/x").status == 403
    assert call("GET", f"{past}/then/a/b").body == b"then"
    assert call("GET", "/files/alice/a/b").body == b"now"
    assert call("GET", "/files/alice/x").status == 404
    assert call("COPY", f"{past}/then/a/b", destination=target + "a/b").status == 204
    assert call("COPY", f"{past}/then", destination=target + "all").status == 201
    bare = call("COPY", f"{past}/then/a", destination=target + "all/a", depth="0")
    assert (bare.status, call("GET", "/files/alice/all/a/b").status) == (204, 404)
    assert call("GET", "/files/alice/a/b").body == b"then"


def test_the_views_of_a_request_may_go_while_another_takes_its_own(
    repository: cas.Repository,
) -> None:
    def leave_garbage() -> None:
        environ: dict[str, Any] = {}
        alice = Principal("alice", Role.USER, Method.PASSWORD)
        session = Session(repository, Rights(Registry(repository)), alice, environ)
        environ["casdav.session"] = session
        session.view("alice")

    def pin_and_collect() -> None:
        process = repository.volume("alice")._engine.process  # noqa: SLF001 - where it matters
        _, pin = process.pin(lambda _: gc.collect())
        process.unpin(pin)

    leave_garbage()
    thread = Thread(target=pin_and_collect, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_a_server_that_did_not_ask_for_buffers_gets_bytes(repository: cas.Repository) -> None:
    content = random.Random(1).randbytes(1_000_000)
    with repository.volume("alice").upload() as upload:
        upload.write(content)
        with repository.volume("alice").edit() as edit:
            edit.put("big", upload)
    drive = Drive(repository, Rights(Registry(repository)))
    for ranges in ("bytes=0-", "bytes=0-9,600000-"):
        environ: dict[str, Any] = {
            "PATH_INFO": "/dav/alice/big",
            "HTTP_RANGE": ranges,
            "casdav.principal": Principal("alice", Role.USER, Method.PASSWORD),
        }
        setup_testing_defaults(environ)
        pieces = list(drive(environ, lambda *_: bytes.__len__))
        assert all(isinstance(piece, bytes) for piece in pieces)
        assert content[600_000:] in b"".join(pieces)
