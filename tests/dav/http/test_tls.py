"""HTTPS with certificate files."""

from __future__ import annotations

import datetime as dt
import os
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dav.server import ListenError, Server, ServerSettings, Timeouts
from tests.dav.http.wire import HOST, Recorder, Wire, echo, refuse

Serve = Callable[..., Server]
MIB = 1024 * 1024


class Pair(NamedTuple):
    certificate: Path
    key: Path
    context: ssl.SSLContext
    """A client's context that trusts the certificate."""


def make_pair(folder: Path, common_name: str) -> Pair:
    folder.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    return Pair(certificate_path, key_path, ssl.create_default_context(cafile=certificate_path))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("tls"), "first")


@pytest.fixture
def serve_tls(serve: Serve, pair: Pair) -> Serve:
    def start(app: object, **settings: object) -> Server:
        return serve(app, certificate=pair.certificate, key=pair.key, **settings)

    return start


def test_requests_are_served_and_know_of_the_encryption(serve_tls: Serve, pair: Pair) -> None:
    recorder = Recorder()
    with Wire(serve_tls(recorder), pair.context) as wire:
        assert wire.get().status == 200
        assert wire.get().status == 200
    environ = recorder.environs[0]
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["SSL_PROTOCOL"] in {"TLSv1.2", "TLSv1.3"}


def test_big_bodies_pass_in_both_directions(serve_tls: Serve, pair: Pair) -> None:
    data = bytes(range(256)) * 20_000
    with Wire(serve_tls(echo), pair.context) as wire:
        for _ in range(2):
            wire.send(b"PUT /a HTTP/1.1\r\n", HOST, b"Content-Length: %d\r\n\r\n" % len(data), data)
            assert wire.answer().body == b"PUT /a?\n" + data


def test_pipelined_requests_in_one_record_are_all_answered(serve_tls: Serve, pair: Pair) -> None:
    with Wire(serve_tls(echo), pair.context) as wire:
        wire.send(*(b"GET /%d HTTP/1.1\r\n" % number + HOST + b"\r\n" for number in range(150)))
        for number in range(150):
            assert wire.answer().body == b"GET /%d?\n" % number


def test_tls_1_1_is_refused(serve_tls: Serve) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"(?i)protocol|version|eof|reset"):
        Wire(serve_tls(echo), context)


def test_plain_http_is_answered_with_a_hint(serve_tls: Serve) -> None:
    with Wire(serve_tls(echo)) as wire:
        answer = wire.get()
        assert answer.status == 400
        assert b"HTTPS" in answer.body


def test_silent_and_half_handshakes_hold_no_thread(serve_tls: Serve, pair: Pair) -> None:
    server = serve_tls(echo, threads=1)
    with ExitStack() as clients:
        for half in [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"] * 10:
            clients.enter_context(Wire(server)).send(half)
        assert clients.enter_context(Wire(server, pair.context)).get().status == 200


def test_a_handshake_that_does_not_end_is_cut(serve_tls: Serve) -> None:
    server = serve_tls(echo, timeouts=Timeouts(head=0.3, handshake=0.3, shutdown=5))
    with Wire(server) as silent, Wire(server) as half:
        half.send(b"\x16\x03\x01\x02\x00\x01")
        assert silent.is_closed()
        assert half.is_closed()


def test_half_a_record_holds_no_thread(serve_tls: Serve, pair: Pair) -> None:
    server = serve_tls(echo, threads=1)
    with Wire(server, pair.context) as half, Wire(server, pair.context) as whole:
        plain = half.socket.fileno()
        assert half.get().status == 200
        os.write(plain, b"\x17\x03\x03\x00\x40half")
        assert whole.get().status == 200


def test_a_refused_big_body_still_gets_its_answer(serve_tls: Serve, pair: Pair) -> None:
    with Wire(serve_tls(refuse), pair.context) as wire:
        wire.send(b"PUT / HTTP/1.1\r\n", HOST, b"Content-Length: %d\r\n\r\n" % (8 * MIB))
        for _ in range(8):
            wire.send(b"x" * MIB)
        assert wire.answer().status == 403


def test_certificates_are_read_again(serve: Serve, tmp_path: Path) -> None:
    first = make_pair(tmp_path, "first")
    server = serve(echo, certificate=first.certificate, key=first.key)
    second = make_pair(tmp_path, "second")
    server.reload_certificates()
    with Wire(server, second.context) as wire:
        assert wire.get().status == 200
    first.certificate.write_text("nonsense")
    with pytest.raises(ListenError, match="do not make a pair"):
        server.reload_certificates()
    with Wire(server, second.context) as wire:
        assert wire.get().status == 200


def test_unusable_certificates_are_refused_with_one_line(pair: Pair, tmp_path: Path) -> None:
    other = make_pair(tmp_path / "other", "other")
    for certificate, key in [
        (tmp_path / "missing.pem", None),
        (pair.certificate, tmp_path / "missing.pem"),
        (pair.certificate, other.key),
        (pair.certificate, None),
    ]:
        with pytest.raises(ListenError) as caught:
            Server(echo, ServerSettings(port=0, certificate=certificate, key=key))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("threads", [1, 8])
def test_a_request_in_the_same_record_as_a_body_is_found(
    serve_tls: Serve,
    pair: Pair,
    threads: int,
) -> None:
    with Wire(serve_tls(echo, threads=threads), pair.context) as wire:
        for _ in range(5):
            wire.send(b"PUT /a HTTP/1.1\r\n", HOST, b"Expect: 100-continue\r\n")
            wire.send(b"Content-Length: 3\r\n\r\n")
            assert wire.answer().status == 100
            wire.send(b"abc", b"GET /b HTTP/1.1\r\n", HOST, b"\r\n")
            assert wire.answer().body == b"PUT /a?\nabc"
            assert wire.answer().body == b"GET /b?\n"
