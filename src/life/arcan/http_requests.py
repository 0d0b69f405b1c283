"""Reading requests of the session API, and answering them."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.http import Parameter

MAX_BODY_BYTES: Final = 1_048_576
BRANCH: Final = Parameter("branch", "Which branch; `main` unless told otherwise.")

_T = TypeVar("_T")


def session_of(request: Request) -> str:
    """The session id in the path."""
    return str(request.path_params["session_id"])


def branch_of(request: Request) -> str:
    """The branch that is asked for."""
    return request.query_params.get("branch", MAIN_BRANCH)


async def read_body(request: Request, kind: type[_T]) -> _T:
    """The JSON body; an empty one counts as `{}`. InvalidInputError names what does not fit."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise InvalidInputError(f"The body is larger than {MAX_BODY_BYTES} bytes.")
    try:
        return msgspec.json.decode(bytes(raw) or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise InvalidInputError(f"The body does not fit: {error}.") from None
    except UnicodeDecodeError:
        raise InvalidInputError("The body is not UTF-8.") from None
    except RecursionError:
        raise InvalidInputError("The body is nested too deeply.") from None


def number_of(request: Request, name: str, default: int | None, low: int, high: int) -> int | None:
    """A whole number among the query parameters, or `default`."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise InvalidInputError(f"The parameter '{name}' must be a whole number from {low} to {high}.")
    return int(text)


def answer_json(value: object, status: int = 200) -> Response:
    """A JSON answer that nobody keeps."""
    return Response(msgspec.json.encode(value), status, {"cache-control": "no-store"}, "application/json")
