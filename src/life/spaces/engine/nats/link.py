"""The connection to the servers, and what they answer.

What must be true now is asked of the stream's leader (`STREAM.INFO`, `STREAM.MSG.GET`); pages of blocks come from any replica
(`DIRECT.GET`), which may lag but gives nothing that a majority has not accepted. Sources: NATS ADR-8, ADR-31.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple, TypeVar

import msgspec

from life.aios.errors import MissingExtraError
from life.spaces.engine.nats.access import NatsAccess, shown
from life.spaces.errors import SpacesUnavailableError

try:  # other modules take these names from here, where their absence is explained
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription as NatsSubscription
    from nats.errors import Error as NatsError
    from nats.errors import MaxPayloadError, NoRespondersError
except ImportError:
    raise MissingExtraError("Spaces on NATS", "nats") from None

T = TypeVar("T")

API: Final = "$JS.API"
DOMAIN: Final = "life"
"""The JetStream domain of clusters that leaf nodes may join."""
DOMAIN_API: Final = f"$JS.{DOMAIN}.API"
REQUEST_TIMEOUT_S: Final = 2.0
"""How long one request may take before it is asked again, perhaps of another server."""
PAGE_BYTES: Final = 4 * 2**20
_RETRY_S: Final = 0.1
_WRONG_SEQUENCE: Final = frozenset({10071, 10164})
_MAY_PASS: Final = frozenset({10005, 10008, 10009, 10118})
"""No suitable servers, JetStream temporarily unavailable, no leader, stream offline."""
_NO_MESSAGE: Final = 10037
STREAM_NOT_FOUND: Final = 10059
NAME_IN_USE: Final = 10058
SEQUENCE_HEADER: Final = "Nats-Sequence"


class UnreachableError(Exception):
    """No answer, or none that settles anything. What was asked may have happened."""

    nobody_listens = False
    """Whether the server said that nobody hears such questions."""


class RefusedError(Exception):
    """The server's answer is no, and nothing happened."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.may_pass = code in _MAY_PASS
        """Whether it is only that the servers have no leader yet, or not all of them are there."""
        self.is_stale = code in _WRONG_SEQUENCE
        """Whether something else is stored at the expected place."""


class Stored(NamedTuple):
    """A message of the log."""

    sequence: int
    body: bytes
    headers: Mapping[str, str]


