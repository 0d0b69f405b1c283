"""The page in the browser and its routes, as tables that a host puts into its daemon (AN-WEB-5, AN-WEB-6).

    GET  /custody/browser                            the page
    GET  /custody/browser/custody.js, custody.css    its script and style
    GET  /custody/browser/state                      which browser is enrolled, and what the page may offer
    GET  /custody/browser/requests                   what waits for the person
    GET  /custody/browser/changes                    a stream that says when to look again; open as long as the page is
    POST /custody/browser/enrolment/challenge        begin to enrol, with an invitation's code
    POST /custody/browser/enrolment                  enrol
    POST /custody/browser/requests/{id}/challenge    begin to answer
    POST /custody/browser/requests/{id}/answer       passkey and device key say yes
    POST /custody/browser/requests/{id}/refusal      the person says no
    POST /custody/browser/payments                   the person asks for a payment, where the host carries them out

The host's guard decides who reaches these routes. Besides, every change must come from the page itself: `Origin` must be one
of the relying party's, and the body JSON. The page's policy allows its own script and style and nothing else, and in browsers
that know Trusted Types no text can become HTML.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final, TypeAlias, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from life.aios.errors import InvalidInputError
from life.aios.json import JsonObject
from life.aios.ports.http import Operation
from life.anima.custody.errors import CeremonyRefusedError
from life.anima.custody.web_crypto.ceremony import RelyingParty
from life.anima.custody.web_crypto.desk import AssertionRequest, PendingRequest, SigningDesk
from life.anima.custody.web_crypto.enrolling import EnrolmentDesk, RegistrationRequest
from life.anima.errors import KeyNotFoundError

HttpOperation: TypeAlias = "Operation[Request, Response]"

PATH: Final = "/custody/browser"
MAX_BODY_BYTES: Final = 64 * 1024
KEEP_ALIVE_S: Final = 15
MAX_REMEMBERED_ORDERS: Final = 256
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "publickey-credentials-get=(self), publickey-credentials-create=(self)",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_encode: Final = msgspec.json.Encoder().encode
_Body = TypeVar("_Body", bound=msgspec.Struct)
_ORDER_ID: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")


class BrowserState(msgspec.Struct, frozen=True, kw_only=True):
    """What the page needs to know first."""

    enrolled: bool
    rp_id: str
    can_pay: bool
    did: str | None = None
    device_key: str | None = None


class EnrolmentBegin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An invitation's code, and the new device key."""

    code: str
    device_key: str


class EnrolmentFinish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The passkey's registration (JSON as WebAuthn Level 3 writes it) and the device key's signature."""

    code: str
    credential: JsonObject
    signature: str


class EnrolledBrowser(msgspec.Struct, frozen=True):
    """The browser's identity."""

    did: str


class RequestAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The passkey's assertion (JSON as WebAuthn Level 3 writes it) and the device key's signature."""

    credential: JsonObject
    signature: str


class PaymentOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the person asks to be paid. Carried out once per `order_id`, however often it arrives."""

    order_id: str
    to: str
    value_atomic: str
    """Decimal."""


class PaymentOutcome(msgspec.Struct, frozen=True):
    """What became of an order."""

    paid: bool
    transaction: str = ""
    reason: str = ""


PaymentDesk = Callable[[PaymentOrder], Awaitable[PaymentOutcome]]
"""Carries out an order of the person: builds the payment, has it signed (which asks the person to confirm), settles it. It is
called once per `order_id` while the process lives, and must itself keep an order from being paid twice after a restart."""


