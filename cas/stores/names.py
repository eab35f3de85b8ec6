"""The names of stored objects.

A name is an area and, below it, a fixed number of components of lower-case hex digits:
`packs/3f/3f9a...`. So no name is the parent of another, no case folding joins two names, and the
order of a listing need not be relied on; buckets differ in all three. Only the names of `AREAS`
are taken: a new kind of object is added there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from cas.errors import InvalidError
from cas.stores.base import ByteRange


class Area(NamedTuple):
    """A kind of objects: how many components follow its name, and whether they can change."""

    depth: int
    mutable: bool


AREAS: Final = {
    "config": Area(depth=0, mutable=True),
    "epoch": Area(depth=0, mutable=True),
    "refs": Area(depth=1, mutable=True),
    "packs": Area(depth=2, mutable=False),
    "index": Area(depth=1, mutable=False),
    "gateways": Area(depth=1, mutable=True),
    "writer": Area(depth=0, mutable=True),
}
CONFIG_NAME: Final = "config"
"""The name of a repository's config."""

_COMPONENT: Final = re.compile(r"[0-9a-f]{1,64}", re.ASCII)


def check_name(name: str, *, mutable: bool | None = None) -> None:
    """Refuse a name that is not acceptable; with `mutable`, also one of the other sort.

    Raises:
        InvalidError: the name is not of an area, or its components are not as they must be.
    """
    if not is_name(name):
        raise InvalidError(f"not a name of a stored object: {name!r}")
    area = AREAS[name.partition("/")[0]]
    if mutable is not None and area.mutable is not mutable:
        raise InvalidError(f"{name} is {'mutable' if area.mutable else 'write-once'}")


def is_name(name: str) -> bool:
    """Whether a stored object can have this name."""
    area_name, *components = name.split("/")
    area = AREAS.get(area_name)
    return area is not None and len(components) == area.depth and _are_components(components)


def check_prefix(prefix: str) -> None:
    """Refuse a prefix of a listing that is not an area or some components below one.

    Raises:
        InvalidError: it is not.
    """
    area_name, *components = prefix.split("/")
    area = AREAS.get(area_name)
    if area is None or len(components) >= max(area.depth, 1) or not _are_components(components):
        raise InvalidError(f"not a prefix of stored objects: {prefix!r}")


def check_range(byte_range: ByteRange) -> None:
    """Refuse a range that begins before the object or ends before it begins.

    Raises:
        InvalidError: it does.
    """
    if not 0 <= byte_range.start <= byte_range.stop:
        raise InvalidError(f"not a range of bytes: {byte_range}")


def _are_components(components: Sequence[str]) -> bool:
    return all(_COMPONENT.fullmatch(component) for component in components)
