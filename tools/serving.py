"""Putting the server together: repository, drive and log. A worker process imports this too."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cas
from dav import collector, presence, scheduler, transfers
from dav.api.settings import ApiSettings
from dav.app import make_app
from dav.audit import AuditLog
from dav.auth import Authenticator
from dav.collector import CollectionPlan
from dav.http.listener import open_listeners, raise_descriptor_limit
from dav.server import AccessRecord, ServerSettings
from dav.settings import DriveSettings
from dav.upkeep import Upkeep
from dav.workers import ServedApplication
from tools import settings
from tools.exits import Exit, Failure
from tools.logs import log_access, start_logging

if TYPE_CHECKING:
    from dav.metrics import Metrics

LOOPBACK: Final = "127.0.0.1"
"""Where figures are told unless an address is given."""


@dataclass(frozen=True)
class MetricsPlan:
    """Where a serving process tells its figures: with all others', by a shared directory."""

    host: str
    port: int
    shared: str = ""


@dataclass(frozen=True)
class ServeJob:
    """All that a serving process has to know; it crosses to workers by pickle.

    Without a plan, it collects no garbage, and tells no figures. `key` opens a repository that is
    encrypted.
    """

    location: str
    drive: DriveSettings
    log_format: str
    verbosity: int
    collection: CollectionPlan | None = None
    key: cas.RepositoryKey | None = None
    api: ApiSettings = field(default_factory=ApiSettings)
    threads: int = 64
    metrics: MetricsPlan | None = None
    locks: str = ""


def open_served(job: object) -> ServedApplication:
    """Open the repository and return the application on it; the factory of every worker.

    Raises:
        cas.CasError: the repository cannot be opened.
    """
    assert isinstance(job, ServeJob)  # noqa: S101 - from our own process
    start_logging(job.log_format, job.verbosity)
    raise_descriptor_limit()
    cas.make_structs_ready()
    key = job.key
    unlock = None if key is None else lambda: key
    repository = cas.open(job.location, unlock=unlock, locks=job.locks)
    jobs = [
        transfers.upkeep(repository, job.drive.transfer_seconds),
        scheduler.upkeep(repository),
    ]
    if repository.is_shared:
        jobs.append(presence.upkeep(repository, has_shared_locks=bool(job.locks)))
    if job.collection is not None:
        jobs.append(collector.upkeep(repository, job.collection))
    metrics = None if job.metrics is None else _open_metrics(repository, job.metrics)
    upkeep = Upkeep(*jobs, watch=None if metrics is None else metrics.count_job)

    audit = AuditLog(repository, watch=None if metrics is None else metrics.count_refusal)
    authenticator = Authenticator(repository, audit=audit)
    app = make_app(repository, job.drive, authenticator, job.api, job.threads)

    def close() -> None:
        app.close()
        audit.close()
        upkeep.close()
        if metrics is not None:
            metrics.close()
        cas.withdraw_gateway(repository)
        repository.close()

    def log(record: AccessRecord) -> None:
        log_access(record)
        if metrics is not None:
            metrics.count_request(record)

    access_log = log_access if metrics is None else log
    return ServedApplication(app, access_log, close, app.stop_waiting, app.open_feed)


def _open_metrics(repository: cas.Repository, plan: MetricsPlan) -> Metrics:
    if plan.shared:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = plan.shared
    from dav.metrics import Metrics  # noqa: PLC0415 - after that, and rarely wanted

    is_shared = bool(plan.shared)
    settings = ServerSettings(plan.host, plan.port, threads=2, reuse_port=is_shared)
    try:
        return Metrics(repository, settings)
    except BaseException:
        repository.close()
        raise


def metrics_plan(wanted: settings.ServerSettings, shared: Callable[[], str]) -> MetricsPlan | None:
    """Return where figures are told, None for nowhere; `shared` makes the directory for workers.

    Raises:
        Failure: it is not `[HOST:]PORT`.
        ListenError: workers cannot have that address.
    """
    if not wanted.metrics:
        return None
    host, _, port = wanted.metrics.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:  # noqa: PLR2004 - all ports
        raise Failure(
            f"{wanted.metrics!r} is no address for --metrics: give a port, as in 9464, or "
            "0.0.0.0:9464",
            Exit.USAGE,
        )
    host = host.removeprefix("[").removesuffix("]") or LOOPBACK
    if wanted.workers == 1:
        return MetricsPlan(host, int(port))
    # The workers share the port with whoever asks for that: see that nobody else has it.
    for listener in open_listeners(ServerSettings(host, int(port))):
        listener.close()
    return MetricsPlan(host, int(port), shared())


def server_settings(wanted: settings.ServerSettings) -> ServerSettings:
    """Return the HTTP layer's settings.

    Raises:
        Failure: passwords would cross the network unencrypted, or there is a key without a
            certificate.
    """
    if wanted.tls_key and not wanted.tls_cert:
        raise Failure("--tls-key needs --tls-cert", Exit.USAGE)
    is_encrypted = bool(wanted.tls_cert) or wanted.behind_proxy or wanted.insecure
    if not is_encrypted and not is_loopback(wanted.host):
        raise Failure(
            f"without TLS, everybody on the way to {wanted.host} could read passwords and files: "
            "give --tls-cert and --tls-key, or --behind-proxy, or accept it with --insecure",
            Exit.USAGE,
        )
    return ServerSettings(
        host=wanted.host,
        port=wanted.port,
        threads=wanted.threads,
        certificate=Path(wanted.tls_cert) if wanted.tls_cert else None,
        key=Path(wanted.tls_key) if wanted.tls_key else None,
        behind_proxy=wanted.behind_proxy,
        trusted_proxies=wanted.trusted_proxies,
    )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches the address, or each address of the host name."""
    try:
        found = {str(item[4][0]) for item in socket.getaddrinfo(host or "0.0.0.0", None)}  # noqa: S104 - what an empty host means
    except OSError:
        return False
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)
