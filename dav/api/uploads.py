"""Resumable uploads for people and scripts: `upload/init`, `upload/chunk`, `upload/finish`.

    POST   upload/init          volume, path, size, and the hash if it is known -> an id
    PUT    upload/chunk/{id}?offset=N     bytes; in any order, in parallel, again if it broke off
    GET    upload/{id}          what has come
    POST   upload/finish/{id}   the file appears, whole
    DELETE upload/{id}          gives it up

Parts are entries of the reserved volume, as those of WebDAV's uploads are, below the same folder:
durable, counted, and gone when the upload ends or nobody comes for a day.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from functools import partial
from typing import Final, Literal, NamedTuple, Protocol

import msgspec
from blake3 import blake3

import cas
from dav.api.answers import Answer, document, not_found, refused
from dav.api.call import Call, number
from dav.api.files import item_of
from dav.api.handles import Named, find
from dav.room import free_bytes
from dav.unfinished import FOLDER, PART_LIMIT, UPLOAD_LIMIT, State, has_too_many, held

CHUNK_LIMIT: Final = 256 * 1024 * 1024
"""Bytes of one part."""
SIZE_LIMIT: Final = 1 << 50
"""Bytes of a file."""
_ABOUT: Final = "upload"
_PREFIX: Final = "api-"
_BLOCK_SIZE: Final = 512 * 1024


class Beginning(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be uploaded. `hash` is hex; it is checked before the file appears.

    `if_match` is the etag of the file that it replaces, empty for none there, None for any.
    """

    volume: str
    path: str
    size: int
    algorithm: Literal["blake3", "sha256"] = "blake3"
    hash: str = ""
    mtime_ns: int | None = None
    if_match: str | None = None


class Began(msgspec.Struct):
    """An upload's id, and the bytes that one part may have."""

    id: str
    chunk_limit: int


class Received(msgspec.Struct):
    """What has come: offsets and lengths of parts."""

    id: str
    size: int
    parts: list[tuple[int, int]]


class _Upload(NamedTuple):
    id: str
    folder: str
    about: Beginning
    target: Named


class _Hash(Protocol):
    def update(self, data: bytes, /) -> object: ...

    def hexdigest(self) -> str: ...


def begin(call: Call) -> Answer:
    """Answer `POST upload/init`."""
    about = call.document(Beginning)
    target = find(call, about.volume, about.path)
    _check_target(target, about)
    upload_id = secrets.token_hex(16)
    user = call.principal.name
    with call.repository.registry.edit(author=user) as edit:
        edit.require(partial(_check_count, user=user))
        edit.make_directory(f"{FOLDER}/{user}", parents=True)
        kept = {_ABOUT: msgspec.json.encode(about).decode()}
        edit.make_directory(f"{FOLDER}/{user}/{_PREFIX}{upload_id}", properties=kept)
    return document(Began(upload_id, CHUNK_LIMIT), 201)


def _check_count(state: State, user: str) -> None:
    """Raise where the user has as many unfinished uploads as one may have."""
    if has_too_many(state, user):
        raise refused(507, "quota_exceeded", f"{UPLOAD_LIMIT} unfinished uploads are the most")


def put_chunk(call: Call) -> Answer:
    """Answer `PUT upload/chunk/{id}`."""
    upload = _find_writable(call)
    offset = number(call.query(), "offset", 0, SIZE_LIMIT)
    length = call.environ.get("CONTENT_LENGTH")
    if not length:
        raise refused(411, "invalid", "a part needs a Content-Length")
    if not 0 < int(length) <= CHUNK_LIMIT or offset + int(length) > upload.about.size:
        raise refused(413, "invalid", "the part is empty, too long, or not within the file")
    registry = call.repository.registry
    with registry.view() as view:
        _check_part(call, view, upload, offset, int(length))
    with registry.upload() as writer:
        left = int(length)
        while left:
            block = call.environ["wsgi.input"].read(min(left, _BLOCK_SIZE))
            if not block:
                raise cas.InvalidError("the part ended too early")
            writer.write(block)
            left -= len(block)
        with registry.edit(author=call.principal.name) as edit:
            # Once more: parts come in parallel.
            edit.require(lambda state: _check_part(call, state, upload, offset, int(length)))
            edit.put(f"{upload.folder}/{offset:020d}", writer)
    return Answer(204)


def _check_part(call: Call, state: State, upload: _Upload, offset: int, size: int) -> None:
    """Raise unless a part may be stored. Those of a file never have more bytes than the file."""
    other = held(state, call.principal.name, f"{_PREFIX}{upload.id}", f"{offset:020d}")
    if other.parts >= PART_LIMIT:
        raise refused(409, "conflict", f"an upload has {PART_LIMIT} parts at most")
    if other.size + size > upload.about.size:
        raise refused(409, "conflict", "the part overlaps another")
    _check_room(upload.target, upload.about, other.elsewhere)
    free = free_bytes(call.repository)
    if free is not None and size > free:
        raise refused(507, "quota_exceeded", f"{size} bytes do not fit on the disk")


def received(call: Call) -> Answer:
    """Answer `GET upload/{id}`."""
    upload = _find(call)
    with call.repository.registry.view() as view:
        parts = [(offset, entry.size) for offset, entry in _parts(view, upload)]
    return document(Received(upload.id, upload.about.size, parts))


