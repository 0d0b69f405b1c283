"""What came out of a hire: it moves the trust in the peer once, by the house's word and a proven key, never by what somebody writes.

    customer   paid,     the house took the delivery from the worker's key; the worker's own words in Spaces are not needed, or it could
               rejected  escape the customer's word by leaving them out (and would lose its due by dying before it wrote them)
               late      the worker signed that it took the hire on
    worker     any       the customer signed the offer; a customer who paid gains trust, and only for money: what costs nothing proves nothing

A declined hire, and a late one that was never taken on, say nothing about anybody.
"""

from __future__ import annotations

from contextlib import suppress

from life.aios.errors import LifeError
from life.spaces.errors import SpacesError
from life.spaces.hiring.hire import Role
from life.spaces.hiring.offers import TaskBody, check_signed, taken_text
from life.spaces.hiring.peers import PeerBook
from life.spaces.hiring.ports import OVER, Interaction, PeerTrust, Standing
from life.spaces.model import Profile, Task
from life.spaces.seat import Seat


class Remembered:
    """Tells the PeerTrust port of hires that are over. Belongs to one event loop."""

    def __init__(self, people: PeerBook, trust: PeerTrust) -> None:
        self._people = people
        self._trust = trust
        self._told: set[str] = set()

    async def note(self, seat: Seat, row: Task, body: TaskBody | None, standing: Standing, role: Role) -> None:
        """How a hire that is over went, once. `standing` must be of these two, at the house that we use; without a `body` the words are
        spoiled. A peer whose key proved nothing is not remembered, for good or bad."""
        if standing.status not in OVER or row.task_id in self._told:
            return
        peer = await self._people.profile(seat, row.agent if role == "customer" else row.owner)
        try:
            if role == "customer":
                interaction = await self._of_worker(seat, row, body, standing, peer)
            else:
                interaction = await self._of_customer(seat, row, body, standing, peer)
        except SpacesError:
            interaction = None  # nothing is proven
        if interaction is not None:
            with suppress(LifeError):  # it is tried again the next time that somebody looks
                await self._trust.record(interaction)
                self._told.add(row.task_id)

    async def check_offer(self, seat: Seat, row: Task, body: TaskBody) -> None:
        """OfferForgedError unless the customer signed the offer."""
        owner = await self._people.profile(seat, row.owner)
        await self._check(seat, row, row.owner, owner, body.signature, body.offer.text())

    async def _of_worker(
        self, seat: Seat, row: Task, body: TaskBody | None, standing: Standing, worker: Profile
    ) -> Interaction | None:
        interaction = Interaction(row.task_id, worker.did, "customer", standing.status == "paid", None)
        if standing.status in ("paid", "rejected"):
            return interaction if standing.result_digest is not None else None
        if body is None:
            return None
        if standing.status == "late" and body.taken is not None:
            await self._check(seat, row, row.agent, worker, body.taken.signature, taken_text(body.offer))
            return interaction
        return None

    async def _of_customer(
        self, seat: Seat, row: Task, body: TaskBody | None, standing: Standing, customer: Profile
    ) -> Interaction | None:
        if body is None or standing.status == "declined" or not standing.price_micro_credits:
            return None
        if standing.status == "late" and body.taken is None:
            return None
        await self.check_offer(seat, row, body)
        success = standing.status == "paid"
        return Interaction(row.task_id, customer.did, "worker", True if success else None, success)

    async def _check(self, seat: Seat, row: Task, sender: str, profile: Profile, signature: str, content: str) -> None:
        check_signed(
            signature,
            content,
            hire_id=row.task_id,
            sender=sender,
            root_did=profile.did,
            keys=await self._people.keys(seat, sender),
        )
