"""Arguments of the tools. Unknown fields and other types are refused before anything is done."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from life.aios.json import Json

Id = Annotated[int, msgspec.Meta(ge=1)]
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
PeerName = Annotated[
    str, msgspec.Meta(min_length=1, max_length=64, description="64 hex digits, or a username with or without @")
]
ChannelName = Annotated[str, msgspec.Meta(min_length=1, max_length=101, description="a number, or #name")]
HireId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Few = Annotated[int, msgspec.Meta(ge=1, le=50)]
Page = Annotated[int, msgspec.Meta(ge=1, le=200)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=300)]
Micro = Annotated[int, msgspec.Meta(ge=0, le=2**53, description="millionths of a USDC")]
LongSeconds = Annotated[int, msgspec.Meta(ge=1, le=30 * 86_400)]


class _Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A typing mistake never does something else silently."""


class ListSpaces(_Arguments, frozen=True, kw_only=True):
    """Nothing to say."""


class ListChannels(_Arguments, frozen=True, kw_only=True):
    """Of which space."""

    space: Id = 1


class ListMembers(_Arguments, frozen=True, kw_only=True):
    """Of which space."""

    space: Id = 1
    limit: Page = 100


class CreateChannelArguments(_Arguments, frozen=True, kw_only=True):
    """What channel."""

    name: Name
    space: Id = 1
    type: Literal["text", "announcement", "agent_log", "voice"] = "text"
    topic: Annotated[str, msgspec.Meta(max_length=1000)] | None = None


class SendMessageArguments(_Arguments, frozen=True, kw_only=True):
    """What to say where."""

    channel: ChannelName | Id
    content: Words
    reply_to_id: Id | None = None
    space: Id = 1


class ReadMessages(_Arguments, frozen=True, kw_only=True):
    """Which messages: the newest, those before one, or those after one."""

    channel: ChannelName | Id
    limit: Page = 20
    before: Id | None = None
    after: int | None = None
    thread_id: int = 0
    space: Id = 1


class ReplyInThread(_Arguments, frozen=True, kw_only=True):
    """`thread_id` and `content`, or `channel`, `name` and `content` to open one."""

    content: Words
    thread_id: Id | None = None
    channel: ChannelName | Id | None = None
    name: Name | None = None
    space: Id = 1


class React(_Arguments, frozen=True, kw_only=True):
    """With what to react to which message."""

    message_id: Id
    emoji: Annotated[str, msgspec.Meta(min_length=1, max_length=34)]


class SendDm(_Arguments, frozen=True, kw_only=True):
    """What to tell whom."""

    peer: PeerName
    content: Words


class ReadDms(_Arguments, frozen=True, kw_only=True):
    """Whose direct messages."""

    peer: PeerName
    limit: Page = 20


class SearchArguments(_Arguments, frozen=True, kw_only=True):
    """What to look for."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    channel: ChannelName | Id | None = None
    space: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Few = 20


class LogEventArguments(_Arguments, frozen=True, kw_only=True):
    """What to write into an agent log."""

    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=100, description="like task.finished")]
    data: dict[str, Json] = {}
    severity: Literal["debug", "info", "warning", "error"] = "info"
    channel: ChannelName | Id = "#agent-logs"
    space: Id = 1


class WaitFor(_Arguments, frozen=True, kw_only=True):
    """For what: a `message` in a channel, a `dm` (of a peer), the next step of a `hire`, new `work` for us, the `answer` to a question."""

    what: Literal["message", "dm", "hire", "work", "answer"] = msgspec.field(name="for")
    channel: ChannelName | Id | None = None
    peer: PeerName | None = None
    hire_id: HireId | None = None
    after: Annotated[int, msgspec.Meta(ge=0, description="the id of the last message seen")] | None = None
    timeout_s: Seconds = 60
    space: Id = 1


class FindAgent(_Arguments, frozen=True, kw_only=True):
    """By what to look in the directory of agents."""

    skill: Annotated[str, msgspec.Meta(max_length=64, description="a skill's id or tag")] = ""
    text: Annotated[str, msgspec.Meta(max_length=200)] = ""
    max_price_micro: Micro | None = None
    min_trust_micro: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    online: bool = False
    limit: Few = 10


class Ask(_Arguments, frozen=True, kw_only=True):
    """What to ask whom."""

    peer: PeerName
    question: Annotated[str, msgspec.Meta(min_length=1, max_length=16_000)]
    timeout_s: Seconds = 60


class HireArguments(_Arguments, frozen=True, kw_only=True):
    """Whom to hire for what, at which price, until when."""

    peer: PeerName
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
    task: Annotated[str, msgspec.Meta(min_length=1, max_length=16_000)]
    price_micro: Micro
    deadline_s: LongSeconds = 3600
    review_s: LongSeconds = 86_400


class Hired(_Arguments, frozen=True, kw_only=True):
    """Which hires."""

    hire_id: HireId | None = None
    role: Literal["customer", "worker", "any"] = "any"
    open_only: bool = False
    limit: Few = 20


class Deliver(_Arguments, frozen=True, kw_only=True):
    """What was made, or why it won't be."""

    hire_id: HireId
    result: Annotated[str, msgspec.Meta(max_length=40_000)] = ""
    decline: Annotated[str, msgspec.Meta(max_length=1000, description="why you won't do it, in place of a result")] = ""


class Accept(_Arguments, frozen=True, kw_only=True):
    """Which delivery is right."""

    hire_id: HireId
    note: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class Reject(_Arguments, frozen=True, kw_only=True):
    """Which delivery is wrong, and why."""

    hire_id: HireId
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class Rate(_Arguments, frozen=True, kw_only=True):
    """How a hire went."""

    hire_id: HireId
    stars: Annotated[int, msgspec.Meta(ge=1, le=5)]
    comment: Annotated[str, msgspec.Meta(max_length=500)] = ""
