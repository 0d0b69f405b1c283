"""An agent of another framework pays through the wallet: what its http_fetch buys is Haima's, within its limits."""

from __future__ import annotations

from pathlib import Path

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from life.arcan.foreign.outside_loop import OutsideLoop
from life.arcan.foreign.pydantic_ai import PydanticAILoop
from life.haima.x402.networks import PLAY_MONEY
from life.host.first_payment import _shop
from life.host.http.server import bind
from life.host.settings import Settings, ToolSettings
from life.host.system import open_system


async def test_what_it_fetches_is_paid_and_journaled(tmp_path: Path) -> None:
    """A real shop on loopback asks 100 micro-credits; the loop's model calls http_fetch once, the wallet pays once, and the
    framework gets the paid answer."""
    with bind("127.0.0.1", 0) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"

        def play(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            if any(isinstance(message, ModelResponse) for message in messages):
                return ModelResponse([TextPart(str(messages[-1].parts[0].content))])  # type: ignore[union-attr]
            return ModelResponse([ToolCallPart("http_fetch", {"url": f"http://{address}/paid"})])

        loop = OutsideLoop(PydanticAILoop(Agent(FunctionModel(play), name="buyer")), runtime_tools=("http_fetch",))
        async with open_system(
            tmp_path / ".life",
            settings=Settings(tools=ToolSettings(allow_private_hosts=(address,))),
            environment={"LIFE_KEY_FILE": str(tmp_path / "key")},
            loop=loop,
        ) as system:
            wallet = system.identity.wallet.address
            await system.ledger.fund(wallet, 1_000_000, asset=PLAY_MONEY.address, reason="test")
            before = await system.ledger.balance(wallet, asset=PLAY_MONEY.address)
            async with _shop(system, listener):
                await system.runtime.create_session("s")
                report = await system.runtime.run("s", "Buy the report.")
            await system.payer.flush()
            after = await system.ledger.balance(wallet, asset=PLAY_MONEY.address)
    assert report.reason == "completed" and report.final_answer is not None and "200" in report.final_answer
    assert before - after == 100
