"""The loop closed: an agent with a real runtime, a real payer and a real shop goes from plenty to nothing and back.

Model calls are scripted and cost what the test says; everything else is what a person runs. Time is held by hand, so that a
month's burn can be made in a second.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from life.aios import events
from life.aios.json import Json
from life.aios.ports.journal import EventQuery
from life.aios.ports.provider import ModelRequest
from life.aios.record import USER, EventRecord, Stream
from life.aios.state import TokenUsage
from life.arcan.events import RunLimits
from life.arcan.providers.scripted import ScriptedCall, ScriptedProvider, ScriptedTurn
from life.haima.errors import PolicyDeniedError
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.haima.x402.transport import AsyncPayingTransport
from life.host.autonomic import open_autonomic
from life.host.first_payment import _shop
from life.host.http.server import bind
from life.host.settings import AutonomicSettings, ModelSettings, PaymentSettings, Settings, TierSettings, ToolSettings
from life.host.system import System, open_system
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock, SeededEntropy

USD = 1_000_000
HOUR_US = 3_600_000_000
LIMITS = RunLimits(max_time_ms=10**9)


class World(NamedTuple):
    """What the test holds in its hand."""

    root: Path
    clock: ManualClock
    shop: str
    settings: Settings
    cost: dict[str, int]
    """What the next call of the agent's own model costs."""

    def usage(self) -> TokenUsage:
        return TokenUsage(prompt_tokens=100, completion_tokens=10, total_tokens=110, cost_micro=self.cost["micro"])

    def think(self, request: ModelRequest) -> ScriptedTurn:
        """Fetch the paid page, then say so."""
        place = request.earlier_answers + sum(message.role == "assistant" for message in request.messages)
        if place % 2:
            return ScriptedTurn(text="That is all.", usage=self.usage())
        call = ScriptedCall("http_fetch", {"url": f"{self.shop}/paid?n={place}"})
        return ScriptedTurn(text="I'll buy it.", calls=(call,), usage=self.usage())

    @asynccontextmanager
    async def system(self) -> AsyncIterator[System]:
        model = ScriptedProvider(self.think, clock=self.clock, name="own")
        environment = {"LIFE_KEY_FILE": str(self.root / "key")}
        async with open_system(
            self.root / "life", settings=self.settings, environment=environment, clock=self.clock, provider=model
        ) as system:
            await system.runtime.recover_all()
            yield system


def tier_script(folder: Path, name: str, shop: str, cost_micro: int) -> str:
    """The script of a cheaper model, which does the same and costs `cost_micro`."""
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, "cost_micro": cost_micro}
    buy = {"tool": "http_fetch", "arguments": {"url": f"{shop}/paid"}}
    turns: list[dict[str, object]] = []
    for place in range(40):
        fetch = {**buy, "arguments": {"url": f"{shop}/paid?{name}={place}"}}
        turns.append({"text": "Done.", "usage": usage} if place % 2 else {"calls": [fetch], "usage": usage})
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, "turns": turns}))
    return f"scripted:{path}"


@asynccontextmanager
async def opened(tmp_path: Path) -> AsyncIterator[tuple[World, System]]:
    """A fresh agent with ten dollars to spend, money in its wallet, and a shop."""
    with bind("127.0.0.1", 0) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        shop = f"http://{address}"
        tiers = TierSettings(
            small=tier_script(tmp_path, "small", shop, 100), standard=tier_script(tmp_path, "standard", shop, 120_000)
        )
        settings = Settings(
            model=ModelSettings(tiers=tiers),
            tools=ToolSettings(allow_private_hosts=(address,)),
            payments=PaymentSettings(auto_approve_cap_micro=10_000),
            autonomic=AutonomicSettings(credit_micro=10 * USD),
        )
        world = World(tmp_path, ManualClock(), shop, settings, {"micro": 50_000})
        async with world.system() as system:
            await system.ledger.fund(system.identity.wallet.address, USD, asset=PLAY_MONEY.address, reason="test")
            await system.runtime.create_session("work")
            async with _shop(system, listener):
                yield world, system


async def run(system: System) -> list[EventRecord]:
    """One run, and what it wrote."""
    head = (await system.runtime.state("work")).head
    await system.runtime.run("work", "Buy the report.", limits=LIMITS)
    return [record async for record in _after(system, head)]


async def _after(system: System, head: int) -> AsyncIterator[EventRecord]:
    for record in await system.journal.read(EventQuery("work", "main", after_sequence=head), limit=1000):
        yield record


