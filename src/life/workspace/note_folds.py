"""The part of the page's fold that follows knowledge: notes with `[[links]]` that calls write, and what searches lead to.

Memory keeps its events in streams of its own; a session's journal has the calls, so the graph is drawn from those.
"""

from __future__ import annotations

import re
from typing import Final

from life.aios.json import Json
from life.workspace.rows import push
from life.workspace.state import State
from life.workspace.surroundings import Note
from life.workspace.values import Fields, fields, items, short, text

_LINK: Final = re.compile(r"\[\[([^\[\]|#\n]{1,120})")
_MOST_LINKS: Final = 20
_MOST_FOUND: Final = 12

_SEARCHES: Final = {"memory_search": "matches", "knowledge_search": "results"}


def links_in(content: str) -> list[str]:
    """The targets of a text's `[[links]]`, each once."""
    found: list[str] = []
    for match in _LINK.finditer(content):
        target = match[1].strip(" ")
        if target and target not in found:
            found.append(target)
            if len(found) == _MOST_LINKS:
                break
    return found


def noted(state: State, call: str, tool: str, arguments: Json) -> None:
    """A call is asked for, or has other arguments now."""
    state.notes = [row for row in state.notes if row.call != call]
    given = fields(arguments)
    if tool == "write_memory":
        _asked(state, call, "memory", short(given.get("key")), links_in(text(given.get("content"))))
    elif tool == "memory_propose":
        for item in items(given.get("entries"))[:_MOST_FOUND]:
            content = text(fields(item).get("content"))
            links = links_in(content)
            if links:
                _asked(state, call, "memory", short(content, 60), links)
    elif tool == "write_file":
        links = links_in(text(given.get("content")))
        if links:
            _asked(state, call, "file", short(given.get("path")), links)
    elif tool in _SEARCHES:
        _asked(state, call, "search", short(given.get("query")), [])


def _asked(state: State, call: str, kind: str, name: str, links: list[str]) -> None:
    row = Note(seq=state.seq, branch=state.branch, call=call, kind=kind, id=name, links=links, state="asked")
    push(state.notes, row, "notes")


def answered(state: State, call: str, tool: str, status: str, result: Json) -> None:
    """The call ended."""
    told = fields(result)
    for row in state.notes:
        if row.call == call and row.state == "asked":
            row.state = "ok" if status == "ok" else "failed"
            row.ref = short(told.get("id")) if row.kind == "memory" else ""
            if row.kind == "search" and status == "ok":
                row.links = _found(told, _SEARCHES.get(tool, ""))
    if tool == "memory_graph" and status == "ok":
        for item in items(told.get("notes"))[:_MOST_FOUND]:
            note = fields(item)
            links = [short(link, 120) for link in items(note.get("links")) if text(link)][:_MOST_LINKS]
            push(
                state.notes,
                Note(
                    seq=state.seq,
                    branch=state.branch,
                    call=call,
                    kind="found",
                    id=_name(note),
                    links=links,
                    state="ok",
                ),
                "notes",
            )


def _found(told: Fields, key: str) -> list[str]:
    names = [_name(fields(item)) for item in items(told.get(key))[:_MOST_FOUND]]
    return [name for name in names if name]


def _name(told: Fields) -> str:
    return short(told.get("name")) or short(told.get("path")) or short(told.get("id"))
