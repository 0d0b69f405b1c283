"""What A2A needs from the rest of the system. The host brings each of them (life.host.a2a)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple, Protocol

from life.aios.json import Json, JsonObject


class Caller(NamedTuple):
    """Who asks. `owner` is whose tasks they may see; `may_approve`: whether their word releases a tool call that waits."""

    owner: str
    may_approve: bool = False


# ---- the work


class Wrote(NamedTuple):
    """More of the answer's text."""

    text: str


class Asks(NamedTuple):
    """A tool call waits for a decision."""

    approval_id: str
    tool_name: str
    arguments: Json


class Decided(NamedTuple):
    """A call that waited has been decided about; the work goes on."""

    approval_id: str


class Finished(NamedTuple):
    """The work is over. `outcome` is completed, canceled, rejected or failed; `note` says why, where that is not plain."""

    outcome: str
    note: str = ""


Progress = Wrote | Asks | Decided | Finished


class Worker(Protocol):
    """Whoever does the work: Arcan. One run per task; tasks of one context share a conversation."""

    async def start(self, conversation: str, owner: str, task_id: str, objective: str) -> str:
        """Begin the work, durable and idempotent by `task_id`; the run's id. The conversation is made when it is new."""
        ...

    def follow(self, conversation: str, run_id: str) -> AsyncGenerator[Progress, None]:
        """The work from its beginning, whatever was told before; ends with Finished. It waits while a person has to decide."""
        ...

    async def decide(self, conversation: str, approval_id: str, *, approved: bool, by: str, reason: str) -> None:
        """Decide about a call that waits."""
        ...

    async def add(self, conversation: str, text: str, *, by: str) -> None:
        """Say something while the work goes on; it is heard at the next step."""
        ...

    async def cancel(self, conversation: str) -> None:
        """Stop the open run."""
        ...


# ---- money


class Charged(NamedTuple):
    """What became of a payment. `is_open`: nobody knows yet; the same payment is tried again, never another one."""

    is_paid: bool
    receipt: Json = None
    error: str = ""
    is_open: bool = False


class Till(Protocol):
    """Takes payments for skills: Haima, over x402."""

    async def terms(self, skill_id: str) -> JsonObject:
        """The PaymentRequired document of a skill; it does not change while prices don't."""
        ...

    async def charge(self, skill_id: str, task_id: str, payload: JsonObject) -> Charged:
        """Verify and settle a payment for this task. Asked again with the same payment it gives the same answer."""
        ...


# ---- the way out


class Posted(NamedTuple):
    """What came of a post. `status` 0: there was no answer."""

    status: int
    error: str = ""


class Poster(Protocol):
    """Posts notifications; guards where they go."""

    async def check(self, url: str) -> None:
        """A LifeError with status 400 when nothing is posted to this address (not https, or private)."""
        ...

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Posted:
        """One POST without redirects. Never raises for what the other side does."""
        ...


class TokenSigner(Protocol):
    """Signs tokens as this agent (a part of the Custody port)."""

    async def sign_token(self, claims: JsonObject, *, typ: str = "JWT") -> str:
        """A compact JWS over `claims`, members in the order given; `kid` is the agent's DID."""
        ...


class Vault(Protocol):
    """Keeps other people's secrets out of the journal."""

    def seal(self, secret: bytes) -> str:
        """Text that only `open` reads."""
        ...

    def open(self, sealed: str) -> bytes:
        """The secret again."""
        ...


class Told(NamedTuple):
    """Something that happened to a task. `state` in the words of the protocol, small and without their prefix; `line` in words."""

    owner: str
    context_id: str
    task_id: str
    revision: int
    """Counts the changes of the task."""
    state: str
    line: str
    session_id: str = ""
    """The conversation that it is worked in."""
    run_id: str = ""
    """The work itself; empty before it began."""
    trace_id: str | None = None


class TaskChannel(Protocol):
    """Where people watch what happens to tasks: a channel of Spaces."""

    async def tell(self, told: Told) -> None:
        """Post it, once however often it is told within a day. A LifeError when it can't be: an UnavailableError is tried again."""
        ...
