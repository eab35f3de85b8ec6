"""Putting files into volumes and reading them back, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cas


def put(volume: cas.Volume, path: str, content: bytes) -> None:
    """Make the path a file with these bytes."""
    with volume.upload() as upload:
        upload.write(content)
        with volume.edit() as edit:
            edit.put(path, upload)


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
