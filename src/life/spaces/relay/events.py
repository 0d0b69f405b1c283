"""What Relay writes into the journal: the stream `relay-<agent id>`, Custom events under `relay.`

Who is allowed what; which commands were taken up and what became of them (intent before effect: `command_taken` is on disk before the
runtime hears of the command); and on the owner's side which nodes are known by which name.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from life.aios.events import Custom, decode_kind, encode_kind
from life.aios.record import Actor, EventRecord, NewEvent, Stream

PREFIX: Final = "relay."
STREAM_PREFIX: Final = "relay-"
ACTOR: Final = Actor("system", "relay")

Right = Literal["watch", "steer", "approve", "own"]
RIGHTS: Final[tuple[Right, ...]] = ("watch", "steer", "approve", "own")
EVERY_SESSION: Final = "*"
OPERATOR: Final = "operator"
"""Who allowed something at the node's own command line."""


class Granted(msgspec.Struct, frozen=True, kw_only=True, tag="granted", tag_field="event"):
    """Somebody may do something with a session (or, with `*`, all of them). Replaces what they had there before."""

    did: str
    session: str
    rights: tuple[Right, ...]
    by: str
    name: str = ""


class Revoked(msgspec.Struct, frozen=True, kw_only=True, tag="revoked", tag_field="event"):
    """They may no longer; without a session: nothing at all any more, and neither may whom they allowed."""

    did: str
    session: str = ""
    by: str


class CommandTaken(msgspec.Struct, frozen=True, kw_only=True, tag="command_taken", tag_field="event"):
    """A command was checked and will be carried out."""

    command_id: str
    owner: str
    operation: str
    session: str
    arguments_sha256: str
    expires_s: int
    proof: str = ""
    """The owner's signed statement (a JWS): that they asked for exactly this."""


class CommandDone(msgspec.Struct, frozen=True, kw_only=True, tag="command_done", tag_field="event", omit_defaults=True):
    """What became of it: a result, or a refusal with its code. `result` is JSON of at most 4 KiB."""

    command_id: str
    result: str = "null"
    code: str = ""
    message: str = ""
    status: int = 200


class NodeKnown(msgspec.Struct, frozen=True, kw_only=True, tag="node_known", tag_field="event"):
    """A node under a name, and where it is to be found."""

    did: str
    name: str
    address: str = ""


class NodeForgotten(msgspec.Struct, frozen=True, kw_only=True, tag="node_forgotten", tag_field="event"):
    """No longer."""

    did: str


RelayEvent = Granted | Revoked | CommandTaken | CommandDone | NodeKnown | NodeForgotten
_KINDS: Final[dict[str, type[RelayEvent]]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (Granted, Revoked, CommandTaken, CommandDone, NodeKnown, NodeForgotten)
}


def relay_stream(agent_id: str) -> Stream:
    """Where an agent's relay events stand."""
    return Stream(STREAM_PREFIX + agent_id)


def new_event(event: RelayEvent, *, event_id: str, agent_id: str, now_us: int) -> NewEvent:
    """An event of an agent's relay stream."""
    stream = relay_stream(agent_id)
    fields = msgspec.to_builtins(event)
    del fields["event"]
    kind = Custom(event_type=PREFIX + str(event.__struct_config__.tag), data=fields)
    return NewEvent(
        event_id=event_id,
        session_id=stream.session_id,
        branch_id=stream.branch_id,
        agent_id=agent_id,
        timestamp_us=now_us,
        payload=encode_kind(kind),
        kind_name="Custom",
        actor=ACTOR,
    )


def read_event(record: EventRecord) -> RelayEvent | None:
    """The relay event of a record; None for another, or one that this version does not know."""
    kind = decode_kind(record.payload)
    if not isinstance(kind, Custom) or not kind.event_type.startswith(PREFIX) or not isinstance(kind.data, dict):
        return None
    found = _KINDS.get(kind.event_type.removeprefix(PREFIX))
    if found is None:
        return None
    try:
        return msgspec.convert({**kind.data, "event": found.__struct_config__.tag}, found)
    except msgspec.ValidationError:
        return None
