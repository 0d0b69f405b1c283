"""The examples with agents, run as they stand: offline, without a key."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.harness.process import ChildProcess

EXAMPLES = Path(__file__).parents[2] / "examples"


def output(name: str, folder: Path) -> list[str]:
    """What the example prints."""
    with ChildProcess.spawn(
        [sys.executable, str(EXAMPLES / name)], cwd=folder, env={"LIFE_KEY_FILE": str(folder / "keys" / "key")}
    ) as process:
        assert process.wait(deadline_s=60) == 0, process.stderr()
        return process.stdout().splitlines()


@pytest.mark.part("bubblewrap")
@pytest.mark.part("git")
def test_the_coding_agent_mends_a_real_repository(tmp_path: Path) -> None:
    """It runs the failing tests in the sandbox, reads, edits by tag, runs them again and commits; Git shows one changed line."""
    lines = output("coding_agent.py", tmp_path)
    assert [line.split()[1] for line in lines[:6]] == ["bash", "read_file", "read_file", "edit_file", "bash", "bash"]
    assert lines[6].endswith("Mended, the tests pass, and it is committed.")
    assert "Coding agent: Take the discount in percent" in lines
    assert lines[-1].strip() == "1 file changed, 1 insertion(+), 1 deletion(-)"


def test_two_reviewers_work_for_one_session(tmp_path: Path) -> None:
    """Typed answers of two children, and the tree that is left of them."""
    assert output("subagents.py", tmp_path) == [
        "a.py is good; b.py evaluates its input and must change.",
        "session: completed, 2 steps, 4 calls",
        "  reviewer: completed, 2 steps, 1 calls",
        "  reviewer: completed, 2 steps, 1 calls",
    ]


@pytest.mark.parametrize(
    ("example", "lines"),
    [
        (
            "pydantic_ai_agent.py",
            [
                "waiting: send_mail",
                "sent to ann@example.org: The report is ready.",
                "completed: Ann was told. (2 model calls)",
            ],
        ),
        (
            "openai_agents_agent.py",
            ["waiting: refund", "refunded 2000000 for A-1", "completed: Order A-1 is refunded. (3 model calls)"],
        ),
        ("langgraph_agent.py", ["completed: Sun over Oslo; the plan is written.", "Walk."]),
    ],
)
def test_agents_of_other_frameworks_run(tmp_path: Path, example: str, lines: list[str]) -> None:
    """An approval across a restart with one mail sent, a handoff with an approval, a tool of the runtime within limits."""
    assert output(example, tmp_path) == lines
