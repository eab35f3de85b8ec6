"""Parts of files, out and in: `nodes/get`, `chunks/get`, `chunks/missing`, `chunks`."""

from __future__ import annotations

from collections.abc import Iterator

import cas
from cas import wire
from dav.api.answers import Answer, message, refused
from dav.api.call import Call
from dav.api.places import Linked, open_place, open_state


def get_nodes(call: Call) -> Answer:
    """Answer `POST nodes/get`."""
    request = _parts_request(call)
    found: list[bytes | None] = []
    size = 0
    for content, part in _contents(call, request):
        node = None
        if content is not None:
            node = call.services.parts.node(content, part.id, part.offset)
        size += len(node or b"")
        if size > wire.BATCH_SIZE and found:
            break
        found.append(node)
    return message(wire.Nodes(found))


def get_chunks(call: Call) -> Answer:
    """Answer `POST chunks/get`."""
    request = _parts_request(call)
    parts = call.services.parts
    granted: list[bytes | None] = []
    size = 0
    for content, part in _contents(call, request):
        length = parts.has_chunk(content, part.id, part.offset) if content is not None else 0
        size += length
        if size > wire.BATCH_SIZE and granted:
            break
        granted.append(part.id if length else None)
    found = parts.chunks([chunk_id for chunk_id in granted if chunk_id is not None])
    return message(wire.Chunks([None if chunk_id is None else next(found) for chunk_id in granted]))


def missing(call: Call) -> Answer:
    """Answer `POST chunks/missing`."""
    request = call.message(wire.MissingRequest)
    linked = open_place(call, request.place)
    linked.check_writable()
    if len(request.chunks) + len(request.nodes) > wire.CHUNK_COUNT_LIMIT:
        raise cas.InvalidError(f"{wire.CHUNK_COUNT_LIMIT} ids are the most in one request")
    if len(request.bases) > wire.BASE_LIMIT:
        raise cas.InvalidError(f"{wire.BASE_LIMIT} bases are the most in one request")
    bases: list[cas.Content] = []
    if request.bases:
        with open_state(linked, request.sequence) as view:
            bases = base_contents(linked, view, request.bases)
    chunks, nodes = call.services.deliveries.missing(
        call.account, request.chunks, request.nodes, bases
    )
    return message(wire.Missing(chunks, nodes))


def send(call: Call) -> Answer:
    """Answer `POST chunks`: chunks and file nodes, checked, stored, kept for a day."""
    request = call.message(wire.SendRequest)
    linked = open_place(call, request.place)
    linked.check_writable()
    wire.check_counts(request.chunks, request.nodes)
    quota = linked.volume.info.quota
    if quota is not None:
        with linked.volume.view() as view:
            if view.root.size >= quota:
                raise refused(507, "quota_exceeded", f"the quota of {quota} bytes is used up")
    until_ns = call.services.deliveries.receive(call.account, request.chunks, request.nodes)
    return message(wire.Sent(until_ns))


def base_contents(linked: Linked, view: cas.View, paths: list[bytes]) -> list[cas.Content]:
    """Return the contents of those paths that are files in this state."""
    entries = (view.get(linked.path(path)) for path in paths)
    return [content_of(entry) for entry in entries if entry is not None and entry.is_file]


def content_of(entry: cas.Entry) -> cas.Content:
    """Return a file's content."""
    return cas.Content(entry.kind, entry.size, entry.content)


def _parts_request(call: Call) -> wire.PartsRequest:
    request = call.message(wire.PartsRequest)
    if sum(len(file.parts) for file in request.files) > wire.CHUNK_COUNT_LIMIT:
        raise cas.InvalidError(f"{wire.CHUNK_COUNT_LIMIT} parts are the most in one request")
    if len(request.files) > wire.CHUNK_COUNT_LIMIT:
        raise cas.InvalidError(f"{wire.CHUNK_COUNT_LIMIT} files are the most in one request")
    return request


def _contents(
    call: Call, request: wire.PartsRequest
) -> Iterator[tuple[cas.Content | None, wire.Located]]:
    """Yield each part that is asked for, with the content that it is to be of if that is there."""
    linked = open_place(call, request.place)
    view = _state_with(linked, request)
    with view:
        for file in request.files:
            entry = _wanted(linked, view, file)
            content = None if entry is None else content_of(entry)
            for part in file.parts:
                yield content, part


def _state_with(linked: Linked, request: wire.PartsRequest) -> cas.View:
    """Return the newest state if it has all the files: an older one may have to be made anew."""
    view = linked.volume.view()
    try:
        if request.sequence in {0, view.sequence} or all(
            _wanted(linked, view, file) is not None for file in request.files
        ):
            return view
    except BaseException:
        view.close()
        raise
    view.close()
    return open_state(linked, request.sequence)


def _wanted(linked: Linked, view: cas.View, file: wire.FilePart) -> cas.Entry | None:
    entry = view.get(linked.path(file.path))
    return entry if entry is not None and entry.is_file and entry.content == file.content else None
