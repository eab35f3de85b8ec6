"""Putting the server together: repository, drive and log. A worker process imports this too."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, field
from pathlib import Path

import cas
from dav import collector, scheduler, transfers
from dav.api.settings import ApiSettings
from dav.app import make_app
from dav.collector import CollectionPlan
from dav.server import ServerSettings
from dav.settings import DriveSettings
from dav.upkeep import Upkeep
from dav.workers import ServedApplication
from tools import settings
from tools.exits import Exit, Failure
from tools.logs import log_access, start_logging


@dataclass(frozen=True)
class ServeJob:
    """All that a serving process has to know; it crosses to workers by pickle.

    Without a plan, it collects no garbage. `key` opens a repository that is encrypted.
    """

    location: str
    drive: DriveSettings
    log_format: str
    verbosity: int
    collection: CollectionPlan | None = None
    key: cas.RepositoryKey | None = None
    api: ApiSettings = field(default_factory=ApiSettings)
    threads: int = 64


def open_served(job: object) -> ServedApplication:
    """Open the repository and return the application on it; the factory of every worker.

    Raises:
        cas.CasError: the repository cannot be opened.
    """
    assert isinstance(job, ServeJob)  # noqa: S101 - from our own process
    start_logging(job.log_format, job.verbosity)
    cas.make_structs_ready()
    key = job.key
    repository = cas.open(job.location, unlock=None if key is None else lambda: key)
    jobs = [
        transfers.upkeep(repository, job.drive.transfer_seconds),
        scheduler.upkeep(repository),
    ]
    if job.collection is not None:
        jobs.append(collector.upkeep(repository, job.collection))
    upkeep = Upkeep(*jobs)

    app = make_app(repository, job.drive, api_settings=job.api, threads=job.threads)

    def close() -> None:
        app.close()
        upkeep.close()
        repository.close()

    return ServedApplication(app, log_access, close, app.stop_waiting, app.open_feed)


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
