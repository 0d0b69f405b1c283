"""Telling others how to call a paid resource, and reading what others tell: x402's extension `bazaar` (x402.md §5).

A seller declares a route with `Discovery`; the declaration goes out with every 402, comes back with the payment, and the
facilitator that settles it may list the resource. Whoever keeps such a list reads with `read_listing`, which trusts nothing:
the payer sends the declaration, so it may be any text, and its JSON Schema is a program of a stranger. It is refused when it
reaches outside itself (`$ref`, `$id`), it is bounded in size, and neither its regular expressions nor its references are run.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from life.aios.errors import InvalidInputError
from life.aios.json import Json, JsonObject
from life.haima.errors import PaymentRefusedError
from life.haima.x402.wire import PaymentPayload, ResourceInfo, present, read_extensions, read_resource

BAZAAR: Final = "bazaar"
"""Extension id."""

BodyType = Literal["json", "form-data", "text"]
ListingType = Literal["http", "mcp"]

QUERY_METHODS: Final = ("GET", "HEAD", "DELETE")
BODY_METHODS: Final = ("POST", "PUT", "PATCH")
MAX_DECLARATION_BYTES: Final = 32 * 1024
_MAX_DECODINGS: Final = 5
_MAX_DEPTH: Final = 32
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_TEMPLATE: Final = re.compile(r"/[a-zA-Z0-9_/:.\-~%]+")
_PLAIN: Final = re.compile(r"[\x20-\x7e]{1,32}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_LOOPBACK_NAMES: Final = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})
_TRANSPORTS: Final = ("streamable-http", "sse")
_NOT_RUN: Final = frozenset({"pattern", "patternProperties", "$defs", "definitions", "$dynamicRef", "$id"})


@dataclass(frozen=True, kw_only=True)
class Discovery:
    """How a route is called, for people and agents that look for one. Examples are examples; schemas are JSON Schema.

    Routes that take a body (POST, PUT, PATCH) give `body`, the others `query`. Path parameters come from the route.
    """

    query: Mapping[str, Json] | None = None
    query_schema: Mapping[str, Json] | None = None
    body: Json = None
    body_schema: Mapping[str, Json] | None = None
    body_type: BodyType = "json"
    path_schema: Mapping[str, Json] | None = None
    output: Json = None
    output_type: str = "json"


@dataclass(frozen=True, kw_only=True)
class ToolDiscovery:
    """How a paid MCP tool is called."""

    input_schema: Mapping[str, Json]
    description: str | None = None
    transport: Literal["streamable-http", "sse"] | None = None
    example: Mapping[str, Json] | None = None
    output: Json = None


class Listing(NamedTuple):
    """A resource that a payment's declaration describes, checked."""

    type: ListingType
    resource: str
    """Its URL without query and fragment; a template in place of a path with parameters."""
    method: str
    """Of HTTP; empty for a tool."""
    tool: str
    """The tool's name; empty for HTTP."""
    description: str | None
    mime_type: str | None
    service_name: str | None
    tags: tuple[str, ...]
    icon_url: str | None
    declaration: JsonObject
    """`info`, `schema` and perhaps `routeTemplate`."""

    @property
    def key(self) -> str:
        """What makes it the same resource."""
        return "|".join((self.type, self.resource, self.method or self.tool))


# ---- a seller's declaration


def declare_route(
    discovery: Discovery, *, method: str, template: str | None, path_params: Mapping[str, str]
) -> JsonObject:
    """The declaration of one request to a route. InvalidInputError when its parts contradict each other."""
    takes_body = method in BODY_METHODS
    if not takes_body and discovery.body is not None:
        raise InvalidInputError(f"A {method} request has no body to be discovered; give its query.")
    given: dict[str, Json] = {"type": "http", "method": method}
    properties: dict[str, Json] = {
        "type": {"type": "string", "const": "http"},
        "method": {"type": "string", "enum": list(BODY_METHODS if takes_body else QUERY_METHODS)},
    }
    required = ["type", "method"]
    if takes_body:
        given |= {"bodyType": discovery.body_type, "body": {} if discovery.body is None else discovery.body}
        properties["bodyType"] = {"type": "string", "enum": ["json", "form-data", "text"]}
        properties["body"] = dict(discovery.body_schema or {})
        required += ["bodyType", "body"]
    if discovery.query is not None:
        given["queryParams"] = dict(discovery.query)
    if discovery.query is not None or discovery.query_schema is not None:
        properties["queryParams"] = {"type": "object", **(discovery.query_schema or {})}
    if template is not None:
        given["pathParams"] = dict(path_params)
        properties["pathParams"] = {"type": "object", **(discovery.path_schema or {})}
    schema: dict[str, Json] = {"type": "object", "properties": properties, "required": required}
    declaration = _declaration(
        given, {**schema, "additionalProperties": False}, discovery.output, discovery.output_type
    )
    return declaration if template is None else {**declaration, "routeTemplate": template}


