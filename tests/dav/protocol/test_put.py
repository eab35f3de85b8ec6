from __future__ import annotations

import base64
import hashlib
import socket
from collections.abc import Callable, Iterator

import pytest

import cas
from cas.catalog import Catalog
from tests.support.drive import Client, Drive

CONTENT = b"some content\n" * 1000
SHA1 = hashlib.sha1(CONTENT, usedforsecurity=False)
MD5 = hashlib.md5(CONTENT, usedforsecurity=False)
HASHES = {
    "OC-Checksum": f"SHA1:{SHA1.hexdigest()}",
    "Content-MD5": base64.b64encode(MD5.digest()).decode(),
    "Digest": f"SHA-256={base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()}",
    "Repr-Digest": f"sha-512=:{base64.b64encode(hashlib.sha512(CONTENT).digest()).decode()}:",
}


def test_a_new_file_is_201_and_a_replaced_one_204(alice: Client, folder: str) -> None:
    first = alice("PUT", folder + "a", b"one")
    assert (first.status, first.body) == (201, b"")
    second = alice("PUT", folder + "a", b"two")
    assert second.status == 204
    assert alice.get(folder + "a") == b"two"


def test_the_etag_is_strong_and_the_one_that_get_and_propfind_tell(
    alice: Client, folder: str
) -> None:
    etag = alice("PUT", folder + "a", b"one").headers["etag"]
    assert etag[0] == etag[-1] == '"'
    assert alice("GET", folder + "a").headers["etag"] == etag
    assert alice.propfind(folder + "a", "{DAV:}getetag").value("{DAV:}getetag") == etag
    assert alice("PUT", folder + "a", b"two").headers["etag"] != etag
    assert alice("PUT", folder + "a", b"one").headers["oc-etag"] == etag


def test_an_empty_file_is_a_file(alice: Client, folder: str) -> None:
    assert alice("PUT", folder + "a", b"").status == 201
    reply = alice("GET", folder + "a")
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "0")


def test_a_chunked_body_is_taken(alice: Client, folder: str) -> None:
    def pieces() -> Iterator[bytes]:
        yield from [b"one ", b"two"]

    assert alice("PUT", folder + "a", pieces()).status == 201
    assert alice.get(folder + "a") == b"one two"


@pytest.mark.parametrize(
    ("name", "status"),
    [("missing/a", 409), ("missing/deeper/a", 409), ("file/a", 409), ("a/", 409), ("", 405)],
)
def test_a_file_needs_a_folder_above_it(alice: Client, folder: str, name: str, status: int) -> None:
    alice("PUT", folder + "file", b"")
    assert alice("PUT", folder + name, b"x").status == status


def test_a_folder_is_not_replaced_by_a_file(alice: Client, folder: str) -> None:
    alice("MKCOL", folder + "sub")
    for path in (folder + "sub", folder + "sub/", "/dav/alice", "/dav/alice/", "/dav/", "/"):
        reply = alice("PUT", path, b"x")
        assert reply.status == 405, path
        assert "PUT" not in reply.headers["allow"].split(", ")


def test_outside_of_volumes_nothing_is_stored(alice: Client) -> None:
    assert alice("PUT", "/elsewhere", b"x").status == 403
    assert alice("PUT", "/dav/no-such-volume", b"x").status == 403
    assert alice("PUT", "/dav/no-such-volume/a", b"x").status == 409


def test_a_part_of_a_file_is_refused(alice: Client, folder: str) -> None:
    reply = alice("PUT", folder + "a", b"x", Content_Range="bytes 0-0/2")
    assert reply.status == 400
    assert alice("GET", folder + "a").status == 404


def test_a_coded_body_is_refused(alice: Client, folder: str) -> None:
    assert alice("PUT", folder + "a", b"x", Content_Encoding="gzip").status == 415
    assert alice("PUT", folder + "a", b"x", Content_Encoding="identity").status == 201


def test_a_cut_body_leaves_the_old_content(drive: Drive, alice: Client, folder: str) -> None:
    alice("PUT", folder + "a", b"old")
    credentials = base64.b64encode(f"{alice.user}:{alice.password}".encode()).decode()
    for framing, body in (
        ("Content-Length: 1000", b"new"),
        ("Transfer-Encoding: chunked", b"3\r\nnew\r\n"),
    ):
        with socket.create_connection(("127.0.0.1", drive.port)) as connection:
            head = f"PUT {folder}a HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\n"
            connection.sendall(f"{head}{framing}\r\n\r\n".encode() + body)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
        assert alice.get(folder + "a") == b"old"


