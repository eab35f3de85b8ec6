"""`casdav serve`: the drive over HTTP, until it is told to stop."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import click

import cas
from dav import accounts
from dav.server import Server, ServerSettings
from dav.workers import WorkerJob, WorkerStartError, serve_workers
from tools import settings
from tools.banner import banner, base_url, first_admin, ready_message
from tools.collecting import collection_plan
from tools.exits import Failure
from tools.framework import Command
from tools.init import new_key, quickstart_encrypts
from tools.names import printable
from tools.output import Output
from tools.serving import ServeJob, metrics_plan, open_served, server_settings
from tools.session import Session, author, pass_session

QUICKSTART_STORE = "casdav-data"
"""Where `--quickstart` keeps the repository when nothing else is said."""


@click.command(
    cls=Command,
    examples="""
    casdav serve --quickstart
    casdav serve --port 9000 --workers 2
    casdav serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem
    casdav serve --host 0.0.0.0 --behind-proxy --log-format json
    casdav serve --metrics 9464
    casdav --store s3://bucket/drive serve --locks redis://redis:6379/0
    """,
)
@click.option("--host", help="The address to listen on; 0.0.0.0 is all. Default: 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="The TCP port. Default: 8080.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes. Default: 1.")
@click.option("--tls-cert", metavar="FILE", help="Certificate chain (PEM); turns TLS on.")
@click.option("--tls-key", metavar="FILE", help="Its private key (PEM), if in a file of its own.")
@click.option(
    "--behind-proxy",
    is_flag=True,
    default=None,
    help="Believe X-Forwarded headers of a proxy, which does the TLS.",
)
@click.option(
    "--insecure", is_flag=True, default=None, help="Let passwords cross the network in the clear."
)
@click.option(
    "--metrics",
    metavar="[HOST:]PORT",
    help="Where Prometheus finds figures, at /metrics; on 127.0.0.1 without a host.",
)
@click.option(
    "--locks",
    metavar="URL",
    help="The Redis or Valkey that keeps the locks of several gateways: redis://HOST:6379/0.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), help="Default: text.")
@click.option(
    "--quickstart",
    is_flag=True,
    help="Make a repository if there is none (./casdav-data by default), and a first admin.",
)
@pass_session
def serve(session: Session, /, *, quickstart: bool, **flags: object) -> None:
    """Serve the drive over WebDAV.

    SIGTERM and Ctrl-C let running requests end; a second Ctrl-C does not wait. SIGHUP reads the
    certificate again. Requests are logged on standard error, one line each, without secrets; -q
    logs none.
    """
    log_format = flags.pop("log_format")
    wanted: dict[settings.Key, object] = {("server", name): flag for name, flag in flags.items()}
    loaded = session.settings({**wanted, ("log", "format"): log_format})
    effective = loaded.settings
    http = server_settings(effective.server)
    collection = collection_plan(effective.gc)
    location = effective.store or (QUICKSTART_STORE if quickstart else session.location())
    session.locks_url = effective.server.locks
    admin = _prepare(session, location, loaded, quickstart=quickstart)
    if admin is not None and not session.output.json:
        _print(session.output, first_admin(*admin))
    is_encrypted = http.certificate is not None

    def ready(port: int) -> None:
        url = base_url(http.host, port, is_encrypted=is_encrypted)
        session.output.message("ready", ready_message(url, admin))
        if session.output.verbosity >= 0:
            _print(session.output, banner(url, admin[0] if admin else "USER"))

    job = ServeJob(
        location,
        effective.drive,
        effective.log.format,
        session.output.verbosity,
        collection,
        session.key,
        effective.api,
        effective.server.threads,
        locks=effective.server.locks,
    )
    if cas.require_fit_for_gateways(location):
        session.output.detail("the bucket is fit for several gateways")
    with ExitStack() as stack:
        temporary = partial(tempfile.TemporaryDirectory, prefix="casdav-metrics-")
        metrics = metrics_plan(effective.server, lambda: stack.enter_context(temporary()))
        _run(replace(job, metrics=metrics), http, effective.server.workers, ready)


def _run(job: ServeJob, http: ServerSettings, workers: int, ready: Callable[[int], None]) -> None:
    try:
        if workers > 1:
            task = WorkerJob("tools.serving:open_served", job, http)
            serve_workers(task, workers, ready)
        else:
            served = open_served(job)
            try:
                server = Server(
                    served.app,
                    http,
                    access_log=served.access_log,
                    on_ready=lambda server: ready(server.port),
                    on_stop=served.stopping,
                )
                server.bind()
                if served.opened is not None:
                    served.opened(http)
                server.serve(handle_signals=True)
            finally:
                if served.close is not None:
                    served.close()
    except WorkerStartError as error:
        raise Failure(f"a worker could not start: {error}") from error


def _prepare(
    session: Session, location: str, loaded: settings.Loaded, *, quickstart: bool
) -> tuple[str, str] | None:
    """See that there is a repository with a user; return the new admin and app password, if any."""
    if not quickstart:
        with session.open(location) as repository:
            if not accounts.list_users(repository):
                session.output.warn("there is no user yet: casdav user add NAME --admin")
        return None
    with _open_or_create(location, session) as repository:
        admin = accounts.ensure_admin(repository, author())
        password = loaded.settings.quickstart.admin_password
        if admin is not None and password:
            accounts.set_password(repository, admin[0], password, author())
        return admin


def _open_or_create(location: str, session: Session) -> cas.Repository:
    try:
        return session.adopt(cas.open(location, unlock=session.unlock, locks=session.locks()))
    except cas.NotFoundError:
        key = new_key(session) if quickstart_encrypts(location) else None
        repository = session.adopt(cas.create(location, key=key))
        session.output.done(f"made a repository in {printable(location)}")
        return repository


def _print(output: Output, lines: list[str]) -> None:
    for line in lines:
        output.text(line)
    sys.stdout.flush()
