"""The part of the page's fold that follows files, state and homeostasis, memory, judges, identity and peers."""

from __future__ import annotations

from typing import Final

from life.aios.json import Json
from life.aios.record import EventRecord
from life.workspace.rows import last, notice, push, ruling
from life.workspace.run_folds import Step
from life.workspace.state import CAPS, File, Gates, Memory, Mode, Noted, Peer, Sample, State, Vector
from life.workspace.values import Fields, capped, count, fields, fraction, short, text, truth


def file_write(state: State, event: Fields, _record: EventRecord) -> None:
    """A file has a new content; what a tool changed was told before, without its size."""
    path, blob = _path(event.get("path")), text(event.get("blob_hash"))
    known = _known(state, path)
    if known is not None and blob and known.hash == blob and known.op != "delete":
        known.op, known.size, known.seq, known.branch = "write", count(event.get("size_bytes")), state.seq, state.branch
        return
    _touch(state, known, path, "write", blob, count(event.get("size_bytes")))


def file_delete(state: State, event: Fields, _record: EventRecord) -> None:
    """A file is gone."""
    path = _path(event.get("path"))
    _touch(state, _known(state, path), path, "delete", "", -1)


def file_rename(state: State, event: Fields, _record: EventRecord) -> None:
    """A file has another name."""
    old, new = _path(event.get("old_path")), _path(event.get("new_path"))
    before = _known(state, old)
    if before is not None:
        _drop(state, before)
    digest, size = ("", -1) if before is None else (before.hash, before.size)
    _touch(state, _known(state, new), new, "rename", digest, size)
    state.files[-1].was = old


def file_mutated(state: State, event: Fields, _record: EventRecord) -> None:
    """A workspace file changed; an event that tells its content says more."""
    path, content = _path(event.get("path")), text(event.get("content_hash"))
    state.totals.files = capped(state.totals.files + 1)
    known = _known(state, path)
    if content == "deleted":
        _touch(state, known, path, "delete", "", -1)
    elif known is None or known.hash != content or known.op == "delete":
        _touch(state, known, path, "change", content, -1)


def _known(state: State, path: str) -> File | None:
    return _by_path(state).get(path)


def _by_path(state: State) -> dict[str, File]:
    """The files by path: kept beside the state, never written down, and made anew for a state that was read back."""
    known: dict[str, File] | None = state.__dict__.get("by_path")
    if known is None:
        known = state.__dict__["by_path"] = {row.path: row for row in state.files}
    return known


def _drop(state: State, known: File) -> None:
    state.files.remove(known)
    del _by_path(state)[known.path]


def _path(value: Json) -> str:
    """A path in the workspace; versions of files begin at a root."""
    return text(value).removeprefix("/")


def _touch(state: State, known: File | None, path: str, op: str, digest: str, size: int) -> None:
    touched = 1
    if known is not None:
        touched = capped(known.count + 1)
        _drop(state, known)
    row = File(
        path=path, op=op, seq=state.seq, branch=state.branch, time=state.time, size=size, hash=digest, count=touched
    )
    state.files.append(row)
    _by_path(state)[path] = row
    if len(state.files) > CAPS["files"]:
        _drop(state, state.files[0])


def state_estimated(state: State, event: Fields, _record: EventRecord) -> None:
    """The state vector."""
    told = fields(event.get("state"))
    budget = fields(told.get("budget"))
    vector = Vector(
        seq=state.seq,
        progress=fraction(told.get("progress")),
        uncertainty=fraction(told.get("uncertainty")),
        risk=text(told.get("risk_level")),
        error_streak=count(told.get("error_streak")),
        context_pressure=fraction(told.get("context_pressure")),
        side_effect_pressure=fraction(told.get("side_effect_pressure")),
        human_dependency=fraction(told.get("human_dependency")),
        tokens_remaining=count(budget.get("tokens_remaining")),
        time_remaining_ms=count(budget.get("time_remaining_ms")),
        tool_calls_remaining=count(budget.get("tool_calls_remaining")),
        error_budget_remaining=count(budget.get("error_budget_remaining")),
    )
    state.vector, state.mode = vector, text(event.get("mode"))
    sample = Sample(
        seq=state.seq,
        progress=vector.progress,
        uncertainty=vector.uncertainty,
        context_pressure=vector.context_pressure,
        side_effect_pressure=vector.side_effect_pressure,
        error_streak=vector.error_streak,
    )
    push(state.samples, sample, "samples")


