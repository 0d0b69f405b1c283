"""From the subsystems' operations to a router and to an OpenAPI 3.1 document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import life
from life.aios.json import Json
from life.aios.ports.http import Operation
from life.host.http.problem import MEDIA_TYPE, Problem

ApiOperation = Operation[Request, Response]
_PATH_PARAMETER = re.compile(r"{(\w+)(?::path)?}")
_REFERENCES = "#/components/schemas/{name}"


def routes(operations: Iterable[ApiOperation]) -> list[Route]:
    """Starlette routes of the operations, in order."""
    return [Route(item.path, item.endpoint, methods=[item.method]) for item in operations]


def openapi_document(title: str, operations: Sequence[ApiOperation]) -> bytes:
    """The document as JSON bytes. Schemas come from the msgspec types themselves."""
    types = [kind for item in operations for kind in (item.body, item.result) if kind is not None]
    types += [kind for item in operations for _, kind in item.others]
    schemas, components = msgspec.json.schema_components([*types, Problem], ref_template=_REFERENCES)
    by_type = dict(zip([*types, Problem], schemas, strict=True))
    paths: dict[str, dict[str, Json]] = {}
    for item in operations:
        paths.setdefault(_PATH_PARAMETER.sub(r"{\1}", item.path), {})[item.method.lower()] = _describe(item, by_type)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": title, "version": life.__version__},
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
            "security": [{"token": []}],
        }
    )


def _describe(item: ApiOperation, schemas: dict[type, dict[str, Json]]) -> Json:
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PATH_PARAMETER.findall(item.path)
    ]
    parameters += [
        {"name": query.name, "in": "query", "description": query.description, "schema": {"type": query.type}}
        for query in item.query
    ]
    content: Json = {item.media_type: {"schema": schemas[item.result]} if item.result else {}}
    answer: dict[str, Json] = {"description": item.summary}
    if item.status != 204:
        answer["content"] = content
    responses: dict[str, Json] = {str(item.status): answer}
    problem: Json = {"schema": schemas[Problem]}
    for status in (*item.errors, 401, 403, 500):
        responses[str(status)] = {"description": "A problem (RFC 9457)", "content": {MEDIA_TYPE: problem}}
    for status, kind in item.others:
        content = {"application/json": {"schema": schemas[kind]}}
        if status in item.errors or status in (401, 403, 500):
            content[MEDIA_TYPE] = problem
        responses[str(status)] = {"description": "Another answer", "content": content}
    described: dict[str, Json] = {"summary": item.summary, "parameters": parameters, "responses": responses}
    if item.body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schemas[item.body]}}}
    return described
