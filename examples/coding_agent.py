"""A coding agent on a real repository: it finds a failing test, mends the code by line tags, runs the tests in the sandbox and commits.

python examples/coding_agent.py

Offline: the model is a script that reads what the tools answer, as a real one would. Leave `provider=` away and set
LIFE_MODEL_PROVIDER to let a real model do it. Needs git and bubblewrap; nothing outside a temporary folder is changed.
"""

import asyncio
import re
import subprocess
import tempfile
from pathlib import Path

import life
from life.aios.ports.provider import ModelRequest, TextBlock, ToolResultBlock
from life.arcan.providers.scripted import ScriptedCall, ScriptedProvider, ScriptedTurn
from life.host.clock import SystemClock
from life.host.settings import SandboxSettings, Settings

TASK = "The tests of this repository fail. Find out why, mend the code, and commit when they pass."

CODE = '''"""Totals of invoices, in cents."""


def total(prices: list[int], discount_percent: int = 0) -> int:
    """The sum of the prices, less the discount."""
    whole = sum(prices)
    return whole - whole * discount_percent // 10
'''

TESTS = """import unittest

from invoice import total


class TestTotal(unittest.TestCase):
    def test_plain(self) -> None:
        self.assertEqual(total([100, 250]), 350)

    def test_discount(self) -> None:
        self.assertEqual(total([1000], discount_percent=10), 900)


if __name__ == "__main__":
    unittest.main()
"""

RUN_TESTS = "python3 -B -m unittest -q test_invoice"
COMMIT = "git add invoice.py && git commit -q -m 'Take the discount in percent' && git log --oneline"


def think(request: ModelRequest) -> ScriptedTurn:
    """The scripted model: what it does next follows from the last thing it was told."""
    last = request.messages[-1].content[-1]
    if isinstance(last, TextBlock):
        return ScriptedTurn(text="First I run the tests.", calls=(ScriptedCall("bash", {"command": RUN_TESTS}),))
    assert isinstance(last, ToolResultBlock)
    if "FAILED" in last.content:
        look = (
            ScriptedCall("read_file", {"path": "test_invoice.py"}),
            ScriptedCall("read_file", {"path": "invoice.py"}),
        )
        return ScriptedTurn(text="The discount is wrong. I read the code.", calls=look)
    wrong = re.search(r"([0-9a-f]{8}) \|     return whole - whole \* discount_percent // 10(?!0)", last.content)
    if wrong is not None:
        mended = "    return whole - whole * discount_percent // 100"
        operation = {"op": "replace_line", "tag": wrong[1], "new_text": mended}
        edit = ScriptedCall("edit_file", {"path": "invoice.py", "ops": [operation]})
        return ScriptedTurn(text="Percent are hundredths.", calls=(edit,))
    if "discount_percent // 100" in last.content:
        return ScriptedTurn(text="Again the tests.", calls=(ScriptedCall("bash", {"command": RUN_TESTS}),))
    if "Take the discount in percent" in last.content:
        return ScriptedTurn(text="The discount was taken in tenths. Mended, the tests pass, and it is committed.")
    return ScriptedTurn(text="They pass.", calls=(ScriptedCall("bash", {"command": COMMIT}),))


def make_repository(folder: Path) -> None:
    """A repository with one commit and one mistake."""
    (folder / "invoice.py").write_text(CODE)
    (folder / "test_invoice.py").write_text(TESTS)
    for command in (
        ["init", "-q", "-b", "main"],
        ["config", "user.name", "Coding agent"],
        ["config", "user.email", "agent@example.org"],
        ["add", "."],
        ["commit", "-q", "-m", "Begin"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)


def show_commit(folder: Path) -> None:
    """What the agent committed."""
    subprocess.run(["git", "show", "--stat", "--format=%an: %s"], cwd=folder, check=True)


async def main() -> None:
    """Make the repository in the session's workspace, and let the agent work there."""
    # In one's own project a person confirms each command; here nobody is asked.
    settings = Settings(sandbox=SandboxSettings(confirm=False))
    with tempfile.TemporaryDirectory() as folder:
        model = ScriptedProvider(think, clock=SystemClock())
        async with life.open(Path(folder) / ".life", provider=model, settings=settings) as agent:
            runtime = agent.system.runtime
            await runtime.create_session("coding")
            repository = Path(await runtime.workspace("coding"))
            make_repository(repository)
            async for event in agent.run(TASK, session_id="coding"):
                if event.kind_name == "ToolCallRequested":
                    print(f"{event.sequence:>4}  {event.kind.tool_name}")
            print((await runtime.state("coding")).last_run.final_answer)
        await asyncio.to_thread(show_commit, repository)


if __name__ == "__main__":
    asyncio.run(main())
