"""Who is paid: lists of hosts and addresses, and alarms about sellers that change."""

from __future__ import annotations

import httpx2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.haima import events, payees
from life.haima.errors import PolicyDeniedError
from life.haima.payees import Destination, HostList, PayeeList, SellerMemory, familiarity, host_of, origin_of
from life.haima.policy import PaymentPolicy
from life.haima.x402 import wire
from life.haima.x402.networks import LOCAL, USDC_BASE_SEPOLIA
from life.haima.x402.transport import AsyncPayingTransport
from tests.haima.payee import PAYEE_ADDRESS, Payee
from tests.haima.payer_kit import ADDRESS, OPEN_POLICY, Kit, finance_events, kinds, paying

OTHER = "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"


# --- lists --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allow", "deny", "host", "permitted"),
    [
        (None, (), "any.example", True),
        (("api.example",), (), "api.example", True),
        (("api.example",), (), "v2.api.example", False),
        ((".api.example",), (), "v2.api.example", True),
        ((".api.example",), (), "api.example", True),
        ((".api.example",), (), "evil-api.example", False),
        (("API.Example.",), (), "api.example", True),
        ((), (), "api.example", False),
        (None, ("api.example",), "api.example", False),
        ((".example",), ("bad.example",), "bad.example", False),
        (("bad.example",), (".example",), "bad.example", False),
        (("xn--bcher-kva.example",), (), "bücher.example", True),
        (("127.0.0.1",), (), "127.0.0.1", True),
        (("::1",), (), "::1", True),
        (("::1",), (), "0:0:0:0:0:0:0:1", True),
    ],
)
def test_hosts(allow: tuple[str, ...] | None, deny: tuple[str, ...], host: str, permitted: bool) -> None:
    """Exact or with everything below, in any spelling; deny wins."""
    assert HostList(allow, deny).permits(payees.canonical_host(host)) is permitted


@pytest.mark.parametrize("text", ["", ".", "*.example", "https://a.example", "a.example:80", "a/b", "..example", "a b"])
def test_what_is_no_host(text: str) -> None:
    """A pattern that can't be meant is an error when the policy is made, never a silent hole."""
    with pytest.raises(InvalidInputError):
        PaymentPolicy(allow_hosts=(text,))
    with pytest.raises(InvalidInputError):
        PaymentPolicy(deny_hosts=(text,))


def test_payees_are_compared_as_addresses() -> None:
    """In any case; what is no address is an error."""
    assert PayeeList((PAYEE_ADDRESS.lower(),), ()).permits(PAYEE_ADDRESS)
    assert not PayeeList((OTHER,), ()).permits(PAYEE_ADDRESS)
    assert not PayeeList((PAYEE_ADDRESS,), (PAYEE_ADDRESS.lower(),)).permits(PAYEE_ADDRESS)
    with pytest.raises(InvalidInputError):
        PaymentPolicy(deny_payees=("0x12",))


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("https://Shop.Example/a?b", "https://shop.example", "shop.example"),
        ("https://shop.example:443/", "https://shop.example", "shop.example"),
        ("https://shop.example:8443/", "https://shop.example:8443", "shop.example"),
        ("http://shop.example./", "http://shop.example", "shop.example"),
        ("http://[::1]:3000/x", "http://[::1]:3000", "::1"),
        ("https://user:secret@shop.example/", "https://shop.example", "shop.example"),
    ],
)
def test_origins(url: str, origin: str, host: str) -> None:
    """One origin and one host for every spelling; user info is none of it."""
    assert (origin_of(url), host_of(url)) == (origin, host)


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        (PaymentPolicy(deny_hosts=("localhost",)), "host_not_allowed"),
        (PaymentPolicy(allow_hosts=(".example",)), "host_not_allowed"),
        (PaymentPolicy(deny_payees=(PAYEE_ADDRESS.lower(),)), "payee_not_allowed"),
        (PaymentPolicy(allow_payees=(OTHER,)), "payee_not_allowed"),
        (PaymentPolicy(host_cap_micro=49), "host_cap"),
        (PaymentPolicy(day_cap_micro=49), "day_cap"),
        (PaymentPolicy(rolling_day_cap_micro=49), "day_cap"),
    ],
)
async def test_lists_and_caps_refuse_before_anything_is_signed(policy: PaymentPolicy, verdict: str) -> None:
    """Each refusal has its code and its event."""
    async with paying(policy=policy) as kit:
        with pytest.raises(PolicyDeniedError) as denied:
            await kit.client.get("/paid")
        assert denied.value.code == f"haima.{verdict}"
        await kit.payer.flush()
        assert await kinds(kit.journal) == ["PaymentDeclined"] and kit.payee.presented == []


