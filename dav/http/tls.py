"""The TLS context, made of certificate files."""

from __future__ import annotations

import ssl
from pathlib import Path

from dav.http.errors import ListenError


def load_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """A server's context: TLS 1.2 or newer, HTTP/1.1 by ALPN. Raises ListenError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    for path in filter(None, (certificate, key)):
        if not Path(path).is_file():
            raise ListenError(f"There is no certificate or key file {path}.")
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except ssl.SSLError as error:
        raise ListenError(
            f"The certificate {certificate} and its key do not make a pair of PEM files: {error}",
        ) from error
    except OSError as error:
        raise ListenError(f"The certificate {certificate} cannot be read: {error}") from error
    return context


def _refuse_password() -> str:
    raise ListenError("The private key is encrypted; give one without a password.")
