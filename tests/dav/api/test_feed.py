"""The change feed over real sockets, and what takes its place where it cannot be had."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.sync.client import ClientConnection, connect

import cas
from cas import wire
from dav.access_tokens import access_tokens
from dav.api.feed import HANDSHAKES
from dav.api.rates import Rates
from dav.api.settings import ApiSettings
from dav.devices import Devices, revoke
from dav.grants import grant
from dav.identity import Method, Principal, Right, Role
from dav.registry import read_state
from syncd.remote.client import Remote
from syncd.remote.connection import Connection
from syncd.remote.credentials import FixedToken
from syncd.remote.errors import RemoteError, SignedOutError, UnreachableError
from syncd.remote.feed import About, Listener
from tests.support.device import Device, remote_of
from tests.support.drive import Drive, running_drive
from tests.support.volumes import put
from tests.support.waiting import wait_until

News = queue.Queue[tuple[wire.Place, int]]


def address(remote: Remote) -> str:
    return remote.connection.get_json("", About).feed


def token_headers(remote: Remote) -> dict[str, str]:
    return {"Authorization": f"Bearer {remote.connection.token()}"}


def hear(device: Device, remote: Remote | None = None) -> tuple[Listener, News]:
    news: News = queue.Queue()
    listener = Listener(remote or device.remote, [device.place], lambda *one: news.put(one))
    listener.start()
    return listener, news


def test_a_write_is_heard_with_its_device(device: Device) -> None:
    with connect(address(device.remote), additional_headers=token_headers(device.remote)) as feed:
        first = {hint.volume: hint for hint in _first_hints(feed, device)}
        assert device.volume.id.hex() in first
        done = device.commit(wire.MakeFolder(b"folder"), device="tower")
        hint = _hint_of(feed, device, done.sequence)
        assert hint.device == "tower"
        assert hint.root == device.remote.head(device.place).root.content.hex()


def hear_all(feed: ClientConnection) -> None:
    while True:
        feed.recv(timeout=30)


def _hint_of(feed: ClientConnection, device: Device, sequence: int) -> wire.Hint:
    while True:
        hint = wire.decode_hint(feed.recv(timeout=30))
        if (hint.volume, hint.sequence) == (device.volume.id.hex(), sequence):
            return hint


def _first_hints(feed: ClientConnection, device: Device) -> list[wire.Hint]:
    found: list[wire.Hint] = []
    while not found or found[-1].volume != device.volume.id.hex():
        found.append(wire.decode_hint(feed.recv(timeout=30)))
    return found


def test_writes_over_webdav_and_by_another_process_s_handle_are_heard(
    device: Device, drive: Drive
) -> None:
    listener, news = hear(device)
    try:
        news.get(timeout=30)
        client = drive.client("alice")
        client("PUT", f"/dav/{device.volume.name}/file", b"x")
        client.connection.close()
        sequence = device.volume.sequence()
        while news.get(timeout=30)[1] < sequence:
            pass
        with cas.open(drive.repository.location) as other:
            sequence = put(other.volume(device.volume.name), "file", b"y")
            while news.get(timeout=30)[1] < sequence:
                pass
        assert listener.is_on_feed.is_set()
    finally:
        listener.close()


def test_only_who_may_read_hears(device: Device, bob: Remote, drive: Drive) -> None:
    home = drive.repository.volume("bob")
    with connect(address(bob), additional_headers=token_headers(bob)) as feed:
        device.commit(wire.MakeFolder(b"unheard"))
        heard = hear_until(feed, home, put(home, "his own"))
        assert device.volume.id.hex() not in heard
        grant(drive.repository, device.volume.name, "bob", Right.READ)
        done = device.commit(wire.MakeFolder(b"heard"))
        assert device.volume.id.hex() in hear_until(feed, device.volume, done.sequence)


def hear_until(feed: ClientConnection, volume: cas.Volume, sequence: int) -> set[str]:
    """The volumes that are heard of up to one state of one of them."""
    heard: set[str] = set()
    while True:
        hint = wire.decode_hint(feed.recv(timeout=30))
        heard.add(hint.volume)
        if (hint.volume, hint.sequence) == (volume.id.hex(), sequence):
            return heard


def test_who_has_no_token_is_not_let_in(device: Device) -> None:
    url = address(device.remote)
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic YTpi"}):
        with pytest.raises(InvalidStatus) as caught, connect(url, additional_headers=headers):
            pass
        assert caught.value.response.status_code == 401
    wrong = url.replace("ws/sync", "ws/other")
    headers = token_headers(device.remote)
    with pytest.raises(InvalidStatus) as caught, connect(wrong, additional_headers=headers):
        pass
    assert caught.value.response.status_code == 404


def test_who_says_nothing_takes_no_more_than_some_connections(device: Device) -> None:
    url = urlsplit(address(device.remote))
    assert url.hostname is not None
    assert url.port is not None
    with ExitStack() as silent:
        sockets = [
            silent.enter_context(socket.create_connection((url.hostname, url.port), timeout=30))
            for _ in range(HANDSHAKES + 20)
        ]
        for one in sockets[HANDSHAKES:]:
            try:
                assert one.recv(1) == b""
            except ConnectionResetError:
                continue
        sockets[HANDSHAKES - 1].setblocking(False)
        with pytest.raises(BlockingIOError):
            sockets[HANDSHAKES - 1].recv(1)  # its time is not over
    headers = token_headers(device.remote)

    def can_listen() -> bool:
        try:
            with connect(url.geturl(), additional_headers=headers, open_timeout=5) as feed:
                return bool(feed.recv(timeout=30))
        except (EOFError, OSError, InvalidMessage):
            return False

    wait_until(can_listen, "a place for one who signs in")


def test_no_feed_is_told_of_where_tls_ends_at_a_proxy(drive: Drive) -> None:
    for scheme, begins in (("http", "ws://drive:"), ("https", "")):
        asked = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/v1", "HTTP_HOST": "drive"}
        body = drive.app({**asked, "wsgi.url_scheme": scheme}, lambda *_: lambda _: None)
        told = json.loads(b"".join(body))["feed"]
        assert told.startswith(begins)
        assert bool(told) == bool(begins)


def test_a_revoked_device_hears_nothing_more(device: Device, drive: Drive) -> None:
    repository = drive.repository
    clock = cas.SystemClock().now_ns
    alice = Principal("alice", Role.ADMIN, Method.PASSWORD)
    linked, _ = Devices(repository, clock).link(read_state(repository), alice, "lost")
    user = read_state(repository).users["alice"]
    token = access_tokens(repository, clock).issue(user, device=linked.id)
    headers = {"Authorization": f"Bearer {token}"}
    with connect(address(device.remote), additional_headers=headers) as feed:
        feed.recv(timeout=30)
        revoke(repository, linked.id)
        with pytest.raises(ConnectionClosed) as caught:
            hear_all(feed)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4401


def test_garbage_from_a_client_harms_nobody(device: Device) -> None:
    headers = token_headers(device.remote)
    with connect(address(device.remote), additional_headers=headers) as rude:
        rude.send("x" * 100_000)
        with pytest.raises(ConnectionClosed):
            hear_all(rude)
    with connect(address(device.remote), additional_headers=headers) as feed:
        feed.send("hello")
        done = device.commit(wire.MakeFolder(b"folder"))
        assert _hint_of(feed, device, done.sequence).device == ""


@pytest.fixture
def without_feed(tmp_path: Path) -> Iterator[Drive]:
    with running_drive(tmp_path, api=ApiSettings(feed=False)) as drive:
        yield drive


def test_without_the_feed_requests_wait(without_feed: Drive) -> None:
    remote = remote_of(without_feed, "alice")
    assert address(remote) == ""
    volume = without_feed.repository.volume("alice")
    place = wire.Place(volume.id)
    news: News = queue.Queue()
    listener = Listener(remote, [place], lambda *one: news.put(one))
    listener.start()
    assert news.get(timeout=30) == (place, volume.sequence())
    sequence = put(volume, "file", b"x")
    assert news.get(timeout=30) == (place, sequence)
    assert not listener.is_on_feed.is_set()
    remote.connection.close()
    listener.close()


def test_a_server_that_stops_lets_waiting_requests_go(tmp_path: Path) -> None:
    answers: list[wire.Delta] = []
    with running_drive(tmp_path) as drive:
        remote = remote_of(drive, "alice")
        place = wire.Place(drive.repository.volume("alice").id)
        since = remote.head(place).sequence
        thread = threading.Thread(
            target=lambda: answers.append(remote.delta(place, since, wait_seconds=60))
        )
        thread.start()
        wait_until(lambda: drive.app.waiting_count > 0, "the request to wait")
    thread.join(30)
    assert [answer.changes for answer in answers] == [[]]
    remote.connection.close()


def test_what_keeps_a_listener_from_listening_is_told(device: Device) -> None:
    errors: queue.Queue[RemoteError | None] = queue.Queue()
    url = device.remote.connection.url
    remote = Remote(Connection(url, FixedToken("not a token")))
    listener = Listener(remote, [device.place], lambda *_: None, errors.put)
    listener.start()
    assert isinstance(errors.get(timeout=60), SignedOutError | UnreachableError)
    remote.connection.close()
    listener.close()


def test_too_many_requests_are_told_when_to_come_again() -> None:
    now = 0.0
    rates = Rates(60, lambda: now)
    assert [rates.take("a") for _ in range(61)] == [0] * 60 + [1]
    assert rates.take("b") == 0
    now = 1.0
    assert (rates.take("a"), rates.take("a")) == (0, 1)
    assert rates.take("a", cost=30.0) == 30
    assert rates.take("c", cost=1000.0) == 0  # more than there ever are: all of them
    assert rates.take("c") == 1


def test_the_limit_is_429_with_retry_after(tmp_path: Path) -> None:
    with running_drive(tmp_path, api=ApiSettings(requests_per_minute=3)) as drive:
        client = drive.client("alice")
        replies = [client("GET", "/api/v1/me") for _ in range(4)]
        assert [reply.status for reply in replies] == [200, 200, 200, 429]
        assert int(replies[-1].headers["retry-after"]) > 0
        client.connection.close()
