"""Values at the edge of what a client may send: each is taken, refused, or left out; none fails."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest

from tests.support.drive import Client, lock_body

FAR_TIMES = ["99999999999", "-99999999999", "-9223372037", "18446744074", "1" * 20]
FAR_DATES = ["Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 1601 00:00:00 GMT"]


@pytest.mark.parametrize("seconds", FAR_TIMES)
@pytest.mark.parametrize("header", ["X-OC-Mtime", "X-OC-CTime"])
def test_a_file_comes_in_without_a_time_that_cannot_be_kept(
    alice: Client, folder: str, header: str, seconds: str
) -> None:
    reply = alice("PUT", folder + "a", b"content", {header: seconds})
    assert reply.status == 201
    assert header.lower() not in reply.headers
    assert alice.get(folder + "a") == b"content"


@pytest.mark.parametrize("seconds", FAR_TIMES)
def test_a_folder_is_made_without_a_time_that_cannot_be_kept(
    alice: Client, folder: str, seconds: str
) -> None:
    assert alice("MKCOL", folder + "a", X_OC_Mtime=seconds).status == 201


@pytest.mark.parametrize("date", FAR_DATES)
@pytest.mark.parametrize(
    "name",
    [
        "{DAV:}getlastmodified",
        "{urn:schemas-microsoft-com:}Win32CreationTime",
        "{urn:schemas-microsoft-com:}Win32LastModifiedTime",
    ],
)
def test_a_date_that_cannot_be_kept_is_a_conflict(
    alice: Client, folder: str, name: str, date: str
) -> None:
    alice("PUT", folder + "a", b"content")
    namespace, _, local = name.removeprefix("{").rpartition("}")
    element = f'<{local} xmlns="{namespace}">{date}</{local}>'
    reply = alice.proppatch(folder + "a", f"<D:set><D:prop>{element}</D:prop></D:set>")
    assert reply.properties()[name][0] == 409


def test_a_file_dated_ahead_has_no_last_modified_in_the_future(alice: Client, folder: str) -> None:
    alice("PUT", folder + "a", b"content", X_OC_Mtime="4000000000")
    headers = alice("GET", folder + "a").headers
    shown = parsedate_to_datetime(headers["last-modified"])
    assert shown <= parsedate_to_datetime(headers["date"])
    # The property is what sync clients compare; it tells the file's own time.
    kept = alice.propfind(folder + "a", "{DAV:}getlastmodified").value("{DAV:}getlastmodified")
    assert parsedate_to_datetime(kept) == datetime.fromtimestamp(4_000_000_000, UTC)


def test_a_media_type_that_no_header_can_carry_is_refused(alice: Client, folder: str) -> None:
    alice("PUT", folder + "a", b"content")
    inside = "<D:set><D:prop><D:getcontenttype>text/日本</D:getcontenttype></D:prop></D:set>"
    reply = alice.proppatch(folder + "a", inside)
    assert reply.properties()["{DAV:}getcontenttype"][0] == 409
    assert alice.get(folder + "a") == b"content"


def test_a_media_type_beyond_ascii_is_not_kept(alice: Client, folder: str) -> None:
    alice("PUT", folder + "a.txt", b"content", Content_Type="text/caf\xe9")
    assert alice("GET", folder + "a.txt").headers["content-type"] == "text/plain"


@pytest.mark.parametrize("path", ["a", ""])
def test_not_modified_says_what_caches_may_do_as_the_whole_answer_does(
    alice: Client, folder: str, path: str
) -> None:
    alice("PUT", folder + "a", b"content")
    whole = alice("GET", folder + path)
    unchanged = alice("GET", folder + path, If_None_Match=whole.headers["etag"])
    assert unchanged.status == 304
    assert unchanged.headers["cache-control"] == whole.headers["cache-control"]
    assert unchanged.headers["etag"] == whole.headers["etag"]


def test_a_namespace_that_clients_could_not_read_back_is_refused(
    alice: Client, folder: str
) -> None:
    alice("PUT", folder + "a", b"content")
    inside = '<D:set><D:prop><y:p xmlns:y="a}b">v</y:p></D:prop></D:set>'
    assert alice.proppatch(folder + "a", inside).status == 400
    inside = '<D:set><D:prop><p xmlns="a{b">v</p></D:prop></D:set>'
    assert alice.proppatch(folder + "a", inside).status == 400


def test_the_owner_of_a_lock_has_bounds(alice: Client, folder: str) -> None:
    alice("PUT", folder + "a", b"content")
    assert alice("LOCK", folder + "a", lock_body(owner="x" * 9000)).status == 413
    assert alice("LOCK", folder + "a", lock_body(owner="x" * 7000)).status == 200
