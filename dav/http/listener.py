"""The cheroot server, with this layer's connections, selector and threads."""

from __future__ import annotations

import errno
import logging
import os
import resource
import socket
import ssl
import time
from typing import Any, Final

from cheroot.server import HTTPServer

from dav.http.access import AccessLog
from dav.http.connection import Connection
from dav.http.errors import ListenError
from dav.http.gateway import WsgiApplication, WsgiGateway
from dav.http.pool import WorkerPool
from dav.http.proxy import ProxyTrust
from dav.http.reception import Reception
from dav.http.response import SERVER_NAME
from dav.http.settings import ServerSettings
from dav.http.shares import Shares
from dav.http.tls import load_context

_log = logging.getLogger(__name__)
FEED_SHARE: Final = 4
"""Of all connections, one in so many may be the change feed's."""
_SPARE_DESCRIPTORS: Final = 256
_MOST_DESCRIPTORS: Final = 65_536
_ABORT_SECONDS: Final = 5.0
_DUAL_STACK_HOSTS: Final = frozenset({"::", "::0"})
_LARGEST_PORT: Final = 65535


class StrictServer(HTTPServer):
    """An HTTP/1.1 server for one WSGI application.

    Attributes:
        settings: What it was made with.
        shares: How many requests each user has running.
        connections: All open connections.
        connection_limit: How many there may be: the setting, or what the system allows.
        is_impatient: Set to cut a graceful stop short.
    """

    ConnectionClass = Connection

    def __init__(
        self,
        app: WsgiApplication,
        settings: ServerSettings,
        access_log: AccessLog | None = None,
    ) -> None:
        """Raises ListenError for a certificate or a trusted proxy that is not usable."""
        if not settings.host:
            raise ListenError("The host is empty; use 0.0.0.0 or :: to listen everywhere.")
        super().__init__(
            (settings.host, settings.port),
            WsgiGateway,
            server_name=SERVER_NAME,
            reuse_port=settings.reuse_port,
        )
        self.wsgi_app = app
        self.settings = settings
        self.access_log = access_log
        self.proxy_trust = ProxyTrust(settings.trusted_proxies) if settings.behind_proxy else None
        self.tls_context = self._load_tls()
        self.requests: WorkerPool[Connection] = WorkerPool(self._handle, settings.threads)
        self.shares: Shares[Connection] = Shares(settings.threads)
        self.connections: set[Connection] = set()
        allowed = most_connections()
        self.connection_limit = max(
            min(settings.limits.connections, allowed - allowed // FEED_SHARE), 16
        )
        self.is_impatient = False
        self._sockets: list[socket.socket] = []

    def prepare(self) -> None:
        """Bind and listen. Raises ListenError."""
        self._sockets = open_listeners(self.settings)
        self.bind_addr = self._sockets[0].getsockname()[:2]
        self._connections = Reception(self, self._sockets)
        self.ready = True

    def serve(self) -> None:
        """Serve until `stop`, then finish what has begun. Returns when all is closed."""
        try:
            self._connections.run()
            deadline = time.monotonic() + self.settings.timeouts.shutdown
            if not self._connections.drain(deadline):
                for connection in list(self.connections):
                    connection.abort()
        finally:
            self.ready = False
            if not self.requests.stop(_ABORT_SECONDS):
                self.error_log("Some requests did not end; they are left behind.")
            self._connections.close()
            for connection in self.shares.give_up():
                connection.close()

    def stop(self) -> None:
        """Begin to stop: accept no more, finish what runs. Any thread or signal handler."""
        if self.ready:
            self._connections.stop()

    def stop_now(self) -> None:
        """Stop without waiting for what runs. Any thread or signal handler."""
        self.is_impatient = True
        self.stop()

    def reload_tls(self) -> None:
        """Read the certificate files again; connections from now on get what they hold.

        Raises ListenError, and keeps the old certificate, when the files are not usable.
        """
        self.tls_context = self._load_tls()

    def process_conn(self, conn: Connection) -> None:
        """Give a connection to a thread."""
        self.requests.put(conn)

    def end_turn(self, user: str) -> None:
        """Count a request of this user as over, and go on with one that waits for that."""
        waiting = self.shares.give_back(user)
        if waiting is not None:
            self.requests.put(waiting)

    def forget(self, connection: Connection) -> None:
        """Count a connection as closed."""
        self.connections.discard(connection)

    def is_pressed(self) -> bool:
        """Whether requests wait for a free thread."""
        return self.requests.is_pressed

    def has_spare_threads(self) -> bool:
        """Whether a thread may wait a moment for its client's next request."""
        return self.requests.has_spare

    def error_log(self, msg: str = "", level: int = logging.ERROR, traceback: Any = False) -> None:  # noqa: ANN401, FBT002 - cheroot's signature
        """Log through `logging`, under this module's name."""
        _log.log(level, msg, exc_info=bool(traceback))

    def _handle(self, connection: Connection) -> None:
        keep = False
        try:
            keep = connection.communicate()
        except BaseException:  # noqa: BLE001 - a thread of the pool lives on, whatever happens
            self.error_log("A connection failed.", traceback=True)
        try:
            if keep and connection.awaits_turn is not None:
                if not self.shares.wait(connection.awaits_turn, connection):
                    self.requests.put(connection)
            elif keep and connection.wants_turn:
                self.requests.put(connection)
            elif keep:
                self._connections.put(connection)
            else:
                connection.close()
        except OSError:
            self.error_log("A connection could not be closed.", traceback=True)

    def _load_tls(self) -> ssl.SSLContext | None:
        if self.settings.certificate is None:
            return None
        return load_context(self.settings.certificate, self.settings.key)


def most_connections() -> int:
    """Return how many connections this process may have: the system's limit, with some to spare."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST_DESCRIPTORS
    return max(min(soft, _MOST_DESCRIPTORS) - _SPARE_DESCRIPTORS, 64)


def raise_descriptor_limit() -> None:
    """Let this process open as many files and connections as the system allows it to ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(hard, wanted)
    if soft not in {resource.RLIM_INFINITY, wanted} and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def open_listeners(settings: ServerSettings, *, listen: bool = True) -> list[socket.socket]:
    """Sockets bound to all addresses that the host's name stands for. Raises ListenError.

    With `listen` False they hold the port, and get no connections.
    """
    host, port = settings.host, settings.port
    if not 0 <= port <= _LARGEST_PORT:
        raise ListenError(f"Port {port} is not between 0 and {_LARGEST_PORT}.")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise ListenError(f"{host!r} is neither an address nor a known host name.") from error
    listeners: list[socket.socket] = []
    failure: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(found):
        try:
            listener = _bind(settings, family, (str(address[0]), port, *address[2:]))
            if listen:
                listener.listen(settings.backlog)
        except OSError as error:
            failure = failure or error
            if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                continue  # a name may stand for IPv6 on a machine that has none
            for opened in listeners:
                opened.close()
            raise _explain(settings, error) from error
        listeners.append(listener)
        port = listener.getsockname()[1]
    if not listeners:
        raise _explain(settings, failure or OSError())
    return listeners


def _bind(
    settings: ServerSettings,
    family: int,
    address: tuple[object, ...],
) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Accepted sockets inherit it.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            only_six = settings.host not in _DUAL_STACK_HOSTS
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_six)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def _explain(settings: ServerSettings, error: OSError) -> ListenError:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    where = f"{host}:{settings.port}"
    if error.errno == errno.EADDRINUSE:
        return ListenError(f"Port {settings.port} on {settings.host} is in use; take another.")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return ListenError(
            f"No right to listen on {where}; choose a port above 1023 or grant the right.",
        )
    if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
        return ListenError(f"{settings.host} is not an address of this machine.")
    return ListenError(f"Cannot listen on {where}: {error.strerror or error}.")
