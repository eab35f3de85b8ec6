"""`POST commit`: operations with what they expect, all or none, once for each key."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from http import HTTPStatus
from typing import Final

import cas
from cas import wire
from dav.api.answers import Answer, RefusedError, message, refusal_of, refused
from dav.api.call import Call
from dav.api.expectations import Judge, UnexpectedError
from dav.api.places import Linked, open_place, open_state
from dav.api.sending import base_contents
from dav.api.states import head_of

_KEY: Final = re.compile(rf"[!-~]{{1,{wire.KEY_SIZE_LIMIT}}}", re.ASCII)
_FAILURES_TOLD: Final = 1000


def commit(call: Call) -> Answer:
    """Carry a commit out.

    Raises:
        RefusedError: it was not carried out; nothing has changed.
    """
    request = call.message(wire.CommitRequest)
    linked = open_place(call, request.place)
    linked.check_writable()
    device = _check(call, request)
    author = call.principal.name
    done = linked.volume.find_edit(author, request.key, request.base)
    if done is not None:
        return message(wire.Committed(*done, [], is_repeated=True))
    with ExitStack() as stack:
        base = _base(linked, request, stack)
        delivered = _deliver(call, linked, request, base)
        judge = Judge(linked, request.operations, base)
        edit = linked.volume.edit(author=author, device=device, key=request.key)
        edit.rely_on(delivered)
        edit.require(judge)
        _fill(edit, linked, request.operations)
        try:
            edit.commit()
        except UnexpectedError as error:
            raise _conflict(linked, error.failures) from error
        except cas.CasError as error:
            raise _refused(linked, error, edit.failed) from error
    entries = [None if each.new is None else linked.entry(each.new) for each in edit.outcome]
    return message(wire.Committed(edit.sequence_before, edit.sequence, entries, edit.was_done))


def _check(call: Call, request: wire.CommitRequest) -> str:
    """Return the name of the device; raise where the request is not acceptable as a whole.

    Raises:
        InvalidError: a malformed key or name, or too many operations.
    """
    if not _KEY.fullmatch(request.key):
        raise cas.InvalidError(f"a key has 1 to {wire.KEY_SIZE_LIMIT} visible ASCII characters")
    if not 0 < len(request.operations) <= wire.OPERATION_LIMIT:
        raise cas.InvalidError(f"a commit has 1 to {wire.OPERATION_LIMIT} operations")
    device = call.principal.device or request.device
    if len(device.encode("utf-8", "surrogateescape")) > wire.DEVICE_SIZE_LIMIT:
        raise cas.InvalidError(f"a device's name may have {wire.DEVICE_SIZE_LIMIT} bytes")
    if not device.isprintable():
        raise cas.InvalidError("a device's name has printable characters alone")
    return device


def _base(linked: Linked, request: wire.CommitRequest, stack: ExitStack) -> cas.View | None:
    """Return the state that the device knew, if any operation refers to it."""
    is_needed = any(_refers_to_base(operation) for operation in request.operations)
    if not is_needed:
        return None
    return stack.enter_context(open_state(linked, request.base))


def _refers_to_base(operation: wire.Operation) -> bool:
    expectations = [getattr(operation, name, None) for name in ("expect", "expect_path")]
    has_bases = isinstance(operation, wire.PutFile) and bool(operation.bases)
    return has_bases or any(isinstance(each, wire.Unchanged) for each in expectations)


def _deliver(
    call: Call,
    linked: Linked,
    request: wire.CommitRequest,
    base: cas.View | None,
) -> cas.Delivered:
    """Store what comes along, and see that all of each file may be put.

    Raises:
        RefusedError: 412 with what has to be sent.
    """
    wire.check_counts(request.chunks, request.nodes)
    delivered = call.services.deliveries.assemble(call.account, request.chunks, request.nodes)
    for operation in request.operations:
        if isinstance(operation, wire.PutFile):
            if len(operation.bases) > wire.BASE_LIMIT:
                raise cas.InvalidError(f"{wire.BASE_LIMIT} bases are the most of one file")
            if base is None:
                delivered.admit(operation.content)
            else:
                bases = base_contents(linked, base, operation.bases)
                delivered.admit(operation.content, bases, epoch=base.epoch)
    missing = wire.Missing(
        list(delivered.missing_chunks)[: wire.CHUNK_COUNT_LIMIT],
        list(delivered.missing_nodes)[: wire.CHUNK_COUNT_LIMIT],
    )
    if missing.chunks or missing.nodes:
        words = f"{len(missing.chunks)} chunks and {len(missing.nodes)} file nodes are missing"
        raise RefusedError(412, wire.Refusal("missing", words, missing=missing))
    return delivered


def _fill(edit: cas.Edit, linked: Linked, operations: list[wire.Operation]) -> None:
    """Add the operations to the edit, one for one."""
    for operation in operations:
        _ADD[type(operation)](edit, linked, operation)


def _put(edit: cas.Edit, linked: Linked, operation: wire.PutFile) -> None:
    path = linked.path(operation.path)
    edit.put(path, operation.content, mtime_ns=operation.mtime_ns, mode=operation.mode)


def _make_folder(edit: cas.Edit, linked: Linked, operation: wire.MakeFolder) -> None:
    path = linked.path(operation.path)
    edit.make_directory(path, mtime_ns=operation.mtime_ns, mode=operation.mode)


def _put_link(edit: cas.Edit, linked: Linked, operation: wire.PutLink) -> None:
    target = operation.target.decode("utf-8", "surrogateescape")
    edit.make_symlink(linked.path(operation.path), target, mtime_ns=operation.mtime_ns)


def _remove(edit: cas.Edit, linked: Linked, operation: wire.Remove) -> None:
    edit.remove(linked.path(_inside(operation.path)))


def _move(edit: cas.Edit, linked: Linked, operation: wire.Move) -> None:
    source, path = linked.path(_inside(operation.source)), linked.path(_inside(operation.path))
    edit.move(source, path, overwrite=operation.replaces)


def _copy(edit: cas.Edit, linked: Linked, operation: wire.Copy) -> None:
    source, path = linked.path(_inside(operation.source)), linked.path(_inside(operation.path))
    edit.copy(source, path, overwrite=operation.replaces)


def _set(edit: cas.Edit, linked: Linked, operation: wire.SetAttributes) -> None:
    path = linked.path(operation.path)
    edit.set_properties(path, mtime_ns=operation.mtime_ns, mode=operation.mode)


_ADD: Final[dict[type[wire.Operation], Callable[..., None]]] = {
    wire.PutFile: _put,
    wire.MakeFolder: _make_folder,
    wire.PutLink: _put_link,
    wire.Remove: _remove,
    wire.Move: _move,
    wire.Copy: _copy,
    wire.SetAttributes: _set,
}


def _inside(path: bytes) -> bytes:
    """Return a path that is not the place itself, which nobody moves or removes from inside."""
    if not path:
        raise cas.InvalidError("a place cannot be moved, copied or removed from inside it")
    return path


def _conflict(linked: Linked, failures: list[wire.Failure]) -> RefusedError:
    words = f"{len(failures)} operations do not meet what they expect"
    try:
        head = head_of(linked)
    except RefusedError:
        head = None  # the place's own folder is gone
    return RefusedError(
        409, wire.Refusal("conflict", words, failures=failures[:_FAILURES_TOLD], head=head)
    )


def _refused(linked: Linked, error: cas.CasError, failed: int | None) -> RefusedError:
    """Return the answer to an error inside the commit; `failed` is the operation's index."""
    if isinstance(error, cas.StoreError) and error.transient:
        return refused(503, "busy", "send it again", retry_s=1)
    found = refusal_of(error)
    failures = [] if failed is None else [wire.Failure(failed, error.kind, str(error))]
    if found.status in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
        return _conflict(linked, failures)
    refusal = wire.Refusal(
        found.refusal.kind, found.refusal.message, failures, retry_s=found.refusal.retry_s
    )
    return RefusedError(found.status, refusal, found.headers)
