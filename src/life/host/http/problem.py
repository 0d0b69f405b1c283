"""Errors as problem details (RFC 9457): `application/problem+json` with the error's stable code."""

from __future__ import annotations

import logging
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from life.aios.errors import LifeError

MEDIA_TYPE: Final = "application/problem+json"
_log: Final = logging.getLogger(__name__)


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body. `code` is what programs branch on; `retryable` says whether the same request may succeed later."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool = False
    next_step: str | None = None
    details: dict[str, str | int | bool] | None = None


def problem_response(error: LifeError) -> Response:
    """The answer for an error that Life raised on purpose."""
    headers = {"cache-control": "no-store"}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.retryable:
        headers["retry-after"] = "1"
    problem = Problem(
        type=f"urn:life:error:{error.code}",
        title=type(error).__name__.removesuffix("Error"),
        status=error.status,
        detail=error.message,
        code=error.code,
        retryable=error.retryable,
        next_step=error.next_step,
        details=dict(error.details) or None,
    )
    return Response(msgspec.json.encode(problem), error.status, headers, MEDIA_TYPE)


def _http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem = Problem("about:blank", error.detail, error.status_code, error.detail, f"http.{error.status_code}")
    return Response(msgspec.json.encode(problem), error.status_code, dict(error.headers or {}), MEDIA_TYPE)


def _life_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, LifeError)
    return problem_response(error)


EXCEPTION_HANDLERS: Final = {HTTPException: _http_exception, LifeError: _life_error}
"""For Starlette's `exception_handlers`."""


class UnexpectedErrors:
    """The outermost layer: what nobody foresaw becomes a 500 without inner details, and a line in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; answer for it when nothing was sent yet."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except LifeError as error:
            if started:
                raise
            await problem_response(error)(scope, receive, send)
        except Exception:
            _log.exception("unexpected error at %s %r", scope["method"], scope["path"])
            if started:
                raise
            await problem_response(LifeError("Something unexpected went wrong; the log has the details."))(
                scope, receive, send
            )
