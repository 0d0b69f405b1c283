"""A LangGraph agent as a session of Life: journal, gate, budget and payments around it. Offline.

pip install 'lifeos[langgraph]'
python examples/langgraph_agent.py
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

import life
from life.arcan.events import RunLimits
from life.arcan.foreign.langgraph import LangGraphLoop
from life.arcan.foreign.outside_loop import OutsideLoop


class Play(BaseChatModel):
    """Stands in for a model: `create_agent("anthropic:…", …)` is all that changes."""

    @property
    def _llm_type(self) -> str:
        return "play"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        place = sum(isinstance(message, AIMessage) for message in messages)
        wanted = [
            [{"name": "weather", "args": {"city": "Oslo"}, "id": "call-1"}],
            [{"name": "write_file", "args": {"path": "plan.txt", "content": "Walk."}, "id": "call-2"}],
        ]
        message = (
            AIMessage("", tool_calls=wanted[place]) if place < 2 else AIMessage("Sun over Oslo; the plan is written.")
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"Sun over {city}."


async def main() -> None:
    """The graph's own tool and one of the runtime's, both behind the gate, within a limit of steps."""
    loop = OutsideLoop(
        LangGraphLoop(
            lambda tools, desk: create_agent(Play(), tools, middleware=[desk]),
            tools=[weather],
            name="guide",
            read_only=("weather",),
        ),
        runtime_tools=("write_file",),
    )
    with tempfile.TemporaryDirectory() as folder:
        async with life.open(Path(folder) / ".life", loop=loop) as agent:
            runtime = agent.system.runtime
            await runtime.create_session("trip")
            report = await runtime.run("trip", "What shall I do in Oslo?", limits=RunLimits(max_steps=5))
            print(f"{report.reason}: {report.final_answer}")
            print((Path(await runtime.workspace("trip")) / "plan.txt").read_text())


if __name__ == "__main__":
    asyncio.run(main())
