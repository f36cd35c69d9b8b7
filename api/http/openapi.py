"""OpenAPI 3.1 from the route table and its schemas; nothing is written twice."""

import importlib.metadata
import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from api.http.jsonl import JSON_LINES
from api.http.routing import Route
from api.http.wire import JSON, MSGPACK
from api.schemas import Acl, ErrorAnswer, ExpiresAt, NoQuery, Version
from api.schemas_tei import TeiErrorAnswer

_PATH_VALUE = re.compile(r"{(?P<name>\w+)(?::[^}]*)?}")
_REF = "#/components/schemas/{name}"


def describe_api(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole document."""
    kinds = list(dict.fromkeys(_kinds(routes)))
    references, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    reference = dict(zip(kinds, references, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = _PATH_VALUE.sub(r"{\g<name>}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, reference, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "embedd",
            "version": importlib.metadata.version("embedd"),
            "description": "Embeds, stores, searches and chats over a team's own documents.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _kinds(routes: Iterable[Route]) -> Iterable[type]:
    yield from (ErrorAnswer, TeiErrorAnswer)
    for route in routes:
        for kind in (route.body, route.answer, route.chunk, route.accepted, route.lines, route.query):
            if kind is not None and not isinstance(kind, str) and kind is not NoQuery:
                yield kind


def _operation(route: Route, reference: dict[type, Any], components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.tag}_{route.handler.__name__}",
        "tags": [route.tag],
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route, components)],
        "responses": _responses(route, reference),
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _body_content(route, reference[route.body])}
    if route.lines is not None:
        content = {JSON_LINES: {"schema": reference[route.lines]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": found["name"], "in": "path", "required": True, "schema": {"type": "string"}}
        for found in _PATH_VALUE.finditer(route.path)
    ]


def _query_parameters(route: Route, components: dict[str, Any]) -> list[dict[str, Any]]:
    if route.query is NoQuery:
        return []
    properties = components[route.query.__name__]["properties"]
    return [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]


def _body_content(route: Route, schema: Any) -> dict[str, Any]:
    content: dict[str, Any] = {JSON: {"schema": schema}, MSGPACK: {"schema": schema}}
    if route.multipart:
        content["multipart/form-data"] = {"schema": _form()}
    return content


def _form() -> dict[str, Any]:
    """What ``uploads`` reads."""
    files = {"type": "array", "items": {"type": "string", "contentMediaType": "application/octet-stream"}}
    fields = {
        "metadata": _json_text(dict[str, Any]),
        "password": {"type": "string"},
        "version": msgspec.json.schema(Version),
        "expires_at": msgspec.json.schema(ExpiresAt),
        "acl": _json_text(Acl),
    }
    return {"type": "object", "properties": {"file": files, **fields}, "required": ["file"]}


def _json_text(kind: Any) -> dict[str, Any]:
    return {"type": "string", "contentMediaType": JSON, "contentSchema": msgspec.json.schema(kind)}


def _responses(route: Route, reference: dict[type, Any]) -> dict[str, Any]:
    responses = {
        str(int(status)): _response(route, status, reference) for status in (route.status, *route.also)
    }
    if route.accepted is not None:
        responses["202"] = _described("Accepted as a job", {JSON: {"schema": reference[route.accepted]}})
    error = TeiErrorAnswer if route.dialect == "tei" else ErrorAnswer
    responses["default"] = _described("Refused or failed", {JSON: {"schema": reference[error]}})
    return responses


def _response(route: Route, status: HTTPStatus, reference: dict[type, Any]) -> dict[str, Any]:
    if route.answer is None:
        return {"description": status.phrase}
    if isinstance(route.answer, str):
        return _described(status.phrase, {route.answer: {}})
    schema = reference[route.answer]
    content: dict[str, Any] = {JSON: {"schema": schema}, MSGPACK: {"schema": schema}}
    if route.chunk is not None:
        content["text/event-stream"] = {"schema": reference[route.chunk]}
    return _described(status.phrase, content)


def _described(description: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": content}