def declare_tool(discovery: ToolDiscovery, *, name: str) -> JsonObject:
    """The declaration of an MCP tool."""
    given: dict[str, Json] = {"type": "mcp", "toolName": name, "inputSchema": dict(discovery.input_schema)}
    properties: dict[str, Json] = {
        "type": {"type": "string", "const": "mcp"},
        "toolName": {"type": "string"},
        "inputSchema": {"type": "object"},
    }
    if discovery.description is not None:
        given["description"] = discovery.description
        properties["description"] = {"type": "string"}
    if discovery.transport is not None:
        given["transport"] = discovery.transport
        properties["transport"] = {"type": "string", "enum": list(_TRANSPORTS)}
    if discovery.example is not None:
        given["example"] = dict(discovery.example)
        properties["example"] = {"type": "object"}
    schema: dict[str, Json] = {"type": "object", "properties": properties}
    return _declaration(given, {**schema, "required": ["type", "toolName", "inputSchema"]}, discovery.output, "json")


def _declaration(given: Mapping[str, Json], schema: Mapping[str, Json], output: Json, output_type: str) -> JsonObject:
    info: dict[str, Json] = {"input": dict(given)}
    properties: dict[str, Json] = {"input": dict(schema)}
    if output is not None:
        info["output"] = {"type": output_type, "example": output}
        properties["output"] = {
            "type": "object",
            "properties": {"type": {"type": "string"}, "example": {}},
            "required": ["type"],
        }
    declared: JsonObject = {
        "info": info,
        "schema": {"$schema": _DIALECT, "type": "object", "properties": properties, "required": ["input"]},
    }
    refusal = _contradiction(declared)
    if refusal is not None:
        raise InvalidInputError(f"The discovery declaration does not fit its own schema: {refusal}.")
    return declared


# ---- what a list of resources reads


def read_listing(payload: PaymentPayload, *, allow_local: bool = False) -> Listing | None:
    """The resource that a payment declares. None when it declares none; PaymentRefusedError, with the sentence to answer,
    when the declaration is not to be listed. `allow_local`: also plain HTTP and addresses of this machine."""
    content = present(payload.extensions)
    declared = None if content is None else read_extensions(payload.extensions).get(BAZAAR)
    if content is None or declared is None:
        return None
    if len(content) > MAX_DECLARATION_BYTES:
        raise _rejected(f"the extensions are larger than {MAX_DECLARATION_BYTES} bytes")
    resource = read_resource(payload.resource)
    if resource is None:
        raise _rejected("the payment names no resource")
    info = declared.get("info")
    given = info.get("input") if isinstance(info, Mapping) else None
    if not isinstance(given, Mapping):
        raise _rejected("info.input is missing")
    contradiction = _contradiction(declared)
    if contradiction is not None:
        raise _rejected(contradiction)
    url = _public_url(resource.url, declared.get("routeTemplate"), allow_local=allow_local)
    kept: JsonObject = {
        name: declared[name] for name in ("info", "schema", "routeTemplate") if declared.get(name) is not None
    }
    metadata = _metadata(resource)
    match given.get("type"):
        case "http":
            method = _check_http(given)
            return Listing("http", url, method, "", *metadata, kept)
        case "mcp":
            tool = _check_tool(given)
            return Listing("mcp", url, "", tool, *metadata, kept)
    raise _rejected('info.input.type is neither "http" nor "mcp"')


def is_route_template(text: object) -> bool:
    """Whether it may stand for a path in the catalogue: plain characters, and nothing that climbs or points elsewhere, at
    whatever depth it is percent-encoded."""
    if not isinstance(text, str) or len(text) > 2048 or _TEMPLATE.fullmatch(text) is None:
        return False
    decoded = text
    for _ in range(_MAX_DECODINGS):
        further = unquote(decoded)
        if further == decoded:
            return ".." not in decoded and "://" not in decoded
        decoded = further
    return False


def _check_http(given: Mapping[str, object]) -> str:
    method, body_type = given.get("method"), given.get("bodyType")
    if method not in (*QUERY_METHODS, *BODY_METHODS):
        raise _rejected("info.input.method is no method")
    if body_type is not None and (body_type not in ("json", "form-data", "text") or method not in BODY_METHODS):
        raise _rejected("info.input.bodyType does not fit")
    return str(method)


def _check_tool(given: Mapping[str, object]) -> str:
    tool, schema, transport = given.get("toolName"), given.get("inputSchema"), given.get("transport")
    if not isinstance(tool, str) or not 0 < len(tool) <= 256 or _CONTROL.search(tool):
        raise _rejected("info.input.toolName is missing")
    if not isinstance(schema, Mapping):
        raise _rejected("info.input.inputSchema is missing")
    if transport is not None and transport not in _TRANSPORTS:
        raise _rejected("info.input.transport is not known")
    return tool


