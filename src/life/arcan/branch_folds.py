"""The part of a session's fold that follows its branches, and what a branch inherits. Pure and total.

    forked       the state that a branch begins with: its parent's at the fork, with nothing going on
    restored     the state that goes on from an earlier point: its conversation and vector, everything else as it is
    brought_in   the conversation of a merged branch, placed at the merge

An event alone can't say what happened on another branch or earlier; `life.arcan.checkpoints.SessionHistory` reads that and
calls these. The functions for single events take the state, the kind and the record, like those of `life.arcan.call_folds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from life.aios import events
from life.aios.ids import derived_event_id
from life.aios.ports.provider import Block, ChatMessage, TextBlock, ToolResultBlock, ToolUseBlock
from life.aios.record import EventRecord
from life.aios.state import TokenUsage
from life.arcan import branch_events as branching
from life.arcan import vector as vectors
from life.arcan.accounting import count, mode
from life.arcan.context.tokens import message_bytes
from life.arcan.session_state import CallState, FinishedRun, MergedRange, SessionState

NOT_RUN_HERE: Final = "Not run on this branch."
STARTED_ELSEWHERE: Final = "This call was running on another branch when this one was forked. Its result is not known here, and it is not run again."

_MERGED_WORDS: Final = "[The branch {name} was merged here. What was said and done on it follows.]"


def branch_merged(state: SessionState, kind: events.BranchMerged, record: EventRecord) -> SessionState:
    """Another branch became part of this one, up to `merge_seq`."""
    known = [merge for merge in state.merges if merge.source != kind.source_branch_id]
    merged = MergedRange(source=kind.source_branch_id, through=count(kind.merge_seq))
    return _unplaced(replace(state, merges=(*known, merged)), record)


def checkpoint_restored(state: SessionState, _kind: events.CheckpointRestored, record: EventRecord) -> SessionState:
    """Work goes on from an earlier point."""
    return _unplaced(state, record)


def branch_sealed(state: SessionState, sealed: branching.BranchSealed, _record: EventRecord) -> SessionState:
    """This branch was merged and is read-only."""
    return state if state.merged_into else replace(state, merged_into=sealed.target_branch_id)


def files_placed(state: SessionState, _placed: branching.FilesPlaced, _record: EventRecord) -> SessionState:
    """The working copy is up to date."""
    return replace(state, unplaced=None)


def forked(parent: SessionState, branch_id: str) -> SessionState:
    """What a branch begins with. A run that was open at the fork has ended here (`forked`); its open calls are answered as
    not run, so that nothing of it can happen twice."""
    run = parent.run
    last = parent.last_run
    if run is not None:
        prompt, completion = run.prompt_tokens, run.completion_tokens
        usage = TokenUsage(prompt, completion, count(prompt + completion))
        last = FinishedRun(run_id=run.run_id, reason="forked", steps=run.steps, usage=usage)
    begun = _at_rest(parent)
    # Places of messages are sequences of the branch; what it inherited came before its first event.
    conversation = replace(begun.conversation, ends=(0,) * len(begun.conversation.sealed))
    begun = replace(
        begun,
        branch_id=branch_id,
        head=0,
        last_run=last,
        queue=(),
        held=False,
        merged_into="",
        merges=(),
        unplaced=None,
        conversation=conversation,
    )
    return replace(begun, mode=mode(begun))


def restored(now: SessionState, then: SessionState) -> SessionState:
    """The state that goes on from `then`: what was said and how the agent was doing. What was spent stays spent, and rules,
    gates and counters are those of now: a way back must not bring back a permission."""
    earlier = _at_rest(then)
    state = replace(
        now,
        conversation=earlier.conversation.placed(then.head),
        context=earlier.context,
        vector=earlier.vector,
        estimated=None,
    )
    return replace(state, mode=mode(state))


def brought_in(state: SessionState, messages: Sequence[ChatMessage], *, source: str, name: str) -> SessionState:
    """`messages` of a merged branch after those of this one. Call ids are made distinct: both sides counted on from the fork."""
    if not messages:
        return state
    sealed = state.conversation.seal()
    mark = derived_event_id("arcan.merged-call", state.session_id, source)[:8]
    words = _MERGED_WORDS.format(name=name)
    added = (ChatMessage("user", (TextBlock(words),)), *(_renamed(message, mark) for message in messages))
    conversation = replace(
        sealed,
        sealed=(*sealed.sealed, *added),
        answered=added[-1].role == "assistant",
        size_bytes=sealed.size_bytes + sum(map(message_bytes, added)),
    )
    return replace(state, conversation=conversation.placed(state.head))


def _at_rest(state: SessionState) -> SessionState:
    conversation = state.conversation
    for call in state.calls:
        conversation = conversation.tool_answered(call.call_id, _last_words(call), is_error=True)
    vector = vectors.person_decided(state.vector) if state.status in ("waiting", "in_doubt") else state.vector
    return replace(state, run=None, calls=(), conversation=conversation.seal(), vector=vector)


def _last_words(call: CallState) -> str:
    return STARTED_ELSEWHERE if call.phase in ("running", "in_doubt") else NOT_RUN_HERE


def _unplaced(state: SessionState, record: EventRecord) -> SessionState:
    """The working copy is behind since the event before this one, or longer."""
    if state.unplaced is not None:
        return state
    return replace(state, unplaced=count(record.sequence - 1))


def _renamed(message: ChatMessage, mark: str) -> ChatMessage:
    blocks: list[Block] = []
    for block in message.content:
        if isinstance(block, ToolUseBlock | ToolResultBlock):
            blocks.append(replace(block, call_id=f"{block.call_id}-{mark}"))
        else:
            blocks.append(block)
    return replace(message, content=tuple(blocks))
