"""What the XML bodies of WebDAV's methods ask for (RFC 4918, sections 9 and 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from dav.status import HttpError
from dav.xml_reader import Element, parse_xml, serialise

PROPERTY_NAME_LIMIT: Final = 500
"""Properties that one PROPFIND may name: each costs work for every resource listed."""
VALUES_LIMIT: Final = 4 * 1024 * 1024
"""Characters of all properties that one PROPPATCH sets: each is written with the namespaces that
are in force for it, and so may be longer than it came."""
OWNER_LIMIT: Final = 8 * 1024
"""Characters of a lock's owner element: it is repeated for every resource listed below a lock."""


class PropfindKind(Enum):
    """The three questions of PROPFIND."""

    ALL = "allprop"
    NAMES = "propname"
    NAMED = "prop"


@dataclass(frozen=True)
class PropfindRequest:
    """A PROPFIND body. `names` are Clark names: those asked for, or those to include in ALL."""

    kind: PropfindKind
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class PropertyUpdate:
    """One instruction of a PROPPATCH; `value` is None for a removal.

    `name` is a Clark name, `value` the whole element as XML text, `text` the text inside it.
    """

    name: str
    value: str | None
    text: str = ""


@dataclass(frozen=True)
class LockRequest:
    """A LOCK body: the scope, and the owner element as XML text, empty where there is none."""

    shared: bool
    owner_xml: str = ""


def parse_propfind(body: bytes) -> PropfindRequest:
    """Return what a PROPFIND asks; no body asks for all properties (section 9.1).

    Raises:
        HttpError: 400 where it is not a sound propfind element.
    """
    if not body.strip():
        return PropfindRequest(PropfindKind.ALL)
    root = _root(body, "propfind")
    kinds = [child for child in root.elements() if child.name in _KINDS]
    if len(kinds) != 1:
        raise HttpError(400, "a propfind holds exactly one of allprop, propname and prop")
    kind = _KINDS[kinds[0].name]
    if kind is PropfindKind.NAMES:
        return PropfindRequest(kind)
    named = root.find("{DAV:}include") if kind is PropfindKind.ALL else kinds[0]
    names = tuple(dict.fromkeys(child.name for child in named.elements())) if named else ()
    if len(names) > PROPERTY_NAME_LIMIT:
        raise HttpError(400, f"a propfind may name {PROPERTY_NAME_LIMIT} properties")
    return PropfindRequest(kind, names)


_KINDS: Final = {f"{{DAV:}}{kind.value}": kind for kind in PropfindKind}


def parse_proppatch(body: bytes) -> tuple[PropertyUpdate, ...]:
    """Return the instructions of a PROPPATCH in document order (section 9.2).

    Raises:
        HttpError: 400 where it is not a sound propertyupdate element, 413 where that would be
            much longer than the body.
    """
    updates: list[PropertyUpdate] = []
    size = 0
    for instruction in _root(body, "propertyupdate").elements():
        if instruction.name not in {"{DAV:}set", "{DAV:}remove"}:
            continue  # Unknown elements are ignored (section 17).
        prop = instruction.find("{DAV:}prop")
        if prop is None:
            raise HttpError(400, f"<{instruction.tag}> has no prop element")
        for element in prop.elements():
            if instruction.name == "{DAV:}set":
                updates.append(PropertyUpdate(element.name, serialise(element), element.text))
                size += len(updates[-1].value or "")
                if size > VALUES_LIMIT:
                    raise HttpError(413, f"properties may have {VALUES_LIMIT} characters together")
            else:
                updates.append(PropertyUpdate(element.name, None))
    if not updates:
        raise HttpError(400, "a propertyupdate names at least one property")
    return tuple(updates)


def parse_lock(body: bytes) -> LockRequest:
    """Return what a LOCK asks for (section 9.10).

    Raises:
        HttpError: 400 where it is not a sound lockinfo element for a write lock.
    """
    root = _root(body, "lockinfo")
    scope = root.find("{DAV:}lockscope")
    kind = root.find("{DAV:}locktype")
    scopes = {child.name for child in scope.elements()} if scope else set[str]()
    if scopes not in ({"{DAV:}exclusive"}, {"{DAV:}shared"}):
        raise HttpError(400, "the lockscope must hold either exclusive or shared")
    if kind is None or kind.find("{DAV:}write") is None:
        raise HttpError(400, "the locktype must hold write")
    owner = root.find("{DAV:}owner")
    owner_xml = serialise(owner) if owner else ""
    if len(owner_xml) > OWNER_LIMIT:
        raise HttpError(413, f"the owner of a lock may have {OWNER_LIMIT} characters")
    return LockRequest("{DAV:}shared" in scopes, owner_xml)


def _root(body: bytes, name: str) -> Element:
    root = parse_xml(body)
    if root.name != f"{{DAV:}}{name}":
        raise HttpError(400, f"the body must be a DAV: {name} element")
    return root


_SECONDS: Final = re.compile(r"Second-(\d{1,10})", re.IGNORECASE | re.ASCII)


def parse_timeout(value: str | None, longest_s: int) -> int:
    """Return the seconds that a lock is granted for a Timeout header (section 10.7).

    The first time of the list that is understood counts, cut to 1..`longest_s` seconds; without
    one, or for `Infinite`, it is `longest_s`.
    """
    for wanted in (value or "").split(","):
        found = _SECONDS.fullmatch(wanted.strip())
        if found:
            return max(1, min(int(found[1]), longest_s))
        if wanted.strip().lower() == "infinite":
            break
    return longest_s