# --- sellers that change -------------------------------------------------------------------------------------------------


def change(payee: Payee, **changes: object) -> None:
    """The seller wants something else from now on."""
    payee.requirements = msgspec.structs.replace(payee.requirements, **changes)
    payee.terms = wire.offer((payee.requirements,), resource=wire.ResourceInfo(url="http://localhost/paid"))


async def denied(kit: Kit, path: str = "/paid") -> PolicyDeniedError:
    """The refusal."""
    with pytest.raises(PolicyDeniedError) as caught:
        await kit.client.get(path)
    return caught.value


async def test_a_changed_address_needs_a_person() -> None:
    """A known seller that wants its money elsewhere is paid only when somebody says so; then it is known there, too."""
    async with paying() as kit:
        await kit.client.get("/paid")
        change(kit.payee, pay_to=OTHER)
        error = await denied(kit)
        assert error.verdict == "payee_changed" and error.ticket_id is not None
        await kit.payer.flush()
        asked, alarm = (await finance_events(kit.journal))[-2:]
        assert isinstance(asked, events.ApprovalRequested) and isinstance(alarm, events.PayeeAlarm)
        assert asked.code == alarm.code == "payee_changed" and PAYEE_ADDRESS.lower() in (asked.expected or "")
        assert alarm.payee == OTHER and alarm.ticket_id == asked.ticket_id == error.ticket_id
        await kit.payer.purse(LOCAL).resolve_ticket(error.ticket_id, approved=True)
        assert (await kit.client.get("/paid")).status_code == 200
        assert (await kit.client.get("/paid?other")).status_code == 200, "it is known there now"
        change(kit.payee, pay_to=PAYEE_ADDRESS)
        assert (await kit.client.get("/paid")).status_code == 200, "and where it was before"


async def test_a_changed_network_or_token_needs_a_person() -> None:
    """The same address on another network is another destination; the memory of every network counts."""
    async with paying() as kit:
        await kit.client.get("/paid")
        change(
            kit.payee,
            network=USDC_BASE_SEPOLIA.network,
            asset=USDC_BASE_SEPOLIA.address,
            extra={"name": "USDC", "version": "2"},
        )
        assert (await denied(kit)).verdict == "payee_changed"


async def test_the_memory_survives_a_restart() -> None:
    """It is folded from the journal, so another process is as suspicious."""
    async with paying() as kit:
        await kit.client.get("/paid")
        await kit.payer.flush()
        change(kit.payee, pay_to=OTHER)
        async with paying(payee=kit.payee, journal=kit.journal, clock=kit.clock, seed="later") as later:
            assert (await denied(later)).verdict == "payee_changed"


async def test_a_price_that_jumps_needs_a_person() -> None:
    """Up to the factor is paid, one more asks; a new resource is measured at the highest price of its seller."""
    policy = msgspec.structs.replace(OPEN_POLICY, auto_approve_cap_micro=10_000)
    async with paying(policy=policy) as kit:
        assert (await kit.client.get("/paid")).status_code == 200
        change(kit.payee, amount="151")
        error = await denied(kit)
        assert error.verdict == "price_jumped"
        assert (await denied(kit, "/new")).verdict == "price_jumped"
        change(kit.payee, amount="150")
        assert (await kit.client.get("/paid")).status_code == 200
        change(kit.payee, amount="450")
        assert (await kit.client.get("/paid")).status_code == 200, "150 was accepted"
        change(kit.payee, amount="1351")
        assert (await denied(kit)).verdict == "price_jumped"
        await kit.payer.purse(LOCAL).resolve_ticket((await denied(kit)).ticket_id or "", approved=True)
        assert (await kit.client.get("/paid")).status_code == 200


