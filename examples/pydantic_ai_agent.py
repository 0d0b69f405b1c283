"""A pydantic-ai agent as a session of Life: journal, gate, approval, budget and payments around it. Offline.

pip install 'lifeos[pydantic-ai]'
python examples/pydantic_ai_agent.py
"""

import asyncio
import tempfile
from pathlib import Path

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

import life
from life.arcan.foreign.outside_loop import OutsideLoop
from life.arcan.foreign.pydantic_ai import PydanticAILoop


def play(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Stands in for a model: `Agent("anthropic:…")` is all that changes."""
    answers = sum(isinstance(message, ModelResponse) for message in messages)
    if answers == 0:
        return ModelResponse([ToolCallPart("send_mail", {"to": "ann@example.org", "text": "The report is ready."})])
    return ModelResponse([TextPart("Ann was told.")])


agent = Agent(FunctionModel(play), name="secretary", instructions="You write mails.")


@agent.tool_plain
def send_mail(to: str, text: str) -> str:
    """Send a mail."""
    print(f"sent to {to}: {text}")
    return "sent"


async def main() -> None:
    """The mail waits for a person, across a restart; the model is not asked twice and the mail is sent once."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / ".life"

        def secretary() -> OutsideLoop:
            # http_fetch is the runtime's: what it buys is paid through the wallet, within its limits.
            return OutsideLoop(PydanticAILoop(agent, confirm=("send_mail",)), runtime_tools=("http_fetch",))

        async with life.open(root, loop=secretary()) as life_agent:
            report = await life_agent.ask("Tell Ann that the report is ready.", session_id="mail")
            print(f"{report.status}: {report.pending.tool_name if report.pending else ''}")

        async with life.open(root, loop=secretary()) as life_agent:
            runtime = life_agent.system.runtime
            (ticket,) = await runtime.pending_approvals()
            await runtime.resolve_approval("mail", ticket.approval_id, approved=True, actor="ann")
            report = await runtime.wait("mail")
            print(f"{report.reason}: {report.final_answer} ({report.steps} model calls)")


if __name__ == "__main__":
    asyncio.run(main())
