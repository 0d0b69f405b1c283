"""The finance events: names, fields, the codec, and that readers never fail."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.events import Custom, Kind, decode_kind, encode_kind
from life.aios.record import DEFAULT_SCHEMA, SYSTEM, EventRecord
from life.haima import events
from life.haima.events import EVENTS, FinanceEvent, as_kind, event_type, finance_event, read_finance, wallet_stream
from life.testing.clock import ManualClock, SeededEntropy

# haima.md §1.14: the taxonomy of the original, name and payload fields.
TAXONOMY = {
    "payment_requested": "resource_url amount_micro_credits token chain",
    "payment_authorized": "resource_url amount_micro_credits payer_address recipient_address",
    "payment_attempted": "resource_url amount_micro_credits facilitator_url",
    "payment_settled": "tx_hash amount_micro_credits chain latency_ms facilitator",
    "payment_failed": "resource_url amount_micro_credits reason",
    "revenue_received": "tx_hash amount_micro_credits payer_address task_id",
    "wallet_created": "address chain key_blob_id",
    "balance_synced": "address chain on_chain_micro_credits internal_micro_credits drift",
    "task_billed": "task_id description price_micro_credits token chain",
    "credit_insufficient": "agent_id resource_url amount_micro_credits reason",
    "task_contracted": "task_id contract_id agent_id complexity price_micro_credits sla_deadline_ms",
    "task_verified": "task_id contract_id outcome price_micro_credits criteria_passed criteria_total",
    "task_refunded": "task_id contract_id refund_micro_credits reason",
    "policy_issued": "policy_id agent_id product_type coverage_micro_usd premium_micro_usd provider_id",
    "premium_collected": "policy_id agent_id amount_micro_usd commission_micro_usd",
    "claim_submitted": "claim_id policy_id agent_id incident_type claimed_amount_micro_usd",
    "claim_verified": "claim_id policy_id incident_confirmed confidence evidence_events_validated",
    "claim_paid": "claim_id policy_id agent_id payout_micro_usd source",
    "claim_denied": "claim_id policy_id reason",
    "pool_contribution": "pool_id agent_id amount_micro_usd",
    "pool_payout": "pool_id claim_id amount_micro_usd reserves_after_micro_usd",
    "risk_assessed": "agent_id risk_score risk_rating premium_multiplier insurable",
}
OPTIONAL_THERE = {"task_id": "revenue_received", "key_blob_id": "wallet_created"}


def record(payload: bytes, kind_name: str = "Custom") -> EventRecord:
    """A stored event with this payload."""
    return EventRecord(
        event_id="e1",
        session_id="s",
        branch_id="main",
        agent_id="a",
        sequence=1,
        timestamp_us=1,
        actor=SYSTEM,
        schema=DEFAULT_SCHEMA,
        kind_name=kind_name,
        payload=payload,
    )


@pytest.mark.parametrize("name", TAXONOMY)
def test_the_taxonomy_keeps_its_names_and_fields(name: str) -> None:
    """All 22 events of the original exist with all their fields, and need no others."""
    member = EVENTS[f"finance.{name}"]
    fields = {field.encode_name: field for field in msgspec.structs.fields(member)}
    for field in TAXONOMY[name].split():
        assert field in fields
        assert fields[field].required or OPTIONAL_THERE.get(field) == name
    needed = {field.encode_name for field in fields.values() if field.required}
    assert needed <= set(TAXONOMY[name].split())


def test_the_originals_payload_is_read() -> None:
    """An event as the original wrote it, without any id, is the typed event here."""
    payload = (
        b'{"type":"Custom","event_type":"finance.payment_settled","data":{"kind":"payment_settled","tx_hash":"0x1",'
        b'"amount_micro_credits":50,"chain":"eip155:8453","latency_ms":7,"facilitator":"f"}}'
    )
    event = read_finance(record(payload))
    assert isinstance(event, events.PaymentSettled) and event.amount_micro_credits == 50 and event.payment_id is None


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"Custom","event_type":"finance.of_tomorrow","data":{"kind":"of_tomorrow"}}',
        b'{"type":"Custom","event_type":"finance.payment_settled","data":{"kind":"payment_settled"}}',
        b'{"type":"Custom","event_type":"finance.payment_settled","data":{"kind":"payment_failed"}}',
        b'{"type":"Custom","event_type":"finance.payment_settled","data":null}',
        b'{"type":"Custom","event_type":"finance.payment_settled"}',
        b'{"type":"Custom","event_type":"anima.identity_rotated","data":{}}',
        b'{"type":"Custom","event_type":7}',
    ],
)
def test_what_is_unknown_or_does_not_fit_is_skipped(payload: bytes) -> None:
    """Folds never fail: such an event reads as None (HM-EVT)."""
    assert read_finance(record(payload)) is None


def test_other_kinds_are_not_finance_events() -> None:
    """Only Custom events are looked at."""
    assert read_finance(record(b'{"type":"ErrorRaised","message":"x"}', "ErrorRaised")) is None


def _values(kind: type) -> st.SearchStrategy[object]:
    if kind is msgspec.Raw:
        return st.sampled_from([msgspec.Raw(b'{"a":1}'), msgspec.Raw(b'{ "b" : [1.50] }')])
    return st.from_type(kind)


@st.composite
def finance_events(draw: st.DrawFn) -> FinanceEvent:
    """Any finance event with any content that fits."""
    member = draw(st.sampled_from(sorted(EVENTS.values(), key=lambda each: each.__name__)))
    content = {}
    for field in msgspec.structs.fields(member):
        if not field.required and draw(st.booleans()):
            continue
        kind = field.type
        if kind == msgspec.Raw | msgspec.UnsetType:
            content[field.name] = draw(_values(msgspec.Raw))
        elif kind is int or kind == int | None:
            content[field.name] = draw(st.integers(-(2**63), 2**63 - 1))
        elif kind is float:
            content[field.name] = draw(st.floats(allow_nan=False, allow_infinity=False))
        else:
            content[field.name] = draw(_values(kind))
    return member(**content)


@given(finance_events())
def test_every_event_survives_the_journal(event: FinanceEvent) -> None:
    """Property: what is written is what is read, and the bytes are those of the contract's own codec."""
    new = finance_event(event, ManualClock(), SeededEntropy(), stream=wallet_stream("eip155:1", "0xAB"), agent_id="a")
    assert read_finance(new) == event
    kind: Kind = decode_kind(new.payload)
    assert isinstance(kind, Custom) and kind.event_type == event_type(event)
    assert msgspec.json.decode(encode_kind(as_kind(event))) == msgspec.json.decode(new.payload)


def test_a_wallet_has_one_stream_in_any_spelling() -> None:
    """Upper and lower case of an address name the same stream."""
    assert wallet_stream("eip155:1", "0xABcd") == wallet_stream("eip155:1", "0xabCD")
