"""Requests that wait for a person in a browser (AN-WEB-1, AN-WEB-5).

An agent asks; the page shows what the signing input itself says; the person uses the passkey; the device key signs; the
waiting call gets 64 bytes that have been verified. A request ends in exactly one way: signed, refused, out of time, page
closed, given up by who asked, handle closed. Whatever comes in for it afterwards finds nothing.

Each challenge is made for one request, answered once and gone, whether the answer was good or not. Requests live in memory
only: after a restart nobody waits for them, so nothing is left of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios.errors import CustodyError, NotFoundError
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock, Entropy
from life.anima.custody.errors import CeremonyRefusedError, PageClosedError
from life.anima.custody.web_crypto.ceremony import (
    CHALLENGE_S,
    NONCE_BYTES,
    RelyingParty,
    assertion_challenge,
    verify_assertion,
)
from life.anima.custody.web_crypto.enrolment import Enrolment, EnrolmentStore
from life.anima.errors import (
    BadSignatureError,
    CustodyAuthFailedError,
    CustodyTimeoutError,
    CustodyUnavailableError,
    KeyNotFoundError,
    UserRejectedError,
)
from life.crypto.base64url import decode_base64url, encode_base64url
from life.crypto.errors import CryptoError, InvalidSignatureError
from life.crypto.jws import verify_signature

ANSWER_S: Final = 120
"""How long a person may take, unless told otherwise."""
LEAVE_S: Final = 5
"""How long a page may be away, as when it is loaded anew, before its requests fail."""
MAX_PENDING: Final = 128
MAX_TRIES: Final = 5
"""How many answers to one request may be wrong."""

RequestKind = Literal["token", "payment"]


class PendingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What waits. The page shows what `signing_input` says, so nothing else describes the request."""

    id: str
    kind: RequestKind
    signing_input: str
    expires_in_s: int


class AssertionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the page needs to ask for the passkey; the challenge follows from nonce and signing input."""

    nonce: str
    credential_id: str
    rp_id: str


class _Waiting:
    """One request."""

    def __init__(self, kind: RequestKind, message: bytes, owner: object, until_us: int) -> None:
        self.kind: RequestKind = kind
        self.message = message
        self.owner = owner
        self.until_us = until_us
        self.outcome: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.shown = False
        self.tries = 0
        self.challenge: _Challenge | None = None


class _Challenge(NamedTuple):
    nonce: bytes
    until_us: int


class SigningDesk:
    """The requests of one enrolled browser."""

    def __init__(
        self,
        party: RelyingParty,
        store: EnrolmentStore,
        *,
        clock: Clock,
        entropy: Entropy,
        answer_s: int = ANSWER_S,
        leave_s: int = LEAVE_S,
    ) -> None:
        self._party = party
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._answer_s = answer_s
        self._leave_s = leave_s
        self._waiting: dict[str, _Waiting] = {}
        self._pages: set[asyncio.Event] = set()
        self._leaving: asyncio.Task[None] | None = None

    def enrolment(self) -> Enrolment:
        """The enrolled browser. KeyNotFoundError before enrolment."""
        enrolment = self._store.load()
        if enrolment is None:
            raise KeyNotFoundError(
                "No browser is enrolled.", next_step="Make an invitation and open its link in the browser to use."
            )
        return enrolment

    async def ask(self, kind: RequestKind, message: bytes, *, owner: object) -> bytes:
        """64 bytes ``r ‖ s`` of the device key over the signing input `message`, once the person has agreed.

        UserRejectedError, CustodyTimeoutError, PageClosedError; CustodyUnavailableError when no page came to look at it at
        all, or too many requests wait; CustodyAuthFailedError after too many wrong answers. `owner` is for `withdraw`.
        """
        self.enrolment()
        if len(self._waiting) >= MAX_PENDING:
            raise CustodyUnavailableError("Too many requests wait for the person in the browser.")
        request_id = encode_base64url(self._entropy.token_bytes(16))
        request = _Waiting(kind, message, owner, self._clock.monotonic_us() + self._answer_s * 1_000_000)
        self._waiting[request_id] = request
        self._tell_pages()
        deadline = asyncio.ensure_future(self._clock.sleep_us(self._answer_s * 1_000_000))
        deadline.add_done_callback(lambda ended: None if ended.cancelled() else self._out_of_time(request_id))
        try:
            return await request.outcome
        finally:
            deadline.cancel()
            self._waiting.pop(request_id, None)
            self._tell_pages()

    def withdraw(self, owner: object, error: CustodyError) -> None:
        """End the requests of `owner` with `error`."""
        for request in list(self._waiting.values()):
            if request.owner is owner:
                _fail(request, error)

    def pending(self) -> list[PendingRequest]:
        """What waits, oldest first. From now on a page has seen it."""
        now_us, listed = self._clock.monotonic_us(), []
        for request_id, request in self._waiting.items():
            if not request.outcome.done():
                request.shown = True
                left_s = max(0, request.until_us - now_us) // 1_000_000
                listed.append(
                    PendingRequest(
                        id=request_id,
                        kind=request.kind,
                        signing_input=request.message.decode("ascii"),
                        expires_in_s=left_s,
                    )
                )
        return listed

    def begin(self, request_id: str) -> AssertionRequest:
        """A new challenge for a request; an earlier one no longer counts. NotFoundError when nobody waits for it."""
        request, enrolment = self._find(request_id), self.enrolment()
        nonce = self._entropy.token_bytes(NONCE_BYTES)
        request.challenge = _Challenge(nonce, self._clock.monotonic_us() + CHALLENGE_S * 1_000_000)
        return AssertionRequest(
            nonce=encode_base64url(nonce), credential_id=enrolment.credential_id, rp_id=enrolment.rp_id
        )

    def answer(self, request_id: str, credential: JsonObject, signature: str) -> None:
        """The passkey's assertion and the device key's signature for a request; both must hold.

        CeremonyRefusedError or BadSignatureError otherwise: the request goes on waiting, until too many were wrong.
        """
        request = self._find(request_id)
        challenge, request.challenge = request.challenge, None
        try:
            raw = self._verified(request, challenge, credential, signature)
        except CustodyError:
            request.tries += 1
            if request.tries >= MAX_TRIES:
                _fail(request, CustodyAuthFailedError("The browser answered wrongly too often; nothing was signed."))
            raise
        request.outcome.set_result(raw)

    def refuse(self, request_id: str) -> None:
        """The person says no."""
        _fail(self._find(request_id), UserRejectedError("The person in the browser said no; nothing was signed."))

    @asynccontextmanager
    async def page(self) -> AsyncIterator[asyncio.Event]:
        """While a page is open: an event that is set when it should look again."""
        changed = asyncio.Event()
        changed.set()
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        self._pages.add(changed)
        try:
            yield changed
        finally:
            self._pages.discard(changed)
            if not self._pages and self._leaving is None:
                self._leaving = asyncio.ensure_future(self._left())

    def _verified(
        self, request: _Waiting, challenge: _Challenge | None, credential: JsonObject, signature: str
    ) -> bytes:
        """The signature's 64 bytes, after the assertion and then the signature were verified."""
        if challenge is None or self._clock.monotonic_us() >= challenge.until_us:
            raise CeremonyRefusedError("challenge", "There is no open challenge for this request; ask for a new one.")
        enrolment = self.enrolment()
        count = verify_assertion(
            credential,
            party=self._party,
            challenge=assertion_challenge(challenge.nonce, request.message),
            credential_id=decode_base64url(enrolment.credential_id),
            public_key=decode_base64url(enrolment.passkey),
            sign_count=enrolment.sign_count,
        )
        if count != enrolment.sign_count:  # durable before anything is released
            self._store.save(msgspec.structs.replace(enrolment, sign_count=count))
        try:
            raw = decode_base64url(signature)
            verify_signature(enrolment.key, request.message, raw)
        except (CryptoError, InvalidSignatureError):
            raise BadSignatureError("The signature is not that of the enrolled browser's key.") from None
        return raw

    def _find(self, request_id: str) -> _Waiting:
        request = self._waiting.get(request_id)
        if request is None or request.outcome.done():
            raise NotFoundError("Nobody waits for this request any more.")
        return request

    def _out_of_time(self, request_id: str) -> None:
        request = self._waiting.get(request_id)
        if request is None:
            return
        if request.shown:
            _fail(request, CustodyTimeoutError("Nobody answered in the browser in time; nothing was signed."))
        else:
            _fail(
                request,
                CustodyUnavailableError(
                    "No page of the enrolled browser was open.", next_step="Open the custody page in that browser."
                ),
            )

    async def _left(self) -> None:
        await self._clock.sleep_us(self._leave_s * 1_000_000)
        self._leaving = None
        for request in list(self._waiting.values()):
            if request.shown:
                _fail(request, PageClosedError("The page in the browser was closed; nothing was signed."))

    def _tell_pages(self) -> None:
        for page in self._pages:
            page.set()


def _fail(request: _Waiting, error: CustodyError) -> None:
    if not request.outcome.done():
        request.outcome.set_exception(error)
        request.outcome.exception()  # seen, even when who asked has gone meanwhile
