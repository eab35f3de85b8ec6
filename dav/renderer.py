"""Response elements of PROPFIND, written from templates.

Most resources have no dead properties. For them, which properties are there depends on nothing but
whether they are folders and have checksums, so the first of each kind makes a template, with the
same text for all and slots for what differs, and a listing fills that in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from dav.multistatus import propstat, tags
from dav.properties import (
    ALLPROP,
    HIDDEN,
    LIVE,
    REPLACEABLE,
    SAME_FOR_ALL,
    Context,
    Item,
    Live,
    checksums,
    has_dead,
)
from dav.xml_requests import PropfindKind, PropfindRequest


class _Column(NamedTuple):
    """A property that is asked for: its tags, and what makes its value if it is a live one."""

    name: str
    start: str
    end: str
    empty: str
    live: Live | None


class _Template(NamedTuple):
    """A response element with `%s` for the href and for each of the slots."""

    text: str
    slots: tuple[Callable[[Item], str | None], ...]

    def fill(self, item: Item) -> str:
        return self.text % (item.href, *[slot(item) for slot in self.slots])


class Renderer:
    """Writes response elements of one PROPFIND.

    Args:
        wanted: what the request asks.
        is_minimal: whether to say nothing of properties that are not there.
    """

    def __init__(self, wanted: PropfindRequest, *, is_minimal: bool) -> None:
        self._is_minimal = is_minimal
        self._kind = wanted.kind
        names = wanted.names
        if wanted.kind is PropfindKind.ALL:
            names = tuple(dict.fromkeys(ALLPROP + wanted.names))
        # That a resource has not all of RFC 4918's properties is no answer to "all that it has".
        self._optional = frozenset(ALLPROP if wanted.kind is PropfindKind.ALL else ())
        self._columns = [_Column(name, *tags(name), LIVE.get(name)) for name in names]
        self._asked = frozenset(names)
        self._templates: dict[tuple[int, bool, bool], _Template] = {}

    def response(self, item: Item) -> str:
        """Return the response element of an item. Contexts must outlive the renderer."""
        entry = item.entry
        if self._kind is PropfindKind.NAMES:
            return self._compose(item)
        has_sums = False
        if has_dead(entry):
            if item.context.dead(entry).keys() - HIDDEN:
                return self._compose(item)
            has_sums = bool(checksums(item))
        key = (id(item.context), entry.is_directory, has_sums)
        template = self._templates.get(key)
        if template is None:
            template = self._templates[key] = self._template(item)
        return template.fill(item)

    def _template(self, item: Item) -> _Template:
        """Return the template for all items of this one's kind without dead properties."""
        found: list[str] = []
        missing: list[str] = []
        slots: list[Live] = []
        for column in self._columns:
            value = None if column.live is None else column.live(item)
            if value is None or column.live is None:
                self._miss(column, missing)
            elif _is_same_for_all(column.name, item.context):
                found.append(_literal(_element(column, value)))
            else:
                found.append(f"{_literal(column.start)}%s{_literal(column.end)}")
                slots.append(column.live)
        text = _response("%s", "".join(found), _literal("".join(missing)))
        return _Template(text, tuple(slots))

    def _compose(self, item: Item) -> str:
        """Return the response element of an item that no template is for."""
        dead = item.context.dead(item.entry)
        if self._kind is PropfindKind.NAMES:
            return _response(item.href, _names(item, dead), "")
        found: list[str] = []
        missing: list[str] = []
        for column in self._columns:
            name, live = column.name, column.live
            if name in dead and name not in HIDDEN and (live is None or name in REPLACEABLE):
                found.append(dead[name])
                continue
            value = None if live is None else live(item)
            if value is None:
                self._miss(column, missing)
            else:
                found.append(_element(column, value))
        if self._kind is PropfindKind.ALL:
            found += (dead[name] for name in _shown(dead) if name not in self._asked)
        return _response(item.href, "".join(found), "".join(missing))

    def _miss(self, column: _Column, missing: list[str]) -> None:
        if not self._is_minimal and column.name not in self._optional:
            missing.append(column.empty)


def _is_same_for_all(name: str, context: Context) -> bool:
    if name == "{DAV:}lockdiscovery":
        return context.locks.is_empty
    return name in SAME_FOR_ALL


def _element(column: _Column, value: str) -> str:
    return f"{column.start}{value}{column.end}" if value else column.empty


def _literal(text: str) -> str:
    return text.replace("%", "%%")


def _response(href: str, found: str, missing: str) -> str:
    stats = propstat(found, 200) if found or not missing else ""
    if missing:
        stats += propstat(missing, 404)
    return f"<D:response><D:href>{href}</D:href>{stats}</D:response>"


def _names(item: Item, dead: Mapping[str, str]) -> str:
    live = [name for name, function in LIVE.items() if function(item) is not None]
    return "".join(tags(name)[2] for name in dict.fromkeys([*live, *_shown(dead)]))


def _shown(dead: Mapping[str, str]) -> Iterable[str]:
    return (name for name in dead if name not in HIDDEN)
