"""Reading what clients send, and what every door is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.json import Json
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.arcan.doors.errors import UnsupportedParameterError
from life.arcan.doors.telling import StreamWrites
from life.arcan.errors import SessionNotFoundError
from life.arcan.runtime import Runtime
from life.arcan.session_state import SessionState

MAX_BODY_BYTES: Final = 4 * 1_048_576
"""A client resends its whole history with every request."""

_T = TypeVar("_T")


class DoorModel(msgspec.Struct, frozen=True, kw_only=True):
    """What a model name stands for: an agent of ours."""

    provider: str = ""
    """A provider specification; empty: the runtime's own."""
    system_prompt: str | None = None
    """None: the runtime's own."""


class Parts(NamedTuple):
    """What the doors work with."""

    runtime: Runtime
    journal: Journal
    clock: Clock
    entropy: Entropy
    agent_id: str
    stream: StreamWrites
    owner_of: Callable[[Request], str | None]
    """Whose sessions the caller may use; None: everybody's (the operator)."""
    models: Mapping[str, DoorModel]
    default_prompt: str
    """What a client's own system prompt is added to."""


async def read_body(request: Request) -> bytes:
    """The body, up to MAX_BODY_BYTES; InvalidInputError beyond."""
    declared = request.headers.get("content-length", "0")
    raw = bytearray()
    if not declared.isdigit() or int(declared) <= MAX_BODY_BYTES:
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > MAX_BODY_BYTES:
                break
        else:
            return bytes(raw)
    raise InvalidInputError(f"The body is larger than {MAX_BODY_BYTES} bytes.")


async def read_json(request: Request, kind: type[_T]) -> _T:
    """The JSON body; unknown fields are passed over, as the protocols' own servers do. InvalidInputError names what does not
    fit."""
    return decode_json(await read_body(request), kind)


def decode_json(body: bytes, kind: type[_T]) -> _T:
    """See `read_json`."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise InvalidInputError(f"The body does not fit: {error}.") from None
    except UnicodeDecodeError:
        raise InvalidInputError("The body is not UTF-8.") from None
    except RecursionError:
        raise InvalidInputError("The body is nested too deeply.") from None


async def owned_state(parts: Parts, request: Request, session_id: str) -> SessionState:
    """The session, when the caller may use it; SessionNotFoundError for one of somebody else's, too."""
    state = await parts.runtime.state(session_id)
    check_owner(state, parts.owner_of(request))
    return state


def check_owner(state: SessionState, owner: str | None) -> None:
    """SessionNotFoundError when the session is somebody else's."""
    if owner is not None and state.config.owner != owner:
        raise SessionNotFoundError(state.session_id)


def text_of(content: Json, where: str) -> str:
    """The text of a message's content: a string, or a list of text parts. Other parts are refused by name."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    texts: list[str] = []
    if not isinstance(content, list):
        raise InvalidInputError(f"'{where}' must be text or a list of parts.")
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in ("text", "input_text", "output_text") and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind not in ("refusal", "thinking", "redacted_thinking", "tool_use", "reasoning"):
            raise UnsupportedParameterError(
                where, f"parts of the kind '{str(kind)[:32]}' can't be given to this agent."
            )
    return "\n\n".join(texts)


def answer_json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer that nobody keeps."""
    every = {"cache-control": "no-store", **(headers or {})}
    return Response(msgspec.json.encode(value), status, every, "application/json")
