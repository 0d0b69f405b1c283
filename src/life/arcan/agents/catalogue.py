"""The agents of some folders. One bad file takes only its own agent away, and is named with the reason.

Folders are read with what lies below them, the first that has a name wins. A link is followed only within its folder; files
without frontmatter or without a body are documentation (README.md) and passed by. Source: arcan.md §11.1.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from life.arcan.agents.definition import MAX_FILE_BYTES, AgentDefinition, parse_definition
from life.arcan.errors import AgentDefinitionError, AgentNotFoundError

MOST_AGENTS: Final = 256
MOST_FILES: Final = 2_048


class BadFile(NamedTuple):
    """A file that gives no agent, and why."""

    path: str
    reason: str


class AgentCatalogue:
    """Agents by name."""

    def __init__(self, agents: Sequence[AgentDefinition] = (), problems: Sequence[BadFile] = ()) -> None:
        self._agents = {agent.name: agent for agent in sorted(agents, key=lambda agent: agent.name)}
        self.problems = tuple(problems)
        """What was not taken, with the reason."""

    @property
    def agents(self) -> tuple[AgentDefinition, ...]:
        """All, by name."""
        return tuple(self._agents.values())

    def find(self, name: str) -> AgentDefinition | None:
        """The agent of this name."""
        return self._agents.get(name)

    def get(self, name: str) -> AgentDefinition:
        """The agent of this name, or AgentNotFoundError."""
        found = self._agents.get(name)
        if found is None:
            raise AgentNotFoundError(name)
        return found


def load_agents(folders: Sequence[Path]) -> AgentCatalogue:
    """The agents of these folders; a folder that is missing has none. Blocking: it reads files."""
    agents: dict[str, AgentDefinition] = {}
    problems: list[BadFile] = []
    for folder in folders:
        for path in _files(folder, problems):
            try:
                definition = parse_definition(_read(path), stem=path.stem, path=str(path))
            except AgentDefinitionError as error:
                problems.append(BadFile(str(path), error.message))
                continue
            except OSError as error:
                problems.append(BadFile(str(path), f"It can't be read: {error.strerror}."))
                continue
            if definition is None:
                continue
            if definition.name in agents:
                problems.append(BadFile(str(path), f"{agents[definition.name].path} has this name already."))
            elif len(agents) == MOST_AGENTS:
                problems.append(BadFile(str(path), f"There are {MOST_AGENTS} agents already."))
            else:
                agents[definition.name] = definition
    return AgentCatalogue(list(agents.values()), problems)


def _files(folder: Path, problems: list[BadFile]) -> list[Path]:
    """The Markdown files below a folder, in order, none of them outside of it."""
    if not folder.is_dir():
        return []
    root = folder.resolve()
    found: list[Path] = []
    for place, folders, names in os.walk(root, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            if path.suffix != ".md":
                continue
            if not path.resolve().is_relative_to(root):
                problems.append(BadFile(str(path), "It leads out of its folder."))
            elif len(found) == MOST_FILES:
                problems.append(BadFile(str(root), f"It holds more than {MOST_FILES} files; the rest was not read."))
                return found
            else:
                found.append(path)
    return found


def _read(path: Path) -> bytes:
    """A regular file's content, and a little more than is accepted of one that is too large."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise AgentDefinitionError("It is not a regular file.")
        return file.read(MAX_FILE_BYTES + 1)