def finish(call: Call) -> Answer:
    """Answer `POST upload/finish/{id}`: make the file of its parts."""
    upload = _find(call)
    about, target = upload.about, upload.target
    _check_target(target, about)
    hashing: _Hash | None = None
    if about.hash:
        hashing = blake3() if about.algorithm == "blake3" else hashlib.sha256()
    with call.repository.registry.view() as view, target.volume.upload() as writer:
        for entry in _whole(view, upload):
            content = cas.Content(entry.kind, entry.size, entry.content)
            writer.append(content, epoch=view.epoch)
            if hashing is not None:
                with view.open(entry) as reader:
                    for piece in reader.chunks():
                        hashing.update(bytes(piece))
        if hashing is not None and hashing.hexdigest() != about.hash.lower():
            raise refused(409, "conflict", "the parts do not have the hash that was announced")
        edit = target.volume.edit(author=call.principal.name, device=call.principal.device)
        edit.require(lambda state: _check_condition(target, about, state.get(target.path)))
        edit.put(target.path, writer, mtime_ns=about.mtime_ns)
        edit.commit()
    _remove(call, upload)
    new = edit.outcome[-1].new
    if new is None:
        raise not_found()
    return document(item_of(target.volume, target.path, new), 201)


def abandon(call: Call) -> Answer:
    """Answer `DELETE upload/{id}`."""
    _remove(call, _find_writable(call))
    return Answer(204)


def _find_writable(call: Call) -> _Upload:
    """Return the upload that the request's path names, to somebody who may make its file."""
    upload = _find(call)
    upload.target.check_writable()
    return upload


def _find(call: Call) -> _Upload:
    """Return the upload of the account that the request's path names."""
    upload_id = call.rest
    if not upload_id.isalnum() or not upload_id.isascii():
        raise not_found()
    folder = f"{FOLDER}/{call.principal.name}/{_PREFIX}{upload_id}"
    with call.repository.registry.view() as view:
        entry = view.get(folder)
        kept = {} if entry is None else view.properties(entry)
    if _ABOUT not in kept:
        raise not_found()
    about = msgspec.json.decode(kept[_ABOUT], type=Beginning)
    return _Upload(upload_id, folder, about, find(call, about.volume, about.path))


def _parts(view: cas.View, upload: _Upload) -> Iterator[tuple[int, cas.Entry]]:
    for name, entry in view.list(upload.folder):
        if name.isdigit() and entry.is_file:
            yield int(name), entry


def _whole(view: cas.View, upload: _Upload) -> list[cas.Entry]:
    """Return the parts in order; raise unless they are the whole file, without gap or overlap."""
    end = 0
    found = []
    for offset, entry in _parts(view, upload):
        if offset != end:
            raise refused(409, "conflict", f"there is no part at {end}, or one overlaps another")
        end += entry.size
        found.append(entry)
    if end != upload.about.size:
        raise refused(409, "conflict", f"{end} of {upload.about.size} bytes have come")
    return found


def _check_target(target: Named, about: Beginning) -> None:
    """Raise unless the file may be made, as far as can be told now."""
    target.check_writable()
    if not target.path:
        raise cas.InvalidError("a path is needed")
    if not 0 <= about.size <= SIZE_LIMIT:
        raise cas.InvalidError(f"a file has 0 to {SIZE_LIMIT} bytes")
    if about.mtime_ns is not None and not -(2**63) <= about.mtime_ns < 2**63:
        raise cas.InvalidError("mtime_ns does not fit 64 bits")
    with target.volume.view() as view:
        parent = view.get(target.path.rpartition("/")[0])
        if parent is None or not parent.is_directory:
            raise refused(409, "conflict", "there is no such folder")
        entry = view.get(target.path)
    _check_room(target, about)
    _check_condition(target, about, entry)


def _check_room(target: Named, about: Beginning, elsewhere: int = 0) -> None:
    """Raise unless the file fits within the quota, beside other uploads' bytes."""
    quota = target.volume.info.quota
    if quota is None:
        return
    with target.volume.view() as view:
        entry = view.get(target.path)
        replaced = 0 if entry is None else entry.size
        if view.root.size - replaced + elsewhere + about.size > quota:
            beside = f" beside {elsewhere} bytes of unfinished uploads" if elsewhere else ""
            raise refused(507, "quota_exceeded", f"it does not fit within {quota} bytes{beside}")


def _check_condition(target: Named, about: Beginning, entry: cas.Entry | None) -> None:
    """Raise unless what is to be replaced is there."""
    if entry is not None and not entry.is_file:
        raise cas.ConflictError(f"{target.path!r} is not a file")
    there = "" if entry is None else target.volume.etag(entry)
    if about.if_match is not None and about.if_match != there:
        raise cas.PreconditionError(f"{target.path!r} is not what was to be replaced")


def _remove(call: Call, upload: _Upload) -> None:
    try:
        with call.repository.registry.edit(author=call.principal.name) as edit:
            edit.remove(upload.folder)
    except cas.NotFoundError:
        return  # it has expired at this moment, or was given up twice
