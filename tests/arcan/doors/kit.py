"""A runtime with the workbench's tools behind every door, on a real port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request

from life.aios.ports.journal import Journal
from life.aios.ports.provider import ModelProvider, ModelRequest
from life.arcan.api import SessionApi
from life.arcan.doors.ag_ui import AgUiDoor
from life.arcan.doors.ai_sdk import AiSdkDoor
from life.arcan.doors.anthropic_messages import AnthropicMessagesDoor
from life.arcan.doors.conversations import Conversations
from life.arcan.doors.openai_chat import OpenAiChatDoor
from life.arcan.doors.openai_responses import OpenAiResponsesDoor
from life.arcan.doors.requests import DoorModel, Parts
from life.arcan.doors.run_streams import RunStreams
from life.arcan.providers.scripted import ScriptedProvider, ScriptedTurn
from life.arcan.runtime import Runtime
from life.host.doors import STREAM_PATH, VendorShapes
from life.host.http.events import EventStreamResponse, OutsideLayers, WritesResponse, resume_cursor
from life.host.http.problem import EXCEPTION_HANDLERS, UnexpectedErrors
from life.host.http.routes import routes
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import SeededEntropy
from tests.arcan.workbench import Workbench, calls, runtime_on, says
from tests.host.serving import serving

PEERS = Path(__file__).parents[2] / "peers"


class House(NamedTuple):
    """Everything that a test looks at."""

    address: str
    runtime: Runtime
    journal: Journal
    bench: Workbench
    requests: list[ModelRequest]


def last_words(request: ModelRequest) -> str:
    """What the user said last."""
    for message in reversed(request.messages):
        if message.role == "user":
            texts = [block.text for block in message.content if hasattr(block, "text")]
            if texts:
                return texts[-1]
    return ""


def assistant(request: ModelRequest) -> ScriptedTurn:
    """`sign X`: asks for the tool that wants confirmation. `transfer X`: a tool with an effect. Else it says what it heard, and how many
    questions it knows."""
    last = request.messages[-1]
    results = [block for block in last.content if hasattr(block, "is_error")]
    if results:
        return says("It failed." if results[0].is_error else "It is done.")
    words = last_words(request)
    verb, _, rest = words.partition(" ")
    if verb == "sign":
        return calls(("sign", {"text": rest}), text="I ask first.")
    if verb == "transfer":
        return calls(("transfer", {"to": rest}), text="I send it.")
    if verb == "hang":
        return calls(("hang", {}))
    if verb == "break":
        raise ValueError
    asked = sum(message.role == "user" for message in request.messages)
    return ScriptedTurn(deltas=("You said ", f"{words!r}, ", f"question {asked}."))


@asynccontextmanager
async def house(
    root: Path,
    *,
    turn: Callable[[ModelRequest], ScriptedTurn] = assistant,
    owner_of: Callable[[Request], str | None] = lambda request: request.headers.get("x-owner"),
    model: ModelProvider | None = None,
) -> AsyncIterator[House]:
    """The doors, served."""
    requests: list[ModelRequest] = []

    def noted(request: ModelRequest) -> ScriptedTurn:
        requests.append(request)
        return turn(request)

    bench = Workbench(root)
    async with MemoryJournal() as journal:
        provider = model or ScriptedProvider(noted, clock=bench.clock)
        async with runtime_on(journal, bench, provider) as runtime:
            parts = Parts(
                runtime=runtime,
                journal=journal,
                clock=bench.clock,
                entropy=SeededEntropy("doors"),
                agent_id="agent-1",
                stream=WritesResponse,
                owner_of=owner_of,
                models={"life": DoorModel()},
                default_prompt="You are an agent.",
            )
            conversations = Conversations(parts)
            streams = RunStreams(parts)
            session_api = SessionApi(
                runtime, journal, lambda request, after: EventStreamResponse(after(resume_cursor(request)))
            )
            operations = [
                *(streams.beside(item) if item.path == STREAM_PATH else item for item in session_api.operations()),
                *OpenAiChatDoor(parts, conversations).operations(),
                *OpenAiResponsesDoor(parts, conversations).operations(),
                *AnthropicMessagesDoor(parts, conversations).operations(),
                *AiSdkDoor(parts, conversations).operations(),
                *AgUiDoor(parts, conversations).operations(),
            ]
            app = Starlette(routes=routes(operations), exception_handlers=EXCEPTION_HANDLERS)
            async with serving(OutsideLayers(VendorShapes(UnexpectedErrors(app)))) as address:
                yield House(address, runtime, journal, bench, requests)
                await conversations.aclose()
                await runtime.aclose()


async def node(script: str, *arguments: str) -> Any:
    """What a script of tests/peers prints, as JSON."""
    process = await asyncio.create_subprocess_exec(
        "node",
        PEERS / script,
        *arguments,
        cwd=PEERS,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, error.decode()
    return json.loads(out)


def frames(content: str) -> list[Any]:
    """The data of every frame of an event stream; `[DONE]` stays text."""
    data = [line.removeprefix("data: ") for line in content.splitlines() if line.startswith("data: ")]
    return [text if text == "[DONE]" else json.loads(text) for text in data]


def types(found: Sequence[Any]) -> list[str]:
    """The types of frames."""
    return [each if isinstance(each, str) else each["type"] for each in found]
