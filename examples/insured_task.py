"""An insured task: cover that is paid for first, a failure in the journal, and a claim that the journal has to bear out.

Offline, in memory. The second claim names an event that nobody stored; it gets nothing.
"""

import asyncio

from life.aios.events import Custom, ErrorRaised
from life.aios.record import AGENT, EventWriter, Stream
from life.haima.house import Key
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_config import HaimadConfig, InsuranceConfig, Prepared
from life.host.haima_house import open_house
from life.lago.journal.memory import MemoryJournal
from life.lago.snapshots import MemorySnapshots


async def main() -> None:
    clock, entropy = SystemClock(), SystemEntropy()
    prepared = Prepared(config=HaimadConfig(insurance=InsuranceConfig(seed_micro_usd=50_000_000)))
    async with MemoryJournal() as journal, open_house(journal, MemorySnapshots(), clock, entropy, prepared) as house:
        desk, accounts = house.insurance, house.accounts
        regulator = EventWriter(clock, entropy, agent_id="worker", stream=Stream("autonomic"))
        writer = EventWriter(clock, entropy, agent_id="worker", stream=Stream("work"), actor=AGENT)
        trusted = Custom(
            event_type="autonomic.TrustAssessed",
            data={"score": 0.85, "tier": "trusted", "trajectory": "stable", "agent_id": "worker"},
        )
        await journal.append([regulator.event(trusted)])
        await accounts.credit("worker", 1_000_000, memo="play money", key=Key("example", "fund", b""))

        quote = await desk.quote("worker", "task_failure", 10_000_000)
        bound = await desk.bind(quote.quote_id, "worker", key=Key("worker", "bind", b""))
        paid = bound.premium_collected_micro_usd
        print(f"covered for {quote.coverage_micro_usd}, premium {paid}, risk {quote.risk_assessment.rating}")

        failure = writer.event(ErrorRaised(message="the tests did not pass"))
        await journal.append([failure])
        for name, evidence in (("true", failure.event_id), ("invented", "01INVENTED0000000000000000")):
            filed = await desk.file_claim(
                "worker",
                bound.policy_id,
                incident_type="task_failure",
                claimed_amount_micro_usd=950_000,
                incident_at_us=clock.now_us(),
                evidence_event_ids=(evidence,),
                key=Key("worker", name, b""),
            )
            decision = await desk.verify_claim(filed.claim_id)
            again = await desk.verify_claim(filed.claim_id)
            print(
                f"{name} claim: {decision.status}, {decision.payout_micro_usd}; asked again: {again.payout_micro_usd}"
            )

        balance = (await accounts.balance("worker")).available_micro
        print(f"worker has {balance}: 1000000 - {paid} + 900000")


asyncio.run(main())
