"""Commands that come over HTTP: their body, read strictly, and their idempotency key (HM-API).

Every POST that moves value or changes a line carries `Idempotency-Key`. The key belongs to the caller; the request is the
method, the path and the body's bytes, so one key can't mean two things.
"""

from __future__ import annotations

import re
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request

from life.haima.errors import InvalidRequestError, MalformedRequestError
from life.haima.house import Key

MAX_BODY_BYTES: Final = 64 * 1024
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")

T = TypeVar("T", bound=msgspec.Struct)


async def read_command(request: Request, shape: type[T], *, caller: str) -> tuple[T, Key]:
    """The body and the key. An empty body is one without fields. MalformedRequestError, InvalidRequestError."""
    content = await read_body(request)
    return decode_body(content, shape), command_key(request, content, caller=caller)


async def read_body(request: Request) -> bytes:
    """The body's bytes; MalformedRequestError when there are too many."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise MalformedRequestError(f"The body is larger than {MAX_BODY_BYTES} bytes.")
    return bytes(content)


def decode_body(content: bytes, shape: type[T]) -> T:
    """The body as `shape`."""
    try:
        return msgspec.json.decode(content or b"{}", type=shape)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"The body does not fit: {error}.") from None
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise MalformedRequestError(f"The body can't be read: {error}.") from None


def command_key(request: Request, content: bytes, *, caller: str) -> Key:
    """The command's key; MalformedRequestError without a usable `Idempotency-Key`."""
    text = request.headers.get("idempotency-key", "")
    if _KEY.fullmatch(text) is None:
        raise MalformedRequestError(
            "This request needs the header Idempotency-Key: 1 to 255 printable ASCII characters without blanks.",
            next_step="Make a new random key for every new request, and send the same key when you repeat it.",
        )
    return Key(caller, text, f"{request.method} {request.url.path}\n".encode() + content)
