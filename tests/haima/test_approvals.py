"""Payments that wait for a person: asked once, decided once, used once; across processes, crashes and time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from life.aios.errors import InvalidInputError, NotFoundError
from life.haima import approvals, events
from life.haima.approval_desk import ApprovalDesk
from life.haima.approvals import Ticket, TicketBook
from life.haima.approvals_api import approval_operations
from life.haima.errors import ApprovalDecidedError, PolicyDeniedError
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.haima.x402.driving import CONTEXT
from life.haima.x402.networks import LOCAL
from life.haima.x402.transport import AsyncPayingTransport
from life.host.http.problem import EXCEPTION_HANDLERS
from life.host.http.routes import openapi_document, routes
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.faulty_journal import CrashError, FaultyJournal
from tests.haima.payee import Payee
from tests.haima.payer_kit import AGENT, Kit, finance_events, kinds, paying, replayed, same_state, wallet

ASKING = PaymentPolicy(max_tx_per_minute=1_000_000, auto_approve_cap_micro=10)
"""Fifty need a person."""


def desk_over(journal: MemoryJournal | FaultyJournal, clock: ManualClock) -> ApprovalDesk:
    """A desk in a process of its own."""
    return ApprovalDesk(journal, clock, SeededEntropy("desk"), agent_id="operator")


async def ask(kit: Kit, path: str = "/paid", **context: object) -> str:
    """Be told that a person has to decide; the ticket."""
    with pytest.raises(PolicyDeniedError) as denied:
        await kit.client.get(path, extensions={CONTEXT: context})
    assert denied.value.ticket_id is not None
    return denied.value.ticket_id


async def elapse(clock: ManualClock, seconds: float, task: asyncio.Task[object] | None = None) -> None:
    """Let time pass in small steps, so that everything in between happens."""
    for _ in range(int(seconds * 20)):
        for _ in range(20):
            await asyncio.sleep(0)
        if task is not None and task.done():
            return
        clock.advance_us(50_000)


# --- the queue ----------------------------------------------------------------------------------------------------------


async def test_ask_list_approve_pay() -> None:
    """The whole way: refused with a ticket, listed with all that a person needs, approved elsewhere, paid by repeating."""
    async with paying(policy=ASKING) as kit:
        assert isinstance(kit.journal, MemoryJournal)
        ticket_id = await ask(kit, "/paid?token=hush", task_id="t1")
        desk = desk_over(kit.journal, kit.clock)
        (waiting,) = (await desk.page()).tickets
        asked = waiting.request
        assert (waiting.ticket_id, waiting.state, asked.code) == (ticket_id, "pending", "needs_approval")
        assert (asked.amount_micro, asked.payee, asked.resource_url, asked.task_id) == (
            50,
            kit.payee.requirements.pay_to,
            "http://localhost/paid",
            "t1",
        )
        granted = await desk.decide(ticket_id, approved=True, by="ada", reason="fine")
        assert (granted.state, granted.by, granted.reason) == ("granted", "ada", "fine")
        assert (await kit.client.get("/paid?token=hush")).status_code == 200
        await kit.payer.flush()
        used = await desk.get(ticket_id)
        assert used.state == "used" and used.payment_id is not None
        assert await kinds(kit.journal) == [
            "ApprovalRequested",
            "ApprovalResolved",
            "PaymentReserved",
            "PaymentSettled",
        ]
        assert kit.payee.charged == 50
        await desk.aclose()


@pytest.mark.parametrize(
    "change", ["query", "body", "method", "price", "nothing"], ids=lambda change: f"another-{change}"
)
async def test_a_grant_fits_exactly_what_was_asked(change: str) -> None:
    """Another query, body, method or price under the same grant asks again; a used grant is no grant."""
    async with paying(policy=ASKING) as kit:
        ticket_id = await ask(kit, "/paid?to=alice")
        await kit.payer.purse(LOCAL).resolve_ticket(ticket_id, approved=True)
        if change == "nothing":
            assert (await kit.client.get("/paid?to=alice")).status_code == 200
        if change == "price":
            other = Payee(amount="49", now_s=kit.payee.now_s)
            transport = AsyncPayingTransport(kit.payer, httpx2.ASGITransport(other))
            client = httpx2.AsyncClient(transport=transport, base_url="http://localhost")
        else:
            client = kit.client
        method, path, body = {
            "query": ("GET", "/paid?to=mallory", b""),
            "body": ("GET", "/paid?to=alice", b"x"),
            "method": ("POST", "/paid?to=alice", b""),
        }.get(change, ("GET", "/paid?to=alice", b""))
        with pytest.raises(PolicyDeniedError) as denied:
            await client.request(method, path, content=body)
        assert denied.value.ticket_id not in (None, ticket_id)


async def test_a_question_is_asked_once_in_all_processes() -> None:
    """Sixty-four tasks and a second process ask for the same terms: one ticket."""
    async with paying(policy=ASKING) as kit:
        async with paying(policy=ASKING, payee=kit.payee, journal=kit.journal, clock=kit.clock, seed="other") as other:
            asked = await asyncio.gather(*(ask(kit) for _ in range(32)), *(ask(other) for _ in range(32)))
            assert len(set(asked)) == 1
        await kit.payer.flush()
        assert (await kinds(kit.journal)).count("ApprovalRequested") == 1


async def test_one_grant_is_one_payment_for_any_number_of_tasks() -> None:
    """Sixty-four tasks in two processes jump at one grant: one pays, the others ask."""
    async with paying(policy=ASKING) as kit:
        async with paying(policy=ASKING, payee=kit.payee, journal=kit.journal, clock=kit.clock, seed="other") as other:
            await kit.payer.purse(LOCAL).resolve_ticket(await ask(kit), approved=True)
            outcomes = await asyncio.gather(
                *(one.client.get("/paid") for one in (kit, other) for _ in range(32)), return_exceptions=True
            )
        assert sum(isinstance(outcome, httpx2.Response) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, PolicyDeniedError) for outcome in outcomes) == 63
        assert kit.payee.charged == 50


async def test_decisions_stand() -> None:
    """The same decision again changes nothing; another one is a conflict; so is one that comes too late."""
    async with paying(policy=ASKING) as kit:
        assert isinstance(kit.journal, MemoryJournal)
        desk, second = desk_over(kit.journal, kit.clock), desk_over(kit.journal, kit.clock)
        ticket_id = await ask(kit)
        await desk.decide(ticket_id, approved=False, by="ada", reason="too dear")
        assert (await second.decide(ticket_id, approved=False, by="bob")).by == "ada"
        with pytest.raises(ApprovalDecidedError):
            await second.decide(ticket_id, approved=True)
        with pytest.raises(NotFoundError):
            await desk.decide("01ARZ3NDEKTSV4RRFFQ69G5FAV", approved=True)
        with pytest.raises(InvalidInputError):
            await desk.decide(ticket_id, approved=True, reason="x" * 501)
        late = await ask(kit)
        assert late != ticket_id
        kit.clock.advance_us(approvals.APPROVAL_LIFETIME_S * 1_000_000)
        with pytest.raises(ApprovalDecidedError, match="expired"):
            await desk.decide(late, approved=True)
        await desk.aclose()
        assert "ApprovalExpired" in await kinds(kit.journal)


async def test_two_people_decide_otherwise_at_once() -> None:
    """One decision stands, and whoever was slower is told."""
    async with paying(policy=ASKING) as kit:
        assert isinstance(kit.journal, MemoryJournal)
        ticket_id = await ask(kit)
        slow = FaultyJournal(kit.journal)
        quick, other = desk_over(kit.journal, kit.clock), desk_over(slow, kit.clock)
        await other.get(ticket_id)

        async def interfere() -> None:
            await quick.decide(ticket_id, approved=False, by="quick")

        slow.interfere = interfere
        with pytest.raises(ApprovalDecidedError):
            await other.decide(ticket_id, approved=True, by="slow")
        assert (await other.get(ticket_id)).by == "quick"


async def test_a_grant_does_not_lift_what_came_before_it() -> None:
    """Approving runs steps 1 to 7 again: a deny list, a cap and a switched-off policy still refuse."""
    async with paying(policy=ASKING) as kit:
        await kit.payer.purse(LOCAL).resolve_ticket(await ask(kit), approved=True)
        for policy, verdict in (
            (msgspec.structs.replace(ASKING, enabled=False), "policy_disabled"),
            (msgspec.structs.replace(ASKING, deny_hosts=("localhost",)), "host_not_allowed"),
            (msgspec.structs.replace(ASKING, day_cap_micro=49), "day_cap"),
        ):
            async with paying(policy=policy, payee=kit.payee, journal=kit.journal, clock=kit.clock, seed=verdict) as no:
                with pytest.raises(PolicyDeniedError) as denied:
                    await no.client.get("/paid")
                assert denied.value.verdict == verdict
        assert (await kit.client.get("/paid")).status_code == 200


async def test_a_payment_that_never_left_gives_its_grant_back() -> None:
    """No connection for the paid try: the person need not be asked again."""
    async with paying(policy=ASKING) as kit:
        purse = kit.payer.purse(LOCAL)
        ticket_id = await ask(kit)
        await purse.resolve_ticket(ticket_id, approved=True)

        class Vanishing(httpx2.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
                if "payment-signature" in request.headers:
                    raise httpx2.ConnectError("gone")
                return await httpx2.ASGITransport(kit.payee).handle_async_request(request)

        async with httpx2.AsyncClient(
            transport=AsyncPayingTransport(kit.payer, Vanishing()), base_url="http://localhost"
        ) as client:
            with pytest.raises(httpx2.ConnectError):
                await client.get("/paid")
        ticket = purse.state.ticket(ticket_id)
        assert ticket is not None and ticket.state == "granted"
        assert (await kit.client.get("/paid")).status_code == 200
        await kit.payer.flush()
        assert same_state(purse.state, await replayed(kit.journal))


async def test_people_are_not_flooded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seller that asks for ever other amounts fills the queue once; then it is refused with a code and an event."""
    monkeypatch.setattr("life.haima.purse.MAX_PENDING", 3)
    async with paying(policy=ASKING) as kit:
        for number in range(3):
            await ask(kit, f"/paid?{number}")
        with pytest.raises(PolicyDeniedError) as denied:
            await kit.client.get("/paid?more")
        assert (denied.value.verdict, denied.value.ticket_id) == ("approvals_full", None)
        await kit.payer.flush()
        assert (await kinds(kit.journal))[-1] == "PaymentDeclined"
        kit.clock.advance_us(approvals.APPROVAL_LIFETIME_S * 1_000_000)
        await ask(kit, "/paid?more")


