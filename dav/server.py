"""Serve a WSGI application over HTTP/1.1 until told to stop.

    settings = ServerSettings(host="0.0.0.0", port=8080)
    server = Server(app, settings, access_log=print)
    server.bind()                    # raises ListenError: one line that says why
    server.serve(handle_signals=True)

In a test, or beside other work: `with Server(app, settings) as server:` serves in a thread.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

import cas
from dav.http.access import AccessLog, AccessRecord
from dav.http.errors import (
    BodyError,
    BodyIncompleteError,
    BodyMalformedError,
    BodyTimeoutError,
    BodyTooLargeError,
    ListenError,
)
from dav.http.gateway import WsgiApplication
from dav.http.listener import StrictServer
from dav.http.settings import Limits, ServerSettings, Timeouts

__all__ = [
    "AccessLog",
    "AccessRecord",
    "BodyError",
    "BodyIncompleteError",
    "BodyMalformedError",
    "BodyTimeoutError",
    "BodyTooLargeError",
    "Limits",
    "ListenError",
    "Server",
    "ServerSettings",
    "Timeouts",
    "WsgiApplication",
]


class Server:
    """One process's HTTP server.

    Args:
        app: The WSGI application. `wsgi.input` raises BodyError for a body that is cut short.
        settings: Address, threads, certificates, bounds.
        access_log: Called after each request, in the request's thread.
        on_ready: Called once the server listens, in the thread that serves.
        on_stop: Called when it is told to stop, before running requests are waited for; from any
            thread, or a signal handler.

    Raises:
        ListenError: A certificate or a trusted proxy is not usable.
    """

    def __init__(
        self,
        app: WsgiApplication,
        settings: ServerSettings,
        *,
        access_log: AccessLog | None = None,
        on_ready: Callable[[Server], None] | None = None,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        self.settings = settings
        self._http = StrictServer(app, settings, access_log)
        self._on_ready = on_ready
        self._on_stop = on_stop
        self._ready = threading.Event()
        self._bound = False
        self._thread: threading.Thread | None = None

    @property
    def host(self) -> str:
        """The address that is listened on."""
        return str(self._http.bind_addr[0])

    @property
    def port(self) -> int:
        """The port that is listened on: after `bind`, the real one for port 0."""
        return int(self._http.bind_addr[1])

    @property
    def url(self) -> str:
        """The address as a URL without a path, `http://127.0.0.1:8080`."""
        scheme = "https" if self.settings.certificate else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"

    def bind(self) -> None:
        """Listen; clients wait until `serve` runs. Raises ListenError. Again: nothing."""
        if not self._bound:
            self._http.prepare()
            self._bound = True

    def serve(self, *, handle_signals: bool = False) -> None:
        """Serve until `stop`; come back when running requests are finished. Raises ListenError.

        With `handle_signals`, in the main thread alone: SIGTERM and SIGINT stop, a SIGINT after
        that without waiting; SIGHUP reads the certificate files again. A SIGINT that is ignored
        stays ignored.
        """
        self.bind()
        cas.make_structs_ready()
        with self._signals() if handle_signals else _nothing():
            self._ready.set()
            if self._on_ready is not None:
                self._on_ready(self)
            self._http.serve()

    def start(self) -> None:
        """Bind, and serve in a thread of its own. Raises ListenError."""
        self.bind()
        self._thread = threading.Thread(target=self.serve, name="http-accept", daemon=True)
        self._thread.start()
        self.wait_ready()

    def wait_ready(self, seconds: float | None = None) -> bool:
        """Wait until the server serves; whether it does."""
        return self._ready.wait(seconds)

    def stop(self, *, at_once: bool = False) -> None:
        """Stop accepting and finish what runs; `at_once` cuts it. Any thread or signal handler."""
        if self._on_stop is not None:
            self._on_stop()
        if at_once:
            self._http.stop_now()
        else:
            self._http.stop()

    def join(self, seconds: float | None = None) -> None:
        """Wait for the thread of `start`. Raises TimeoutError if it goes on."""
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                raise TimeoutError("The server has not stopped.")

    def reload_certificates(self) -> None:
        """Read the certificate files again. Raises ListenError, and keeps the old ones then."""
        self._http.reload_tls()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self.join()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        stopping = False

        def stop(number: int, _frame: FrameType | None) -> None:
            nonlocal stopping
            self.stop(at_once=stopping and number == signal.SIGINT)
            stopping = True

        def reload(_number: int, _frame: FrameType | None) -> None:
            try:
                self.reload_certificates()
            except ListenError as error:
                self._http.error_log(str(error))

        handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            del handlers[signal.SIGINT]
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
