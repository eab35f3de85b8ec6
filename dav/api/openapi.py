"""The API's description (OpenAPI 3.1), made of its routes and of the types of their documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from cas import wire
from dav.api.answers import JSON, Problem

if TYPE_CHECKING:
    from dav.api.routes import Route

_ALWAYS: Final = (400, 429, 500)
_PHRASES: Final = {
    206: "a range of it",
    304: "it is what the client has",
    400: "malformed",
    401: "sign in",
    403: "not allowed",
    404: "nothing there for this account",
    409: "not as things are now",
    410: "not kept any more",
    411: "a length is needed",
    412: "something has to be sent first",
    413: "too large",
    415: "another type of body is needed",
    416: "no such range",
    423: "locked",
    429: "too many requests",
    500: "the server failed",
    503: "busy; try again",
    507: "no room",
}
_SUCCESS: Final = {200: "done", 201: "made", 204: "done; nothing to tell"}


def describe(routes: Sequence[Route]) -> dict[str, object]:
    """Return the OpenAPI document of these routes."""
    schemas, components = _schemas(routes)
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        operations = paths.setdefault(f"/{route.path}", {})
        operations[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "casdav",
            "version": "1",
            "description": "Messages of syncd are specified in cas/WIRE.md.",
        },
        "servers": [{"url": "/api/v1"}],
        "paths": paths,
        "security": [{"bearer": []}, {"basic": []}],
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _schemas(routes: Iterable[Route]) -> tuple[dict[str, object], dict[str, object]]:
    """Return the schemas of all documents by the type's own words, and the components."""
    types: list[object] = [Problem]
    for route in routes:
        if not route.speaks_messages:
            types += [each for each in (route.body, route.answer) if each is not None]
    unique = list({repr(each): each for each in types}.values())
    found, components = msgspec.json.schema_components(
        unique, ref_template="#/components/schemas/{name}"
    )
    named = {repr(each): schema for each, schema in zip(unique, found, strict=True)}
    return dict(named), dict(components)


def _operation(route: Route, schemas: dict[str, object]) -> dict[str, object]:
    parameters: list[dict[str, object]] = [
        {
            "name": each.name,
            "in": "query",
            "required": each.is_required,
            "schema": each.schema,
        }
        for each in route.parameters
    ]
    if route.path.endswith("{id}"):
        schema = {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_-]+$"}
        parameters.append({"name": "id", "in": "path", "required": True, "schema": schema})
    operation: dict[str, object] = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()}-{route.path.replace('/', '-').strip('{}')}",
        "parameters": parameters,
        "responses": _responses(route, schemas),
    }
    if not route.needs_account:
        operation["security"] = []
    body = _body(route, schemas)
    if body is not None:
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _body(route: Route, schemas: dict[str, object]) -> dict[str, object] | None:
    if route.takes_bytes:
        return {"application/octet-stream": {}}
    if route.body is None:
        return None
    if route.speaks_messages:
        return {wire.MEDIA_TYPE: {}}
    return {JSON: {"schema": schemas[repr(route.body)]}}


def _responses(route: Route, schemas: dict[str, object]) -> dict[str, object]:
    content = _content(route, schemas)
    success: dict[str, object] = {"description": _SUCCESS[route.status]}
    if content:
        success["content"] = content
    problem: dict[str, object] = {JSON: {"schema": schemas[repr(Problem)]}}
    if route.speaks_messages:
        problem = {wire.MEDIA_TYPE: {}}
    found: dict[str, object] = {str(route.status): success}
    for status in _statuses(route):
        answer: dict[str, object] = {"description": _PHRASES[status]}
        if status >= 400:  # noqa: PLR2004 - where errors begin in HTTP
            answer["content"] = problem
        elif status != 304:  # noqa: PLR2004 - Not Modified has no body
            answer["content"] = content
        found[str(status)] = answer
    return found


def _content(route: Route, schemas: dict[str, object]) -> dict[str, object]:
    if route.speaks_messages:
        return {wire.MEDIA_TYPE: {}}
    if route.answer is not None:
        return {JSON: {"schema": schemas[repr(route.answer)]}}
    return {"*/*": {}} if route.gives_bytes else {}


def _statuses(route: Route) -> list[int]:
    statuses = {*_ALWAYS, *route.errors}
    if route.needs_account:
        statuses |= {401, 503}
    if route.body is not None and not route.speaks_messages:
        statuses |= {413, 415}
    return sorted(statuses)
