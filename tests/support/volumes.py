"""Putting files into volumes and reading them back, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cas


def put(volume: cas.Volume, path: str, content: bytes = b"") -> int:
    """Make the path a file with these bytes; return the number of the change."""
    with volume.upload() as upload:
        upload.write(content)
        with volume.edit() as edit:
            edit.put(path, upload)
    return edit.sequence


def remove(volume: cas.Volume, path: str) -> None:
    """Remove the path."""
    with volume.edit() as edit:
        edit.remove(path)


def read(source: cas.Volume | cas.View, path: str) -> bytes:
    """Return the bytes of a file, as it is now or as a view shows it."""
    if hasattr(source, "view"):
        with source.view() as view:
            return read(view, path)
    with source.open(path) as file:
        return bytes(file.read())