class BrowserApi:
    """The page and its routes over one desk."""

    def __init__(
        self, party: RelyingParty, enrolling: EnrolmentDesk, desk: SigningDesk, *, pay: PaymentDesk | None = None
    ) -> None:
        """Without `pay` the page offers no payments."""
        self._party = party
        self._enrolling = enrolling
        self._desk = desk
        self._pay = pay
        self._orders: dict[str, tuple[PaymentOrder, asyncio.Future[PaymentOutcome]]] = {}

    def page_operations(self) -> list[HttpOperation]:
        """The page itself."""
        return [
            _page("", "index.html", "text/html", "The page where a person confirms signatures"),
            _page("/custody.js", "custody.js", "text/javascript", "The page's script"),
            _page("/custody.css", "custody.css", "text/css", "The page's style"),
        ]

    def operations(self) -> list[HttpOperation]:
        """What the page calls."""
        waiting = f"{PATH}/requests/{{request_id}}"
        operations: list[HttpOperation] = [
            Operation("GET", f"{PATH}/state", "Which browser is enrolled", self._state, None, BrowserState),
            Operation("GET", f"{PATH}/requests", "What waits", self._requests, None, list[PendingRequest]),
            Operation(
                "GET",
                f"{PATH}/changes",
                "When to look again",
                self._changes,
                media_type="text/event-stream",
            ),
            Operation(
                "POST",
                f"{PATH}/enrolment/challenge",
                "Begin to enrol a browser",
                self._begin_enrolment,
                EnrolmentBegin,
                RegistrationRequest,
                errors=(400, 401, 403),
            ),
            Operation(
                "POST",
                f"{PATH}/enrolment",
                "Enrol a browser",
                self._finish_enrolment,
                EnrolmentFinish,
                EnrolledBrowser,
                errors=(400, 401, 403, 409),
            ),
            Operation(
                "POST",
                f"{waiting}/challenge",
                "Begin to answer a request",
                self._begin,
                None,
                AssertionRequest,
                errors=(404,),
            ),
            Operation(
                "POST",
                f"{waiting}/answer",
                "Answer a request with passkey and device key",
                self._answer,
                RequestAnswer,
                status=204,
                errors=(400, 403, 404, 502),
            ),
            Operation("POST", f"{waiting}/refusal", "Refuse a request", self._refuse, status=204, errors=(404,)),
        ]
        if self._pay is not None:
            operations.append(
                Operation(
                    "POST",
                    f"{PATH}/payments",
                    "Pay, once the person has confirmed it",
                    self._payment,
                    PaymentOrder,
                    PaymentOutcome,
                    errors=(400,),
                )
            )
        return operations

    async def _state(self, _: Request) -> Response:
        try:
            enrolment = self._desk.enrolment()
        except KeyNotFoundError:
            return _json(BrowserState(enrolled=False, rp_id=self._party.rp_id, can_pay=False))
        state = BrowserState(
            enrolled=True,
            rp_id=self._party.rp_id,
            can_pay=self._pay is not None,
            did=enrolment.did,
            device_key=enrolment.device_key,
        )
        return _json(state)

    async def _requests(self, _: Request) -> Response:
        return _json(self._desk.pending())

    async def _changes(self, _: Request) -> Response:
        return _PageStream(self._desk)

    async def _begin_enrolment(self, request: Request) -> Response:
        asked = await self._body(request, EnrolmentBegin)
        return _json(self._enrolling.begin(asked.code, asked.device_key))

    async def _finish_enrolment(self, request: Request) -> Response:
        asked = await self._body(request, EnrolmentFinish)
        return _json(EnrolledBrowser(self._enrolling.finish(asked.code, asked.credential, asked.signature).did))

    async def _begin(self, request: Request) -> Response:
        self._check_origin(request)
        return _json(self._desk.begin(request.path_params["request_id"]))

    async def _answer(self, request: Request) -> Response:
        answer = await self._body(request, RequestAnswer)
        self._desk.answer(request.path_params["request_id"], answer.credential, answer.signature)
        return Response(None, 204, _HEADERS)

    async def _refuse(self, request: Request) -> Response:
        self._check_origin(request)
        self._desk.refuse(request.path_params["request_id"])
        return Response(None, 204, _HEADERS)

    async def _payment(self, request: Request) -> Response:
        order = await self._body(request, PaymentOrder)
        if not _ORDER_ID.fullmatch(order.order_id):
            raise InvalidInputError("An order's id is 16 to 64 letters, digits, hyphens and underscores.")
        known = self._orders.get(order.order_id)
        if known is None:
            assert self._pay is not None  # the route exists only with it
            known = self._orders[order.order_id] = (order, asyncio.ensure_future(self._pay(order)))
            for old in [name for name, (_, outcome) in self._orders.items() if outcome.done()][:-MAX_REMEMBERED_ORDERS]:
                del self._orders[old]
        if known[0] != order:
            raise InvalidInputError("This order's id belongs to another order.")
        return _json(await asyncio.shield(known[1]))

    async def _body(self, request: Request, kind: type[_Body]) -> _Body:
        """The JSON body of a request that the page itself made."""
        self._check_origin(request)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise InvalidInputError("The body is JSON.")
        chunks, size_bytes = [], 0
        async for chunk in request.stream():
            size_bytes += len(chunk)
            if size_bytes > MAX_BODY_BYTES:
                raise InvalidInputError("The body is too long.")
            chunks.append(chunk)
        try:
            return msgspec.json.decode(b"".join(chunks), type=kind)
        except (msgspec.DecodeError, RecursionError):
            raise InvalidInputError("The body can't be read.") from None

    def _check_origin(self, request: Request) -> None:
        if request.headers.get("origin") not in self._party.origins:
            raise CeremonyRefusedError("origin", "This can be done from the custody page only.")


class _PageStream(Response):
    """Server-sent events: `look` when something changed. While it is sent, the page counts as open."""

    media_type = "text/event-stream"

    def __init__(self, desk: SigningDesk) -> None:
        super().__init__(None, 200, {**_HEADERS, "content-type": "text/event-stream"})
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run until the page goes away."""
        headers = [item for item in self.raw_headers if item[0] != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with self._desk.page() as changed:
            telling = asyncio.ensure_future(_tell(changed, send))
            leaving = asyncio.ensure_future(_gone(receive))
            try:
                await asyncio.wait({telling, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (telling, leaving):
                    task.cancel()
                await asyncio.gather(telling, leaving, return_exceptions=True)


async def _tell(changed: asyncio.Event, send: Send) -> None:
    while True:
        text = b"event: look\ndata: 1\n\n" if changed.is_set() else b": here\n\n"
        changed.clear()
        await send({"type": "http.response.body", "body": text, "more_body": True})
        try:
            async with asyncio.timeout(KEEP_ALIVE_S):
                await changed.wait()
        except TimeoutError:
            pass


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _page(path: str, name: str, media_type: str, summary: str) -> HttpOperation:
    async def endpoint(_: Request) -> Response:
        content = files(__package__ or "").joinpath("static", name).read_bytes()
        return Response(content, 200, _HEADERS, media_type)

    return Operation("GET", PATH + path, summary, endpoint, media_type=media_type)


def _json(value: object) -> Response:
    return Response(_encode(value), 200, _HEADERS, "application/json")
