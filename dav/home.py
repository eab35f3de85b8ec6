"""The page after login: the volumes somebody may open, and how to mount them on each system."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote
from wsgiref.types import WSGIEnvironment

import msgspec

import cas
from dav.auth import is_secure
from dav.grants import Rights, VisibleVolume
from dav.identity import Method, Principal
from dav.markup import Html, render

_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
_LOOPBACK: Final = re.compile(r"(?:localhost|127(?:\.[0-9]+){3}|\[::1\])(?::[0-9]+)?", re.ASCII)
_STEP: Final = 1024


def home_page(environ: WSGIEnvironment, principal: Principal, rights: Rights) -> Html:
    """Return the body of the page."""
    authority = host_of(environ)
    secure = is_secure(environ)
    path = f"/dav/{quote(principal.name)}/"
    scope = principal.scope
    if scope.volume:
        path = f"/dav/{quote(f'{scope.volume}/{scope.path}'.strip('/'))}/"
    warning = Html()
    if not secure and not _LOOPBACK.fullmatch(authority):
        text = "This address has no TLS: everybody on the way can read passwords and files."
        warning = render("message.html", text=text)
    # The session itself only reads; what counts for a drive is the right of the user.
    mounted = msgspec.structs.replace(principal, method=Method.APP_PASSWORD)
    return render(
        "home.html",
        volumes=_volumes(rights.visible(mounted), rights),
        user=principal.name,
        url=f"{'https' if secure else 'http'}://{authority}{path}",
        gnome_url=f"{'davs' if secure else 'dav'}://{authority}{path}",
        kde_url=f"{'webdavs' if secure else 'webdav'}://{authority}{path}",
        warning=warning,
    )


def host_of(environ: WSGIEnvironment) -> str:
    """Return host and port as the browser knows them, or as the server does if they are odd."""
    authority = str(environ.get("HTTP_HOST", ""))
    if _HOST.fullmatch(authority):
        return authority
    return f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"


def format_size(size: int) -> str:
    """Return a number of bytes as people read it: three digits or so, binary units."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < _STEP:
            return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= _STEP
    return f"{amount:.1f} TiB"


def _volumes(volumes: list[VisibleVolume], rights: Rights) -> Html:
    """Return the table of volumes."""
    if not volumes:
        return Html("<p>There is no volume that you may open.</p>")
    rows = [_row(volume, rights) for volume in volumes]
    return render("volumes.html", rows=Html("\n".join(rows)))


def _row(visible: VisibleVolume, rights: Rights) -> Html:
    volume = visible.volume
    try:
        used = format_size(rights.used_bytes(volume))
    except cas.NotFoundError:
        return Html()  # Deleted while this page was made.
    return render(
        "volume.html",
        href=f"/dav/{quote(volume.name, safe='')}/",
        name=volume.name,
        right=visible.right.name.lower(),
        used=used,
        quota="no limit" if volume.quota is None else format_size(volume.quota),
    )
