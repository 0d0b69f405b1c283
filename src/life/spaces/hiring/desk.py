"""The hiring desk of one agent: as the customer it hires, accepts and rejects; as the worker it takes on, delivers and declines.

    hire      the house puts the price aside ── then the worker is told          (never the other way round)
    deliver   the house takes the result ────── then the customer is told
    judge     the house pays or gives back

Every step has an id that follows from the hire's, and the house goes first, so a process that dies anywhere in between can do the step
again: nothing is paid, delivered or asked twice. What a task's body says is shown only when it is signed by whom it claims, and counts
only as far as the house agrees: the digest of the offer, the two accounts, the price, the times. What came out of a hire moves the trust in
the peer (life.spaces.hiring.remembered).

Source: spaces.md §9, §13, §14 (W18); ARCHITECTURE.md decisions 4 and 7.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, Literal

import msgspec

from life.spaces.commands import CreateTask, UpdateTask
from life.spaces.errors import SpacesConflictError, SpacesError, SpacesNotFoundError
from life.spaces.hiring.errors import HireRefusedError, NoHouseError, OfferForgedError
from life.spaces.hiring.hire import Hire, Role, by_the_house, from_the_house, sha256_of, state_of
from life.spaces.hiring.offers import (
    CONTEXT,
    MAX_DEADLINE_S,
    MAX_REASON,
    MAX_RESULT,
    MAX_REVIEW_S,
    MAX_TASK,
    MAX_TITLE,
    Delivery,
    Offer,
    Taken,
    TaskBody,
    check_words,
    delivered_text,
    encode_body,
    place_of_hire,
    read_body,
    taken_text,
)
from life.spaces.hiring.peers import Peer, PeerBook, rows_of
from life.spaces.hiring.ports import OVER, Escrow, OpenEscrow, PeerTrust, Standing, Terms, Trusted
from life.spaces.hiring.remembered import Remembered
from life.spaces.identity import identity_of
from life.spaces.model import Task
from life.spaces.reducers.tasks import TERMINAL
from life.spaces.seat import OpenSeat, Seat

_KEPT: Final = 4_096
_TURNS: Final = 4
"""How often a row that somebody else changed meanwhile is read again."""


class HiringDesk:
    """See the module. Belongs to one event loop."""

    def __init__(self, open_seat: OpenSeat, open_escrow: OpenEscrow, trust: PeerTrust, people: PeerBook) -> None:
        """Where there is no escrow nobody can be hired, and questions can be asked and answered."""
        self._open_seat = open_seat
        self._open_escrow = open_escrow
        self._trust = trust
        self._people = people
        self._memory = Remembered(people, trust)
        self._final: dict[str, Standing] = {}

    # ---- as the customer

    async def hire(
        self,
        hire_id: str,
        peer: str,
        *,
        title: str,
        task: str,
        price_micro: int,
        deadline_s: int,
        review_s: int,
        session_id: str | None = None,
        approved: bool = False,
    ) -> Hire:
        """Put the price aside and tell the peer. The same id again is the same hire. Refusals of the house and the payment policy are
        raised as they are; NoHouseError, HireRefusedError."""
        escrow = await self._house()
        seat = await self._open_seat()
        worker = await self._people.resolve(seat, peer)
        if worker.identity == seat.identity:
            raise HireRefusedError("Nobody hires themselves.")
        if identity_of(worker.did) != worker.identity:  # the price would go to whom the engine names
            raise OfferForgedError("Spaces says a DID of the peer that is not this identity's.")
        if price_micro < 0 or not 1 <= deadline_s <= MAX_DEADLINE_S or not 1 <= review_s <= MAX_REVIEW_S:
            raise HireRefusedError("A price is not negative; a deadline and a review last a second to 30 days.")
        offer = Offer(
            hire_id=hire_id,
            kind="hire",
            customer=seat.identity,
            worker=worker.identity,
            title=check_words(title, MAX_TITLE, what="title"),
            task=check_words(task, MAX_TASK, what="task"),
            price_micro=price_micro,
            deadline_s=deadline_s,
            review_s=review_s,
            house=escrow.house,
        )
        mine = await self._people.profile(seat, seat.identity)
        terms = Terms(
            hire_id=hire_id,
            customer_id=escrow.account_of(mine.did),
            worker_id=escrow.account_of(worker.did),
            price_micro_credits=price_micro,
            deadline_s=deadline_s,
            review_s=review_s,
            title=offer.title,
            offer_digest=offer.digest(),
            session_id=session_id,
        )
        await escrow.put_aside(terms, approved=approved)
        await self._offer(seat, offer)
        return await self.look(hire_id)

    async def ask(self, ask_id: str, peer: str, question: str) -> Hire:
        """Ask somebody something, for nothing. The same id again is the same question."""
        seat = await self._open_seat()
        other = await self._people.resolve(seat, peer)
        if other.identity == seat.identity:
            raise HireRefusedError("Nobody asks themselves.")
        words = check_words(question, MAX_TASK, what="question")
        offer = Offer(
            hire_id=ask_id,
            kind="question",
            customer=seat.identity,
            worker=other.identity,
            title=words.strip().splitlines()[0][:MAX_TITLE],
            task=words,
        )
        await self._offer(seat, offer)
        return await self.look(ask_id)

    async def accept(self, hire_id: str, note: str = "") -> Hire:
        """The delivered work is right: its worker is paid."""
        return await self._judge(hire_id, passed=True, reason=note)

    async def reject(self, hire_id: str, reason: str) -> Hire:
        """The delivered work is not what was agreed on: the money comes back, by the contract."""
        return await self._judge(hire_id, passed=False, reason=check_words(reason, MAX_REASON, what="reason"))

    async def _judge(self, hire_id: str, *, passed: bool, reason: str) -> Hire:
        # What the task says does not matter here: its worker could spoil it, and silence would be acceptance.
        seat, escrow = await self._open_seat(), await self._house()
        if await self._bought(seat, escrow, hire_id) is None:
            raise HireRefusedError("The house knows no such hire of ours.")
        await escrow.judge(hire_id, passed=passed, reason=reason[:MAX_REASON])
        return await self.look(hire_id)

    # ---- as the worker

    async def take(self, hire_id: str) -> Hire:
        """Take a hire (or question) on. Only one whose price the house that we use holds for us, under this very offer."""
        seat, row, body = await self._found(hire_id)
        self._as_worker(seat, row)
        if row.state == "submitted":
            if body.offer.kind == "hire":
                await self._check_funded(seat, row, body)
            await self._mark_taken(seat, row, body)
        return await self.look(hire_id)

    async def deliver(self, hire_id: str, result: str) -> Hire:
        """Hand the result in: to the house first, where it counts. The same result again changes nothing, another one is refused."""
        words = check_words(result, MAX_RESULT, what="result")
        seat, row, body = await self._found(hire_id)
        self._as_worker(seat, row)
        if body.offer.kind == "hire":
            standing = await self._check_funded(seat, row, body, deliverable=True)
            if standing.status in ("open", "delivered"):
                await (await self._house()).deliver(hire_id, words)
            elif standing.result_digest != sha256_of(words):
                raise HireRefusedError(f"This hire is {standing.status}.")
        elif row.state == "completed" and body.delivered is not None and body.delivered.result != words:
            raise HireRefusedError("This question was answered before.")
        if row.state == "submitted":
            await self._mark_taken(seat, row, body)
            seat, row, body = await self._found(hire_id)
        if row.state not in TERMINAL:
            signature = await seat.sign(place_of_hire(hire_id), hire_id, delivered_text(body.offer, words))
            changed = msgspec.structs.replace(body, delivered=Delivery(result=words, signature=signature))
            await self._move(seat, row, "completed", changed)
        return await self.look(hire_id)

    async def decline(self, hire_id: str, reason: str) -> Hire:
        """Not do it: the money goes back to the customer at once."""
        words = check_words(reason, MAX_REASON, what="reason")
        seat, row, body = await self._found(hire_id)
        self._as_worker(seat, row)
        escrow = await self._house_of(body.offer) if body.offer.kind == "hire" else None
        if escrow is not None:
            standing = await escrow.look(hire_id)
            if standing is not None and standing.status == "open":
                await escrow.give_up(hire_id, words)
        if row.state not in TERMINAL:
            await self._move(seat, row, "rejected", msgspec.structs.replace(body, reason=words))
        return await self.look(hire_id)

    # ---- for both

    async def look(self, hire_id: str) -> Hire:
        """Where one stands now; SpacesNotFoundError. A price of ours that is put aside shows in any case, also when Spaces failed before
        the worker was told."""
        seat = await self._open_seat()
        try:
            hire = await self._shown(seat, await self._row(seat, hire_id))
        except SpacesNotFoundError:
            hire = await self._untold(seat, hire_id)
        if hire is None:
            raise SpacesNotFoundError("There is no such hire.")
        return hire

    async def list_(
        self,
        *,
        role: Literal["customer", "worker", "any"] = "any",
        kind: Literal["hire", "question", "any"] = "any",
        open_only: bool = False,
        limit: int = 50,
    ) -> list[Hire]:
        """Hires and questions, newest first."""
        seat = await self._open_seat()
        rows: dict[str, Task] = {}
        for field, wanted in (("owner", "customer"), ("agent", "worker")):
            if role in (wanted, "any"):
                for row in await rows_of(seat, "a2a_task", {field: seat.identity}):
                    if isinstance(row, Task) and row.context_id == CONTEXT:
                        rows[row.task_id] = row
        found: list[Hire] = []
        for row in sorted(rows.values(), key=lambda row: (-row.created_us, row.task_id)):
            hire = await self._shown(seat, row)
            if hire is None or kind not in (hire.kind, "any"):
                continue
            if open_only and (hire.is_over or (hire.kind == "question" and row.state in TERMINAL)):
                continue
            found.append(hire)
            if len(found) >= limit:
                break
        return found

    async def trust_in(self, identity: str) -> Trusted:
        """Our own trust in somebody."""
        seat = await self._open_seat()
        return await self._trust.trust_in((await self._people.profile(seat, identity)).did)

    async def house(self) -> str:
        """The house's name; empty when nobody holds money here."""
        escrow = await self._open_escrow()
        return "" if escrow is None else escrow.house

    # ---- the words

    async def _offer(self, seat: Seat, offer: Offer) -> None:
        """Tell the worker, once: the row's ids follow from the offer."""
        signature = await seat.sign(place_of_hire(offer.hire_id), offer.hire_id, offer.text())
        body = encode_body(TaskBody(offer=offer, signature=signature))
        await seat.submit(
            CreateTask(
                task_id=offer.hire_id,
                context_id=CONTEXT,
                agent=offer.worker,
                message_id=offer.hire_id,
                body=body,
            )
        )

    async def _move(
        self, seat: Seat, row: Task, state: Literal["working", "completed", "rejected"], body: TaskBody
    ) -> None:
        """Change the row; when it changed meanwhile into what was wanted (or beyond), all is well."""
        for _ in range(_TURNS):
            try:
                await seat.submit(
                    UpdateTask(task_id=row.task_id, state=state, body=encode_body(body), expected_version=row.version)
                )
                return
            except SpacesConflictError:
                _, row, _ = await self._found(row.task_id)
                if row.state == state or row.state in TERMINAL:
                    return
        raise HireRefusedError("The task is changed by others without a pause.")

    async def _mark_taken(self, seat: Seat, row: Task, body: TaskBody) -> None:
        signature = await seat.sign(place_of_hire(row.task_id), row.task_id, taken_text(body.offer))
        await self._move(seat, row, "working", msgspec.structs.replace(body, taken=Taken(signature=signature)))

    async def _row(self, seat: Seat, hire_id: str) -> Task:
        rows = await rows_of(seat, "a2a_task", {"task_id": hire_id})
        if not rows or not isinstance(rows[0], Task) or rows[0].context_id != CONTEXT:
            raise SpacesNotFoundError("There is no such hire.")
        return rows[0]

    async def _found(self, hire_id: str) -> tuple[Seat, Task, TaskBody]:
        seat = await self._open_seat()
        row = await self._row(seat, hire_id)
        body = read_body(row.body)
        if body is None:
            raise SpacesNotFoundError("There is no such hire.")
        return seat, row, body

    def _as_worker(self, seat: Seat, row: Task) -> None:
        if row.agent != seat.identity:
            raise HireRefusedError("Only who was asked does this.")

    # ---- what is believed

    async def _house(self) -> Escrow:
        escrow = await self._open_escrow()
        if escrow is None:
            raise NoHouseError(
                "Nobody holds money in escrow here.", next_step="Name a house: house in [spaces] of config.toml."
            )
        return escrow

    async def _house_of(self, offer: Offer) -> Escrow | None:
        """Our house, when the offer means it."""
        escrow = await self._open_escrow()
        return escrow if escrow is not None and offer.house == escrow.house else None

    async def _standing_of(self, seat: Seat, row: Task, body: TaskBody) -> Standing | None:
        """The house's word on a hire, None when it is not our house or does not know it. OfferForgedError when the house holds the money
        for something else."""
        escrow = await self._house_of(body.offer) if body.offer.kind == "hire" else None
        if escrow is None:
            return None
        standing = await self._look(escrow, row.task_id)
        if standing is None:
            return None
        owner = await self._people.profile(seat, row.owner)
        agent = await self._people.profile(seat, row.agent)
        parties = (escrow.account_of(owner.did), escrow.account_of(agent.did))
        if (
            (standing.customer_id, standing.worker_id) != parties
            or standing.offer_digest != body.offer.digest()
            or standing.price_micro_credits != body.offer.price_micro
            or (standing.deadline_s, standing.review_s) != (body.offer.deadline_s, body.offer.review_s)
            or standing.hire_id != row.task_id
            or (body.offer.customer, body.offer.worker) != (row.owner, row.agent)
            or body.offer.hire_id != row.task_id
        ):
            raise OfferForgedError("What the task says is not what the money was put aside for.")
        return standing

    async def _look(self, escrow: Escrow, hire_id: str) -> Standing | None:
        """The house's word; its last one is not asked for again."""
        known = self._final.get(hire_id)
        if known is not None:
            return known
        standing = await escrow.look(hire_id)
        if standing is not None and standing.status in OVER:
            if len(self._final) >= _KEPT:
                self._final.clear()
            self._final[hire_id] = standing
        return standing

    async def _check_funded(self, seat: Seat, row: Task, body: TaskBody, *, deliverable: bool = False) -> Standing:
        """HireRefusedError unless the house that we use holds the price for us; OfferForgedError for an offer nobody signed."""
        if await self._house_of(body.offer) is None:
            raise HireRefusedError(
                f"The money is said to be at {body.offer.house[:120]!r}, which is not the house that we use."
            )
        standing = await self._standing_of(seat, row, body)
        if standing is None:
            raise HireRefusedError("The house holds no money for this hire.")
        await self._memory.check_offer(seat, row, body)
        if standing.status == "open" and standing.escrow_micro_credits != standing.price_micro_credits:
            raise HireRefusedError("The house holds not the whole price of this hire.")
        if standing.status != "open" and not deliverable:
            raise HireRefusedError(f"This hire is {standing.status}.")
        return standing

    async def _shown(self, seat: Seat, row: Task) -> Hire | None:
        """The hire; None for a task that is none."""
        role: Role = "customer" if row.owner == seat.identity else "worker"
        other = row.agent if role == "customer" else row.owner
        body = read_body(row.body)
        if body is None:
            return await self._spoiled(seat, row, role)
        fault = ""
        standing: Standing | None = None
        try:
            standing = await self._standing_of(seat, row, body)
        except OfferForgedError as error:
            spoiled = await self._spoiled(seat, row, role)
            if spoiled is not None:
                return spoiled
            fault = error.message
        offer = body.offer
        hire = Hire(
            hire_id=row.task_id,
            kind=offer.kind,
            role=role,
            state=state_of(row, body, standing),
            peer=await self._people.peer(seat, other),
            title=offer.title,
            task=offer.task,
            price_micro=offer.price_micro if standing is None else standing.price_micro_credits,
            house="" if standing is None else offer.house,  # else it is whatever the other side wrote
            reason=body.reason,
            fault=fault,
        )
        if standing is not None:
            hire = by_the_house(hire, standing, body.reason)
            await self._memory.note(seat, row, body, standing, role)
            await self._tidy(seat, row, standing, role)
        elif body.delivered is not None and offer.kind == "question":
            result = body.delivered.result
            hire = msgspec.structs.replace(
                hire, result=result, result_sha256=sha256_of(result), delivered_at_us=row.updated_us
            )
        return hire

    async def _spoiled(self, seat: Seat, row: Task, role: Role) -> Hire | None:
        """A hire of ours whose words the other side changed: what the house knows of it. None when it knows nothing."""
        escrow = await self._open_escrow()
        standing = await self._bought(seat, escrow, row.task_id) if role == "customer" and escrow is not None else None
        if standing is None or escrow is None:
            return None
        worker = await self._people.profile(seat, row.agent)
        if standing.worker_id == escrow.account_of(worker.did):
            await self._memory.note(seat, row, None, standing, role)
        fault = "The worker changed the words of the task; this is what the house knows of it."
        peer = await self._people.peer(seat, row.agent)
        return from_the_house(standing, peer, escrow.house, "working", fault)

    async def _untold(self, seat: Seat, hire_id: str) -> Hire | None:
        """A hire of ours that the house knows and Spaces does not."""
        escrow = await self._open_escrow()
        standing = None if escrow is None else await self._bought(seat, escrow, hire_id)
        if standing is None or escrow is None:
            return None
        fault = "Spaces knows nothing of this hire, so its worker was never told; the price comes back at the deadline."
        peer = Peer(identity="", name=standing.worker_id, is_agent=True)
        return from_the_house(standing, peer, escrow.house, "offered", fault)

    async def _bought(self, seat: Seat, escrow: Escrow, hire_id: str) -> Standing | None:
        """The house's word on a hire that we are the customer of; None when it knows none."""
        standing = await self._look(escrow, hire_id)
        mine = await self._people.profile(seat, seat.identity)
        return standing if standing is not None and standing.customer_id == escrow.account_of(mine.did) else None

    async def _tidy(self, seat: Seat, row: Task, standing: Standing, role: Role) -> None:
        """Close the task of a hire that time has ended, so that it does not count as open for ever."""
        if standing.status not in OVER or row.state in TERMINAL:
            return
        state: Literal["canceled", "failed", "completed"] = "canceled"
        if role == "worker":
            state = "completed" if standing.status == "paid" and row.state == "working" else "failed"
        with suppress(SpacesError):  # somebody else closed it
            await seat.submit(UpdateTask(task_id=row.task_id, state=state, expected_version=row.version))


__all__ = ["Hire", "HiringDesk"]
