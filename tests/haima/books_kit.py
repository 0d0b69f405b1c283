"""Finance events as records, for tests of the books."""

from __future__ import annotations

from msgspec import Raw

from life.aios.events import encode_kind
from life.aios.record import DEFAULT_SCHEMA, SYSTEM, EventRecord
from life.haima import events

WALLET = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
PAYEE = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
NETWORK = "eip155:84532"
ASSET = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
DAY_US = 1_795_000_000_000_000


def records(*told: events.FinanceEvent, at_us: int = DAY_US) -> list[EventRecord]:
    """The events as a journal would give them back, one microsecond apart."""
    return [_record(event, place, at_us + place) for place, event in enumerate(told, 1)]


def _record(event: events.FinanceEvent, position: int, at_us: int) -> EventRecord:
    return EventRecord(
        event_id=f"E{position:025}",
        session_id="s",
        branch_id="main",
        agent_id="a",
        sequence=position,
        timestamp_us=at_us,
        actor=SYSTEM,
        schema=DEFAULT_SCHEMA,
        kind_name="Custom",
        payload=encode_kind(events.as_kind(event)),
        position=position,
    )


def reserved(payment_id: str, amount_micro: int, *, url: str = "https://shop.example/report") -> events.PaymentReserved:
    """A reservation of `WALLET` for `PAYEE`."""
    return events.PaymentReserved(
        payment_id=payment_id,
        purchase_id=payment_id,
        attempt=1,
        request_key="k",
        wallet=WALLET,
        network=NETWORK,
        asset=ASSET,
        token_name="USDC",
        token_version="2",
        payee=PAYEE,
        amount_atomic=str(amount_micro),
        amount_micro=amount_micro,
        valid_after_s=0,
        valid_before_s=1,
        nonce="0x" + "11" * 32,
        resource_url=url,
        accepted=Raw(b"{}"),
        session_id="session",
        task_id="task",
    )


def settled(payment_id: str | None, amount_micro: int) -> events.PaymentSettled:
    """Money of ours moved."""
    return events.PaymentSettled(
        tx_hash="0xabc",
        amount_micro_credits=amount_micro,
        chain=NETWORK,
        latency_ms=1,
        facilitator="payee",
        payment_id=payment_id,
    )


def earned(
    amount_micro: int, *, payment_id: str | None = None, task_id: str | None = None, url: str = "https://us.example/x"
) -> events.RevenueReceived:
    """`WALLET` was paid."""
    return events.RevenueReceived(
        tx_hash="0xdef",
        amount_micro_credits=amount_micro,
        payer_address=PAYEE,
        resource_url=url,
        payment_id=payment_id,
        task_id=task_id,
        network=NETWORK,
        payee=WALLET,
    )


def billed(task_id: str, price_micro: int) -> events.TaskBilled:
    """A finished task costs its customer something."""
    return events.TaskBilled(
        task_id=task_id,
        description="review",
        price_micro_credits=price_micro,
        token="USDC",
        chain=NETWORK,
        payer="customer-1",
    )
