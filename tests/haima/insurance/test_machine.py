"""Insurance under any sequence of commands: the invariants of haima.md §8.7 that it touches."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from life.aios.errors import LifeError
from life.haima.house import House
from life.haima.house_state import encode
from life.haima.insurance.parameters import DAY_S, POOL_ID
from tests.haima.insurance.kit import AGENT_ID, Office, open_office

T = TypeVar("T")


class InsuranceMachine(RuleBasedStateMachine):
    """Cover, losses, claims and time in any order; refusals are answers, too."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.office: Office = self.run(self.open())
        self.policies: list[str] = []
        self.claims: list[str] = []
        self.events: list[str] = []
        self.seen_payouts: dict[str, int] = {}

    async def open(self) -> Office:
        return await self.stack.enter_async_context(open_office(seed_micro=700_000))

    def run(self, work: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(work)

    def attempt(self, work: Coroutine[object, object, T]) -> T | None:
        try:
            return self.run(work)
        except LifeError:
            return None

    @rule(coverage=st.sampled_from((100_000, 500_000, 2_000_000)))
    def cover(self, coverage: int) -> None:
        bound = self.attempt(self.office.cover(coverage_micro=coverage))
        if bound is not None:
            self.policies.append(bound.policy_id)

    @rule()
    def lose(self) -> None:
        self.events.append(self.run(self.office.fail()))

    @rule(data=st.data(), amount=st.integers(1, 2_500_000))
    def claim(self, data: st.DataObject, amount: int) -> None:
        if self.policies and self.events:
            policy = data.draw(st.sampled_from(self.policies))
            evidence = data.draw(st.lists(st.sampled_from([*self.events, "nothing"]), min_size=1, max_size=3))
            claim_id = self.attempt(self.office.claim(policy, amount, *evidence))
            if claim_id is not None:
                self.claims.append(claim_id)

    @rule(data=st.data(), approve=st.none() | st.booleans())
    def decide(self, data: st.DataObject, approve: bool | None) -> None:
        if not self.claims:
            return
        claim_id = data.draw(st.sampled_from(self.claims))
        if approve is None:
            self.attempt(self.office.desk.verify_claim(claim_id))
        else:
            self.attempt(self.office.desk.adjudicate(claim_id, approve=approve, by="dora", reason="r"))

    @rule(amount=st.integers(-10, 400_000))
    def contribute(self, amount: int) -> None:
        self.attempt(self.office.desk.contribute(AGENT_ID, amount, pool_id=POOL_ID, key=self.office.key()))

    @rule(days=st.integers(1, 20))
    def wait(self, days: int) -> None:
        self.office.clock.advance_us(days * DAY_S * 1_000_000)
        self.run(self.office.desk.expire())
        self.run(self.office.desk.charge_management_fee(POOL_ID))

    @invariant()
    def nothing_is_paid_twice_or_beyond(self) -> None:
        """Invariant 6: a payout stays what it was, and per policy they stay within the cover."""
        room = self.office.desk.room
        for claim in room.claims.values():
            if claim.status == "paid":
                assert self.seen_payouts.setdefault(claim.claim_id, claim.payout_micro_usd) == claim.payout_micro_usd
            else:
                assert claim.claim_id not in self.seen_payouts
        for policy in room.policies.values():
            paid = sum(c.payout_micro_usd for c in room.claims.values() if c.policy_id == policy.policy_id)
            assert policy.claims_paid_micro_usd == paid <= policy.coverage_limit_micro_usd

    @invariant()
    def money_balances(self) -> None:
        """Invariant 4: all accounts together are zero, the pool is never overdrawn, exposure is what is left of cover."""
        assert sum(self.office.house.state.accounts.balances.values()) == 0
        assert self.office.reserves >= 0
        room = self.office.desk.room
        active = [policy for policy in room.policies.values() if policy.status == "active"]
        pool = room.pools[POOL_ID]
        assert pool.coverage_outstanding_micro_usd == sum(policy.remaining_micro_usd for policy in active)
        assert pool.active_policies == len(active)

    def teardown(self) -> None:
        """Invariant 5: the journal alone gives the same house."""
        other = House(self.office.journal, self.office.clock, self.office.entropy, agent_id="house")
        self.run(other.open())
        assert encode(other.state) == encode(self.office.house.state)
        self.run(self.stack.aclose())
        self.loop.close()


TestInsurance = InsuranceMachine.TestCase
TestInsurance.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestInsurance.__doc__ = "Invariants 4, 5 and 6 hold whatever is bought, lost, claimed and waited for."
