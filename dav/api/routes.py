"""All addresses of the API: what answers there, and what its description says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cas import wire
from dav.api import accounts, committing, downloads, files, sending, states, uploads
from dav.api.answers import Answer, document
from dav.api.call import Call
from dav.api.openapi import describe


@dataclass(frozen=True)
class Parameter:
    """A parameter of the query, with its JSON schema."""

    name: str
    schema: dict[str, object]
    is_required: bool = False


@dataclass(frozen=True)
class Route:
    """An address with a method. `{id}` at its end stands for one word.

    `body` and `answer` are the types of JSON documents, or of messages where `speaks_messages`;
    `takes_bytes` and `gives_bytes` are those whose body or answer is a file's. Without
    `needs_account` anybody may ask. `errors` are the statuses that are special to it;
    `cost` is how many requests it counts as.
    """

    method: str
    path: str
    handler: Callable[[Call], Answer]
    summary: str
    parameters: tuple[Parameter, ...] = ()
    body: type | None = None
    answer: object = None
    status: int = 200
    speaks_messages: bool = False
    takes_bytes: bool = False
    gives_bytes: bool = False
    needs_account: bool = True
    errors: tuple[int, ...] = ()
    cost: float = 1.0


_TEXT: Final[dict[str, object]] = {"type": "string"}
_NUMBER: Final[dict[str, object]] = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
_LIMIT: Final[dict[str, object]] = {"type": "integer", "minimum": 1, "maximum": files.LIMIT}
_PAGE: Final[dict[str, object]] = {"type": "integer", "minimum": 1, "maximum": wire.PAGE_LIMIT}
_VOLUME_ID: Final[dict[str, object]] = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_PLACE: Final = (Parameter("volume", _VOLUME_ID, is_required=True), Parameter("root", _TEXT))
_NAMED: Final = (Parameter("volume", _TEXT, is_required=True), Parameter("path", _TEXT))


def about(call: Call) -> Answer:
    """Answer `GET /api/v1`: what there is, and where."""
    return document(
        {
            "api": "/api/v1",
            "protocol": wire.PROTOCOL,
            "feed": call.services.feed_url(call.environ),
            "openapi": "/api/v1/openapi.json",
        }
    )


def all_routes(deltas: states.Deltas, wait_seconds: int) -> list[Route]:
    """Return all routes, those of people first."""
    found = [*_of_accounts(), *_of_files(), *_of_uploads(), *_of_syncd(deltas, wait_seconds)]
    description = describe(found)

    def openapi(_: Call) -> Answer:
        return document(description)

    return [
        Route("GET", "", about, "What there is, and where", needs_account=False),
        Route("GET", "openapi.json", openapi, "This description", needs_account=False),
        *found,
    ]


def _of_accounts() -> list[Route]:
    return [
        Route(
            "POST",
            "register",
            accounts.register,
            "Make an account, where the operator allows it",
            body=accounts.Registration,
            answer=accounts.Registered,
            status=201,
            needs_account=False,
            errors=(403, 409),
            cost=200.0,  # each hashes a password
        ),
        Route(
            "POST",
            "token",
            accounts.token,
            "Sign a device in, or exchange its refresh token",
            body=accounts.SignIn,
            answer=accounts.Tokens,
            needs_account=False,
            errors=(401, 409, 503),
        ),
        Route("GET", "me", accounts.me, "Who asks", answer=accounts.Me),
        Route(
            "GET", "devices", accounts.list_devices, "The account's linked devices",
            answer=list[accounts.DeviceItem],
        ),
        Route(
            "DELETE", "devices/{id}", accounts.revoke_device, "Revoke a device",
            status=204, errors=(403, 404),
        ),
    ]  # fmt: skip


def _of_files() -> list[Route]:
    after = (Parameter("after", _TEXT), Parameter("limit", _LIMIT))
    return [
        Route(
            "GET", "files", files.list_files, "Members of a folder, or a search below it",
            (*_NAMED, Parameter("name", _TEXT), *after), answer=files.Page, errors=(404,),
        ),
        Route(
            "GET", "files/{id}", files.metadata, "A file or folder",
            answer=files.Item, errors=(404,),
        ),
        Route(
            "GET", "versions/{id}", files.versions, "What was changed at a path, newest first",
            (Parameter("before", _NUMBER), Parameter("limit", _LIMIT)),
            answer=files.Versions, errors=(404,),
        ),
        Route(
            "POST", "restore/{id}", files.restore, "Bring a path back as it was",
            body=files.Restoring, answer=files.Restored, errors=(403, 404, 409, 410, 423, 503, 507),
        ),
        Route(
            "GET", "download/{id}", downloads.download, "The bytes of a file, or a range of them",
            (Parameter("etag", _TEXT), Parameter("sequence", _NUMBER)),
            gives_bytes=True, errors=(206, 304, 404, 410, 416),
        ),
    ]  # fmt: skip


def _of_uploads() -> list[Route]:
    offset: dict[str, object] = {"type": "integer", "minimum": 0, "maximum": uploads.SIZE_LIMIT}
    return [
        Route(
            "POST", "upload/init", uploads.begin, "Begin an upload", body=uploads.Beginning,
            answer=uploads.Began, status=201, errors=(403, 404, 409, 507),
        ),
        Route(
            "PUT", "upload/chunk/{id}", uploads.put_chunk, "Send a part, in any order",
            (Parameter("offset", offset),), status=204, takes_bytes=True,
            errors=(404, 409, 411, 413, 507),
        ),
        Route(
            "GET", "upload/{id}", uploads.received, "What has come",
            answer=uploads.Received, errors=(404,),
        ),
        Route(
            "POST", "upload/finish/{id}", uploads.finish, "Make the file of its parts",
            answer=files.Item, status=201, errors=(403, 404, 409, 423, 503, 507),
        ),
        Route(
            "DELETE", "upload/{id}", uploads.abandon, "Give an upload up",
            status=204, errors=(404,),
        ),
    ]  # fmt: skip


def _of_syncd(deltas: states.Deltas, wait_seconds: int) -> list[Route]:
    wait: dict[str, object] = {"type": "integer", "minimum": 0, "maximum": wait_seconds}
    delta = (Parameter("since", _NUMBER), Parameter("limit", _PAGE), Parameter("wait", wait))
    writes = (403, 404, 409, 410, 412, 423, 503, 507)

    def post(
        path: str,
        handler: Callable[[Call], Answer],
        summary: str,
        body: type,
        errors: tuple[int, ...] = (404, 410),
    ) -> Route:
        more = (*errors, 413)
        return Route(
            "POST", path, handler, summary, body=body, speaks_messages=True, errors=more
        )  # fmt: skip

    return [
        Route("GET", "volumes", states.volumes, "Volumes, and the keys", speaks_messages=True),
        Route(
            "GET", "sync/head", states.head, "The newest state of a place", _PLACE,
            speaks_messages=True, errors=(404,),
        ),
        Route(
            "GET", "sync/delta", deltas, "What changed after a state", (*_PLACE, *delta),
            speaks_messages=True, errors=(404, 503),
        ),
        post("sync/tree", states.tree, "A page of a listing", wire.TreeRequest),
        post("nodes/get", sending.get_nodes, "File nodes", wire.PartsRequest),
        post("chunks/get", sending.get_chunks, "Chunks", wire.PartsRequest),
        post(
            "chunks/missing", sending.missing, "What has to be sent", wire.MissingRequest,
            (403, 404, 410),
        ),
        post("chunks", sending.send, "Send chunks", wire.SendRequest, (403, 404, 507)),
        post("commit", committing.commit, "Carry operations out", wire.CommitRequest, writes),
    ]  # fmt: skip
