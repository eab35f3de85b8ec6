"""Names as this disk can hold them. Pure: decides by what the disk was found to be able to do.

A name that it cannot hold gets another one here, which says why; in the volume, and on other
devices, it keeps its own.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Collection
from typing import Final

from syncd.disk.probing import Abilities

_RESERVED: Final = re.compile(r'[<>:"|?*\\\x00-\x1f]')
_DEVICES: Final = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE
)
_DIGITS: Final = 6
_STAND_IN: Final = "_"
_SUFFIX_LIMIT: Final = 32
"""Bytes of what stands behind the last dot from which on it is no suffix, but part of the name."""


def folded(name: str, abilities: Abilities) -> str:
    """Return what is equal for two names that the disk takes for one."""
    if abilities.folds_unicode:
        name = unicodedata.normalize("NFC", name)
    return name.casefold() if abilities.folds_case else name


def length(name: str, abilities: Abilities) -> int:
    """Return how long a name is in the disk's unit."""
    if abilities.counts_characters:
        return len(name.encode("utf-16-le", "surrogatepass")) // 2
    return len(os.fsencode(name))


def local_name(name: str, abilities: Abilities, taken: Collection[str]) -> str:
    """Return the name that a file gets on this disk: its own where that can be.

    Args:
        name: the true name.
        abilities: of the disk.
        taken: what the other names in its folder are on this disk, folded.
    """
    why, possible = _possible(name, abilities)
    if why is None and folded(possible, abilities) not in taken:
        return possible
    why = why or "name clash"
    digest = hashlib.blake2b(os.fsencode(name)).hexdigest()
    digits = _DIGITS
    while True:
        found = marked(possible, f" ({why} {digest[:digits]})", abilities)
        if digits == len(digest) or folded(found, abilities) not in taken:
            return found
        digits += 1  # Somebody has given a file that very name.


def _possible(name: str, abilities: Abilities) -> tuple[str | None, str]:
    """Return why a name cannot be on this disk, if so, and what comes nearest to it."""
    if not abilities.takes_any_bytes:
        try:
            name.encode()
        except UnicodeEncodeError:
            return "not UTF-8", os.fsencode(name).decode("utf-8", "replace")
    if not abilities.takes_reserved_names:
        plain = _RESERVED.sub(_STAND_IN, name)
        plain = re.sub(r"[. ]$", _STAND_IN, plain)
        if _DEVICES.fullmatch(name):
            plain = _STAND_IN + plain  # A mark would not do: what counts is before the first dot.
        if plain != name:
            return "reserved name", plain
    if length(name, abilities) > abilities.longest_name:
        return "long name", name
    return None, name


def marked(name: str, mark: str, abilities: Abilities) -> str:
    """Return a name with a mark before its suffix, cut so that the disk can hold it."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(os.fsencode(suffix)) > _SUFFIX_LIMIT:
        stem, dot, suffix = name, "", ""
    end = f"{mark}{dot}{suffix}"
    while stem and length(stem + end, abilities) > abilities.longest_name:
        stem = stem[:-1]
    return stem + end