async def test_somebody_is_told() -> None:
    """The hook hears of a question once it is on disk; what it raises changes nothing."""
    heard: list[str] = []

    def notify(ticket: Ticket) -> None:
        heard.append(ticket.ticket_id)
        raise RuntimeError("the pager is broken")

    journal, clock = MemoryJournal(), ManualClock()
    async with asking_payer(journal, clock, on_question=notify) as (payer, client):
        with pytest.raises(PolicyDeniedError) as denied:
            await client.get("/paid")
        with pytest.raises(PolicyDeniedError):
            await client.get("/paid")
    assert heard == [denied.value.ticket_id]
    assert payer.purse(LOCAL).state.ticket(heard[0]) is not None


@asynccontextmanager
async def asking_payer(
    journal: MemoryJournal | FaultyJournal,
    clock: ManualClock,
    *,
    payee: Payee | None = None,
    seed: str = "asking",
    on_question: Callable[[Ticket], None] | None = None,
) -> AsyncIterator[tuple[Payer, httpx2.AsyncClient]]:
    """A payer that asks a person, and its client."""
    payer = Payer(
        journal=journal,
        custody=wallet(clock),
        clock=clock,
        entropy=SeededEntropy(seed),
        agent_id=AGENT,
        policy=ASKING,
        session_id="s",
        on_question=on_question,
    )
    await payer.open()
    payee = payee or Payee(now_s=lambda: clock.now_us() // 1_000_000)
    transport = AsyncPayingTransport(payer, httpx2.ASGITransport(payee))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        try:
            yield payer, client
        except CrashError:
            raise  # a dead process closes nothing
        except BaseException:
            with contextlib.suppress(CrashError):
                await payer.aclose()
            raise
        await payer.aclose()


# --- waiting ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["approve", "deny", "nobody", "deadline"])
async def test_a_purchase_waits_for_its_decision(outcome: str) -> None:
    """Granted it is paid, with terms that are asked for anew; refused, or decided by nobody, it says why."""
    journal, clock = MemoryJournal(), ManualClock()
    payee = Payee(now_s=lambda: clock.now_us() // 1_000_000)
    async with asking_payer(journal, clock, payee=payee) as (_, client):
        wait_s = 30 if outcome == "deadline" else 3_600
        call = asyncio.create_task(
            client.get("/paid", extensions={CONTEXT: {"purchase_id": "order-1", "approval_wait_s": wait_s}})
        )
        await elapse(clock, 5)
        assert not call.done()
        desk = desk_over(journal, clock)
        (waiting,) = (await desk.page()).tickets
        if outcome in ("approve", "deny"):
            await desk.decide(waiting.ticket_id, approved=outcome == "approve", by="ada", reason="because")
        elif outcome == "nobody":
            clock.advance_us(approvals.APPROVAL_LIFETIME_S * 1_000_000)
        await elapse(clock, 40, call)
        if outcome == "approve":
            assert (await call).status_code == 200
            assert [header["payment-signature"] for *_, header in payee.requests if "payment-signature" in header]
            assert len(payee.requests) == 3, "asked, asked again after the wait, paid"
        else:
            with pytest.raises(PolicyDeniedError) as denied:
                await call
            assert (
                denied.value.verdict
                == {
                    "deny": "approval_denied",
                    "nobody": "approval_expired",
                    "deadline": "needs_approval",
                }[outcome]
            )
            assert payee.charged == 0
        await desk.aclose()


async def test_the_price_changes_while_a_person_thinks() -> None:
    """What was granted is not what is asked now: another question is put, and nothing is paid at the new price."""
    journal, clock = MemoryJournal(), ManualClock()
    payee = Payee(now_s=lambda: clock.now_us() // 1_000_000)
    async with asking_payer(journal, clock, payee=payee) as (_, client):
        call = asyncio.create_task(client.get("/paid", extensions={CONTEXT: {"approval_wait_s": 60}}))
        await elapse(clock, 2)
        desk = desk_over(journal, clock)
        (first,) = (await desk.page()).tickets
        dearer = Payee(amount="100")
        payee.terms, payee.requirements = dearer.terms, dearer.requirements
        await desk.decide(first.ticket_id, approved=True)
        await elapse(clock, 70, call)
        with pytest.raises(PolicyDeniedError) as denied:
            await call
        assert denied.value.verdict == "needs_approval" and denied.value.ticket_id != first.ticket_id
        assert payee.charged == 0
        await desk.aclose()


@pytest.mark.parametrize("decided", [True, False], ids=["decided-meanwhile", "decided-later"])
async def test_waiting_survives_a_restart(decided: bool) -> None:
    """The process dies while it waits. The same purchase in the next one finds the same question, or its answer."""
    inner, clock = MemoryJournal(), ManualClock()
    payee = Payee(now_s=lambda: clock.now_us() // 1_000_000)
    context = {CONTEXT: {"purchase_id": "order-1", "approval_wait_s": 600}}
    first = FaultyJournal(inner)
    async with asking_payer(first, clock, payee=payee, seed="first") as (_, client):
        call = asyncio.create_task(client.get("/paid", extensions=context))
        await elapse(clock, 2)
        first.dead = True
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.gather(call, return_exceptions=True), 1)
        first.dead = False  # so that closing in this test ends; the process wrote nothing after its death
        first.faults = ["before"] * 9
        desk = desk_over(inner, clock)
        (waiting,) = (await desk.page()).tickets
        if decided:
            await desk.decide(waiting.ticket_id, approved=True)
        async with asking_payer(inner, clock, payee=payee, seed="second") as (_, again):
            call = asyncio.create_task(again.get("/paid", extensions=context))
            await elapse(clock, 1, call)
            if not decided:
                assert not call.done()
                await desk.decide(waiting.ticket_id, approved=True)
            await elapse(clock, 10, call)
            assert (await call).status_code == 200
        assert payee.charged == 50
        assert (await kinds(inner)).count("ApprovalRequested") == 1
        await desk.aclose()


@pytest.mark.parametrize("place", range(1, 6))
@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
async def test_every_crash_of_an_approved_purchase(place: int, when: str) -> None:
    """Ask, grant, reserve, book: the paying process dies around each of its writes and is restarted until the purchase is
    done. One question at most stands open at a time, one payment is made, and the books are those of the journal."""
    inner, clock = MemoryJournal(), ManualClock()
    payee = Payee(now_s=lambda: clock.now_us() // 1_000_000)
    desk = desk_over(inner, clock)
    done = False
    for life in range(6):
        journal = FaultyJournal(inner)
        if life < 2:
            journal.faults = [*["none"] * (place - 1), when]  # type: ignore[list-item]
        try:
            async with asking_payer(journal, clock, payee=payee, seed=f"life-{life}") as (_, client):
                answer = await client.get("/paid", extensions={CONTEXT: {"purchase_id": "order-1"}})
                done = answer.status_code == 200
        except (CrashError, PolicyDeniedError):
            pass
        journal.dead = True
        for ticket in (await desk.page()).tickets:
            await desk.decide(ticket.ticket_id, approved=True)
        clock.advance_us(1_000_000)
    assert done and payee.charged == 50 and len(set(payee.presented)) == 1
    written = await finance_events(inner)
    used = [event.approval_id for event in written if isinstance(event, events.PaymentReserved)]
    assert len(used) == len(set(used))
    await desk.aclose()


# --- over HTTP ----------------------------------------------------------------------------------------------------------


async def test_the_queue_over_http() -> None:
    """Listing with a cursor, one, deciding with who did it; every mistake is a problem with a code."""
    async with paying(policy=ASKING) as kit:
        assert isinstance(kit.journal, MemoryJournal)
        tickets = []
        for number in range(5):
            tickets.append(await ask(kit, f"/paid?{number}"))
            kit.clock.advance_us(1)
        desk = desk_over(kit.journal, kit.clock)
        operations = approval_operations(desk, kit.clock, who=lambda request: "the page")
        app = Starlette(routes=routes(operations), exception_handlers=EXCEPTION_HANDLERS)
        assert b"/v1/approvals/{ticket_id}" in openapi_document("test", operations)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://h") as client:
            seen: list[str] = []
            cursor: str | None = ""
            while cursor is not None:
                page = (await client.get(f"/v1/approvals?limit=2{cursor and '&cursor=' + cursor}")).json()
                seen += [one["ticket_id"] for one in page["approvals"]]
                cursor = page["next_cursor"]
            assert seen == tickets
            for body in ({"decision": "approve", "reason": "ok"}, {"decision": "approve"}):
                made = await client.post(f"/v1/approvals/{tickets[0]}", json=body)
                assert made.status_code == 200 and made.json()["decided_by"] == "the page"
                assert (made.json()["state"], made.json()["decision_reason"]) == ("granted", "ok")
            conflict = await client.post(f"/v1/approvals/{tickets[0]}", json={"decision": "deny"})
            assert (conflict.status_code, conflict.json()["code"]) == (409, "haima.approval_decided")
            granted = (await client.get("/v1/approvals?state=granted")).json()["approvals"]
            assert [one["ticket_id"] for one in granted] == tickets[:1]
            for path, status in (
                ("/v1/approvals/nothing", 404),
                ("/v1/approvals?state=odd", 400),
                ("/v1/approvals?limit=0", 400),
                ("/v1/approvals?limit=x", 400),
                ("/v1/approvals?cursor=x", 404),
            ):
                assert (await client.get(path)).status_code == status
            for content in (
                b"",
                b"{}",
                b"[]",
                b'{"decision":"maybe"}',
                b'{"decision":"deny","extra":1}',
                b"x" * 20_000,
            ):
                assert (await client.post(f"/v1/approvals/{tickets[1]}", content=content)).status_code == 400
        await desk.aclose()


async def test_watching() -> None:
    """What waits, then each thing that happens to it, from whatever process."""
    async with paying(policy=ASKING) as kit:
        assert isinstance(kit.journal, MemoryJournal)
        first = await ask(kit)
        desk, other = desk_over(kit.journal, kit.clock), desk_over(kit.journal, kit.clock)
        watching = desk.watch()
        assert (await anext(watching)).ticket_id == first
        await other.decide(first, approved=True)
        assert (await anext(watching)).state == "granted"
        await kit.client.get("/paid")
        assert (await anext(watching)).state == "used"
        second = await ask(kit, "/paid?2")
        assert (await anext(watching)).ticket_id == second
        await watching.aclose()  # type: ignore[attr-defined]
        await desk.aclose()


# --- the fold -----------------------------------------------------------------------------------------------------------

IDS = st.sampled_from(["a", "b", "c"])
MOVES = st.lists(st.tuples(st.sampled_from(["ask", "grant", "refuse", "expire", "use", "give_back"]), IDS), max_size=30)


@settings(max_examples=150)
@given(MOVES, st.integers(0, 30))
def test_the_fold_can_be_taken_back(moves: list[tuple[str, str]], cut: int) -> None:
    """Property: any moves, taken back newest first, leave the book as it was; a grant is used at most once at a time."""
    book = TicketBook()

    def fold(move: str, ticket_id: str, at_us: int) -> list[tuple[str, Ticket | None]]:
        if move == "ask":
            asked = events.ApprovalRequested(
                ticket_id=ticket_id,
                terms_digest=f"terms-{ticket_id in 'ab'}",
                wallet="w",
                network="n",
                asset="t",
                payee="p",
                amount_atomic="1",
                amount_micro=1,
                resource_url="u",
                expires_at_us=100,
            )
            return book.ask(asked, at_us)
        if move in ("grant", "refuse"):
            event = events.ApprovalResolved(ticket_id=ticket_id, approved=move == "grant", expires_at_us=200)
            return book.resolve(event, at_us)
        if move == "expire":
            return book.expire(events.ApprovalExpired(ticket_id=ticket_id))
        if move == "use":
            ticket = book.get(ticket_id)
            return book.use(ticket_id, f"payment-{at_us}") if ticket is not None and ticket.state == "granted" else []
        ticket = book.get(ticket_id)
        return book.give_back(ticket_id, ticket.payment_id or "") if ticket is not None else []

    def seen() -> object:
        found = {digest: book.find(digest, "granted", now_us=0) for digest in ("terms-True", "terms-False")}
        return dict(book.summary()), found, book.pending(0)

    for at_us, (move, ticket_id) in enumerate(moves[:cut]):
        fold(move, ticket_id, at_us)
    before = seen()
    changes = [change for at_us, move in enumerate(moves[cut:]) for change in fold(*move, 1_000 + at_us)]
    for ticket_id, stood in reversed(changes):
        if stood is None or ticket_id in book.summary() or stood is not None:
            book.take_back(ticket_id, stood)
    assert seen() == before
