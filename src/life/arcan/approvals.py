"""What people decide about calls: approve, approve with other arguments, allow for the session, refuse; and doubts.

A ticket is the fold of ApprovalRequested: one per call, with everything that the call needs. Deciding appends first, and the stored
call itself runs, once; so a decision survives whatever happens after it. A ticket that nobody decides counts as refused after
`approval_timeout_s`. Edited arguments pass the gate again before they count: what the policy denies can't be edited in.
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from life.aios import events
from life.aios.errors import InvalidInputError, JournalError
from life.aios.json import Json
from life.aios.record import Actor, Stream
from life.aios.state import ApprovalDecision, RiskLevel
from life.arcan.calls import context_of
from life.arcan.control import CallEdited, RuleAdded, RuleRevoked, control
from life.arcan.decisions import add_doubt_outcome
from life.arcan.desk import Desk, check_text
from life.arcan.errors import (
    EditRefusedError,
    NothingToDecideError,
    RuntimeClosedError,
    SessionDrivenElsewhereError,
)
from life.arcan.events import DoubtDecision
from life.arcan.gate import Unfit, rule_on
from life.arcan.live import LiveSession
from life.arcan.session_log import ARCAN
from life.arcan.session_state import CallState, workspace_stream
from life.arcan.sessions import SessionIndex

_MOST_PATTERNS: Final = 32

Scope = Literal["once", "session"]


class Edited(NamedTuple):
    """Other arguments for a call."""

    arguments: Json


class PendingApproval(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ticket that waits. `asked_us` is microseconds since the epoch, `expires_us` too."""

    session_id: str
    branch: str
    owner: str
    run_id: str
    approval_id: str
    call_id: str
    tool_name: str
    arguments: Json
    risk: RiskLevel
    capabilities: tuple[str, ...] = ()
    asked_us: int
    expires_us: int | None = None


