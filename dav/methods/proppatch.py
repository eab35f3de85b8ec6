"""PROPPATCH (RFC 4918, section 9.2): all instructions in document order, or none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import cas
from dav import answers
from dav.addressed import Resource
from dav.answers import Answer
from dav.checksums import PROPERTY as CHECKSUMS
from dav.client_times import keepable, parse_seconds
from dav.dates import NANOSECONDS, parse_http_date
from dav.media_types import is_header_text
from dav.multistatus import propstat, tags
from dav.properties import LIVE, REPLACEABLE
from dav.request import Request
from dav.retry import until_unchanged
from dav.status import HttpError
from dav.xml_requests import PropertyUpdate, parse_proppatch

SIZE_LIMIT: Final = 256 * 1024
"""Characters of all dead properties of one resource."""

_WIN32: Final = "{urn:schemas-microsoft-com:}"
_TYPE: Final = "{DAV:}getcontenttype"
_OWNCLOUD_MTIME: Final = "{DAV:}lastmodified"  # In seconds; rclone's way to set a time alone.
_MTIME: Final = frozenset(
    {"{DAV:}getlastmodified", _WIN32 + "Win32LastModifiedTime", _OWNCLOUD_MTIME}
)
_CREATED: Final = frozenset({_WIN32 + "Win32CreationTime"})
_APPLIED: Final = _MTIME | _CREATED | {_TYPE}
_PROTECTED: Final = (LIVE.keys() | {CHECKSUMS}) - _APPLIED - REPLACEABLE


class _Changes(NamedTuple):
    """What the instructions come to: new dead properties, and attributes where not None."""

    dead: dict[str, str]
    mtime_ns: int | None = None
    created_ns: int | None = None
    content_type: str | None = None


class _Refused(NamedTuple):
    """Why an instruction cannot be carried out."""

    status: int
    condition: str = ""


def proppatch(request: Request) -> Answer:
    """Set and remove properties."""
    resource = request.resource
    resource.visible_entry()
    updates = parse_proppatch(request.xml_body())
    resource.check_writable()
    request.check_conditions(resource)
    refused = {update.name: reason for update in updates if (reason := _refusal(update, resource))}
    if not refused:
        refused = _apply(request, resource, updates)
    return _answer(request, resource, updates, refused)


def _refusal(update: PropertyUpdate, resource: Resource) -> _Refused | None:
    name = update.name
    if name in _PROTECTED or (name == _TYPE and resource.is_directory):
        return _Refused(403, "cannot-modify-protected-property")
    if name in _MTIME | _CREATED:
        if update.value is None:
            return _Refused(403, "cannot-modify-protected-property")
        if _time_ns(update) is None:
            return _Refused(409)
    if name == _TYPE and not is_header_text(update.text.strip()):
        return _Refused(409)
    return None


def _time_ns(update: PropertyUpdate) -> int | None:
    """Return the time that a property is set to, None where it is none that can be kept."""
    if update.name == _OWNCLOUD_MTIME:
        return parse_seconds(update.text)
    seconds = parse_http_date(update.text)
    return None if seconds is None else keepable(seconds * NANOSECONDS)


def _apply(
    request: Request, resource: Resource, updates: Iterable[PropertyUpdate]
) -> dict[str, _Refused]:
    """Commit the changes; return what could not be stored.

    The dead properties are one value of the entry: it is replaced only if the entry is still the
    one it was read from, so parallel changes of other properties are never lost.
    """

    def attempt() -> dict[str, _Refused]:
        with resource.volume.view() as view:
            entry = view.get(resource.path)
            if entry is None:
                raise HttpError(404, f"{resource.path!r} has just been removed")
            changes = _changed(view.properties(entry), updates)
        if sum(map(len, changes.dead.values())) > SIZE_LIMIT:
            return {update.name: _Refused(507) for update in updates if update.value is not None}
        edit = resource.volume.edit(author=request.principal.name, lock_tokens=request.lock_tokens)
        if request.is_conditional:
            edit.require(request.recheck(resource))
        edit.set_properties(
            resource.path,
            properties=changes.dead,
            mtime_ns=changes.mtime_ns,
            created_ns=changes.created_ns,
            content_type=changes.content_type,
            expect=cas.EntryIs(resource.volume.entry_id(entry)),
        )
        edit.commit()
        return {}

    return until_unchanged(attempt)


def _changed(dead: dict[str, str], updates: Iterable[PropertyUpdate]) -> _Changes:
    changes = _Changes(dict(dead))
    for update in updates:
        if update.name in _MTIME | _CREATED:
            if update.name in _MTIME:
                changes = changes._replace(mtime_ns=_time_ns(update))
            else:
                changes = changes._replace(created_ns=_time_ns(update))
        elif update.name == _TYPE:
            changes = changes._replace(content_type=update.text.strip()[:255])
        elif update.value is None:
            changes.dead.pop(update.name, None)
        else:
            changes.dead[update.name] = update.value
    return changes


def _answer(
    request: Request,
    resource: Resource,
    updates: Iterable[PropertyUpdate],
    refused: dict[str, _Refused],
) -> Answer:
    if not refused and request.is_minimal:
        return Answer(200, [("Preference-Applied", "return=minimal")])
    groups: dict[_Refused, list[str]] = {}
    for name in dict.fromkeys(update.name for update in updates):
        reason = refused.get(name) or _Refused(424 if refused else 200)
        groups.setdefault(reason, []).append(tags(name)[2])
    stats = "".join(
        propstat("".join(elements), reason.status, reason.condition)
        for reason, elements in groups.items()
    )
    response = f"<D:response><D:href>{resource.href}</D:href>{stats}</D:response>"
    return answers.multistatus([response])
