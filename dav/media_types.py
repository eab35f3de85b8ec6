"""Media types guessed from names, and how a browser may treat them."""

from __future__ import annotations

import mimetypes
from functools import lru_cache
from typing import Final

DEFAULT: Final = "application/octet-stream"
"""The type of what is not known."""

_TYPES: Final = mimetypes.MimeTypes()
_ENCODINGS: Final = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "br": "application/x-brotli",
    "compress": "application/x-compress",
}
_MORE: Final = {
    ".7z": "application/x-7z-compressed",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".flac": "audio/flac",
    ".heic": "image/heic",
    ".md": "text/markdown",
    ".mkv": "video/x-matroska",
    ".odp": "application/vnd.oasis.opendocument.presentation",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".webp": "image/webp",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
for _suffix, _type in _MORE.items():
    _TYPES.add_type(_type, _suffix)

# Shown in the browser; all else is offered as a download. Nothing here can run a script.
_INLINE: Final = frozenset(
    {
        "application/pdf",
        "image/avif",
        "image/bmp",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/plain",
    }
)


def guess(name: str) -> str:
    """Return the media type of a file by the end of its name."""
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        return DEFAULT
    return _guess(f"a.{'tar.' if stem.endswith('.tar') else ''}{suffix.lower()}")


@lru_cache(maxsize=2048)
def _guess(name: str) -> str:
    kind, encoding = _TYPES.guess_type(name)
    if encoding is not None:
        return _ENCODINGS.get(encoding, DEFAULT)
    return kind or DEFAULT


def is_header_text(value: str) -> bool:
    """Whether a media type that somebody wrote can stand in a header: printable ASCII alone."""
    return value.isascii() and value.isprintable()


def is_shown_inline(media_type: str) -> bool:
    """Whether a browser may show the type itself instead of saving it."""
    essence = media_type.partition(";")[0].strip().lower()
    return essence in _INLINE or essence.startswith(("audio/", "video/"))