class Approvals:
    """Decisions about the calls of all sessions."""

    def __init__(self, desk: Desk, index: SessionIndex) -> None:
        self._desk = desk
        self._index = index

    async def pending(self, owner: str | None = None) -> list[PendingApproval]:
        """All tickets that wait (of one owner), oldest first."""
        found: list[PendingApproval] = []
        timeout_s = self._desk.parts.settings.approval_timeout_s
        for session_id, branch in await self._index.open_streams():
            state = (await self._desk.synced(session_id, branch)).log.durable_state
            if owner not in (None, state.config.owner) or state.run is None:
                continue
            for call in state.calls:
                if call.phase == "awaiting_approval" and call.approval_id is not None:
                    found.append(
                        PendingApproval(
                            session_id=session_id,
                            branch=branch,
                            owner=state.config.owner,
                            run_id=state.run.run_id,
                            approval_id=call.approval_id,
                            call_id=call.call_id,
                            tool_name=call.tool_name,
                            arguments=call.arguments,
                            risk=call.risk,
                            capabilities=call.capabilities,
                            asked_us=call.asked_us,
                            expires_us=None if timeout_s is None else call.asked_us + timeout_s * 1_000_000,
                        )
                    )
        return sorted(found, key=lambda ticket: (ticket.asked_us, ticket.approval_id))

    async def resolve(
        self,
        stream: Stream,
        approval_id: str,
        decision: ApprovalDecision,
        *,
        actor: str,
        reason: str | None = None,
        edited: Edited | None = None,
        scope: Scope = "once",
        patterns: tuple[str, ...] = (),
    ) -> str:
        """Decide about a waiting call; the run's id.

        With `edited` the call runs with those arguments, and the model is told. With the scope "session" later calls of the same
        tool are allowed as well, when what they need is allowed by the policy or fits `patterns` (without any: exactly what
        this call needs). NothingToDecideError when the call is not waiting (any more); EditRefusedError and
        InvalidInputError leave it waiting.
        """
        check_text(actor, reason or "", *patterns)
        if decision != "approved" and (edited is not None or scope == "session"):
            raise InvalidInputError("Only an approval can change the arguments or hold for the session.")
        async with self._desk.deciding(*stream) as live:
            call = next((each for each in live.log.state.calls if each.approval_id == approval_id), None)
            if call is None or call.phase != "awaiting_approval" or live.is_driven:
                raise NothingToDecideError(stream.session_id, approval_id)
            self._desk.provider_of(live.log.state.model)
            who = ARCAN if decision == "timeout" else Actor("user", actor)
            changed = call if edited is None else self._edited(live, call, edited)
            if edited is not None:
                note = CallEdited(call_id=call.call_id, before=call.arguments, arguments=edited.arguments, by=actor)
                live.log.add(control(note), actor=who)
            if scope == "session":
                allowed = _checked(patterns) or changed.capabilities
                rule = RuleAdded(rule_id=self._desk.new_id(), tool_name=call.tool_name, patterns=allowed, by=actor)
                live.log.add(control(rule), actor=who)
            resolved = events.ApprovalResolved(approval_id=approval_id, decision=decision, reason=reason)
            live.log.add(resolved, actor=who)
            await live.log.commit()
            if decision != "timeout":
                stop_expiry(live)
            run_id = self._desk.drive_on(live)
        if scope == "session":
            await self._tell(stream, "rule_added")
        return run_id

    async def revoke(self, stream: Stream, rule_id: str, *, actor: str) -> None:
        """Take a session rule back. NothingToDecideError when there is none of this id."""
        check_text(actor)
        async with self._desk.deciding(*stream) as live:
            if all(rule.rule_id != rule_id for rule in live.log.state.rules):
                raise NothingToDecideError(stream.session_id, rule_id)
            live.log.add(control(RuleRevoked(rule_id=rule_id, by=actor)), actor=Actor("user", actor))
            await asyncio.shield(asyncio.ensure_future(live.log.commit()))
        await self._tell(stream, "rule_revoked")

    async def resolve_doubt(
        self, stream: Stream, call_id: str, decision: DoubtDecision, *, actor: str, note: str
    ) -> str:
        """Say what became of a call in doubt; the run's id."""
        check_text(actor, note)
        async with self._desk.deciding(*stream) as live:
            call = live.log.state.call(call_id)
            if call is None or call.phase != "in_doubt" or live.is_driven:
                raise NothingToDecideError(stream.session_id, call_id)
            self._desk.provider_of(live.log.state.model)
            add_doubt_outcome(live.log, call, decision, actor=actor, note=note)
            await live.log.commit()
            return self._desk.drive_on(live)

    async def answer_client_call(
        self, stream: Stream, call_id: str, output: Json, *, is_error: bool, actor: str
    ) -> str:
        """The result of a tool that the caller itself executed; the run's id."""
        check_text(actor)
        async with self._desk.deciding(*stream) as live:
            call = live.log.state.call(call_id)
            if call is None or call.phase != "awaiting_client" or live.is_driven:
                raise NothingToDecideError(stream.session_id, call_id)
            waited_us = self._desk.parts.clock.now_us() - call.asked_us
            completed = events.ToolCallCompleted(
                tool_run_id=call.call_id,
                call_id=call.call_id,
                tool_name=call.tool_name,
                result=output,
                duration_ms=max(0, waited_us) // 1000,
                status="error" if is_error else "ok",
            )
            live.log.add(completed, actor=Actor("user", actor))
            await live.log.commit()
            return self._desk.drive_on(live)

    def expire_later(self, live: LiveSession) -> None:
        """Count down the open approval, once."""
        timeout_s = self._desk.parts.settings.approval_timeout_s
        call = next((each for each in live.log.state.calls if each.phase == "awaiting_approval"), None)
        if timeout_s is None or call is None or live.expiry is not None or self._desk.is_closing:
            return
        due_us = call.asked_us + timeout_s * 1_000_000
        live.expiry = asyncio.get_running_loop().create_task(self._expire(live, call.approval_id or "", due_us))

    async def _expire(self, live: LiveSession, approval_id: str, due_us: int) -> None:
        clock = self._desk.parts.clock
        await clock.sleep_us(max(0, due_us - clock.now_us()))
        live.expiry = None
        try:
            await self.resolve(live.stream, approval_id, "timeout", actor="", reason="Nobody decided in time.")
        except (NothingToDecideError, RuntimeClosedError, SessionDrivenElsewhereError, JournalError):
            pass  # decided at the last moment, or not ours to decide any more

    def _edited(self, live: LiveSession, call: CallState, edited: Edited) -> CallState:
        """The call with other arguments, when it fits its tool and the policy does not deny it."""
        state, parts = live.log.state, self._desk.parts
        assert state.run is not None
        try:
            size = len(msgspec.json.encode(edited.arguments))
        except (TypeError, ValueError, RecursionError):
            raise InvalidInputError("The arguments are not JSON.") from None
        if size > 1_048_576:
            raise InvalidInputError("The arguments are larger than 1 MiB.")
        changed = replace(call, arguments=edited.arguments)
        ruling = rule_on(
            changed,
            context_of(state, changed, parts.workspace(workspace_stream(state))),
            toolbox=parts.toolbox,
            definition=next((each for each in parts.toolbox.definitions() if each.name == call.tool_name), None),
            policy=state.config.policy or parts.settings.policy,
            gates=state.gates,
            run=state.run,
        )
        if isinstance(ruling, Unfit):
            raise InvalidInputError(f"The call can't run with these arguments: {ruling.error}")
        if ruling.decision == "deny":
            raise EditRefusedError(ruling.explanation or "Not permitted.")
        return replace(changed, capabilities=ruling.capabilities)

    async def _tell(self, stream: Stream, change: str) -> None:
        await self._desk.parts.hooks.fire("config_change", {"change": change}, session_id=stream.session_id)


def stop_expiry(live: LiveSession) -> None:
    """The open approval was decided: nobody counts down any more."""
    if live.expiry is not None:
        live.expiry.cancel()
        live.expiry = None


def _checked(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if len(patterns) > _MOST_PATTERNS or any(not 1 <= len(pattern) <= 1024 for pattern in patterns):
        raise InvalidInputError(f"A rule has at most {_MOST_PATTERNS} patterns of 1 to 1024 characters.")
    return patterns
