"""X-Forwarded fields: believed when asked to, from trusted addresses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dav.http.proxy import Peer, ProxyTrust, plain_address
from dav.server import ListenError, Server, ServerSettings
from tests.dav.http.wire import Recorder, Wire, echo

Serve = Callable[..., Server]
FORWARDED = (
    b"X-Forwarded-For: 203.0.113.7\r\n",
    b"X-Forwarded-Proto: https\r\n",
    b"X-Forwarded-Host: files.example\r\n",
)
LOCAL = Peer("127.0.0.1", "http", "")


def test_a_trusted_proxy_is_believed(serve: Serve) -> None:
    recorder = Recorder()
    with Wire(serve(recorder, behind_proxy=True)) as wire:
        assert wire.get("/", *FORWARDED).status == 200
    environ = recorder.environs[0]
    assert environ["REMOTE_ADDR"] == "203.0.113.7"
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["HTTP_HOST"] == "files.example"
    assert "HTTP_X_FORWARDED_FOR" not in environ


@pytest.mark.parametrize(
    "settings",
    [{}, {"behind_proxy": True, "trusted_proxies": ("192.0.2.0/24",)}],
)
def test_others_are_not_believed(serve: Serve, settings: dict[str, object]) -> None:
    recorder = Recorder()
    with Wire(serve(recorder, **settings)) as wire:
        assert wire.get("/", *FORWARDED).status == 200
    environ = recorder.environs[0]
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_HOST"] == "example.org"
    assert not [name for name in environ if name.startswith("HTTP_X_FORWARDED")]


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("1.1.1.1, 203.0.113.7", "203.0.113.7"),
        ("1.1.1.1, 203.0.113.7, 10.0.0.1", "203.0.113.7"),
        ("10.0.0.5, 10.0.0.1", "10.0.0.5"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("unknown", "127.0.0.1"),
        ("1.1.1.1, nonsense, 10.0.0.1", "10.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_the_nearest_address_that_is_no_proxy_is_the_client(forwarded: str, expected: str) -> None:
    trust = ProxyTrust(["127.0.0.1", "10.0.0.0/24"])
    assert trust.resolve({"HTTP_X_FORWARDED_FOR": forwarded}, LOCAL).address == expected


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("1.1.1.1, 192.168.1.50", "192.168.1.50"),
        ("1.1.1.1, 127.0.0.1", "127.0.0.1"),
        ("1.1.1.1, 203.0.113.7", "203.0.113.7"),
        ("1.1.1.1, nonsense", "127.0.0.1"),
    ],
)
def test_clients_at_private_addresses_cannot_choose_another(forwarded: str, expected: str) -> None:
    trust = ProxyTrust(ServerSettings().trusted_proxies)
    assert trust.resolve({"HTTP_X_FORWARDED_FOR": forwarded}, LOCAL).address == expected


def test_nonsense_in_scheme_and_host_is_ignored() -> None:
    trust = ProxyTrust(["127.0.0.1"])
    fields = {"HTTP_X_FORWARDED_PROTO": "javascript", "HTTP_X_FORWARDED_HOST": "a b"}
    assert trust.resolve(fields, LOCAL) == LOCAL


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ListenError, match="not a network"):
        Server(echo, ServerSettings(behind_proxy=True, trusted_proxies=("everybody",)))


def test_mapped_addresses_are_shown_as_ipv4() -> None:
    assert plain_address("::ffff:192.0.2.1") == "192.0.2.1"
    assert plain_address("2001:db8::1") == "2001:db8::1"