def mode_changed(state: State, event: Fields, _record: EventRecord) -> None:
    """The operating mode moved."""
    now = text(event.get("to"))
    mode = Mode(seq=state.seq, was=text(event.get("from")), now=now, reason=short(event.get("reason")))
    push(state.modes, mode, "modes")
    state.mode = now


def gates_updated(state: State, event: Fields, _record: EventRecord) -> None:
    """What is permitted from here on."""
    told = fields(event.get("gates"))
    state.gates = Gates(
        seq=state.seq,
        side_effects=truth(told.get("allow_side_effects")),
        approval_for_risk=text(told.get("require_approval_for_risk")),
        tool_calls=count(told.get("max_tool_calls_per_tick")),
        mutations=count(told.get("max_file_mutations_per_tick")),
        network=truth(told.get("allow_network")),
        shell=truth(told.get("allow_shell")),
        reason=short(event.get("reason")),
    )
    ruling(state, "GatesUpdated", short(event.get("reason")))


def regulated(state: State, event: Fields, _record: EventRecord) -> None:
    """The regulator's word on model, length and mode."""
    if truth(event.get("gates_lifted")):
        state.gates = None
    ruling(state, "arcan.regulated", short(event.get("reason")))


def remembered(what: str, key: str) -> Step:
    """An event of memory or knowledge; `key` names its thing."""

    def step(state: State, event: Fields, _record: EventRecord) -> None:
        row = Memory(
            seq=state.seq,
            branch=state.branch,
            what=what,
            id=short(event.get(key)),
            scope=text(event.get("scope")),
            path=short(event.get("path")),
        )
        push(state.memory, row, "memory")

    return step


def peer_started(state: State, event: Fields, _record: EventRecord) -> None:
    """Another agent works for this one."""
    row = Peer(
        call=text(event.get("call_id")),
        agent=text(event.get("agent")),
        session=text(event.get("session_id")),
        state="working",
        seq=state.seq,
        detail=short(event.get("objective")),
    )
    push(state.peers, row, "peers")


def peer_moved(key: str) -> Step:
    """How it stands, or how it ended."""

    def step(state: State, event: Fields, _record: EventRecord) -> None:
        call = text(event.get("call_id"))
        row = last(state.peers, lambda each: each.call == call)
        if row is not None:
            row.state, row.seq = short(event.get(key)), state.seq

    return step


def family(state: State, name: str, event: Fields) -> None:
    """Events of a family that is listed as it is: judges, identity, homeostasis. Others change nothing."""
    reason = short(event.get("reason")) or short(event.get("explanation"))
    if name.startswith("eval."):
        push(state.judge, Noted(seq=state.seq, type=name, detail=reason), "judge")
    elif name.startswith("anima."):
        push(state.identity, Noted(seq=state.seq, type=name, detail=reason), "identity")
    elif name.startswith("autonomic."):
        ruling(state, name, reason)
    elif name.startswith("skill."):
        notice(state, name, short(event.get("name")))


SIDES: Final[dict[str, Step]] = {
    "FileWrite": file_write,
    "FileDelete": file_delete,
    "FileRename": file_rename,
    "FileMutated": file_mutated,
    "StateEstimated": state_estimated,
    "ModeChanged": mode_changed,
    "GatesUpdated": gates_updated,
    "arcan.regulated": regulated,
    "MemoryProposed": remembered("proposed", "proposal_id"),
    "MemoryCommitted": remembered("committed", "memory_id"),
    "MemoryTombstoned": remembered("tombstoned", "memory_id"),
    "ObservationAppended": remembered("observed", "observation_ref"),
    "ReflectionCompacted": remembered("reflected", "summary_ref"),
    "KnowledgeSearched": remembered("searched", "query"),
    "KnowledgeRetrieved": remembered("retrieved", "source"),
    "KnowledgeEvaluated": remembered("evaluated", ""),
    "arcan.subagent_started": peer_started,
    "arcan.subagent_waiting": peer_moved("status"),
    "arcan.subagent_finished": peer_moved("reason"),
}
