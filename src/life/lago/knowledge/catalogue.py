"""The table of contents of a vault (lago.md §13, "Catalogue").

### folder
- name | title or core_claim or name | tags: a, b
"""

from __future__ import annotations

from life.lago.knowledge.index import NoteIndex
from life.lago.knowledge.links import note_name
from life.lago.knowledge.text import cut_text

_LINE_CHARACTERS = 200


def catalogue(index: NoteIndex) -> str:
    """Markdown: folders and their notes, by path. Notes of the top folder stand under `/`."""
    index.refresh()
    folders: dict[str, list[str]] = {}
    for claim in index.claims():
        path = index.graph[claim.number].path
        name = note_name(path)
        line = f"- {name} | {_line(claim.title or claim.claim or name)}"
        if claim.tags:
            line += f" | tags: {', '.join(map(_line, claim.tags))}"
        folders.setdefault(path.rpartition("/")[0].lstrip("/") or "/", []).append(line)
    return "\n\n".join("\n".join([f"### {folder}", "", *folders[folder]]) for folder in sorted(folders))


def _line(text: str) -> str:
    return cut_text(" ".join(text.split()), _LINE_CHARACTERS)
