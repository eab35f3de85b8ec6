"""Programs that tests run as processes of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from dav.server import ListenError, Server, ServerSettings
from dav.workers import ServedApplication, WorkerJob, serve_workers
from tests.dav.http.wire import Environ, StartResponse


def tell_process(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the process id; `/slow` sends a byte, and the rest when the body has come."""
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/slow":
        yield b"begun "
        environ["wsgi.input"].read()
    yield str(os.getpid()).encode()


def make_application(greeting: object) -> ServedApplication:
    """The factory of the workers' job."""
    if greeting == "fail":
        raise ListenError("The factory failed.")
    if greeting == "die":
        os._exit(3)
    return ServedApplication(tell_process)


def main() -> None:
    """`one` or a number of workers, then the greeting."""
    settings = ServerSettings(port=0)
    if sys.argv[1] == "one":
        Server(
            tell_process,
            settings,
            on_ready=lambda server: print(server.port, flush=True),
        ).serve(handle_signals=True)
    else:
        job = WorkerJob("tests.dav.http.serving:make_application", sys.argv[2], settings)
        serve_workers(job, int(sys.argv[1]), on_ready=lambda port: print(port, flush=True))
    print("ended", flush=True)


if __name__ == "__main__":
    main()
