"""From a request to a WSGI application and back (PEP 3333)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from cheroot.server import Gateway

from dav.http.errors import ResponseError
from dav.http.proxy import drop_forwarded

if TYPE_CHECKING:
    from dav.http.request import Request

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType]
TAKES_BUFFERS: Final = "casdav.takes_buffers"
"""Key of the environment: whether a block of an answer may be a tuple of bytes and memoryviews,
which are sent together and not copied."""
AWAIT_BODY: Final = "casdav.await_body"
"""Key of the environment: `Request.await_body`."""
CLAIM_THREAD: Final = "casdav.claim_thread"
"""Key of the environment: `Request.claim_thread`."""
WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WsgiGateway(Gateway):
    """Calls the application for one request and writes what it yields."""

    req: Request

    def respond(self) -> None:
        """Run the application. Raises what it raises; an answer that was begun stays unfinished."""
        request = self.req
        request.environ = self.make_environ()
        iterable = request.server.wsgi_app(request.environ, self.start_response)
        try:
            if isinstance(iterable, (list, tuple)):
                request.whole_length = sum(map(len, iterable))
            for chunk in iterable:
                if len(chunk):
                    request.write(chunk)
                if request.body_is_over:
                    break
            request.finish()
        finally:
            close = getattr(iterable, "close", None)
            if close is not None:
                close()

    def start_response(
        self,
        status: str,
        fields: list[tuple[str, str]],
        exc_info: ExceptionInfo | None = None,
    ) -> Callable[[bytes], None]:
        """WSGI's start_response."""
        request = self.req
        try:
            if exc_info is not None and request.sent_headers:
                raise exc_info[1].with_traceback(exc_info[2])
            if exc_info is None and request.status:
                raise ResponseError("start_response was called twice.")
        finally:
            exc_info = None  # PEP 3333: no circle through the traceback
        request.start(status, fields)
        return request.write

    def make_environ(self) -> dict[str, Any]:
        """The WSGI environment: PEP 3333, and REQUEST_URI, the target as it was sent."""
        request = self.req
        connection = request.conn
        server = request.server
        head = request.head
        target = head.target
        peer = request.peer
        environ: dict[str, Any] = dict(head.fields)
        drop_forwarded(environ)
        content_type = environ.pop("HTTP_CONTENT_TYPE", None)
        if content_type is not None:
            environ["CONTENT_TYPE"] = content_type
        if peer.host:
            environ["HTTP_HOST"] = peer.host
        environ |= {
            "ACTUAL_SERVER_PROTOCOL": "HTTP/1.1",
            "REQUEST_METHOD": head.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": target.path,
            "QUERY_STRING": target.query,
            "REQUEST_URI": target.raw,
            "RAW_URI": target.raw,
            "REMOTE_ADDR": peer.address,
            "REMOTE_PORT": str(connection.remote_port),
            "SERVER_NAME": server.bind_addr[0],
            "SERVER_PORT": str(server.bind_addr[1]),
            "SERVER_PROTOCOL": "HTTP/1.1" if head.version >= (1, 1) else "HTTP/1.0",
            "SERVER_SOFTWARE": server.server_name,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": peer.scheme,
            "wsgi.input": request.body,
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": server.reuse_port,
            "wsgi.run_once": False,
            TAKES_BUFFERS: True,
            AWAIT_BODY: request.await_body,
            CLAIM_THREAD: request.claim_thread,
        }
        if connection.tls_session is not None:
            environ["HTTPS"] = "on"
            environ["SSL_PROTOCOL"], environ["SSL_CIPHER"] = connection.tls_session
        return environ
