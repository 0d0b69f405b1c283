"""A credit line from the score to the repayment: offline, in a journal of its own, in a few milliseconds.

The history (four payments that settled, a calm month, a trust score) stands in for what an agent's own journal holds.
Everything after that is what `haimad` and `haima credit` do: the score is computed from the journal, the line is opened, money
is drawn and repaid, interest is charged, and the report is signed and checked.
"""

import asyncio
import tempfile
from pathlib import Path

from life.aios.events import Custom, Kind
from life.aios.record import EventWriter, Stream
from life.anima.custody.in_process import InProcessAnima
from life.haima import bureau, events
from life.haima.credit_api import read_report
from life.haima.house import Key
from life.host.haima_credit import open_credit
from life.host.haima_directory import JOURNAL_FILE
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock, SeededEntropy

DAY_US = 86_400_000_000
AGENT = "agent-1"


def key(name: str) -> Key:
    """The same command with the same key is carried out once."""
    return Key("example", name, name.encode())


async def history(directory: Path, clock: ManualClock) -> None:
    """What the journal says about the agent."""

    async def write(journal: SqliteJournal, kind: Kind) -> None:
        writer = EventWriter(clock, entropy, agent_id=AGENT, stream=Stream("history"))
        await journal.append([writer.event(kind)])

    entropy = SeededEntropy("history")
    async with SqliteJournal.open(directory / JOURNAL_FILE, clock=clock) as journal:
        await write(
            journal,
            Custom(
                event_type="autonomic.EconomicModeChanged", data={"from": "hustle", "to": "sovereign", "reason": "r"}
            ),
        )
        for number in range(4):
            paid = events.PaymentSettled(
                tx_hash=f"0x{number}",
                amount_micro_credits=3_000_000,
                chain="eip155:8453",
                latency_ms=40,
                facilitator="local",
                payee=f"0x{number:040x}",
            )
            await write(journal, events.as_kind(paid))
            clock.advance_us(25 * DAY_US)
        await write(
            journal,
            Custom(
                event_type="autonomic.TrustAssessed", data={"score": 0.9, "tier": "certified", "trajectory": "stable"}
            ),
        )


async def main() -> None:
    clock, entropy = ManualClock(), SeededEntropy("example")
    with tempfile.TemporaryDirectory() as name:
        await history(Path(name), clock)
        async with open_credit(Path(name), clock=clock, entropy=entropy) as credit:
            score = await credit.desk.assess(AGENT)
            print(f"score {score.score_ppm / 1e6:.6f}, tier {score.tier}, limit {score.limit_micro_usd} micro-USD")

            await credit.desk.fund(50_000_000, key("capital"))
            line = (await credit.desk.open(AGENT, key("open"))).answer.credit_line
            drawn = (await credit.desk.draw(AGENT, 10_000_000, key("draw"))).answer
            print(f"line {line.status}, drew {drawn.drawn_amount}, {drawn.available} left")
            again = await credit.desk.draw(AGENT, 10_000_000, key("draw"))
            print(f"the same draw again: repeated {again.repeated}, owed {again.answer.new_balance}")

            clock.advance_us(30 * DAY_US)
            await credit.lending.run()
            due = (await credit.desk.line(AGENT)).statement
            assert due is not None
            print(f"after 30 days: {due.balance_micro_usd} owed, at least {due.minimum_micro_usd} due")
            repaid = (await credit.desk.repay(AGENT, due.minimum_micro_usd, key("repay"))).answer
            print(f"repaid: interest {repaid.interest_portion}, principal {repaid.principal_portion}")

            lender = InProcessAnima.from_seed(bytearray(32 * b"\x01"), clock=clock)
            did = lender.capabilities().did or ""
            report = bureau.redact(await read_report(credit.desk, AGENT))
            token = await bureau.sign_report(report, lender, now_us=clock.now_us())
            lender.close()
            claims = bureau.verify_report(token, did=did, now_s=clock.now_us() // 1_000_000, agent_id=AGENT)
            flags = ", ".join(flag.flag_type for flag in claims.report.flags) or "none"
            print(f"signed report: risk {claims.report.risk_rating}, flags {flags}")


asyncio.run(main())
