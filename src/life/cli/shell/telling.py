"""Commands of the shell that tell something: status, cost, history, differences, memory, settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.text import Text

from life.aios.errors import InvalidInputError
from life.aios.record import EventRecord, format_timestamp
from life.arcan.session_state import SessionRule
from life.cli.shell import cards
from life.cli.shell.items import (
    MessageEnd,
    Said,
)
from life.cli.shell.transcript import Transcript
from life.cli.shell.words import dollars, one_line, plural, printable, size, tokens
from life.host.data_directory import DataDirectory
from life.host.settings import describe, load_settings

if TYPE_CHECKING:
    from life.cli.shell.conversation import Conversation

_PAGE: Final = 2000
_MOST_ROWS: Final = 40


async def status(conversation: Conversation, _rest: str) -> None:
    """Where things stand."""
    state = await conversation.state()
    vector = state.state
    rows = [
        ("session", f"{state.session_id}  {state.name if state.name != state.session_id else ''}".rstrip()),
        ("branch", state.branch),
        ("runs", conversation.client.place),
        ("model", await _model_name(conversation)),
        ("state", f"{state.status}, {state.phase}, mode {state.mode}"),
        ("progress", f"{vector.progress:.0%}, uncertainty {vector.uncertainty:.0%}, risk {vector.risk_level}"),
        ("events", str(state.version)),
        (
            "totals",
            f"{plural(state.totals.runs, 'run')}, {plural(state.totals.steps, 'step')}, "
            f"{plural(state.totals.calls_requested, 'tool call')} ({state.totals.calls_failed} failed)",
        ),
        ("data", str(conversation.data_dir)),
    ]
    if state.run is not None:
        limits = state.run.limits
        used = state.run.prompt_tokens + state.run.completion_tokens
        rows.append(
            (
                "run",
                f"step {state.run.steps} of {limits.max_steps}, {tokens(used)} of {tokens(limits.max_tokens)} tokens",
            )
        )
    _table(conversation, rows)


async def cost(conversation: Conversation, _rest: str) -> None:
    """Tokens and money."""
    used = conversation.view.transcript.usage
    rows = [
        ("answers", str(used.answers)),
        ("tokens", f"{used.prompt_tokens} in, {used.completion_tokens} out"),
        ("cached", f"{used.cached_tokens} of the prompt tokens"),
        ("tools", f"{plural(used.tool_calls, 'run')}, {used.tool_errors} failed"),
    ]
    if used.uncosted:
        known = f"{dollars(used.cost_micro)} for the others; " if used.cost_micro else ""
        rows.append(("cost", f"{known}{plural(used.uncosted, 'answer')} without a known price"))
    else:
        rows.append(("cost", dollars(used.cost_micro)))
    _table(conversation, rows)


async def context(conversation: Conversation, _rest: str) -> None:
    """How full the window is."""
    state = await conversation.state()
    pressure = state.state.context_pressure
    width = min(40, conversation.surface.width - 20)
    filled = round(min(1.0, max(0.0, pressure)) * width)
    bar = Text.assemble(("#" * filled, "yellow" if pressure > 0.8 else "green"), ("-" * (width - filled), "dim"))
    records = await all_events(conversation)
    frozen = next((record for record in reversed(records) if _custom_type(record) == "arcan.context_frozen"), None)
    lines = [Text.assemble("  window  ", bar, f" {pressure:.0%}")]
    if frozen is not None:
        data = getattr(frozen.kind, "data", None)
        blocks = data.get("blocks", []) if isinstance(data, dict) else []
        for block in blocks if isinstance(blocks, list) else []:
            if isinstance(block, dict):
                about = f"{block.get('kind', '')} {block.get('source', '')}".strip()
                lines.append(Text(f"  {about:<30} {block.get('tokens', '')} tokens", "dim"))
    shortened = sum(record.kind_name == "ContextCompacted" for record in records)
    lines.append(Text(f"  {plural(len(records), 'event')}, shortened {plural(shortened, 'time')}", "dim"))
    conversation.view.lines(lines)


async def model(conversation: Conversation) -> None:
    """The model, and those that could be chosen."""
    _table(
        conversation,
        [
            ("model", await _model_name(conversation)),
            ("choose", "/model SPEC, like anthropic, openai:MODEL, ollama:MODEL, scripted; /model default"),
        ],
    )


async def history(conversation: Conversation, rest: str) -> None:
    """The turns."""
    if rest and not rest.isdigit():
        raise InvalidInputError("/history N shows the last N turns.")
    turns = await _turns(conversation)
    shown = turns[-int(rest) :] if rest else turns[-_MOST_ROWS:]
    _show_turns(conversation, shown, len(turns))


async def search(conversation: Conversation, rest: str) -> None:
    """Turns with all of these words."""
    words = rest.lower().split()
    if not words:
        raise InvalidInputError("/search WORDS.")
    found = [turn for turn in await _turns(conversation) if all(word in turn[2].lower() for word in words)]
    _show_turns(conversation, found[-_MOST_ROWS:], len(found))


async def diff(conversation: Conversation, rest: str) -> None:
    """What became of files."""
    surface = conversation.surface
    changes = [each for each in conversation.view.transcript.files.changes() if rest in ("", each.path)]
    if not changes:
        conversation.view.note(
            f"No change of {rest} is known." if rest else "No file was changed here, as far as is known."
        )
        return
    for change in changes:
        head = Text(printable(change.path), "bold")
        conversation.view.lines(
            [head, *cards.difference(change, surface.glyphs, surface.width, most=400 if rest else 60)]
        )


async def files(conversation: Conversation, _rest: str) -> None:
    """The workspace."""
    found = await conversation.client.files(conversation.session_id, conversation.branch)
    if not found:
        conversation.view.note("The workspace is empty.")
        return
    rows = [Text(f"  {size(file.size_bytes):>12}  {printable(file.path)}") for file in found[:_MOST_ROWS]]
    if len(found) > _MOST_ROWS:
        rows.append(Text(f"  and {plural(len(found) - _MOST_ROWS, 'file')} more", "dim"))
    conversation.view.lines(rows)


async def memory(conversation: Conversation, rest: str) -> None:
    """What is remembered for the user."""
    from life.arcan.memory.scopes import Place
    from life.host.memory import open_project_memory

    async with open_project_memory(conversation.data_dir) as project:
        place = Place(conversation.session_id, project.agent_id, "", by_operator=True)
        service = project.memory.service
        if rest:
            rows: list[tuple[str, str]] = [
                (hit.scope, hit.excerpt) for hit in await service.search(place, rest, limit=10)
            ]
        else:
            rows = [
                (scope, each.content)
                for scope in ("session", "user", "agent", "org")
                for each in await service.query(place, scope, limit=10)
            ]
    if not rows:
        conversation.view.note("Nothing fits." if rest else "Nothing is remembered yet.")
        return
    _table(conversation, rows)


async def skills(conversation: Conversation, _rest: str) -> None:
    """The skills of the project."""
    from life.host.skills import skill_roots
    from life.praxis.skills.catalogue import discover

    data = DataDirectory(conversation.data_dir)
    settings = load_settings(data.config, os.environ).skills
    found = discover(
        skill_roots(data, settings, os.environ),
        trusted_signers=settings.trusted_signers,
        require_trusted=settings.require_trusted,
    )
    if not found.skills:
        conversation.view.note("No skills are here (docs/skills.md).")
        return
    _table(conversation, [(f"/{skill.name}", f"{skill.manifest.description} ({skill.mark})") for skill in found.skills])


def skill_names(conversation: Conversation) -> list[str]:
    """The names of skills that people may begin; empty when they can't be read."""
    from life.aios.errors import LifeError
    from life.host.skills import skill_roots
    from life.praxis.skills.catalogue import discover

    data = DataDirectory(conversation.data_dir)
    try:
        settings = load_settings(data.config, os.environ).skills
        found = discover(skill_roots(data, settings, os.environ), trusted_signers=settings.trusted_signers)
    except LifeError:
        return []
    return [skill.name for skill in found.skills if skill.manifest.user_invocable]


