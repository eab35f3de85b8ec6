"""The If header of WebDAV (RFC 4918, section 10.4): its grammar and its meaning."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from dav.conditions import EntityTag
from dav.status import HttpError

CONDITION_LIMIT: Final = 1000
"""Conditions in one header: each is a look at locks, and once more inside the commit."""
RESOURCE_LIMIT: Final = 100
"""Resources that one header names by tags."""

_TOKENS: Final = re.compile(
    r"""
    [ \t]*
    (?: (?P<open>\()
      | (?P<close>\))
      | (?P<not>not)(?![A-Za-z])
      | <(?P<reference>[^<>\s]+)>
      | \[ [ \t]* (?P<weak>W/)? "(?P<tag>[\x21\x23-\x7e\x80-\xff]*)" [ \t]* \]
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ABSOLUTE_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")


class ResourceState(NamedTuple):
    """A resource as conditions see it.

    `etag` is None where it does not exist; `tokens` are those of all locks in whose scope it is.
    """

    etag: EntityTag | None
    tokens: frozenset[str]


@dataclass(frozen=True)
class Condition:
    """One condition of a list: exactly one of `token` and `etag` is set."""

    is_negated: bool
    token: str | None = None
    etag: EntityTag | None = None

    def holds(self, state: ResourceState) -> bool:
        """Whether the condition is true of a resource in this state."""
        if self.token is not None:
            matches = self.token in state.tokens
        else:
            matches = (
                self.etag is not None
                and state.etag is not None
                and self.etag.matches_strongly(state.etag)
            )
        return matches != self.is_negated


@dataclass(frozen=True)
class ConditionList:
    """Conditions that have to hold together, of the tagged resource or (None) of the target."""

    resource: str | None
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class IfHeader:
    """A parsed If header: it holds when any of its lists does."""

    lists: tuple[ConditionList, ...] = ()

    @property
    def tokens(self) -> frozenset[str]:
        """All state tokens that the header submits, whatever their condition (section 10.4.1)."""
        return frozenset(
            condition.token
            for one_list in self.lists
            for condition in one_list.conditions
            if condition.token is not None
        )

    @property
    def resources(self) -> frozenset[str]:
        """All resource tags."""
        return frozenset(one.resource for one in self.lists if one.resource is not None)

    def holds(self, lookup: Callable[[str | None], ResourceState]) -> bool:
        """Whether the header is true; no header is.

        Args:
            lookup: returns the state of a resource by its tag (a URI or an absolute path, still
                encoded), or of the request's own target for None.
        """
        return not self.lists or any(
            all(condition.holds(lookup(one_list.resource)) for condition in one_list.conditions)
            for one_list in self.lists
        )


def parse_if(value: str | None) -> IfHeader:
    """Return the parsed header; None stands for no header.

    Raises:
        HttpError: 400 where it does not follow the grammar, or is very long.
    """
    if value is None:
        return IfHeader()
    header = IfHeader(tuple(_Parser(value).lists()))
    if sum(len(one.conditions) for one in header.lists) > CONDITION_LIMIT:
        raise _malformed(f"it has more than {CONDITION_LIMIT} conditions")
    if len(header.resources) > RESOURCE_LIMIT:
        raise _malformed(f"it names more than {RESOURCE_LIMIT} resources")
    return header


class _Parser:
    """Recursive descent over the header's tokens."""

    def __init__(self, text: str) -> None:
        self._text = text.rstrip(" \t")
        self._position = 0
        self._token = self._scan()

    def lists(self) -> list[ConditionList]:
        """Return all lists: either none is tagged or all are."""
        lists: list[ConditionList] = []
        if self._kind() == "open":
            while self._kind() == "open":
                lists.append(self._list(None))
        else:
            while self._kind() == "reference":
                resource = self._take()["reference"]
                if not (resource.startswith("/") or _ABSOLUTE_URI.fullmatch(resource)):
                    raise _malformed("a resource tag is not a URI or an absolute path")
                if self._kind() != "open":
                    raise _malformed("a resource tag has no list")
                while self._kind() == "open":
                    lists.append(self._list(resource))
        if self._kind():
            raise _malformed("tagged and untagged lists are mixed, or a list is not in ( )")
        if not lists:
            raise _malformed("it is empty")
        return lists

    def _list(self, resource: str | None) -> ConditionList:
        self._take()
        conditions: list[Condition] = []
        while self._kind() != "close":
            is_negated = self._kind() == "not"
            if is_negated:
                self._take()
            conditions.append(self._condition(is_negated=is_negated))
        self._take()
        if not conditions:
            raise _malformed("a list is empty")
        return ConditionList(resource, tuple(conditions))

    def _condition(self, *, is_negated: bool) -> Condition:
        kind = self._kind()
        if kind == "reference":
            token = self._take()["reference"]
            if not _ABSOLUTE_URI.fullmatch(token):
                raise _malformed("a state token is not a URI")
            return Condition(is_negated, token=token)
        if kind == "tag":
            found = self._take()
            return Condition(is_negated, etag=EntityTag(found["tag"], found["weak"] is not None))
        raise _malformed("a condition is neither <token> nor [entity tag]")

    def _kind(self) -> str:
        """Name of the present token, empty at the end. An entity tag's last group is its tag."""
        return "" if self._token is None else self._token.lastgroup or ""

    def _take(self) -> re.Match[str]:
        token = self._token
        if token is None:
            raise _malformed("it ends too early")
        self._token = self._scan()
        return token

    def _scan(self) -> re.Match[str] | None:
        if self._position >= len(self._text):
            return None
        found = _TOKENS.match(self._text, self._position)
        if found is None:
            raise _malformed(f"it makes no sense at character {self._position + 1}")
        self._position = found.end()
        return found


def _malformed(why: str) -> HttpError:
    return HttpError(400, f"the If header is malformed: {why}")
