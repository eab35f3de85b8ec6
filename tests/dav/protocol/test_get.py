from __future__ import annotations

import random
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.support.drive import Client, running_drive

CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def file(alice: Client, folder: str) -> str:
    alice("PUT", folder + "file.bin", CONTENT, X_OC_Mtime="784111777")
    return folder + "file.bin"


def test_a_file_is_served_whole_with_its_validators(alice: Client, file: str) -> None:
    reply = alice("GET", file)
    assert (reply.status, reply.body) == (200, CONTENT)
    assert reply.headers["content-length"] == str(len(CONTENT))
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["last-modified"] == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert reply.headers["etag"].startswith('"')


def test_head_is_get_without_the_body(alice: Client, file: str) -> None:
    get, head = alice("GET", file), alice("HEAD", file)
    assert (head.status, head.body) == (200, b"")
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}


@pytest.mark.parametrize(
    ("value", "start", "stop"),
    [("bytes=0-0", 0, 1), ("bytes=1000-", 1000, None), ("bytes=-7", -7, None)],
)
def test_one_range_is_206(
    alice: Client, file: str, value: str, start: int, stop: int | None
) -> None:
    reply = alice("GET", file, Range=value)
    assert (reply.status, reply.body) == (206, CONTENT[start:stop])
    assert reply.headers["content-range"].endswith(f"/{len(CONTENT)}")
    assert reply.headers["content-length"] == str(len(reply.body))


def test_several_ranges_are_a_multipart_body(alice: Client, file: str) -> None:
    reply = alice("GET", file, Range="bytes=0-9,500000-500099,-5")
    assert reply.status == 206
    assert "content-range" not in reply.headers
    head = f"Content-Type: {reply.headers['content-type']}\r\n\r\n".encode()
    [_, *parts] = message_from_bytes(head + reply.body).walk()
    assert [part["Content-Range"] for part in parts] == [
        f"bytes 0-9/{len(CONTENT)}",
        f"bytes 500000-500099/{len(CONTENT)}",
        f"bytes {len(CONTENT) - 5}-{len(CONTENT) - 1}/{len(CONTENT)}",
    ]


@pytest.mark.parametrize("value", ["bytes=9-2", "items=0-1", "bytes=x", "bytes="])
def test_a_range_that_makes_no_sense_is_ignored(alice: Client, file: str, value: str) -> None:
    assert alice("GET", file, Range=value).status == 200


def test_a_range_beyond_the_end_is_416(alice: Client, file: str) -> None:
    reply = alice("GET", file, Range=f"bytes={len(CONTENT)}-")
    assert reply.status == 416
    assert reply.headers["content-range"] == f"bytes */{len(CONTENT)}"


def test_head_has_no_ranges(alice: Client, file: str) -> None:
    reply = alice("HEAD", file, Range="bytes=0-0")
    assert (reply.status, reply.headers["content-length"]) == (200, str(len(CONTENT)))


def test_if_range_decides_between_part_and_whole(alice: Client, file: str) -> None:
    etag = alice("HEAD", file).headers["etag"]
    for value, status in [
        (etag, 206),
        (f"W/{etag}", 200),
        ('"other"', 200),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 206),
        ("Sun, 06 Nov 1994 08:49:38 GMT", 200),
    ]:
        assert alice("GET", file, Range="bytes=0-0", If_Range=value).status == status


