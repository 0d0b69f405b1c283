"""A tool of your own: a typed function, registered beside the built-in ones. Offline; nothing outside a temporary folder.

python examples/custom_tool.py
"""

import asyncio
import tempfile
from typing import Annotated

from life.aios.json import Json
from life.aios.ports.tools import ToolCall, ToolContext
from life.praxis.function_tool import tool
from life.praxis.standard import file_tools


@tool(read_only=True)
async def word_count(
    text: Annotated[str, "The text to count."], at_least: Annotated[int, "Length of a word."] = 1
) -> int:
    """Count the words of a text."""
    return sum(len(word) >= at_least for word in text.split())


async def main() -> None:
    """Register it and call it as a runtime does: validated, within its time, never raising."""
    tools = file_tools()
    calls: list[Json] = [{"text": "an agent and its tools", "at_least": 3}, {"words": "not a parameter"}]
    tools.register(word_count)
    with tempfile.TemporaryDirectory() as folder:
        context = ToolContext(
            session_id="example",
            branch_id="main",
            agent_id="example",
            run_id="run-1",
            workspace=folder,
            idempotency_key="example/run-1/call-1",
        )
        for arguments in calls:
            call = ToolCall("call-1", "word_count", arguments)
            print((await tools.execute(call, context)).output)


asyncio.run(main())
