"""One framework's agent loop over its own durable store, measured in a process of its own. `agent_peers.py` starts it.

    python agent_peer_loops.py NAME FOLDER TURNS CONVERSATIONS     prints one line of JSON

It runs in the environment of requirements/agent-peers.lock, so it imports nothing of Life, and of the frameworks only the one it
is asked for. The script is the same for all: a model that calls `fetch_row` so many times, once per answer, and then says
"Done."; a tool that gives 512 bytes at once. The framework's own settings make it keep as much as it can.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import itertools
import json
import logging
import os
import statistics
import sys
import time
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

RESULT = "x" * 512
OBJECTIVE = "Fetch the rows."
Conversation = Callable[[int], Awaitable[str]]
"""Runs one conversation of so many turns with a tool; its last words."""

_runs = 0
"""How often the tool ran: what keeps a framework honest."""


def fetch_row(row: int) -> str:
    """Fetch a row of the table."""
    global _runs
    _runs += 1
    return RESULT


def memory_kib(field: str) -> int:
    """Memory of this process from /proc: `VmRSS` now, `VmHWM` at its highest."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1])


def langgraph(folder: Path, kept: str = "disk") -> Conversation:
    """A state graph of a model node and the prebuilt tool node. Kept on "disk": SqliteSaver with `durability="sync"`; in "memory":
    the saver in memory; "" is no saver at all."""
    import sqlite3

    from langchain_core.messages import AIMessage
    from langchain_core.tools import tool
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.graph import END, START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode

    turns_of: dict[str, int] = {}

    def model(state: Any, config: Any) -> Any:
        count = len(state["messages"])
        if count > 2 * turns_of[config["configurable"]["thread_id"]]:
            return {"messages": [AIMessage("Done.")]}
        call = {"name": "fetch_row", "args": {"row": count}, "id": f"call-{count}"}
        return {"messages": [AIMessage("", tool_calls=[call])]}

    def next_node(state: Any) -> str:
        return "tools" if state["messages"][-1].tool_calls else END

    # Annotations are strings here, and the graph reads them: a dictionary is what a node without any gets.
    model.__annotations__ = {}
    next_node.__annotations__ = {}
    graph = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_node("tools", ToolNode([tool(fetch_row)]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", next_node, ["tools", END])
    graph.add_edge("tools", "model")
    saver: Any = InMemorySaver() if kept == "memory" else None
    if kept == "disk":
        saver = SqliteSaver(sqlite3.connect(folder / "langgraph.db", check_same_thread=False))
        saver.setup()
    compiled = graph.compile(checkpointer=saver)
    numbers = itertools.count()

    async def conversation(turns: int) -> str:
        thread = f"t{next(numbers)}"
        turns_of[thread] = turns
        config: Any = {"configurable": {"thread_id": thread}, "recursion_limit": 10**6}
        end = compiled.invoke(
            {"messages": [("user", OBJECTIVE)]}, config, durability="sync" if kept == "disk" else None
        )
        return str(end["messages"][-1].content)

    return conversation


def pydantic_ai(folder: Path, *, durable: bool = True) -> Conversation:
    """pydantic-ai, on DBOS over SQLite when `durable`: the model's steps and the tool's are both recorded."""
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel
    from pydantic_ai.usage import UsageLimits

    turns_now = 0

    def model(messages: Any, _info: Any) -> Any:
        if len(messages) > 2 * turns_now:
            return ModelResponse(parts=[TextPart("Done.")])
        return ModelResponse(parts=[ToolCallPart("fetch_row", {"row": len(messages)})])

    limits = UsageLimits(request_limit=None)
    if not durable:
        plain = Agent(FunctionModel(model), name="bench", tools=[asynchronous(fetch_row)])

        async def without(turns: int) -> str:
            nonlocal turns_now
            turns_now = turns
            return str((await plain.run(OBJECTIVE, usage_limits=limits)).output)

        return without

    from dbos import DBOS
    from pydantic_ai.durable_exec.dbos import DBOSDurability

    url = f"sqlite:///{folder / 'dbos.sqlite'}"
    DBOS(config={"name": "bench", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"})
    agent = Agent(FunctionModel(model), name="bench", capabilities=[DBOSDurability()])
    step = DBOS.step()(asynchronous(fetch_row))
    agent.tool_plain(step)

    @DBOS.workflow()
    async def chat() -> str:
        return str((await agent.run(OBJECTIVE, usage_limits=limits)).output)

    DBOS.launch()

    async def conversation(turns: int) -> str:
        nonlocal turns_now
        turns_now = turns
        return await chat()

    return conversation


def asynchronous(function: Callable[[int], str]) -> Callable[[int], Awaitable[str]]:
    """The tool as a coroutine function, so that no thread stands between."""

    async def fetch_row(row: int) -> str:
        """Fetch a row of the table."""
        return function(row)

    fetch_row.__annotations__ = {"row": int, "return": str}
    return fetch_row


def agno(folder: Path) -> Conversation:
    """agno with SqliteDb and a checkpoint after every batch of tools."""
    from agno.agent import Agent
    from agno.db.sqlite import SqliteDb
    from agno.models.base import Model
    from agno.models.response import ModelResponse

    turns_now = 0

    class Scripted(Model):
        def invoke(self, *args: Any, **kwargs: Any) -> Any:
            said = [message for message in kwargs["messages"] if message.role != "system"]
            if len(said) > 2 * turns_now:
                return ModelResponse(role="assistant", content="Done.")
            function = {"name": "fetch_row", "arguments": json.dumps({"row": len(said)})}
            call = {"id": f"call-{len(said)}", "type": "function", "function": function}
            return ModelResponse(role="assistant", tool_calls=[call])

        async def ainvoke(self, *args: Any, **kwargs: Any) -> Any:
            return self.invoke(*args, **kwargs)

        def invoke_stream(self, *args: Any, **kwargs: Any) -> Any:
            yield self.invoke(*args, **kwargs)

        async def ainvoke_stream(self, *args: Any, **kwargs: Any) -> Any:
            yield self.invoke(*args, **kwargs)

        def _parse_provider_response(self, response: Any, **kwargs: Any) -> Any:
            return response

        def _parse_provider_response_delta(self, response: Any) -> Any:
            return response

    agent = Agent(
        model=Scripted(id="scripted"),
        tools=[fetch_row],
        db=SqliteDb(db_file=str(folder / "agno.db")),
        checkpoint="tool-batch",
        telemetry=False,
    )
    numbers = itertools.count()

    async def conversation(turns: int) -> str:
        nonlocal turns_now
        turns_now = turns
        return str(agent.run(OBJECTIVE, session_id=f"s{next(numbers)}").content)

    return conversation


def openai_agents(folder: Path, *, durable: bool = True) -> Conversation:
    """OpenAI Agents, with SQLiteSession when `durable`; its tracing, which goes to the vendor, is off."""
    from agents import Agent, Model, ModelResponse, Runner, SQLiteSession, Usage, function_tool, set_tracing_disabled
    from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

    set_tracing_disabled(True)
    turns_now = 0

    class Scripted(Model):
        async def get_response(self, *args: Any, **kwargs: Any) -> Any:
            said = kwargs["input"] if "input" in kwargs else args[1]
            if len(said) > 2 * turns_now:
                text = ResponseOutputText(text="Done.", type="output_text", annotations=[])
                message = ResponseOutputMessage(
                    id="m", content=[text], role="assistant", status="completed", type="message"
                )
                return ModelResponse(output=[message], usage=Usage(), response_id=None)
            call = ResponseFunctionToolCall(
                name="fetch_row",
                arguments=json.dumps({"row": len(said)}),
                call_id=f"call-{len(said)}",
                type="function_call",
            )
            return ModelResponse(output=[call], usage=Usage(), response_id=None)

        def stream_response(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError  # nobody streams here

    agent = Agent(name="bench", model=Scripted(), tools=[function_tool(asynchronous(fetch_row))])
    numbers = itertools.count()

    async def conversation(turns: int) -> str:
        nonlocal turns_now
        turns_now = turns
        session = SQLiteSession(f"s{next(numbers)}", folder / "openai-agents.db") if durable else None
        try:
            return str((await Runner.run(agent, OBJECTIVE, session=session, max_turns=10**6)).final_output)
        finally:
            if session is not None:
                session.close()

    return conversation


def adk(folder: Path) -> Conversation:
    """ADK with its SqliteSessionService, which keeps every event."""
    from google.adk.agents import LlmAgent
    from google.adk.agents.run_config import RunConfig
    from google.adk.models.base_llm import BaseLlm
    from google.adk.models.llm_response import LlmResponse
    from google.adk.runners import Runner
    from google.adk.sessions.sqlite_session_service import SqliteSessionService
    from google.genai import types

    turns_now = 0

    class Scripted(BaseLlm):
        async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:
            count = len(llm_request.contents)
            part = types.Part(text="Done.")
            if count <= 2 * turns_now:
                part = types.Part(function_call=types.FunctionCall(name="fetch_row", args={"row": count}))
            yield LlmResponse(content=types.Content(role="model", parts=[part]))

    sessions = SqliteSessionService(str(folder / "adk.db"))
    tool = asynchronous(fetch_row)
    agent = LlmAgent(name="bench", model=Scripted(model="scripted"), tools=[tool])
    runner = Runner(app_name="bench", agent=agent, session_service=sessions)

    async def conversation(turns: int) -> str:
        nonlocal turns_now
        turns_now = turns
        session = await sessions.create_session(app_name="bench", user_id="ann")
        objective = types.Content(role="user", parts=[types.Part(text=OBJECTIVE)])
        said = ""
        async for event in runner.run_async(
            user_id="ann",
            session_id=session.id,
            new_message=objective,
            run_config=RunConfig(max_llm_calls=10**6),
        ):
            if event.content and event.content.parts and event.content.parts[0].text:
                said = event.content.parts[0].text
        return said

    return conversation


LOOPS: dict[str, tuple[str, Callable[[Path], Conversation]]] = {
    "langgraph": ("langgraph", langgraph),
    "langgraph_memory": ("langgraph", lambda folder: langgraph(folder, "memory")),
    "langgraph_plain": ("langgraph", lambda folder: langgraph(folder, "")),
    "pydantic_ai": ("pydantic-ai-slim", pydantic_ai),
    "pydantic_ai_plain": ("pydantic-ai-slim", lambda folder: pydantic_ai(folder, durable=False)),
    "agno": ("agno", agno),
    "openai_agents": ("openai-agents", openai_agents),
    "openai_agents_plain": ("openai-agents", lambda folder: openai_agents(folder, durable=False)),
    "adk": ("google-adk", adk),
}
"""Name, the package whose version is told, and what makes its conversations."""


async def measure(
    conversation: Conversation, turns: int, conversations: int, tool_runs: Callable[[], int]
) -> dict[str, float]:
    """Run one conversation of at most 20 turns that does not count, then the others, one after the other; the figures. `tool_runs`: how
    often the tool ran so far."""
    took = []
    for count in (min(turns, 20), *[turns] * conversations):
        before = tool_runs()
        began = time.perf_counter()
        said = await conversation(count)
        took.append((time.perf_counter() - began) * 1000)
        assert said == "Done.", said
        assert tool_runs() - before == count, "the tool did not run once per turn"
    return {
        "ms_per_turn": statistics.fmean(took[1:]) / turns,
        "first_ms": took[0],
        "steady_ms": statistics.median(took[1:]),
        "peak_kib": memory_kib("VmHWM"),
    }


def main() -> None:
    """Measure what the command line asks for."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    name, folder, turns, conversations = sys.argv[1:]
    package, make = LOOPS[name]
    began = time.perf_counter()
    conversation = make(Path(folder))
    beginning = {"import_ms": (time.perf_counter() - began) * 1000, "imported_kib": memory_kib("VmRSS")}
    figures = asyncio.run(measure(conversation, int(turns), int(conversations), lambda: _runs))
    print(json.dumps({"version": importlib.metadata.version(package), **beginning, **figures}), flush=True)
    os._exit(0)  # threads of the frameworks have nothing more to say


if __name__ == "__main__":
    main()
