"""What an MCP server needs from its host: a door for calls, sources of resources, and sources of prompts.

The server speaks the protocol and nothing else. Whether a call may run, what the journal says about it and who has to be asked
is behind `ToolDoor`; so no call can reach a tool except through the gate (ARCHITECTURE.md §2.4, praxis.md §7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from life.aios.json import Json, JsonObject
from life.aios.ports.tools import ToolDefinition
from life.aios.state import RiskLevel

AnswerStatus = Literal["ok", "error", "waiting", "in_doubt"]
Observer = Callable[[str], None]
"""Hears, in one sentence each, what happens to a call."""


class Caller(NamedTuple):
    """Who calls: a stable name that fits into a session id, and the owner whose sessions and files they are."""

    name: str
    owner: str = ""


LOCAL_CALLER = Caller("local")
"""Whoever started us over stdio: the owner of this machine's account."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How a call stands."""

    status: AnswerStatus
    output: Json
    session_id: str = ""
    run_id: str = ""
    approval_id: str | None = None
    """With `waiting`: names the decision. Random, and told to nobody but the caller."""
    call_id: str | None = None
    risk: RiskLevel = "low"


class ToolDoor(Protocol):
    """Calls from outside, through gate, approvals and journal."""

    def definitions(self, caller: Caller) -> Sequence[ToolDefinition]:
        """The tools that this caller is offered, by name."""
        ...

    async def call(self, caller: Caller, tool: str, arguments: JsonObject, observe: Observer) -> Answer:
        """Run a call to its end, or until a person has to decide. LifeErrors: it can't be taken at all."""
        ...

    async def decide(self, caller: Caller, answer: Answer, *, approved: bool) -> Answer:
        """The person at the client has decided about a call that waits; what became of it."""
        ...


class Resource(NamedTuple):
    """Something that can be read."""

    uri: str
    name: str
    description: str = ""
    mime_type: str = "text/plain"
    size_bytes: int | None = None


class ResourceTemplate(NamedTuple):
    """A family of resources (RFC 6570)."""

    uri_template: str
    name: str
    description: str = ""
    mime_type: str | None = None


class ResourceContent(NamedTuple):
    """What was read: text, or bytes."""

    uri: str
    mime_type: str
    content: str | bytes


class ResourceSource(Protocol):
    """Some of a server's resources."""

    async def list(self, caller: Caller) -> Sequence[Resource]:
        """All there are, in a stable order."""
        ...

    def templates(self) -> Sequence[ResourceTemplate]:
        """Families that are not listed one by one."""
        ...

    async def read(self, caller: Caller, uri: str) -> ResourceContent | None:
        """The content; None when it is not one of these, or is not there for this caller."""
        ...


class PromptArgument(NamedTuple):
    """A parameter of a prompt."""

    name: str
    description: str = ""
    required: bool = False


class Prompt(NamedTuple):
    """A prompt that people can choose."""

    name: str
    description: str
    arguments: tuple[PromptArgument, ...] = ()


class PromptSource(Protocol):
    """Some of a server's prompts."""

    async def list(self, caller: Caller) -> Sequence[Prompt]:
        """All there are, by name."""
        ...

    async def get(self, caller: Caller, name: str, arguments: Mapping[str, str]) -> Sequence[JsonObject] | None:
        """The content blocks of its one user message; None when there is no such prompt. ToolInputError: an argument is
        missing."""
        ...
