"""Webhook subscriptions over HTTP. A secret is shown when it is made, and never again."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.ports.http import Operation, Parameter
from life.arcan.doors.requests import answer_json, read_json
from life.arcan.doors.webhook_delivery import Webhooks
from life.arcan.doors.webhook_events import Webhook
from life.arcan.doors.webhook_signature import shown_secret
from life.arcan.people_api import SCOPE

_MAX_EVENTS = 64
_MAX_URL = 2048
_MAX_LIMIT = 500


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /webhooks."""

    url: str
    events: tuple[str, ...] = ("RunFinished", "RunErrored", "ApprovalRequested")
    """Kind names, dotted names of extension events, or `*`."""


class WebhookView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A subscription. `secret` is there only in the answer that makes it."""

    webhook_id: str
    url: str
    events: tuple[str, ...]
    created_us: int
    failed_attempts: int = 0
    """Of the event that is being posted now."""
    next_attempt_us: int = 0
    disabled: str = ""
    secret: str = ""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt."""

    sequence: int
    event_id: str
    attempt: int
    status: int
    error: str
    delivered: bool
    at_us: int
    next_attempt_us: int


class PostResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a test post. `status` 0: no answer."""

    status: int
    error: str


class WebhookApi:
    """The handlers."""

    def __init__(self, webhooks: Webhooks, owner_of: Callable[[Request], str | None]) -> None:
        self._webhooks = webhooks
        self._owner_of = owner_of

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        one = "/webhooks/{webhook_id}"
        paging = (
            Parameter("after", "The sequence of the last delivery seen.", "integer"),
            Parameter("limit", f"How many, 1 to {_MAX_LIMIT}; 100 unless told otherwise.", "integer"),
        )
        return [
            Operation(
                "POST",
                "/webhooks",
                "Subscribe an address to events",
                self.create,
                NewWebhook,
                WebhookView,
                status=201,
                errors=(400,),
                scope=SCOPE,
            ),
            Operation("GET", "/webhooks", "List subscriptions", self.list, None, list[WebhookView], scope=SCOPE),
            Operation(
                "DELETE", one, "End a subscription", self.delete, None, None, status=204, errors=(404,), scope=SCOPE
            ),
            Operation(
                "POST",
                f"{one}/rotate",
                "Take another secret",
                self.rotate,
                None,
                WebhookView,
                errors=(404,),
                scope=SCOPE,
            ),
            Operation("POST", f"{one}/test", "Post a test", self.test, None, PostResult, errors=(404,), scope=SCOPE),
            Operation(
                "GET",
                f"{one}/deliveries",
                "What was posted, and what came of it",
                self.deliveries,
                None,
                list[Delivery],
                paging,
                errors=(400, 404),
                scope=SCOPE,
            ),
        ]

    async def create(self, request: Request) -> Response:
        """POST /webhooks"""
        body = await read_json(request, NewWebhook)
        if not 0 < len(body.events) <= _MAX_EVENTS or len(body.url) > _MAX_URL:
            raise InvalidInputError(
                f"A webhook has 1 to {_MAX_EVENTS} events and a URL of at most {_MAX_URL} characters."
            )
        webhook, secret = await self._webhooks.create(body.url, body.events, owner=self._owner_of(request))
        return answer_json(_view(webhook, secret), 201)

    async def list(self, request: Request) -> Response:
        """GET /webhooks"""
        return answer_json([_view(webhook) for webhook in self._webhooks.all_of(self._owner_of(request))])

    async def delete(self, request: Request) -> Response:
        """DELETE /webhooks/{webhook_id}"""
        await self._webhooks.delete(_id(request), self._owner_of(request))
        return Response(status_code=204)

    async def rotate(self, request: Request) -> Response:
        """POST /webhooks/{webhook_id}/rotate"""
        webhook, secret = await self._webhooks.rotate(_id(request), self._owner_of(request))
        return answer_json(_view(webhook, secret))

    async def test(self, request: Request) -> Response:
        """POST /webhooks/{webhook_id}/test"""
        answer = await self._webhooks.test(_id(request), self._owner_of(request))
        return answer_json(PostResult(status=answer.status, error=answer.error))

    async def deliveries(self, request: Request) -> Response:
        """GET /webhooks/{webhook_id}/deliveries"""
        found = await self._webhooks.deliveries(
            _id(request),
            self._owner_of(request),
            after_sequence=_number(request, "after", 0, 0, 2**53),
            limit=_number(request, "limit", 100, 1, _MAX_LIMIT),
        )
        return answer_json(
            [
                Delivery(
                    sequence=sequence,
                    event_id=tried.event_id,
                    attempt=tried.attempt,
                    status=tried.status,
                    error=tried.error,
                    delivered=tried.delivered,
                    at_us=at_us,
                    next_attempt_us=tried.next_us,
                )
                for sequence, at_us, tried in found
            ]
        )


def _id(request: Request) -> str:
    return str(request.path_params["webhook_id"])


def _view(webhook: Webhook, secret: bytes | None = None) -> WebhookView:
    return WebhookView(
        webhook_id=webhook.webhook_id,
        url=webhook.url,
        events=webhook.events,
        created_us=webhook.created_us,
        failed_attempts=webhook.attempts,
        next_attempt_us=webhook.next_us,
        disabled=webhook.disabled,
        secret="" if secret is None else shown_secret(secret),
    )


def _number(request: Request, name: str, default: int, low: int, high: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise InvalidInputError(f"The parameter '{name}' must be a whole number from {low} to {high}.")
    return int(text)
