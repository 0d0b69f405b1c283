"""An agent of the OpenAI Agents SDK as a session of Life: journal, gate, approval, budget and payments around it. Offline.

pip install 'lifeos[openai-agents]'
python examples/openai_agents_agent.py
"""

import asyncio
import tempfile
from pathlib import Path

from agents import Agent, function_tool
from agents.testing import ScriptedModel, assistant_message, function_call

import life
from life.arcan.foreign.openai_agents import OpenAIAgentsLoop
from life.arcan.foreign.outside_loop import OutsideLoop


@function_tool(needs_approval=True)
def refund(order: str, amount_micro: int) -> str:
    """Give money back."""
    print(f"refunded {amount_micro} for {order}")
    return "done"


async def main() -> None:
    """A handoff from one agent to another; the refund waits for a person, because the SDK's own mark says so."""
    desk = Agent(
        name="refunds",
        instructions="You refund orders.",
        # Stands in for a model: `model="gpt-…"` is all that changes.
        model=ScriptedModel(
            [
                [function_call("refund", {"order": "A-1", "amount_micro": 2_000_000}, call_id="call-1")],
                [assistant_message("Order A-1 is refunded.")],
            ]
        ),
        tools=[refund],
    )
    front = Agent(
        name="front",
        instructions="You send people to who can help.",
        model=ScriptedModel([[function_call("transfer_to_refunds", {}, call_id="call-0")]]),
        handoffs=[desk],
    )
    with tempfile.TemporaryDirectory() as folder:
        loop = OutsideLoop(OpenAIAgentsLoop(front, idempotent=("refund",)))
        async with life.open(Path(folder) / ".life", loop=loop) as agent:
            report = await agent.ask("I want my money back for A-1.", session_id="shop")
            print(f"{report.status}: {report.pending.tool_name if report.pending else ''}")
            runtime = agent.system.runtime
            (ticket,) = await runtime.pending_approvals()
            await runtime.resolve_approval("shop", ticket.approval_id, approved=True, actor="bob")
            report = await runtime.wait("shop")
            print(f"{report.reason}: {report.final_answer} ({report.steps} model calls)")


if __name__ == "__main__":
    asyncio.run(main())
