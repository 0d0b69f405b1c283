"""Agents as files: what fits is taken, what does not is named, and nothing in them runs (arcan.md §11.1)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.json import JsonObject
from life.arcan.agents.catalogue import load_agents
from life.arcan.agents.definition import parse_definition
from life.arcan.agents.schemas import schema_problem, violations
from life.arcan.errors import AgentDefinitionError

GOOD = """---
name: reviewer
description: Reads a change.
model: scripted
max_turns: 12
allowed_tools: [read_file, grep]
input_schema: {type: object, required: [path]}
output_schema: {type: object, required: [verdict], properties: {verdict: {enum: [good, bad]}}}
extensions: {team: blue}
colour: red
---
You review one file.
"""


def test_a_definition_is_read_whole() -> None:
    """Every key stands where it belongs; an unknown one is a remark."""
    found = parse_definition(GOOD.encode(), stem="reviewer")
    assert found is not None
    assert (found.model, found.max_turns, found.max_retries) == ("scripted", 12, 3)
    assert found.allowed_tools == ("read_file", "grep") and found.instructions == "You review one file."
    assert found.extensions == {"team": "blue"} and found.remarks == ("The key 'colour' is not known.",)
    assert len(found.digest) == 64


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("name: reviewer", "name: other"), "is named 'other'"),
        (("name: reviewer", "name: ../reviewer"), "A name is"),
        (("description: Reads a change.", "description: ''"), "description"),
        (("max_turns: 12", "max_turns: 0"), "max_turns"),
        (("max_turns: 12", "max_turns: lots"), "max_turns"),
        (("enum: [good, bad]", "type: 7"), "output_schema"),
        (("input_schema: {type: object", "input_schema: {$ref: 'http://127.0.0.1/x', type: object"), "leads outside"),
        (("input_schema: {type: object", "input_schema: {$ref: '#/nowhere', type: object"), "leads nowhere"),
        (("input_schema: {type: object", "input_schema: {$ref: '#', type: object"), "without end"),
        (("extensions: {team: blue}", "extensions: {a: &x [1], b: *x}"), "alias"),
        (("extensions: {team: blue}", "extensions: !!python/object/apply:os.system [true]"), "plain values"),
        (("extensions: {team: blue}", "extensions: " + "[" * 60 + "]" * 60), "nested"),
        (("allowed_tools: [read_file, grep]", "allowed_tools: read_file"), "allowed_tools"),
        (("---\nYou", "You"), "no end"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(change: tuple[str, str], words: str) -> None:
    """Hostile or wrong files: a clear sentence, no traceback, nothing fetched and nothing run."""
    assert change[0] in GOOD
    with pytest.raises(AgentDefinitionError) as refused:
        parse_definition(GOOD.replace(*change, 1).encode(), stem="reviewer")
    assert words in refused.value.message


@given(st.binary(max_size=400))
def test_any_bytes_are_a_definition_documentation_or_an_error(raw: bytes) -> None:
    """Parsing is total."""
    for given_bytes in (raw, b"---\n" + raw + b"\n---\nbody"):
        try:
            parse_definition(given_bytes, stem="x")
        except AgentDefinitionError:
            pass


def test_one_bad_file_takes_only_its_own_agent_away(tmp_path: Path) -> None:
    """Folders are read with what is below them; documentation is passed by; links out, devices, large and second files are
    named; the first folder wins."""
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "team").mkdir(parents=True)
    second.mkdir()
    (first / "team" / "reviewer.md").write_text(GOOD)
    (second / "reviewer.md").write_text(GOOD.replace("Reads a change.", "Another."))
    (first / "README.md").write_text("# Agents\n")
    (first / "empty.md").write_text("---\nname: empty\n---\n")
    (first / "bad.md").write_bytes(b"\xff\xfe")
    (first / "large.md").write_text("---\nname: large\n---\n" + "x" * 200_000)
    (tmp_path / "secret.md").write_text(GOOD.replace("reviewer", "secret"))
    (first / "secret.md").symlink_to(tmp_path / "secret.md")
    os.mkfifo(first / "pipe.md")
    found = load_agents([first, second, tmp_path / "missing"])
    assert [each.name for each in found.agents] == ["reviewer"] and found.agents[0].description == "Reads a change."
    names = sorted(Path(problem.path).name for problem in found.problems)
    assert names == ["bad.md", "large.md", "pipe.md", "reviewer.md", "secret.md"]


def test_answers_are_checked_whole() -> None:
    """Nested objects, arrays, formats of numbers, local references: not only the top level."""
    schema: JsonObject = {
        "$defs": {"n": {"type": "integer", "minimum": 1}},
        "type": "object",
        "properties": {"rows": {"type": "array", "items": {"$ref": "#/$defs/n"}}},
        "required": ["rows"],
        "additionalProperties": False,
    }
    assert schema_problem(schema) is None
    assert violations({"rows": [1, 2]}, schema) == ()
    assert any("$.rows[1]" in each for each in violations({"rows": [1, 0]}, schema))
    assert violations({"rows": [], "more": 1}, schema) and violations({}, schema)
    assert violations({"rows": [0] * 50}, schema)[-1] == "… and more."