def test_what_the_client_has_is_304_with_the_etag(alice: Client, file: str) -> None:
    etag = alice("HEAD", file).headers["etag"]
    for headers in (
        {"If-None-Match": etag},
        {"If-None-Match": etag.strip('"')},
        {"If-None-Match": f"W/{etag}"},
        {"If-None-Match": "*"},
        {"If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"},
    ):
        for method in ("GET", "HEAD"):
            reply = alice(method, file, None, headers)
            assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", etag)
    assert alice("GET", file, If_Match='"other"').status == 412
    newer = {"If-None-Match": '"x"', "If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}
    assert alice("GET", file, None, newer).status == 200


@pytest.mark.parametrize("name", ["missing", "file.bin/", "file.bin/below", "missing/below"])
def test_what_is_not_there_is_404(alice: Client, file: str, name: str) -> None:
    for method in ("GET", "HEAD", "PROPFIND", "DELETE"):
        assert alice(method, file.rpartition("/")[0] + "/" + name).status == 404


def test_types_are_kept_or_guessed(alice: Client, folder: str) -> None:
    alice("PUT", folder + "a.html", b"x", Content_Type="text/html; charset=utf-8")
    assert alice("GET", folder + "a.html").headers["content-type"] == "text/html; charset=utf-8"
    alice("PUT", folder + "a.png", b"x")
    assert alice("GET", folder + "a.png").headers["content-type"] == "image/png"
    alice("PUT", folder + "a", b"x")
    assert alice("GET", folder + "a").headers["content-type"] == "application/octet-stream"


def test_a_browser_is_told_that_text_is_utf_8(alice: Client, folder: str) -> None:
    alice("PUT", folder + "a.txt", b"text")
    alice("PUT", folder + "b.txt", b"text", Content_Type="text/plain; charset=latin-1")
    types = [
        alice("GET", folder + name, Accept="text/html").headers["content-type"]
        for name in ("a.txt", "b.txt")
    ]
    assert types == ["text/plain; charset=utf-8", "text/plain; charset=latin-1"]
    assert alice("GET", folder + "a.txt").headers["content-type"] == "text/plain"


def test_a_files_content_cannot_act_on_the_server(alice: Client, folder: str) -> None:
    for name, disposition in (("a.html", "attachment"), ("a.svg", "attachment"), ("a.png", None)):
        alice("PUT", folder + name, b"<script>")
        headers = alice("GET", folder + name).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in headers["content-security-policy"]
        assert headers.get("content-disposition") == disposition
    assert alice("GET", folder + "a.png?download").headers["content-disposition"] == "attachment"


def test_a_folder_is_a_page_without_scripts_and_with_escaped_names(
    alice: Client, folder: str
) -> None:
    alice("PUT", folder + "%3Cscript%3E%22%26'", b"12345")
    alice("MKCOL", folder + "sub")
    reply = alice("GET", folder)
    text = reply.body.decode()
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;&quot;&amp;&#x27;" in text
    assert f'href="{folder}%3Cscript%3E%22%26%27"' in text
    assert f'href="{folder}sub/"' in text
    assert "5 B" in text
    etag = reply.headers["etag"]
    assert alice("GET", folder, If_None_Match=etag).status == 304
    head = alice("HEAD", folder)
    assert (head.status, head.body, head.headers["etag"]) == (200, b"", etag)


def test_the_lists_have_pages_too(alice: Client) -> None:
    assert b'href="/dav/"' in alice("GET", "/").body
    assert b'href="/dav/alice/"' in alice("GET", "/dav/").body
    assert b"bob" not in alice("GET", "/dav/").body


@pytest.mark.on_disk
def test_damage_is_an_error_that_names_the_file_and_serves_nothing(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(1_000_000)
    with running_drive(tmp_path) as drive:
        alice = drive.client()
        alice("PUT", "/dav/alice/precious", content)
        drive.repository.checkpoint()
        stored = max(tmp_path.rglob("*"), key=_plain_size)
        packed = bytearray(stored.read_bytes())
        for position in range(2000, len(packed), 10_000):
            packed[position] ^= 1
        stored.write_bytes(packed)
        reply = alice("GET", "/dav/alice/precious")
        assert reply.status == 500
        assert b"precious" in reply.body
        assert alice("GET", "/dav/alice/").status == 200
        alice.connection.close()


def _plain_size(path: Path) -> int:
    return path.stat().st_size if path.is_file() and path.suffix != ".mdb" else 0
