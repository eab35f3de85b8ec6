"""Conditional requests (RFC 9110, section 13): parsed once, evaluated as often as needed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from dav.dates import parse_http_date
from dav.status import HttpError

_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_BARE_TAG: Final = re.compile(r"(W/)?([^\s,\"]+)")


class EntityTag(NamedTuple):
    """An entity tag without its quotes (RFC 9110, section 8.8.3)."""

    opaque: str
    weak: bool = False

    def matches_strongly(self, other: EntityTag) -> bool:
        """Whether both are strong and the same."""
        return not self.weak and not other.weak and self.opaque == other.opaque

    def matches_weakly(self, other: EntityTag) -> bool:
        """Whether both are the same, weak or not."""
        return self.opaque == other.opaque


ANY: Final = "*"
"""The value of If-Match and If-None-Match that stands for any current representation."""


class State(NamedTuple):
    """What a condition is compared with: the target as it is now.

    `etag` is None where there is no representation; `modified_s` is seconds since the epoch.
    """

    etag: EntityTag | None
    modified_s: int = 0


ABSENT: Final = State(None)
"""The state of a target that does not exist."""


@dataclass(frozen=True)
class Conditions:
    """The conditional headers of one request; None where a header is absent or ignored."""

    if_match: str | tuple[EntityTag, ...] | None = None
    if_none_match: str | tuple[EntityTag, ...] | None = None
    if_modified_since_s: int | None = None
    if_unmodified_since_s: int | None = None

    @classmethod
    def parse(cls, header: Callable[[str], str | None]) -> Conditions:
        """Return the conditions that the headers hold.

        Args:
            header: returns a header's value by its name, None where it is absent.

        Raises:
            HttpError: 400 where a list of entity tags is malformed. Bad dates are ignored, as
                sections 13.1.3 and 13.1.4 demand.
        """
        if_match = _parse_tags("If-Match", header("If-Match"))
        if_none_match = _parse_tags("If-None-Match", header("If-None-Match"))
        since = header("If-Modified-Since") if if_none_match is None else None
        unmodified = header("If-Unmodified-Since") if if_match is None else None
        return cls(if_match, if_none_match, _parse_date(since), _parse_date(unmodified))

    def __bool__(self) -> bool:
        """Whether there is any condition."""
        return (
            self.if_match is not None
            or self.if_none_match is not None
            or self.if_modified_since_s is not None
            or self.if_unmodified_since_s is not None
        )

    def evaluate(self, method: str, state: State) -> int:
        """Return 0 to go on, 304 or 412, in the order of RFC 9110, section 13.2.2."""
        if self.if_match is not None:
            if not _matches(self.if_match, state.etag, EntityTag.matches_strongly):
                return 412
        elif (
            self.if_unmodified_since_s is not None
            and state.etag is not None
            and state.modified_s > self.if_unmodified_since_s
        ):
            return 412
        is_read = method in {"GET", "HEAD"}
        if self.if_none_match is not None:
            if _matches(self.if_none_match, state.etag, EntityTag.matches_weakly):
                return 304 if is_read else 412
        elif (
            is_read
            and self.if_modified_since_s is not None
            and state.etag is not None
            and state.modified_s <= self.if_modified_since_s
        ):
            return 304
        return 0


def if_range_holds(value: str | None, state: State, now_s: float) -> bool:
    """Whether a Range may be answered under this If-Range (RFC 9110, section 13.1.5).

    An entity tag has to match strongly. A date has to be the very Last-Modified, and to lie at
    least one second back: within its own second a file may have changed twice.
    """
    if value is None:
        return True
    tag = _TAG.fullmatch(value.strip())
    if tag:
        sent = EntityTag(tag[2], tag[1] is not None)
        return state.etag is not None and sent.matches_strongly(state.etag)
    date_s = parse_http_date(value)
    return date_s is not None and date_s == state.modified_s and date_s + 1 <= now_s


def _matches(
    expected: str | tuple[EntityTag, ...],
    current: EntityTag | None,
    compare: Callable[[EntityTag, EntityTag], bool],
) -> bool:
    if current is None:
        return False
    if isinstance(expected, str):
        return True
    return any(compare(tag, current) for tag in expected)


def _parse_date(value: str | None) -> int | None:
    return None if value is None else parse_http_date(value)


def _parse_tags(name: str, value: str | None) -> str | tuple[EntityTag, ...] | None:
    """Parse a list of entity tags; a bare word is taken for a tag, as some clients send it so."""
    if value is None:
        return None
    text = value.strip()
    if text == ANY:
        return ANY
    tags: list[EntityTag] = []
    position = 0
    expects_tag = True
    while position < len(text):
        if text[position] in " \t":
            position += 1
        elif text[position] == ",":
            expects_tag = True
            position += 1
        else:
            found = _TAG.match(text, position) or _BARE_TAG.match(text, position)
            if not found or not expects_tag or found[2] == ANY:
                raise HttpError(400, f"{name} is not a list of entity tags")
            tags.append(EntityTag(found[2], found[1] is not None))
            expects_tag = False
            position = found.end()
    if not tags:
        raise HttpError(400, f"{name} is empty")
    return tuple(tags)