async def queue(conversation: Conversation, _rest: str) -> None:
    """What waits."""
    waiting = (await conversation.state()).queue
    if not waiting:
        conversation.view.note("No message waits.")
        return
    _table(conversation, [(each.mode, each.message) for each in waiting])


def rules(conversation: Conversation, found: tuple[SessionRule, ...]) -> None:
    """What is allowed for the session."""
    if not found:
        conversation.view.note("Nothing is allowed beyond the policy. Answer s to a question to allow such calls.")
        return
    rows = [(str(n), f"{rule.tool_name}: {', '.join(rule.patterns)}") for n, rule in enumerate(found, start=1)]
    _table(conversation, rows)


async def branches(conversation: Conversation) -> None:
    """The branches."""
    rows = []
    for each in await conversation.client.branches(conversation.session_id):
        here = "*" if each.branch_id == conversation.branch else " "
        origin = f"from {each.parent_branch} after {each.fork_sequence}" if each.parent_branch else ""
        merged = f", merged into {each.merged_into}" if each.merged_into else ""
        rows.append((f"{here} {each.name}", f"{plural(each.head_sequence, 'event')} {origin}{merged}"))
    _table(conversation, rows)


async def sessions(conversation: Conversation, _rest: str) -> None:
    """All sessions, newest first."""
    rows = []
    found = await conversation.client.sessions()
    for number, each in enumerate(found[:_MOST_ROWS], start=1):
        here = "*" if each.session_id == conversation.session_id else " "
        name = f"  {each.name}" if each.name != each.session_id else ""
        used = format_timestamp(each.updated_us)[:16].replace("T", " ")
        rows.append((f"{here}{number:>3}", f"{each.session_id}{name}  {used}  {each.state}"))
    _table(conversation, rows)
    if len(found) > _MOST_ROWS:
        conversation.view.note(f"and {len(found) - _MOST_ROWS} more: arcan session list")