def models(records: list[EventRecord]) -> set[str]:
    """Which models answered."""
    return {kind.model or "" for record in records if isinstance(kind := record.kind, events.Message)}


def fetched(records: list[EventRecord]) -> list[str]:
    """How the purchases of the tool went: the status that the model was told, or why there is none."""
    found = []
    for record in records:
        kind = record.kind
        if isinstance(kind, events.ToolCallCompleted):
            result = kind.result
            found.append(str(result.get("status", result)) if isinstance(result, dict) else str(result))
        elif isinstance(kind, events.ToolCallFailed):
            found.append(kind.error)
    return found


def customs(records: list[EventRecord], event_type: str) -> list[dict[str, object]]:
    """The data of a subsystem's events."""
    found: list[dict[str, object]] = []
    for record in records:
        kind = record.kind
        if isinstance(kind, events.Custom) and kind.event_type == event_type and isinstance(kind.data, Mapping):
            found.append(dict(kind.data))
    return found


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop work until the condition holds."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it never came to that")


async def test_from_plenty_through_every_mode_to_nothing_and_back(tmp_path: Path) -> None:
    """Shock, Conserving, Hustle, Hibernate, a restart in it, a deposit, recovery: each is visible in what Arcan and Haima allowed."""
    async with opened(tmp_path) as (world, system):
        # Plenty: the agent's own model, and the wallet pays by itself.
        first = await run(system)
        assert models(first) == {"scripted:own"}
        assert fetched(first) == ["200"]
        assert customs(first, "autonomic.GatingDecision") == []
        assert system.autonomic.mode() == "sovereign"

        # Two hours later calls cost three times as much: not two months are left at this rate.
        world.clock.advance_us(2 * HOUR_US)
        world.cost["micro"] = 150_000
        shocked = await run(system)
        assert models(shocked) == {"scripted:own", "scripted:standard"}
        (decision,) = customs(shocked, "autonomic.GatingDecision")
        assert (decision["economic_mode"], decision["preferred_model"]) == ("conserving", "standard")
        assert decision["allow_expensive_tools"] is True and decision["allow_replication"] is False
        assert [move["to"] for move in customs(shocked, "autonomic.EconomicModeChanged")] == ["conserving"]
        assert fetched(shocked) == ["200"]

        # It goes on: less than one month is left.
        assert system.autonomic.mode() == "hustle"
        world.clock.advance_us(HOUR_US)
        hustling = await run(system)
        assert models(hustling) == {"scripted:small"}
        assert "200" not in fetched(hustling), "in hustle a person is asked about every payment"
        state = await system.runtime.state("work")
        assert state.gates is not None and state.gates.max_tool_calls_per_tick == 5
        assert not state.regulation.allow_expensive_tools

        # A bill that nobody expected takes the rest.
        balance = (await system.autonomic.picture(Stream("work"))).state.economic.balance_micro_credits
        assert balance is not None
        charge: Json = {"amount_micro_credits": balance, "reason": "a bill", "balance_after": 0}
        await system.autonomic.publish(
            Stream("autonomic:agent"), (events.Custom(event_type="autonomic.CostCharged", data=charge),)
        )
        assert system.autonomic.mode() == "hibernate"
        before = (await system.runtime.state("work")).totals.steps
        run_id = await system.runtime.start("work", "Go on.", limits=LIMITS)
        await system.runtime.wait("work", run_id)
        state = await system.runtime.state("work")
        assert (state.status, state.totals.steps) == ("paused", before), "no model was asked"
        assert state.suspended.startswith("Hibernate")
        async with httpx2.AsyncClient(transport=AsyncPayingTransport(system.payer), trust_env=False) as client:
            with pytest.raises(PolicyDeniedError) as refused:
                await client.get(f"{world.shop}/paid?by=hand")
        assert refused.value.verdict == "mode_hibernate"
        picture = await system.autonomic.picture(Stream("work"))
        assert picture.verdict.profile.operational.max_tool_calls_per_tick == 0

    # The process dies and comes back: it still hibernates, and nobody has to remember it.
    world.clock.advance_us(600_000_000)
    async with world.system() as system:
        assert system.autonomic.mode() == "hibernate"
        state = await system.runtime.state("work")
        assert state.status == "paused"
        assert system.payer.purse(LOCAL) is not None

        # A deposit wakes it; the run ends as it would have.
        world.cost["micro"] = 10
        await system.autonomic.deposit(2_000 * USD, source="test", actor=USER)
        await until(lambda: system.autonomic.homeostasis.vitals(Stream("work")).turns == 4)  # type: ignore[union-attr]
        assert system.autonomic.mode() == "sovereign"
        state = await system.runtime.state("work")
        assert (state.status, state.suspended, state.gates) == ("idle", "", None)
        assert state.last_run is not None and state.last_run.reason == "completed"
        recovered = [record async for record in _after(system, 0)]
        assert [move["to"] for move in customs(recovered, "autonomic.EconomicModeChanged")] == [
            "conserving",
            "hustle",
            "hibernate",
            "sovereign",
        ]
        assert customs(recovered, "autonomic.GatingDecision")[-1]["rationale"] == []
        assert [move["reason"] for move in customs(recovered, "arcan.resumed")] == ["There are means again."]