def _public_url(url: str, template: object, *, allow_local: bool) -> str:
    """The resource's address as it is listed."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _rejected("the resource's URL is none") from None
    if len(url) > 2048 or _CONTROL.search(url) or parts.username is not None:
        raise _rejected("the resource's URL is not to be listed")
    if template is not None and not is_route_template(template):
        raise _rejected("routeTemplate is not a plain path")
    if parts.scheme == "mcp":
        return urlunsplit(("mcp", parts.netloc, parts.path, "", ""))
    if parts.scheme not in ("http", "https") or not host:
        raise _rejected("the resource's URL is not http or https")
    if not allow_local and (parts.scheme != "https" or not is_public_host(host)):
        raise _rejected("the resource is not at a public https address")
    where = f"[{host}]" if ":" in host else host
    path = template if isinstance(template, str) else parts.path or "/"
    return urlunsplit((parts.scheme, where if port is None else f"{where}:{port}", path, "", ""))


def is_public_host(host: str) -> bool:
    """Whether a host is a name that can't be this machine or an address literal in any of its spellings."""
    try:
        name = unquote(host).encode("idna").decode("ascii").lower().rstrip(".")
    except UnicodeError:
        return False
    if not name or name in _LOOPBACK_NAMES or name.endswith((".localhost", ".local", ".internal")):
        return False
    if name.isdigit() or re.fullmatch(r"0x[0-9a-f]+", name) or ":" in name or "." not in name:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return re.fullmatch(r"[0-9.x]+", name) is None  # short and octal forms of IPv4
    return False


def _metadata(
    resource: ResourceInfo,
) -> tuple[str | None, str | None, str | None, tuple[str, ...], str | None]:
    """Description, media type, service name, tags and icon: what is unfit is dropped, never fatal (x402.md §1)."""
    name = resource.service_name
    if name is not None and _PLAIN.fullmatch(name) is None:
        name = None
    tags: dict[str, str] = {}
    for tag in resource.tags or ():
        if _PLAIN.fullmatch(tag) is not None and len(tags) < 5:
            tags.setdefault(tag.lower(), tag)
    icon = resource.icon_url
    if icon is not None and not _is_icon(icon):
        icon = None
    return _short(resource.description, 1024), _short(resource.mime_type, 128), name, tuple(tags.values()), icon


def _is_icon(url: str) -> bool:
    if len(url) > 2048 or _CONTROL.search(url):
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.username is None and host is not None and is_public_host(host)


def _short(text: str | None, limit: int) -> str | None:
    return None if text is None or not text or len(text) > limit or _CONTROL.search(text) else text


def _contradiction(declared: Mapping[str, object]) -> str | None:
    """Why `info` does not fit `schema`, in a few words; None when it does. The schema may be a stranger's."""
    info, schema = declared.get("info"), declared.get("schema")
    if not isinstance(info, Mapping) or not isinstance(schema, Mapping):
        return "info or schema is missing"
    safe = _defused(schema, _MAX_DEPTH)
    if safe is None:
        return "the schema refers to other documents, or is nested too deeply"
    import jsonschema  # a twentieth of a second that sellers without declarations need not wait

    try:
        jsonschema.Draft202012Validator(safe).validate(info)
    except jsonschema.ValidationError as error:
        return str(error.message)[:200]
    except Exception as error:  # a schema that is none breaks the validator in many ways
        return f"the schema can't be used ({type(error).__name__})"
    return None


class _UnsafeError(Exception):
    """A schema that points outside itself."""


def _defused(node: object, depth: int) -> Json:
    """The schema without what could run for ever, regular expressions and references to itself; None when it points
    outside itself."""
    try:
        return _copy(node, depth)
    except _UnsafeError:
        return None


def _copy(node: object, depth: int) -> Json:
    if depth == 0:
        raise _UnsafeError
    if isinstance(node, Mapping):
        for name in ("$ref", "$id", "$dynamicRef"):
            target = node.get(name)
            if isinstance(target, str) and not target.startswith("#"):
                raise _UnsafeError
        if isinstance(node.get("$ref"), str):
            return {}
        return {name: _copy(value, depth - 1) for name, value in node.items() if name not in _NOT_RUN}
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [_copy(value, depth - 1) for value in node]
    if node is None or isinstance(node, str | int | float | bool):
        return node
    raise _UnsafeError


def _rejected(why: str) -> PaymentRefusedError:
    return PaymentRefusedError("invalid_bazaar_declaration", why[0].upper() + why[1:] + ".")
