"""Ada hires Ben: she finds him in the directory, puts his price into escrow, waits, accepts what he delivers, and he is paid.

Two households, each with its own journal, wallet and (scripted) model; they meet in a common place and trust one house with the money in
between. Offline, with real payments on the local ledger:

    python examples/hire_two.py
    python examples/hire_two.py --chain anvil        # the same on a chain: anvil on http://127.0.0.1:8545, or ANVIL_URL
"""

import argparse
import asyncio
import json
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from life.aios.errors import LifeError
from life.aios.ports.provider import ModelRequest, ToolResultBlock
from life.arcan.providers.scripted import ScriptedCall, ScriptedProvider, ScriptedTurn
from life.host.clock import SystemClock
from life.host.hiring.commons import open_commons
from life.host.hiring.onchain import on_chain
from life.host.system import open_system
from life.spaces.commands import SetProfile, SkillSpec

PRICE = 250_000
FUNDS = 1_000_000


def results(request: ModelRequest) -> list[dict]:
    """What the tools answered so far."""
    blocks = [block for message in request.messages for block in message.content]
    return [json.loads(block.content) for block in blocks if isinstance(block, ToolResultBlock)]


def ada(request: ModelRequest) -> ScriptedTurn:
    """Ada's model: each step follows from what the last one gave."""
    seen = results(request)
    match len(seen):
        case 0:
            return call("spaces_find_agent", skill="french", max_price_micro=PRICE)
        case 1:
            ben = seen[0]["agents"][0]
            return call(
                "spaces_hire",
                peer=ben["identity"],
                title="Translate a greeting",
                task="Translate into English: bonjour",
                price_micro=ben["price_micro"],
            )
        case 2:
            return call("spaces_wait_for", **{"for": "hire", "hire_id": seen[1]["hire_id"], "timeout_s": 60})
        case 3:
            return call("spaces_accept", hire_id=seen[1]["hire_id"])
        case 4:
            return call("spaces_rate", hire_id=seen[1]["hire_id"], stars=5, comment="Quick and right.")
        case _:
            return ScriptedTurn(text=f"Ben says: {seen[2]['hires'][0]['result']['quoted']}")


def ben(request: ModelRequest) -> ScriptedTurn:
    """Ben's model: it answers with the work."""
    return ScriptedTurn(text="good day")


def call(tool: str, **arguments: object) -> ScriptedTurn:
    """One tool call."""
    return ScriptedTurn(calls=(ScriptedCall(tool, arguments),))


async def main(chain: bool) -> None:
    """Meet, hire, pay, check."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        common = await stack.enter_async_context(open_commons(folder / "common", house=on_chain() if chain else None))
        settings = common.settings(auto_approve_micro=PRICE)
        customer = await stack.enter_async_context(
            open_system(folder / "ada", settings=settings, provider=ScriptedProvider(ada, clock=clock))
        )
        worker = await stack.enter_async_context(
            open_system(folder / "ben", settings=settings, provider=ScriptedProvider(ben, clock=clock))
        )
        await common.money.fund(customer.identity.wallet.address, FUNDS)
        print(f"Ada's wallet has {await common.money.balance(customer.identity.wallet.address)} micro-USDC")

        await (await worker.spaces.seat()).submit(SetProfile(username="ben"))
        await worker.hiring.publish(
            "Ben", "Translates.", price_micro=PRICE, skills=[SkillSpec(skill_id="french", name="French")]
        )
        async with worker.hiring.at_work(min_price_micro=PRICE):
            await customer.runtime.create_session("errand")
            report = await customer.runtime.run("errand", "Find out what bonjour means.")
        print(report.final_answer)

        _, held = await worker.hiring.account()
        print(f"Ben's account at the house has {held} micro-USDC")
        await worker.hiring.cash_out("first-pay", held)
        await worker.hiring.desk.list_()  # Ben looks how it ended
        for name, system in (("Ada", customer), ("Ben", worker)):
            wallet = await common.money.balance(system.identity.wallet.address)
            trust = system.registry.state(system.identity.agent_id).beliefs.trust_scores
            scores = ", ".join(str(peer.score_micro) for peer in trust.values())
            print(f"{name}'s wallet has {wallet} micro-USDC; trust in the other: {scores}")
        print(f"the house's books: {await common.check_books()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chain", choices=["anvil"], help="pay on this chain instead of the local ledger")
    try:
        asyncio.run(main(parser.parse_args().chain is not None))
    except LifeError as error:
        sys.exit(f"Error: {error.message} [{error.code}]")