class _ApiError(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Refusal(msgspec.Struct):
    error: _ApiError | None = None


class _Ack(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    error: _ApiError | None = None


class _StoredMessage(msgspec.Struct):
    seq: int
    hdrs: str = ""
    data: str = ""


class _Got(msgspec.Struct):
    message: _StoredMessage | None = None
    error: _ApiError | None = None


_decode_refusal: Final = msgspec.json.Decoder(_Refusal).decode
_decode_ack: Final = msgspec.json.Decoder(_Ack).decode
_decode_got: Final = msgspec.json.Decoder(_Got).decode


class Link:
    """One connection to whichever server answers; it moves on to another when that one stays silent."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.api = API
        """Where JetStream is asked; elsewhere than usual on a leaf node (`find_api`)."""
        self._silent = 0
        self._inbox = client.new_inbox()
        self._numbers = itertools.count()
        self._answers: dict[str, asyncio.Future[Msg]] = {}
        self._pages: set[asyncio.Future[Mapping[str, str]]] = set()

    async def listen(self) -> None:
        """Be ready for answers. To be awaited once, before anything is asked."""

        async def take(message: Msg) -> None:
            answer = self._answers.get(message.subject)
            if answer is not None and not answer.done():
                answer.set_result(message)

        await self.subscribe(f"{self._inbox}.*", take)

    async def find_api(self) -> None:
        """Learn where JetStream is asked. A leaf node has none of its own and reaches that of its servers under their domain's name."""
        with suppress(RefusedError):
            try:
                await self.ask(f"{API}.INFO", {}, dict)
            except UnreachableError as error:
                if not error.nobody_listens:
                    raise
                await self.ask(f"{DOMAIN_API}.INFO", {}, dict)
                self.api = DOMAIN_API

    async def subscribe(
        self, subject: str, take: Callable[[Msg], Awaitable[None]], *, queue: str = ""
    ) -> NatsSubscription:
        """Hear what is said on a subject, as long as the connection lives."""
        try:
            listening: NatsSubscription = await self.client.subscribe(subject, queue=queue, cb=take)
        except NatsError as error:
            raise SpacesUnavailableError(f"The connection to the NATS servers broke: {reason_of(error)}.") from None
        return listening

    def broken(self) -> None:
        """The connection is gone: what was asked over it gets no answer any more, so nobody need wait for one."""
        waiting: list[asyncio.Future[Msg] | asyncio.Future[Mapping[str, str]]] = [*self._answers.values(), *self._pages]
        for each in waiting:
            if not each.done():
                each.set_exception(ConnectionResetError("the connection broke"))

    @property
    def max_message_bytes(self) -> int:
        """The largest message the server takes."""
        size: int = self.client.max_payload
        return size

    @property
    def is_connected(self) -> bool:
        """Whether there is a server at the other end, as far as is known."""
        connected: bool = self.client.is_connected
        return connected

    async def tell(self, subject: str, body: bytes, *, headers: dict[str, str] | None = None, reply: str = "") -> bool:
        """Say something that nobody need hear; False when it could not even be sent."""
        try:
            await self.client.publish(subject, body, reply=reply, headers=headers)
        except (NatsError, OSError):
            return False
        return True

    async def ask(self, subject: str, question: object, answer: type[T]) -> T:
        """An API request; RefusedError for an error in the answer, UnreachableError for none."""
        data = await self._settled(subject, msgspec.json.encode(question))
        try:
            error = _decode_refusal(data).error
            if error is not None:
                raise RefusedError(error.err_code, error.description)
            return msgspec.json.decode(data, type=answer)
        except msgspec.MsgspecError as problem:
            raise UnreachableError(str(problem)) from None

    async def append(
        self, stream: str, subject: str, body: bytes, headers: Mapping[str, str], *, expected: int
    ) -> None:
        """Store a message as the one after `expected`; done when a majority has it.

        RefusedError when nothing was stored; UnreachableError when that is not known.
        """
        sent = {**headers, "Nats-Expected-Stream": stream, "Nats-Expected-Last-Sequence": str(expected)}
        try:
            ack = _decode_ack(await self._settled(subject, body, sent))
        except msgspec.MsgspecError as problem:
            raise UnreachableError(str(problem)) from None
        if ack.error is not None:
            raise RefusedError(ack.error.err_code, ack.error.description)
        if ack.stream != stream or ack.seq != expected + 1:
            raise UnreachableError("the acknowledgement is for something else")

    async def put_first(self, stream: str, subject: str) -> None:
        """Store an empty message as the only one on its subject. RefusedError (stale) when there is one."""
        sent = {"Nats-Expected-Stream": stream, "Nats-Expected-Last-Subject-Sequence": "0"}
        try:
            ack = _decode_ack(await self._settled(subject, b"", sent))
        except msgspec.MsgspecError as problem:
            raise UnreachableError(str(problem)) from None
        if ack.error is not None:
            raise RefusedError(ack.error.err_code, ack.error.description)
        if ack.stream != stream or not ack.seq:
            raise UnreachableError("the acknowledgement is for something else")

    async def at(self, stream: str, sequence: int) -> Stored | None:
        """One message, as the stream's leader has it; None when there is none."""
        question = msgspec.json.encode({"seq": sequence})
        try:
            got = _decode_got(await self._settled(f"{self.api}.STREAM.MSG.GET.{stream}", question))
        except msgspec.MsgspecError as problem:
            raise UnreachableError(str(problem)) from None
        if got.error is not None:
            if got.error.err_code == _NO_MESSAGE:
                return None
            raise RefusedError(got.error.err_code, got.error.description)
        if got.message is None:
            raise UnreachableError("the answer holds no message")
        return Stored(got.message.seq, base64.b64decode(got.message.data), _headers(got.message.hdrs))

    async def page(self, stream: str, start: int, limit: int) -> list[Stored]:
        """At most `limit` messages from `start` on, without holes, from any replica; it may lag and give fewer."""
        messages = await self.sparse_page(stream, start, limit)
        for sequence, message in enumerate(messages, start):
            if message.sequence != sequence:
                raise UnreachableError("part of a page was lost on the way")
        return messages

    async def sparse_page(self, stream: str, start: int, limit: int) -> list[Stored]:
        """At most `limit` messages from `start` on, of a stream that has holes."""
        arrived: list[Msg] = []
        end: asyncio.Future[Mapping[str, str]] = asyncio.get_running_loop().create_future()

        async def take(message: Msg) -> None:
            headers = message.headers or {}
            if "Status" not in headers:
                arrived.append(message)
            elif not end.done():
                end.set_result(headers)

        self._pages.add(end)
        question = msgspec.json.encode({"seq": start, "next_by_subj": ">", "batch": limit, "max_bytes": PAGE_BYTES})
        try:
            inbox = self.client.new_inbox()
            listening = await self.client.subscribe(inbox, cb=take)
            try:
                await self.client.publish(f"{self.api}.DIRECT.GET.{stream}", question, reply=inbox)
                async with asyncio.timeout(REQUEST_TIMEOUT_S):
                    ended = await end
            finally:
                await _unsubscribe(listening)
        except (TimeoutError, NatsError, OSError) as error:
            await self._silence()
            raise UnreachableError(reason_of(error)) from None
        finally:
            self._pages.discard(end)
        self._silent = 0
        return _page_of(arrived, ended)

    async def _settled(self, subject: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
        try:
            message = await self._call(subject, body, headers)
        except MaxPayloadError:
            raise RefusedError(0, "a message is larger than the server takes") from None
        except (TimeoutError, NatsError, OSError) as error:
            await self._silence()
            unreachable = UnreachableError(reason_of(error))
            unreachable.nobody_listens = isinstance(error, NoRespondersError)
            raise unreachable from None
        self._silent = 0
        return message.data

    async def _call(self, subject: str, body: bytes, headers: dict[str, str] | None) -> Msg:
        """The client library's own requests wait for their timeout when the connection breaks; these do not."""
        reply = f"{self._inbox}.{next(self._numbers)}"
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._answers[reply] = answer
        try:
            await self.client.publish(subject, body, reply=reply, headers=headers)
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                message = await answer
        finally:
            del self._answers[reply]
        if message.headers is not None and message.headers.get("Status") == "503":
            raise NoRespondersError
        return message

    async def _silence(self) -> None:
        """This server may be cut off from the others while it still talks to us: after a second silence try another."""
        self._silent += 1
        if self._silent >= 2 and len(self.client.servers) + len(self.client.discovered_servers) > 1:
            self._silent = 0
            self.broken()
            await self.client.force_reconnect()


@asynccontextmanager
async def connect(
    access: NatsAccess,
    *,
    name: str,
    patience_s: float,
    on_break: Callable[[], None] | None = None,
    on_reconnect: Callable[[], None] | None = None,
) -> AsyncIterator[Client]:
    """A connection, closed at the end. SpacesUnavailableError when no server lets us in within `patience_s` seconds."""
    trouble: list[str] = []

    async def note(error: Exception) -> None:
        reason = reason_of(error)
        if not trouble or "uthorization" in reason:  # a refusal says more than the attempts after it
            trouble[:] = [reason]

    async def disconnected() -> None:
        if on_break is not None:
            on_break()

    async def reconnected() -> None:
        if on_reconnect is not None:
            on_reconnect()

    client = Client()
    try:
        async with asyncio.timeout(patience_s):
            await client.connect(
                servers=list(access.servers),
                name=name,
                user=access.user,
                password=access.password,
                tls=None if access.ca_file is None else ssl.create_default_context(cafile=str(access.ca_file)),
                error_cb=note,
                disconnected_cb=disconnected,
                reconnected_cb=reconnected,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,  # type: ignore[arg-type]  # declared as int, used as seconds
                connect_timeout=2,
                ping_interval=2,
                max_outstanding_pings=2,
                pending_size=0,  # nothing waits in a buffer for a connection: what can't be sent now fails now
            )
    except (TimeoutError, NatsError, OSError) as error:
        await _close(client)
        reason = trouble[0] if trouble else reason_of(error)
        raise SpacesUnavailableError(
            f"No NATS server could be reached at {', '.join(shown(server) for server in access.servers)}: {reason}.",
            next_step="See that the servers run and that the credentials are theirs.",
        ) from None
    except BaseException:
        await _close(client)
        raise
    try:
        yield client
    finally:
        await _close(client)


async def _close(client: Client) -> None:
    try:
        async with asyncio.timeout(2):
            await client.close()
    except (TimeoutError, NatsError, OSError):
        return


async def _unsubscribe(listening: NatsSubscription) -> None:
    try:
        await listening.unsubscribe()
    except NatsError:  # the connection is closed, and the subscription with it
        return


def _page_of(arrived: list[Msg], ended: Mapping[str, str]) -> list[Stored]:
    status = ended["Status"]
    if status == "404":
        return []
    if status != "204":
        raise UnreachableError(f"status {status}")
    return [
        Stored(int((message.headers or {})[SEQUENCE_HEADER]), message.data, message.headers or {})
        for message in arrived
    ]


def _headers(encoded: str) -> dict[str, str]:
    """A stored message's headers (base64 of the wire format)."""
    found = {}
    for line in base64.b64decode(encoded).split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            found[name.decode()] = value.strip().decode()
    return found


async def patiently(call: Callable[[], Awaitable[T]], name: str, patience_s: float) -> T:
    """What `call` gives, asked again while servers are silent; SpacesUnavailableError when they stay so."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    while True:
        try:
            return await call()
        except (UnreachableError, RefusedError) as error:
            final = isinstance(error, RefusedError) and not error.may_pass
            if final or loop.time() >= deadline:
                raise SpacesUnavailableError(
                    f"The log {name} on the NATS servers can't be used: {error}.",
                    next_step="See that a majority of the NATS servers runs and can reach each other.",
                ) from None
        await asyncio.sleep(_RETRY_S)


def reason_of(error: BaseException) -> str:
    """Why something failed, in a few words."""
    if isinstance(error, NoRespondersError):
        return "no server leads the stream"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = str(error).removeprefix("nats: ")
    return text or type(error).__name__


__all__ = [
    "Client",
    "Link",
    "Msg",
    "NatsError",
    "NatsSubscription",
    "RefusedError",
    "Stored",
    "UnreachableError",
    "connect",
    "patiently",
    "reason_of",
]