def test_finders_announced_length_is_enforced(alice: Client, folder: str) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"12345"

    assert alice("PUT", folder + "a", pieces(), X_Expected_Entity_Length="6").status == 400
    assert alice("GET", folder + "a").status == 404
    assert alice("PUT", folder + "a", pieces(), X_Expected_Entity_Length="5").status == 201


@pytest.mark.parametrize(
    ("value", "date"),
    [
        ("784111777", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("784111777.999999", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("-1", "Wed, 31 Dec 1969 23:59:59 GMT"),
    ],
)
def test_the_clients_time_is_kept(alice: Client, folder: str, value: str, date: str) -> None:
    reply = alice("PUT", folder + "a", b"x", X_OC_Mtime=value)
    assert (reply.status, reply.headers["x-oc-mtime"]) == (201, "accepted")
    assert alice("GET", folder + "a").headers["last-modified"] == date


def test_a_fraction_of_a_second_is_kept_to_the_nanosecond(
    drive: Drive, alice: Client, folder: str
) -> None:
    alice("PUT", folder + "a", b"x", X_OC_Mtime="784111777.123456789")
    with drive.repository.volume("alice").view() as view:
        entry = view.entry(folder.removeprefix("/dav/alice/") + "a")
    assert entry.mtime_ns == 784111777_123456789


def test_a_malformed_time_is_refused(alice: Client, folder: str) -> None:
    assert alice("PUT", folder + "a", b"x", X_OC_Mtime="yesterday").status == 400
    assert alice("GET", folder + "a").status == 404


@pytest.mark.parametrize("name", list(HASHES))
def test_announced_sums_are_verified(alice: Client, folder: str, name: str) -> None:
    headers = {name: HASHES[name]}
    assert alice("PUT", folder + "a", CONTENT, headers).status == 201
    assert alice("PUT", folder + "a", CONTENT[:-1], headers).status == 400
    assert alice.get(folder + "a") == CONTENT


@pytest.mark.parametrize(
    "headers",
    [
        {"OC-Checksum": "SHA1"},
        {"OC-Checksum": "SHA1:abcd"},
        {"Content-MD5": "!"},
        {"Digest": "SHA-256=AAAA"},
        {"Repr-Digest": "sha-256=AAAA"},
    ],
)
def test_malformed_sums_are_refused(alice: Client, folder: str, headers: dict[str, str]) -> None:
    assert alice("PUT", folder + "a", CONTENT, headers).status == 400


def test_unknown_sums_are_ignored(alice: Client, folder: str) -> None:
    headers = {"OC-Checksum": "CRC7:ab", "Digest": "unixsum=30637"}
    assert alice("PUT", folder + "a", CONTENT, headers).status == 201


SUMS = "{http://owncloud.org/ns}checksums"


def test_sums_are_kept_for_the_content_they_belong_to(alice: Client, folder: str) -> None:
    alice("PUT", folder + "a", CONTENT, {"OC-Checksum": HASHES["OC-Checksum"]})
    [element] = alice.propfind(folder + "a", SUMS).properties()[SUMS][1]
    assert element.text == HASHES["OC-Checksum"]
    alice("COPY", folder + "a", Destination=folder + "b")
    assert alice.propfind(folder + "b", SUMS).properties()[SUMS][0] == 200
    alice("PUT", folder + "a", b"other")
    assert alice.propfind(folder + "a", SUMS).properties()[SUMS][0] == 404


def test_dead_properties_outlive_a_new_content(alice: Client, folder: str) -> None:
    alice("PUT", folder + "a", b"one")
    alice.proppatch(folder + "a", "<D:set><D:prop><x:a>1</x:a></D:prop></D:set>")
    alice("PUT", folder + "a", CONTENT, {"OC-Checksum": HASHES["OC-Checksum"]})
    assert alice.propfind(folder + "a", "{urn:x}a").value("{urn:x}a") == "1"


@pytest.mark.parametrize(
    ("headers", "missing", "present"),
    [
        ({"If-Match": "*"}, 412, 204),
        ({"If-None-Match": "*"}, 201, 412),
        ({"If-Match": '"other"'}, 412, 412),
        ({"If-None-Match": '"other"'}, 201, 204),
        ({"If-Unmodified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 201, 412),
        ({"If-Modified-Since": "Sun, 06 Nov 2094 08:49:37 GMT"}, 201, 204),
        ({"If": '(["other"])'}, 412, 412),
        ({"If": '(Not ["other"])'}, 201, 204),
        ({"If": "nonsense"}, 400, 400),
        ({"If-Match": '"unclosed'}, 400, 400),
    ],
)
def test_conditions_decide(
    alice: Client, folder: str, headers: dict[str, str], missing: int, present: int
) -> None:
    assert alice("PUT", folder + "missing", b"x", headers).status == missing
    alice("PUT", folder + "present", b"old")
    assert alice("PUT", folder + "present", b"x", headers).status == present
    assert alice.get(folder + "present") == (b"x" if present == 204 else b"old")


def test_of_many_conditional_writers_one_wins(drive: Drive, folder: str) -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    clients = [drive.client() for _ in range(6)]
    clients[0]("PUT", folder + "a", b"start")
    for _ in range(5):
        etag = clients[0]("GET", folder + "a").headers["etag"]

        def write(number: int, etag: str = etag) -> int:
            body = f"{number} {etag}".encode()
            return clients[number]("PUT", folder + "a", body, If_Match=etag).status

        with ThreadPoolExecutor(len(clients)) as pool:
            statuses = list(pool.map(write, range(len(clients))))
        assert sorted(statuses) == [204, *[412] * (len(clients) - 1)]
    for client in clients:
        client.connection.close()


def test_a_refused_put_is_refused_before_its_body(drive: Drive, alice: Client, folder: str) -> None:
    credentials = base64.b64encode(f"{alice.user}:{alice.password}".encode()).decode()
    with socket.create_connection(("127.0.0.1", drive.port)) as connection:
        connection.sendall(
            f"PUT {folder}a HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\n"
            "If-Match: *\r\nExpect: 100-continue\r\nContent-Length: 100000000\r\n\r\n".encode()
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 412 ")


def test_the_quota_is_507_before_and_after_the_body(drive: Drive) -> None:
    drive.repository.create_volume("small", owner="alice", quota=1000)
    alice = drive.client()
    reply = alice("PUT", "/dav/small/a", b"x" * 1001)
    assert (reply.status, reply.conditions) == (507, ["quota-not-exceeded"])

    def pieces() -> Iterator[bytes]:
        yield b"x" * 2000

    reply = alice("PUT", "/dav/small/a", pieces())
    assert (reply.status, reply.conditions) == (507, ["quota-not-exceeded"])
    assert alice("PUT", "/dav/small/a", b"x" * 1000).status == 201
    assert alice("PUT", "/dav/small/a", b"y" * 1000).status == 204
    assert alice("PUT", "/dav/small/b", b"y").status == 507
    alice.connection.close()


def test_a_symbolic_link_is_hidden_and_not_replaced(
    drive: Drive, alice: Client, folder: str
) -> None:
    path = folder.removeprefix("/dav/alice/")
    with drive.repository.volume("alice").edit() as edit:
        edit.make_symlink(path + "link", "elsewhere")
    assert alice("GET", folder + "link").status == 404
    assert alice("PUT", folder + "link", b"x").status == 409
    assert alice("MKCOL", folder + "link").status in {405, 409}
    alice("PUT", folder + "file", b"x")
    assert alice("COPY", folder + "file", Destination=folder + "link").status == 409
    hrefs = alice("PROPFIND", folder, Depth="1").responses
    assert set(hrefs) == {folder, folder + "file"}
    assert alice("MOVE", folder[:-1], Destination=folder[:-1] + "-moved").status == 201
    with drive.repository.volume("alice").view() as view:
        entry = view.entry(path[:-1] + "-moved/link")
    assert entry.kind is cas.EntryKind.SYMLINK


@pytest.mark.one_gateway
def test_a_small_put_takes_few_transactions(
    alice: Client, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice("PUT", folder + "before", b"so that everything is known that can be")
    begun: list[str] = []
    for kind in ("read", "write"):
        begin = getattr(Catalog, kind)

        def count(
            *args: object, kind: str = kind, begin: Callable[..., object] = begin, **kwargs: object
        ) -> object:
            begun.append(kind)
            return begin(*args, **kwargs)

        monkeypatch.setattr(Catalog, kind, count)
    assert alice("PUT", folder + "after", b"new").status == 201
    assert begun.count("write") == 1
    # Who it is, the volume, its view, the right, the locks, whether the chunk is known.
    assert begun.count("read") == 6
