"""Where the server's word about its change feed leads a device, and where not."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cas import wire
from dav.server import Server, ServerSettings
from syncd.remote.client import Remote
from syncd.remote.connection import Connection
from syncd.remote.credentials import FixedToken
from syncd.remote.feed import Listener
from tests.support.proxies import make_certificate


def test_a_token_is_not_sent_in_the_clear_where_the_server_speaks_tls(tmp_path: Path) -> None:
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as trap:
        feed = f"ws://127.0.0.1:{trap.getsockname()[1]}/api/v1/ws/sync"

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            if environ["PATH_INFO"] == "/api/v1/":
                start_response("200 OK", [("Content-Type", "application/json")])
                return [json.dumps({"protocol": 1, "feed": feed}).encode()]
            asked.set()
            start_response("404 Not Found", [])
            return [b"{}"]

        pair = make_certificate(tmp_path)
        settings = ServerSettings(port=0, certificate=pair.chain, key=pair.key)
        with Server(app, settings) as server:
            url = f"https://127.0.0.1:{server.port}"
            connection = Connection(url, FixedToken("secret"), ca_file=str(pair.chain))
            place = wire.Place(bytes(16))
            listener = Listener(Remote(connection), [place], lambda *_: None)
            listener.start()
            try:
                assert asked.wait(30)  # by requests, in place of the feed
                trap.setblocking(False)
                try:
                    trap.accept()[0].close()
                except BlockingIOError:
                    return
                raise AssertionError("the feed was asked for in the clear")
            finally:
                connection.close()
                listener.close()
