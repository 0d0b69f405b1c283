"""Five agents: Ada leads and hires four others. Two are paid, one's work is rejected, one never delivers; at the end the books say so.

Five households with journals, wallets and (scripted) models of their own, one common place, one house that holds the money in between.
Offline, with real payments on the local ledger:

    python examples/hire_five.py
    python examples/hire_five.py --chain anvil        # the same on a chain: anvil on http://127.0.0.1:8545, or ANVIL_URL
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

FUNDS = 1_000_000
WORKERS = {"ben": ("french", 100_000), "cleo": ("german", 120_000), "dan": ("latin", 90_000), "eve": ("greek", 150_000)}
"""Name: skill and price in micro-USDC."""
WORDS = {"ben": "good day", "cleo": "hello", "dan": "I have no idea"}
"""What they deliver. Eve sleeps."""


def results(request: ModelRequest) -> list[dict]:
    """What the tools answered so far."""
    blocks = [block for message in request.messages for block in message.content]
    return [json.loads(block.content) for block in blocks if isinstance(block, ToolResultBlock)]


def ada(request: ModelRequest) -> ScriptedTurn:
    """Ada's model: find everybody, hire them all at once, wait for each, judge, report."""
    seen = results(request)
    count = len(WORKERS)
    if not seen:
        return calls(ScriptedCall("spaces_find_agent", {"limit": 10}))
    agents = sorted(seen[0]["agents"], key=lambda agent: agent["name"])
    if len(seen) == 1:
        return calls(*(hiring(agent) for agent in agents))
    hires = seen[1 : 1 + count]
    if len(seen) == 1 + count:
        return calls(*(waiting(hire) for hire in hires))
    waited = seen[1 + count : 1 + 2 * count]
    if len(seen) == 1 + 2 * count:
        return calls(*(judging(hire, found) for hire, found in zip(hires, waited, strict=True)))
    ended = [found["hires"][0] if "hires" in found else found for found in seen[1 + 2 * count :]]
    lines = [
        f"{hire['peer']['name']}: {hire['state']}, {hire['paid_micro']} paid, {hire['refunded_micro']} back"
        for hire in ended
    ]
    return ScriptedTurn(text="\n".join(lines))


def hiring(agent: dict) -> ScriptedCall:
    """Hire at the listed price; whoever sells Greek has little time."""
    skill = agent["skills"][0]["id"]
    arguments = {
        "peer": agent["identity"],
        "title": f"A greeting from {skill}",
        "task": f"Translate the usual {skill} greeting into English.",
        "price_micro": agent["price_micro"],
        "deadline_s": 3 if skill == "greek" else 600,
    }
    return ScriptedCall("spaces_hire", arguments)


def waiting(hire: dict) -> ScriptedCall:
    """Until it is delivered, or its time is over."""
    return ScriptedCall("spaces_wait_for", {"for": "hire", "hire_id": hire["hire_id"], "timeout_s": 60})


def judging(hire: dict, found: dict) -> ScriptedCall:
    """Accept what is an answer, reject what is none, look at what is late."""
    now = found["hires"][0]
    if now["state"] != "delivered":
        return ScriptedCall("spaces_hired", {"hire_id": hire["hire_id"]})
    if "no idea" in now["result"]["quoted"]:
        return ScriptedCall("spaces_reject", {"hire_id": hire["hire_id"], "reason": "That is no translation."})
    return ScriptedCall("spaces_accept", {"hire_id": hire["hire_id"]})


def calls(*made: ScriptedCall) -> ScriptedTurn:
    """Several tool calls in one turn."""
    return ScriptedTurn(calls=made)


async def main(chain: bool) -> None:
    """Meet, hire, judge, check."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        common = await stack.enter_async_context(open_commons(folder / "common", house=on_chain() if chain else None))
        settings = common.settings(auto_approve_micro=200_000)
        lead = await stack.enter_async_context(
            open_system(folder / "ada", settings=settings, provider=ScriptedProvider(ada, clock=clock))
        )
        await common.money.fund(lead.identity.wallet.address, FUNDS)
        workers = {}
        for name, (skill, price) in WORKERS.items():
            model = ScriptedProvider(lambda _, name=name: ScriptedTurn(text=WORDS.get(name, "…")), clock=clock)
            worker = workers[name] = await stack.enter_async_context(
                open_system(folder / name, settings=settings, provider=model)
            )
            await (await worker.spaces.seat()).submit(SetProfile(username=name))
            await worker.hiring.publish(
                name.title(),
                f"Translates from {skill}.",
                price_micro=price,
                skills=[SkillSpec(skill_id=skill, name=skill)],
            )
            if name in WORDS:
                await stack.enter_async_context(worker.hiring.at_work())
        await lead.runtime.create_session("errand")
        report = await lead.runtime.run("errand", "Collect greetings.")
        print(report.final_answer)

        for name, worker in workers.items():
            _, held = await worker.hiring.account()
            if held:
                await worker.hiring.cash_out("first-pay", held)
            print(f"{name}'s wallet has {await common.money.balance(worker.identity.wallet.address)} micro-USDC")
        _, refunds = await lead.hiring.account()
        await lead.hiring.cash_out("refunds", refunds)
        wallet = await common.money.balance(lead.identity.wallet.address)
        print(f"ada's wallet has {wallet} micro-USDC again, {refunds} of it refunds")
        beliefs = lead.registry.state(lead.identity.agent_id).beliefs.trust_scores
        print(
            f"ada's trust after {len(beliefs)} verified hires: {sorted(peer.score_micro for peer in beliefs.values())}"
        )
        print(f"the house's books: {await common.check_books()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chain", choices=["anvil"], help="pay on this chain instead of the local ledger")
    try:
        asyncio.run(main(parser.parse_args().chain is not None))
    except LifeError as error:
        sys.exit(f"Error: {error.message} [{error.code}]")
