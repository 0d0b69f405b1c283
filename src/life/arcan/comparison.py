"""Comparing two branches, or two positions of one: what was said, done, changed and spent on each side.

Both sides go back to a common point; what lies behind it is each side's own. Everything is read from the journal, no model is
called and nothing is changed.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from life.aios.events import Message, ToolCallCompleted, ToolCallFailed, ToolCallStarted
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.journal import Journal
from life.aios.ports.provider import ChatMessage
from life.aios.ports.working_copies import FileDifference, FileVersions, Position
from life.aios.record import Stream
from life.aios.state import AgentStateVector, OperatingMode
from life.arcan.branches import BranchInfo, lineage, records_of
from life.arcan.checkpoints import SessionHistory
from life.arcan.session_state import SessionState


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What was used since the common point."""

    model_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tool_runs: int = 0
    tool_ms: int = 0
    failed_calls: int = 0


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two positions."""

    branch: str
    sequence: int
    own_events: int
    """Events since the common point."""
    kinds: dict[str, int]
    """The same by kind."""
    messages: tuple[ChatMessage, ...]
    """The turns that the other side does not have."""
    spent: Spent
    mode: OperatingMode
    state: AgentStateVector


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two positions side by side."""

    common_branch: str
    common_sequence: int
    """The newest event that both have."""
    common_messages: int
    """How many turns both begin with."""
    one: Side
    other: Side
    state_changes: dict[str, tuple[float | int | str, float | int | str]]
    """Fields of the state vector that differ: one, other."""
    files: tuple[FileDifference, ...] | None = None
    """From `one` to `other`; None where no versions of files are kept."""


async def compare_positions(
    journal: Journal,
    history: SessionHistory,
    branches: dict[str, BranchInfo],
    one: Position,
    other: Position,
    versions: FileVersions | None,
) -> Comparison:
    """Both positions belong to the same session and are there."""
    common = common_point(branches, one, other)
    state_one = await history.state(one.stream, at=one.sequence)
    state_other = await history.state(other.stream, at=other.sequence)
    said_one, said_other = state_one.conversation.messages(), state_other.conversation.messages()
    shared = 0
    for left, right in zip(said_one, said_other, strict=False):
        if left != right:
            break
        shared += 1
    return Comparison(
        common_branch=common.stream.branch_id,
        common_sequence=common.sequence,
        common_messages=shared,
        one=await _side(journal, branches, one, common, state_one, said_one[shared:]),
        other=await _side(journal, branches, other, common, state_other, said_other[shared:]),
        state_changes=_changes(state_one.vector, state_other.vector),
        files=await versions.differences(one, other) if versions is not None else None,
    )


def common_point(branches: dict[str, BranchInfo], one: Position, other: Position) -> Position:
    """The newest event that both positions have behind them."""
    session_id = one.stream.session_id
    there = dict(lineage(branches, other.stream.branch_id, other.sequence))
    for branch_id, upto in lineage(branches, one.stream.branch_id, one.sequence):
        if branch_id in there:
            return Position(Stream(session_id, branch_id), min(upto, there[branch_id]))
    return Position(Stream(session_id, MAIN_BRANCH), 0)


async def _side(
    journal: Journal,
    branches: dict[str, BranchInfo],
    position: Position,
    common: Position,
    state: SessionState,
    messages: tuple[ChatMessage, ...],
) -> Side:
    kinds: Counter[str] = Counter()
    model_calls = prompt = completion = runs = milliseconds = failed = 0
    for stream, after, upto in _own_ranges(branches, position, common):
        async for record in records_of(journal, stream, after=after, upto=upto):
            kinds[record.kind_name] += 1
            kind = record.kind
            if isinstance(kind, Message) and kind.role == "assistant":
                model_calls += 1
                if kind.token_usage is not None:
                    prompt += kind.token_usage.prompt_tokens
                    completion += kind.token_usage.completion_tokens
            elif isinstance(kind, ToolCallStarted):
                runs += 1
            elif isinstance(kind, ToolCallCompleted):
                milliseconds += kind.duration_ms
                failed += kind.status != "ok"
            elif isinstance(kind, ToolCallFailed):
                failed += 1
    return Side(
        branch=position.stream.branch_id,
        sequence=position.sequence,
        own_events=kinds.total(),
        kinds=dict(sorted(kinds.items())),
        messages=messages,
        spent=Spent(
            model_calls=model_calls,
            prompt_tokens=prompt,
            completion_tokens=completion,
            tool_runs=runs,
            tool_ms=milliseconds,
            failed_calls=failed,
        ),
        mode=state.mode,
        state=state.vector,
    )


def _own_ranges(branches: dict[str, BranchInfo], position: Position, common: Position) -> list[tuple[Stream, int, int]]:
    """The stretches of streams between the common point and a position, oldest first."""
    ranges: list[tuple[Stream, int, int]] = []
    for branch_id, upto in lineage(branches, position.stream.branch_id, position.sequence):
        is_common = branch_id == common.stream.branch_id
        ranges.append((Stream(position.stream.session_id, branch_id), common.sequence if is_common else 0, upto))
        if is_common:
            break
    return ranges[::-1]


def _changes(one: AgentStateVector, other: AgentStateVector) -> dict[str, tuple[float | int | str, float | int | str]]:
    before: dict[str, float | int | str] = _flat(one)
    after = _flat(other)
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def _flat(vector: AgentStateVector) -> dict[str, float | int | str]:
    fields = msgspec.structs.asdict(vector)
    budget = msgspec.structs.asdict(vector.budget)
    fields.pop("budget")
    return {**fields, **{f"budget.{name}": value for name, value in budget.items()}}
