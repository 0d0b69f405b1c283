"""The agents of a project: where their files are, a new one, and what can be said about one before it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from life.arcan.agents.catalogue import AgentCatalogue, load_agents
from life.arcan.agents.definition import check_name, parse_definition
from life.arcan.errors import AgentDefinitionError
from life.host.data_directory import DataDirectory

FOLDER: Final = "agents"
VARIABLE: Final = "ARCAN_AGENTS_DIR"

_TEMPLATE: Final = """---
name: {name}
description: {description}
# model: anthropic:claude-sonnet-4-5   (without it: the model of whoever runs it)
max_turns: 16
# allowed_tools: [read_file, list_dir, grep, glob]   (without it: all that its parent has)
output_schema:
  type: object
  required: [answer]
  properties:
    answer: {{type: string}}
---
You are {name}. Say here what you do, how, and what a good answer holds.
"""


def agent_folders(data: DataDirectory, environment: Mapping[str, str], chosen: Path | None = None) -> list[Path]:
    """The folders to look through, first wins: the chosen one alone, or that of ARCAN_AGENTS_DIR, or `agents` beside the data
    directory and in it."""
    if chosen is not None:
        return [chosen]
    if environment.get(VARIABLE):
        return [Path(environment[VARIABLE])]
    return [data.root.resolve().parent / FOLDER, data.root / FOLDER]


def open_agents(data: DataDirectory, environment: Mapping[str, str], chosen: Path | None = None) -> AgentCatalogue:
    """The agents of a project, read now. A file that does not fit takes only its own agent away."""
    return load_agents(agent_folders(data, environment, chosen))


def new_agent(folder: Path, name: str, description: str) -> Path:
    """Write the beginning of an agent's file; its path. AgentDefinitionError: the name can't be one, or its file is there."""
    check_name(name)
    text = _TEMPLATE.format(name=name, description=_quoted(description))
    assert parse_definition(text.encode(), stem=name) is not None
    path = folder / f"{name}.md"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise AgentDefinitionError(f"{path} is there already.") from None
    except OSError as error:
        raise AgentDefinitionError(f"{path} can't be written: {error.strerror}.") from None
    return path


def _quoted(text: str) -> str:
    """`text` as a YAML scalar on one line."""
    return "'" + " ".join(text.split()).replace("'", "''") + "'"
