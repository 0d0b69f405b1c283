"""Work paid for by its outcome: quote, escrow, delivery, a schema that judges, payment or refund. Offline, in memory.

A customer puts the price aside; the agent gets it when its result fits the schema, and the customer gets it back when not.
"""

import asyncio

from life.haima.events.tasks import Criterion, TaskContract
from life.haima.house import Key
from life.haima.outcomes.answers import Subject
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_config import Prepared
from life.host.haima_house import open_house
from life.lago.journal.memory import MemoryJournal
from life.lago.snapshots import MemorySnapshots

TABLE = {"type": "object", "required": ["rows"], "properties": {"rows": {"type": "integer", "minimum": 1}}}
CONTRACT = TaskContract(
    contract_id="table-v1",
    task_type="data_pipeline",
    name="A table with rows in it",
    price_floor_micro_credits=1_000_000,
    price_ceiling_micro_credits=3_000_000,
    success_criteria=(Criterion(type="data_validated", rule_id="table"),),
    min_trust_ppm=0,  # nobody has been trusted yet in this journal
)


async def main() -> None:
    clock, entropy = SystemClock(), SystemEntropy()
    prepared = Prepared(schemas={"table": TABLE})
    async with MemoryJournal() as journal, open_house(journal, MemorySnapshots(), clock, entropy, prepared) as house:
        desk, accounts = house.outcomes, house.accounts
        await desk.register(CONTRACT)
        await accounts.credit("customer", 10_000_000, memo="play money", key=Key("example", "fund", b""))

        for task_id, result in (("good", '{"rows": 12}'), ("bad", '{"rows": 0}')):
            taken = await desk.accept(
                task_id,
                "table-v1",
                "worker",
                "standard",
                customer_id="customer",
                escrow=True,
                key=Key("customer", task_id, b""),
            )
            print(f"{task_id}: {taken.price_micro_credits} micro-credits are put aside")
            await desk.submit(task_id, Subject("worker"), result, key=Key("worker", task_id, b""))
            decision = await desk.verify(task_id)
            again = await desk.verify(task_id)
            print(f"{task_id}: {decision.outcome}, {decision.status}; asked again: {again.status}")

        for name in ("worker", "customer"):
            print(f"{name} has {(await accounts.balance(name)).available_micro}")
        books = await house.read_books()
        print(f"all accounts of the books together: {books.trial_balance_micro}")


asyncio.run(main())
