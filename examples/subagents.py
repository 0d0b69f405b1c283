"""An agent that lets others work for it: two reviewers side by side with typed answers, within one budget. Offline.

python examples/subagents.py
"""

import asyncio
import tempfile
from pathlib import Path

import life
from life.aios.ports.provider import ModelRequest, TextBlock
from life.arcan.agents.fleet import FleetNode, read_fleet
from life.arcan.providers.scripted import ScriptedCall, ScriptedProvider, ScriptedTurn
from life.host.clock import SystemClock

REVIEWER = """---
name: reviewer
description: Reads one file and says whether it is good.
max_turns: 6
allowed_tools: [read_file]
input_schema: {type: object, required: [path], properties: {path: {type: string}}}
output_schema:
  type: object
  required: [verdict, reason]
  properties: {verdict: {enum: [good, bad]}, reason: {type: string}}
---
You review one file. Read it before you judge.
"""


def think(request: ModelRequest) -> ScriptedTurn:
    """The scripted model plays both parts; who it is stands in the instructions."""
    said = str([message.content for message in request.messages])
    if "You review one file" in request.system:
        path = "a.py" if '"a.py"' in said else "b.py"
        if "eval" not in said and "print" not in said:
            return ScriptedTurn(calls=(ScriptedCall("read_file", {"path": path}),))
        bad = "eval" in said
        answer = {"verdict": "bad" if bad else "good", "reason": "It evaluates its input." if bad else "Plain code."}
        return ScriptedTurn(calls=(ScriptedCall("record_answer", {"answer": answer}),))
    if isinstance(request.messages[-1].content[-1], TextBlock):
        both = tuple(ScriptedCall("spawn_agent", {"name": "reviewer", "input": {"path": p}}) for p in ("a.py", "b.py"))
        return ScriptedTurn(text="I let both be reviewed.", calls=both)
    return ScriptedTurn(text="a.py is good; b.py evaluates its input and must change.")


def show(node: FleetNode, depth: int = 0) -> None:
    """The tree of runs, with what each used."""
    who = node.agent or "session"
    print(f"{'  ' * depth}{who}: {node.reason}, {node.steps} steps, {node.spent.tool_calls} calls")
    for child in node.children:
        show(child, depth + 1)


async def main() -> None:
    """Two children of one answer, and the tree that is left of them."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "agents").mkdir()
        (Path(folder) / "agents" / "reviewer.md").write_text(REVIEWER)
        model = ScriptedProvider(think, clock=SystemClock())
        async with life.open(Path(folder) / ".life", provider=model) as agent:
            runtime = agent.system.runtime
            await runtime.create_session("review")
            workspace = Path(await runtime.workspace("review"))
            (workspace / "a.py").write_text("print('hello')\n")
            (workspace / "b.py").write_text("eval(input())\n")
            report = await agent.ask("Review a.py and b.py.", session_id="review")
            print(report.final_answer)
            show(await read_fleet(agent.system.journal, "review", agent.system.clock.now_us()))


if __name__ == "__main__":
    asyncio.run(main())
