"""A village: one Spaces engine, one house on a local ledger with play money, and agents with real keys, wallets and payers.

Only the trust is a stand-in (`Memory`): a dictionary that keeps the port's promise, once per hire. The real one is tested with the host.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import cast

from life.aios.ports.clock import Clock
from life.aios.ports.journal import Journal
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.wallet_rules import WalletRules
from life.anima.identity import agent_id_of_did
from life.haima.approval_desk import ApprovalDesk
from life.haima.chain.local_ledger import LocalLedger
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.host.hiring.escrow import Funds, HouseEscrow
from life.host.hiring.house import HireHouse, open_play_house
from life.host.ledger import authorization_reader
from life.lago.journal.memory import MemoryJournal
from life.spaces.engine.embedded import EmbeddedEngine, Owner
from life.spaces.hiring.desk import HiringDesk
from life.spaces.hiring.peers import PeerBook
from life.spaces.hiring.ports import Escrow, Interaction, Trusted
from life.spaces.seat import LocalSeat, Seat
from life.spaces.sessions import Login
from life.testing.clock import ManualClock, SeededEntropy
from life.testing.spaces import OPERATOR, ScriptedTokens

POLICY = PaymentPolicy(auto_approve_cap_micro=1_000_000, networks=(LOCAL,))
URL = "http://house.localhost"


class KeyTokens(ScriptedTokens):
    """Takes any did:key for its holder's."""

    async def check(self, token: str) -> Login:
        """See TokenCheck."""
        return Login(did=token, key=token) if token.startswith("did:key:") else await super().check(token)


@dataclass
class Memory:
    """The PeerTrust port in a dictionary."""

    told: list[Interaction] = field(default_factory=list)

    async def trust_in(self, did: str) -> Trusted:
        """See PeerTrust."""
        mine = [each for each in self.told if each.peer_did == did and each.success is not None]
        return Trusted(500_000 + 50_000 * sum(1 if each.success else -2 for each in mine), len(mine))

    async def record(self, interaction: Interaction) -> Trusted:
        """See PeerTrust."""
        if all(each.hire_id != interaction.hire_id for each in self.told):
            self.told.append(interaction)
        return await self.trust_in(interaction.peer_did)


@dataclass
class Villager:
    """One agent."""

    name: str
    seat: Seat
    custody: InProcessAnima
    desk: HiringDesk
    escrow: Escrow
    payer: Payer
    people: PeerBook
    trust: Memory
    did: str

    @property
    def account(self) -> str:
        """At the house."""
        return str(agent_id_of_did(self.did))

    @property
    def wallet(self) -> str:
        """Its address."""
        return self.payer.address


@dataclass
class Village:
    """Everything."""

    clock: Clock
    engine: EmbeddedEngine
    journal: Journal
    ledger: LocalLedger
    house: HireHouse
    stack: AsyncExitStack

    async def villager(
        self, name: str, *, funds_micro: int = 0, policy: PaymentPolicy = POLICY, journal: Journal | None = None
    ) -> Villager:
        """An agent with a wallet of its own and so much play money; its payer keeps its books in a journal of its own."""
        entropy = SeededEntropy(name)
        seed = bytearray(sha256(f"village:{name}".encode()).digest())
        custody = InProcessAnima.from_seed(seed, clock=self.clock, rules=WalletRules(require_reservation=True))
        did = str(custody.capabilities().did)
        own: Journal = await self.stack.enter_async_context(MemoryJournal()) if journal is None else journal
        payer = await self.stack.enter_async_context(
            Payer(
                journal=own,
                custody=custody,
                clock=self.clock,
                entropy=entropy,
                agent_id=str(agent_id_of_did(did)),
                policy=policy,
                authorization_state=authorization_reader([self.ledger]),
                ride_along_us=0,
            )
        )
        missing = funds_micro - await self.on_chain(payer.address)
        if funds_micro and missing == funds_micro:
            await self.ledger.fund(payer.address, funds_micro, asset=PLAY_MONEY.address)
        approvals = ApprovalDesk(own, self.clock, entropy, agent_id=name)
        self.stack.push_async_callback(approvals.aclose)

        async def token() -> str:
            return did

        seat = await self.stack.enter_async_context(
            LocalSeat.open(self.engine, token, custody, clock=self.clock, entropy=entropy)
        )
        funds = Funds(payer, approvals, lambda: policy.auto_approve_cap_micro)
        escrow = HouseEscrow(self.house, str(agent_id_of_did(did)), funds=funds, base_url=URL)

        async def open_seat() -> Seat:
            return seat

        async def open_escrow() -> Escrow | None:
            return escrow

        people, trust = PeerBook(), Memory()
        desk = HiringDesk(open_seat, open_escrow, trust, people)
        return Villager(name, seat, custody, desk, escrow, payer, people, trust, did)

    async def on_chain(self, address: str) -> int:
        """What a wallet holds on the ledger."""
        return await self.ledger.balance(address, asset=PLAY_MONEY.address)

    async def held(self, villager: Villager) -> int:
        """What the house holds for somebody."""
        return await self.house.hires.balance(villager.account)

    async def check_books(self) -> None:
        """All accounts sum to zero, and the house's wallet has exactly what it owes."""
        balances = (await self.house.books.catch_up()).accounts.balances
        assert sum(balances.values()) == 0
        owed = sum(amount for name, amount in balances.items() if name.split(":")[0] in ("wallet", "escrow"))
        assert await self.on_chain(self.house.name.rpartition(":")[2]) == owed


class Timed(Village):
    """On a clock that the test moves."""

    clock: ManualClock


@asynccontextmanager
async def village() -> AsyncIterator[Timed]:
    """A village in memory, on a clock that the test moves."""
    async with settled(ManualClock()) as place:
        yield cast(Timed, place)


@asynccontextmanager
async def settled(clock: Clock, *, journal: Journal | None = None, path: Path | None = None) -> AsyncIterator[Village]:
    """A village; its house's books in `journal`, and the log of its Spaces at `path`, or in memory."""
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(
            EmbeddedEngine.open(
                path,
                clock=clock,
                entropy=SeededEntropy("engine"),
                synchronous=False,
                tokens=KeyTokens(),
                owner=Owner(OPERATOR),
                limits=None,
            )
        )
        books: Journal = await stack.enter_async_context(MemoryJournal()) if journal is None else journal
        ledger = LocalLedger(books, clock, SeededEntropy("ledger"), network=LOCAL)
        house = await stack.enter_async_context(open_play_house(books, ledger, clock, SeededEntropy("house")))
        yield Village(clock, engine, books, ledger, house, stack)
