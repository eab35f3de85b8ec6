"""What `casdav serve` prints when it is ready: the address, and how to mount it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final

_ANY: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, not bound


def base_url(host: str, port: int, *, is_encrypted: bool) -> str:
    """Return the address that a person types, with a slash at the end."""
    shown = socket.gethostname() if host in _ANY else host
    if ":" in shown:
        shown = f"[{shown}]"
    scheme = "https" if is_encrypted else "http"
    default = 443 if is_encrypted else 80
    return f"{scheme}://{shown}/" if port == default else f"{scheme}://{shown}:{port}/"


def banner(url: str, user: str = "USER") -> list[str]:
    """Return the lines: the drive's address, and how each system mounts it."""
    drive = f"{url}dav/"
    gnome = drive.replace("http", "dav", 1)
    return [
        "",
        f"  the drive    {drive}",
        f"  a browser    {url}",
        "",
        f"  Windows      net use * {drive} /user:{user}     (Windows wants https)",
        f"  macOS        Finder: Go, Connect to Server, {drive}",
        f"  Linux        Files: Other Locations, {gnome}",
        f"               sudo mount -t davfs {drive} /mnt",
        f"  rclone       rclone config create casdav webdav url={drive} vendor=owncloud \\",
        f"                   user={user} pass=APP-PASSWORD --obscure",
        "",
        "  stop with Ctrl-C",
        "",
    ]


def first_admin(name: str, app_password: str) -> list[str]:
    """Return the lines with the first admin's password, which are printed once."""
    return [
        "",
        "  This repository is new. Sign in with:",
        "",
        f"  user         {name}",
        f"  app password {app_password}",
        "",
        "  It is shown only now. More users: casdav user add NAME",
    ]


def ready_message(url: str, admin: tuple[str, str] | None) -> Mapping[str, object]:
    """Return the members of the JSON line that says that the server is ready."""
    members: dict[str, object] = {"url": url, "drive": f"{url}dav/"}
    if admin is not None:
        members |= {"admin": admin[0], "app_password": admin[1]}
    return members