async def broke(system: System) -> str:
    """Take all means away and begin a run: it stands still. Its id."""
    balance = system.autonomic.homeostasis.books(system.identity.agent_id).economy.balance_micro
    assert balance is not None
    charge: Json = {"amount_micro_credits": balance, "reason": "a bill"}
    event = events.Custom(event_type="autonomic.CostCharged", data=charge)
    await system.autonomic.publish(Stream("autonomic:agent"), (event,))
    run_id = await system.runtime.start("work", "Go on.", limits=LIMITS)
    await system.runtime.wait("work", run_id)
    assert (await system.runtime.state("work")).status == "paused"
    return run_id


async def test_a_person_wakes_it_without_means(tmp_path: Path) -> None:
    """It works as in hustle, pays nothing, and sleeps again when the time is over."""
    async with opened(tmp_path) as (world, system):
        run_id = await broke(system)
        await system.autonomic.wake("work", minutes=10, by="ada", branch="main")
        await until(lambda: system.autonomic.homeostasis.vitals(Stream("work")).turns == 1)  # type: ignore[union-attr]
        report = await system.runtime.wait("work", run_id)
        assert report.reason == "completed"
        records = [record async for record in _after(system, 0)]
        assert models(records) == {"scripted:small"} and "200" not in fetched(records)
        assert system.autonomic.mode() == "hibernate"
        world.clock.advance_us(601_000_000)
        again = await system.runtime.start("work", "Once more.", limits=LIMITS)
        await system.runtime.wait("work", again)
        assert (await system.runtime.state("work")).status == "paused"


async def test_a_deposit_while_nobody_is_there_is_found_at_the_next_start(tmp_path: Path) -> None:
    """Hibernating, killed, paid by another process, started again: the run goes on by itself."""
    async with opened(tmp_path) as (world, system):
        run_id = await broke(system)
    world.clock.advance_us(60_000_000)
    async with SqliteJournal.open(world.root / "life" / "journal.db", clock=world.clock) as journal:
        agent_id = system.identity.agent_id
        settings = world.settings.autonomic
        async with open_autonomic(
            journal, None, settings, clock=world.clock, entropy=SeededEntropy("other"), agent_id=agent_id
        ) as elsewhere:
            await elsewhere.deposit(10**12, source="somebody", actor=USER)
            assert elsewhere.mode() == "hibernate", "the recorded mode is left by the agent itself"
    async with world.system() as again:
        await until(lambda: again.autonomic.homeostasis.vitals(Stream("work")).turns == 1)  # type: ignore[union-attr]
        assert (await again.runtime.wait("work", run_id)).reason == "completed"
        assert again.autonomic.mode() == "sovereign"


async def test_a_regulator_that_raises_leaves_the_agent_careful_and_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The safe profile holds, with one event: a person is asked before the purchase. Afterwards it is lifted."""
    async with opened(tmp_path) as (_, system):

        async def fail(_view: object) -> None:
            raise RuntimeError("no")

        with monkeypatch.context() as patched:
            patched.setattr(system.autonomic.folded, "consult", fail)
            await run(system)
            (asked,) = await system.runtime.pending_approvals()
            await system.runtime.resolve_approval("work", asked.approval_id, approved=True, actor="ada")
            report = await system.runtime.wait("work")
        assert report.reason == "completed"
        records = [record async for record in _after(system, 0)]
        assert len(customs(records, "autonomic.RegulatorFailed")) == 1 and fetched(records) == ["200"]
        gates = (await system.runtime.state("work")).gates
        assert gates is not None and not gates.allow_shell
        later = await run(system)
        assert (await system.runtime.state("work")).gates is None
        assert len(customs(later, "autonomic.GatingDecision")) == 1
