"""What stands in an agent log: JSON of one shape (spaces.md §6)."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from life.spaces.errors import InvalidArgumentError
from life.spaces.validation import check_text

_KIND: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
MAX_FIELD: Final = 256


class AgentEventBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing that an agent did or found."""

    kind: str
    agent: str
    run_id: str = ""
    session_id: str = ""
    severity: Literal["debug", "info", "warning", "error"] = "info"
    data: dict[str, object] = {}
    lago_ref: str = ""
    """A journal sequence or a blob's hash."""


_decoder: Final = msgspec.json.Decoder(AgentEventBody)


def parse_agent_event(content: str) -> AgentEventBody:
    """The body of an AgentEvent; InvalidArgumentError when it is not one."""
    try:
        body = _decoder.decode(content)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InvalidArgumentError(f"The agent event's body does not fit: {error}.") from None
    if len(body.kind) > 100 or _KIND.fullmatch(body.kind) is None:
        raise InvalidArgumentError("An agent event's kind looks like task.finished.")
    for what, text in (
        ("agent", body.agent),
        ("run id", body.run_id),
        ("session id", body.session_id),
        ("lago_ref", body.lago_ref),
    ):
        check_text(text, MAX_FIELD, what=what, least=1 if what == "agent" else 0)
    return body
