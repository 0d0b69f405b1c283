"""The events by which people, programs and guards steer a run. All are `Custom`.

    arcan.run_paused         RunPaused       a person stops the clock; nothing new is begun until
    arcan.run_continued      RunContinued    … it goes on
    arcan.call_edited        CallEdited      a call gets other arguments before it runs; both versions stand in it
    arcan.rule_added         RuleAdded       "allow for this session": calls that it covers are not asked about again
    arcan.rule_revoked       RuleRevoked     … until it is taken back
    arcan.policy_set         PolicySetNow    the policy that the server found for the caller of this run
    arcan.provider_set       ProviderSet     the session's model from the next run on
    arcan.client_tools       ClientTools     tools that the caller of this run executes
    arcan.regulated          Regulated       the regulator chose another model tier, a shorter answer, or withholds something
    arcan.suspended          Suspended       the regulator lets the run stand still: nothing new is begun until
    arcan.resumed            Resumed         … it is woken
    arcan.request_edited     RequestEdited   middleware changed the next request; with it, the request can be built again
    arcan.noted              Noted           middleware tells the model something, as a turn of its own
    arcan.intervened         Intervened      a hook or middleware vetoed, edited, replaced, or failed
    arcan.session_deleted    SessionDeleted  the tombstone: nobody is shown the session any more
    loop_detection.warning   LoopFound       the same calls again and again; the model is told
    loop_detection.hard_stop LoopFound       … and this one is not run
    policy.violation         Violation       the policy or a limit of it refused something

Source: arcan.md §1.2, §2.4, §2.6, §2.9, §7, §15; aios.md §4 (namespaces).
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from life.aios.events import Custom
from life.aios.events.codec import custom
from life.aios.json import Json
from life.aios.policy import PolicySet
from life.aios.ports.provider import ToolSpec
from life.aios.ports.regulator import ModelTier
from life.aios.state import OperatingMode

RUN_PAUSED: Final = "arcan.run_paused"
RUN_CONTINUED: Final = "arcan.run_continued"
CALL_EDITED: Final = "arcan.call_edited"
RULE_ADDED: Final = "arcan.rule_added"
RULE_REVOKED: Final = "arcan.rule_revoked"
POLICY_SET: Final = "arcan.policy_set"
PROVIDER_SET: Final = "arcan.provider_set"
CLIENT_TOOLS: Final = "arcan.client_tools"
REGULATED: Final = "arcan.regulated"
SUSPENDED: Final = "arcan.suspended"
RESUMED: Final = "arcan.resumed"
REQUEST_EDITED: Final = "arcan.request_edited"
NOTED: Final = "arcan.noted"
INTERVENED: Final = "arcan.intervened"
SESSION_DELETED: Final = "arcan.session_deleted"
LOOP_WARNING: Final = "loop_detection.warning"
LOOP_HARD_STOP: Final = "loop_detection.hard_stop"
POLICY_VIOLATION: Final = "policy.violation"

Point = Literal["before_model", "after_model", "before_tool", "after_tool", "hook"]
Action = Literal["veto", "edit", "replace", "note", "failed"]
ViolationType = Literal["capability_blocked", "event_budget_exceeded"]


class RunPaused(msgspec.Struct, frozen=True, kw_only=True):
    """Who paused the run."""

    actor: str


class RunContinued(msgspec.Struct, frozen=True, kw_only=True):
    """Who let it go on."""

    actor: str


class CallEdited(msgspec.Struct, frozen=True, kw_only=True):
    """The call runs with `arguments` instead of `before`. `by` is a person, or the name of a middleware."""

    call_id: str
    before: Json
    arguments: Json
    by: str


class RuleAdded(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of this tool are allowed when each capability they need is allowed by the policy or fits a pattern."""

    rule_id: str
    tool_name: str
    patterns: tuple[str, ...]
    by: str


class RuleRevoked(msgspec.Struct, frozen=True, kw_only=True):
    """The rule holds no longer."""

    rule_id: str
    by: str


class PolicySetNow(msgspec.Struct, frozen=True, kw_only=True):
    """The session's policy from here on, as the server computed it from the verified caller."""

    policy: PolicySet
    caller: str


class ProviderSet(msgspec.Struct, frozen=True, kw_only=True):
    """A provider specification; empty for the runtime's own."""

    provider: str
    by: str


class ClientTools(msgspec.Struct, frozen=True, kw_only=True):
    """Tools of the open run that its caller executes; none of them has a name of the registry's."""

    tools: tuple[ToolSpec, ...]


class Regulated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the regulator advises beyond gates and mode; the event carries all of it."""

    model_tier: ModelTier | None = None
    max_output_tokens: int | None = None
    mode: OperatingMode | None = None
    reason: str = ""
    gates_lifted: bool = False
    """The gates of the last GatesUpdated hold no longer; the policy decides alone."""
    allow_expensive_tools: bool = True
    allow_replication: bool = True


class Suspended(msgspec.Struct, frozen=True, kw_only=True):
    """The run begins nothing new, also after a restart, until it is woken."""

    reason: str


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """Who woke the run, and why."""

    actor: str
    reason: str = ""


class RequestEdited(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the open step's request differs from the one that the conversation alone gives."""

    by: str
    system: str | None = None
    withheld_tools: tuple[str, ...] = ()
    max_output_tokens: int | None = None


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """A user turn that no person wrote."""

    by: str
    text: str


class Intervened(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who changed or stopped what. What it became stands in the events around it."""

    by: str
    point: Point
    action: Action
    subject: str = ""
    explanation: str = ""


class SessionDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """Who deleted the session."""

    by: str


class LoopFound(msgspec.Struct, frozen=True, kw_only=True):
    """The call ends a pattern of calls that has come so many times in a row."""

    call_id: str
    tool_name: str
    signature: str
    repetitions: int
    message: str


class Violation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was refused. `attempted_value` never holds an absolute path: only its last part."""

    violation_type: ViolationType
    subject: str
    capability: str | None = None
    attempted_value: str | None = None


_NAMES: Final[dict[type[msgspec.Struct], str]] = {
    RunPaused: RUN_PAUSED,
    RunContinued: RUN_CONTINUED,
    CallEdited: CALL_EDITED,
    RuleAdded: RULE_ADDED,
    RuleRevoked: RULE_REVOKED,
    PolicySetNow: POLICY_SET,
    ProviderSet: PROVIDER_SET,
    ClientTools: CLIENT_TOOLS,
    Regulated: REGULATED,
    Suspended: SUSPENDED,
    Resumed: RESUMED,
    RequestEdited: REQUEST_EDITED,
    Noted: NOTED,
    Intervened: INTERVENED,
    SessionDeleted: SESSION_DELETED,
    Violation: POLICY_VIOLATION,
}

CONTROL_EVENTS: Final[dict[str, type[msgspec.Struct]]] = {
    **{name: payload for payload, name in _NAMES.items()},
    LOOP_WARNING: LoopFound,
    LOOP_HARD_STOP: LoopFound,
}
"""Every control event by its name."""


def control(payload: msgspec.Struct) -> Custom:
    """The event for a payload of this module, loops excepted: those have two names."""
    return custom(_NAMES[type(payload)], payload)


def loop_found(payload: LoopFound, *, stopped: bool) -> Custom:
    """The event for a loop that was noticed, or stopped."""
    return custom(LOOP_HARD_STOP if stopped else LOOP_WARNING, payload)
