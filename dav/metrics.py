"""What a monitoring system asks for: requests, sizes, work in the background, for Prometheus.

    GET /metrics        on an address of its own, local unless told otherwise, without an account

Several serving processes count together: each writes what it counts into files of a shared
directory, and whichever of them is asked adds them up. So counters go on where a process is
replaced. Names of users, volumes and files are in none of the figures.

The library looks for the directory, `SHARED` in the environment, when it is imported: so this
module is imported after that was set, and only where the figures are wanted.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Final
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry, Counter, Histogram, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector

import cas
from dav.challenge import Reason
from dav.http.access import AccessRecord
from dav.http.gateway import WsgiApplication
from dav.server import Server, ServerSettings

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

PATH: Final = "/metrics"
SHARED: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Names the directory in the environment."""
METHODS: Final = frozenset(
    {
        *("GET", "HEAD", "OPTIONS", "PUT", "POST", "DELETE"),
        *("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK"),
    }
)
"""Methods with figures of their own; all others, which any client can make up, are one."""

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_logger = logging.getLogger(__name__)


class Metrics:
    """The figures of one serving process, and the server that tells them with all others'.

    Args:
        repository: is asked for its sizes with each answer.
        settings: where to listen.

    Raises:
        ListenError: that address cannot be had.
    """

    def __init__(self, repository: cas.Repository, settings: ServerSettings) -> None:
        counted = CollectorRegistry()
        self._requests = Counter(
            "casdav_http_requests",
            "Requests that are over, by method and status; status 0: cut before an answer.",
            ["method", "status"],
            registry=counted,
        )
        self._seconds = Histogram(
            "casdav_http_request_seconds",
            "From the whole head of a request to the last byte of its answer.",
            ["method"],
            buckets=_BUCKETS,
            registry=counted,
        )
        self._received = Counter(
            "casdav_http_received_bytes", "Bytes of request bodies.", registry=counted
        )
        self._sent = Counter(
            "casdav_http_sent_bytes", "Bytes of answers' bodies.", registry=counted
        )
        self._cut = Counter(
            "casdav_http_cut_answers", "Answers that were not sent to their end.", registry=counted
        )
        self._job_seconds = Histogram(
            "casdav_job_seconds",
            "What the server does beside requests, by job, when it went well.",
            ["job"],
            buckets=_BUCKETS,
            registry=counted,
        )
        self._job_failures = Counter(
            "casdav_job_failures", "The same, when it failed.", ["job"], registry=counted
        )
        self._refusals = Counter(
            "casdav_refused_sign_ins",
            "Attempts to sign in that were refused, by way and reason.",
            ["way", "reason"],
            registry=counted,
        )
        # Finding the figure of some labels takes longer than counting.
        self._by_status = cache(self._requests.labels)
        self._by_method = cache(self._seconds.labels)
        self._server = Server(_only_metrics(_told(counted, repository)), settings)
        self._server.start()

    @property
    def url(self) -> str:
        """Where the figures are."""
        return f"{self._server.url}{PATH}"

    def count_request(self, record: AccessRecord) -> None:
        """Count a request; an `AccessLog`."""
        method = record.method if record.method in METHODS else "other"
        self._by_status(method, record.status).inc()
        self._by_method(method).observe(record.seconds)
        self._received.inc(record.bytes_in)
        self._sent.inc(record.bytes_out)
        if not record.complete:
            self._cut.inc()

    def count_job(self, words: str, seconds: float, *, is_done: bool) -> None:
        """Count a run of a job of the server; a `JobWatch`."""
        if is_done:
            self._job_seconds.labels(words).observe(seconds)
        else:
            self._job_failures.labels(words).inc()

    def count_refusal(self, way: str, reason: Reason) -> None:
        """Count an attempt to sign in that was refused; a `RefusalWatch`."""
        self._refusals.labels(way, reason.value).inc()

    def close(self) -> None:
        """Tell nothing any more."""
        self._server.stop()
        self._server.join()


def _told(counted: CollectorRegistry, repository: cas.Repository) -> CollectorRegistry:
    """Return what is told: what was counted, here or everywhere, and the repository's sizes."""
    told = counted
    shared = os.environ.get(SHARED)
    if shared:
        told = CollectorRegistry()
        MultiProcessCollector(told, path=shared)  # type: ignore[no-untyped-call]
    else:
        ProcessCollector(registry=told)
    told.register(_Sizes(repository))
    return told


class _Sizes:
    """What the repository holds, asked when somebody wants to know."""

    def __init__(self, repository: cas.Repository) -> None:
        self._repository = repository

    def collect(self) -> Iterator[Metric]:
        volumes = [self._repository.volume(info.name) for info in self._repository.volumes()]
        size = files = 0
        for volume in volumes:
            with volume.view() as view:
                size += view.root.size
                files += view.root.files
        packs = cas.sum_packs(self._repository)
        figures: list[tuple[str, str, float]] = [
            ("volumes", "Volumes.", len(volumes)),
            ("files", "Files in the present states of all volumes.", files),
            ("file_bytes", "Their bytes, as people see them.", size),
            ("packs", "Sealed packs.", packs.packs),
            (
                "pack_bytes",
                "Their bytes, with all history and what waits to be collected.",
                packs.size,
            ),
            ("pack_objects", "Chunks, nodes and records in them.", packs.objects),
        ]
        directory = self._repository.directory
        if directory.exists():
            free = shutil.disk_usage(directory).free
            figures.append(("disk_free_bytes", "Free bytes on the repository's disk.", free))
        waiting = self._repository.waiting
        if waiting is not None:
            figures += [
                (
                    "waiting_bytes",
                    "Acknowledged bytes that the bucket does not have yet.",
                    waiting.size,
                ),
                ("waiting_packs", "The packs that they are in.", waiting.packs),
                ("upload_failing", "Whether the last try to upload failed.", bool(waiting.error)),
            ]
        try:
            locks = len(self._repository.locks.all())
        except cas.StoreError as error:
            # They may be on another server: all else can be told without it.
            _logger.warning("figures are told without the number of locks: %s", error)
        else:
            figures.append(("locks", "WebDAV locks that have not expired.", locks))
        figures.append(
            ("time_seconds", "The server's clock, seconds since the epoch.", time.time())
        )
        for name, words, value in figures:
            yield GaugeMetricFamily(f"casdav_{name}", words, value=value)


def _only_metrics(told: CollectorRegistry) -> WsgiApplication:
    exposition = make_wsgi_app(told)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == PATH and environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            answer: Iterable[bytes] = exposition(environ, start_response)
            return answer
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"the figures are at {PATH}\n".encode()]

    return application
