"""Reverse proxies as dav/README.md configures them, with a certificate of their own."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.network import LOOPBACK, accepts_connections, free_port
from tests.support.processes import CHECKOUT, end_group
from tests.support.programs import find_program
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCUMENT: Final = CHECKOUT / "dav" / "README.md"


@dataclass(frozen=True)
class Certificate:
    """A certificate for the loopback address, and its key, as PEM files."""

    chain: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return how a client trusts it, and nothing else."""
        return ssl.create_default_context(cafile=str(self.chain))


def make_certificate(directory: Path) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOOPBACK)])
    now = datetime.now(UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    files = Certificate(directory / "fullchain.pem", directory / "privkey.pem")
    files.chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def documented(language: str) -> str:
    """Return the one block of this language in dav/README.md."""
    [block] = re.findall(rf"(?ms)^```{language}\n(.*?)^```$", DOCUMENT.read_text())
    return str(block)


def replaced(text: str, old: str, new: str) -> str:
    """Return the text with what must be in it replaced."""
    assert old in text, f"{old!r} is not in the documented block"
    return text.replace(old, new)


def nginx_command(directory: Path, upstream: int, port: int, certificate: Certificate) -> list[str]:
    block = documented("nginx")
    block = replaced(block, "listen 443 ssl", f"listen {LOOPBACK}:{port} ssl")
    block = replaced(block, "/etc/ssl/drive.example.org/fullchain.pem", str(certificate.chain))
    block = replaced(block, "/etc/ssl/drive.example.org/privkey.pem", str(certificate.key))
    block = replaced(block, f"{LOOPBACK}:8080", f"{LOOPBACK}:{upstream}")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in kinds)
    configuration = directory / "nginx.conf"
    configuration.write_text(
        f"{'user root;' if os.geteuid() == 0 else ''}\n"
        f"daemon off;\npid {directory}/pid;\nerror_log {directory}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{block}}}\n"
    )
    program = find_program("nginx")
    assert program is not None
    return [program, "-e", f"{directory}/error.log", "-c", str(configuration)]


def caddy_command(directory: Path, upstream: int, port: int, certificate: Certificate) -> list[str]:
    block = documented("caddyfile")
    tls = f"tls {certificate.chain} {certificate.key}"
    site = f"https://{LOOPBACK}:{port} {{\n\t{tls}"
    block = replaced(block, "drive.example.org {", site)
    block = replaced(block, f"{LOOPBACK}:8080", f"{LOOPBACK}:{upstream}")
    configuration = directory / "Caddyfile"
    configuration.write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{block}")
    program = find_program("caddy")
    assert program is not None
    return [program, "run", "--config", str(configuration), "--adapter", "caddyfile"]


COMMANDS: Final = {"nginx": nginx_command, "caddy": caddy_command}


@contextmanager
def running_proxy(
    name: str, directory: Path, upstream: int, certificate: Certificate
) -> Iterator[int]:
    """Run the proxy in front of the port `upstream` until the end of the block; yield its port."""
    directory.mkdir()
    port = free_port()
    command = COMMANDS[name](directory, upstream, port, certificate)
    output = directory / "output.log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, "HOME": str(directory), "XDG_DATA_HOME": str(directory)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def is_ready() -> bool:
        assert process.poll() is None, output.read_text()
        return accepts_connections(LOOPBACK, port)

    try:
        wait_until(is_ready, f"{name} to listen")
        yield port
    finally:
        end_group(process)
        print(output.read_text())