async def test_an_alarm_without_a_question() -> None:
    """Where the policy only wants to be told, it is paid, and the event says what was odd, once."""
    policy = msgspec.structs.replace(OPEN_POLICY, on_payee_change="alarm")
    async with paying(policy=policy) as kit:
        await kit.client.get("/paid")
        change(kit.payee, pay_to=OTHER)
        for _ in range(2):
            assert (await kit.client.get("/paid")).status_code == 200
        await kit.payer.flush()
        alarms = [event for event in await finance_events(kit.journal) if isinstance(event, events.PayeeAlarm)]
        assert [(alarm.code, alarm.ticket_id) for alarm in alarms] == [("payee_changed", None)]


async def test_nobody_wants_to_know() -> None:
    """Where the policy ignores changes, there is neither alarm nor question."""
    policy = msgspec.structs.replace(OPEN_POLICY, on_payee_change="ignore")
    async with paying(policy=policy) as kit:
        await kit.client.get("/paid")
        change(kit.payee, pay_to=OTHER, amount="99")
        assert (await kit.client.get("/paid")).status_code == 200
        await kit.payer.flush()
        assert "PayeeAlarm" not in await kinds(kit.journal)


async def test_another_seller_is_not_odd() -> None:
    """Sellers are told apart by origin; the first payment to one raises no alarm."""
    async with paying() as kit:
        await kit.client.get("/paid")
        other = Payee(amount="99", now_s=kit.payee.now_s)
        change(other, pay_to=OTHER)
        transport = AsyncPayingTransport(kit.payer, httpx2.ASGITransport(other))
        async with httpx2.AsyncClient(transport=transport, base_url="http://other.localhost") as client:
            assert (await client.get("/paid")).status_code == 200


# --- the memory ----------------------------------------------------------------------------------------------------------

URLS = st.sampled_from(["https://a.example/1", "https://a.example/2", "https://b.example/1", "https://c.example/1"])
PLACES = st.builds(Destination, st.sampled_from(["n1", "n2"]), st.just("t"), st.sampled_from([ADDRESS, OTHER]))
SEEN = st.lists(st.tuples(URLS, PLACES, st.integers(1, 1_000)), max_size=25)


@settings(max_examples=150)
@given(SEEN, st.integers(0, 25))
def test_the_memory_can_be_taken_back(seen: list[tuple[str, Destination, int]], cut: int) -> None:
    """Property: remembering and taking back, newest first, leaves every byte as it was; also when it forgets."""
    kept, payees.KEPT_PRICES = payees.KEPT_PRICES, 2  # type: ignore[misc]
    try:
        memory = SellerMemory()
        for url, place, amount in seen[:cut]:
            memory.remember(url, place, amount)
        before = msgspec.json.encode(memory.summary())
        undos = [memory.remember(url, place, amount) for url, place, amount in seen[cut:]]
        for undo in reversed(undos):
            if undo is not None:
                memory.take_back(undo)
        assert msgspec.json.encode(memory.summary()) == before
    finally:
        payees.KEPT_PRICES = kept  # type: ignore[misc]


@settings(max_examples=150)
@given(SEEN, URLS, PLACES, st.integers(1, 10_000))
def test_what_was_accepted_is_never_odd(
    seen: list[tuple[str, Destination, int]], url: str, place: Destination, amount: int
) -> None:
    """Property: the same destination at no more than was accepted before raises no alarm; an unknown origin never does."""
    memory = SellerMemory()
    for entry in seen:
        memory.remember(*entry)
    known = [entry for entry in seen if origin_of(entry[0]) == origin_of(url)]
    odd = familiarity([memory], url, place, amount, price_jump_percent=100)
    if not known:
        assert odd is None
    elif all(entry[1] != place for entry in known):
        assert odd is not None and odd.code == "payee_changed"
    else:
        prices = [entry[2] for entry in known if entry[0] == url] or [entry[2] for entry in known]
        assert (odd is None) == (amount <= max(prices))