async def config(conversation: Conversation, rest: str) -> None:
    """Settings, as `life settings`."""
    rows = describe(load_settings(DataDirectory(conversation.data_dir).config, os.environ))
    shown = [(name, value) for name, _variable, value in rows if rest in name and (rest or value)]
    if not shown:
        conversation.view.note(f"No setting has {rest} in its name.")
        return
    _table(conversation, shown)


async def all_events(conversation: Conversation) -> list[EventRecord]:
    """Every event of the branch."""
    records: list[EventRecord] = []
    while True:
        after = records[-1].sequence if records else 0
        page = await conversation.client.events(conversation.session_id, conversation.branch, after=after, limit=_PAGE)
        records += page
        if len(page) < _PAGE:
            return records


async def _model_name(conversation: Conversation) -> str:
    return conversation.view.transcript.model or conversation.client.model or "the daemon's own"


async def _turns(conversation: Conversation) -> list[tuple[int, str, str]]:
    """(sequence, who, text) of every turn."""
    transcript, turns = Transcript(), []
    for record in await all_events(conversation):
        for item in transcript.take(record):
            if isinstance(item, Said):
                turns.append((record.sequence, "you", item.text))
            elif isinstance(item, MessageEnd) and item.text:
                turns.append((record.sequence, "agent", item.text))
    return turns


def _show_turns(conversation: Conversation, turns: list[tuple[int, str, str]], total: int) -> None:
    if not turns:
        conversation.view.note("Nothing was said here." if not total else "Nothing fits.")
        return
    width = conversation.surface.width
    lines = [
        Text.assemble(
            (f"  {sequence:>5}  ", "dim"),
            (f"{who:<6}", "bold cyan" if who == "you" else "bold"),
            one_line(text, max(16, width - 16), more=conversation.surface.glyphs.more),
        )
        for sequence, who, text in turns
    ]
    if total > len(turns):
        lines.insert(0, Text(f"  the last {len(turns)} of {total}", "dim"))
    conversation.view.lines(lines)


def _table(conversation: Conversation, rows: Sequence[tuple[str, str]]) -> None:
    width = min(max(cell_len(name) for name, _ in rows), 34)
    room = max(16, conversation.surface.width - width - 6)
    more = conversation.surface.glyphs.more
    conversation.view.lines(
        [
            Text.assemble((f"  {printable(name):<{width}}  ", "dim"), one_line(value, room, more=more))
            for name, value in rows
        ]
    )


def _custom_type(record: EventRecord) -> str:
    return str(getattr(record.kind, "event_type", "")) if record.kind_name == "Custom" else ""
