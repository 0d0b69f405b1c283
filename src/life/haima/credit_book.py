"""What is known about every agent's conduct, and what follows from it (HM-CREDIT, HM-BUREAU). Pure.

Bounds per agent: 256 to 512 counterparties (the smaller ones drop out, so the volume is at least what is counted), 31 days of
modes, 5 minutes of spending in seconds, 256 failed payments that may still settle, 256 open bills.

The book is changed in place: it belongs to one runner. After a start from a snapshot, a record is decoded when it is needed.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from life.haima.credit import Assessment, Factors, assess, ratio_ppm

DAY_US: Final = 86_400_000_000
STABILITY_DAYS: Final = 30
TRUST_MAX_AGE_US: Final = 30 * DAY_US
VELOCITY_WINDOW_S: Final = 300
RECENT_DEFAULT_US: Final = 30 * DAY_US

STABLE: Final = frozenset({"sovereign", "conserving"})
SECOND_US: Final = 1_000_000


class Pair(msgspec.Struct, array_like=True):
    """What went to one counterparty and what came from it, in micro-USD."""

    paid: int = 0
    earned: int = 0

    @property
    def total(self) -> int:
        """Both ways."""
        return self.paid + self.earned


class Day(msgspec.Struct, array_like=True):
    """How much of a day (counted from the epoch) was spent in a known mode, and in a stable one."""

    day: int
    known_us: int = 0
    stable_us: int = 0


class Conduct(msgspec.Struct, kw_only=True):
    """What is known about one agent."""

    met: int = 0
    due: int = 0
    failed: dict[str, int] = {}
    """Payments that failed for want of money and may still settle."""
    bills: dict[str, int] = {}
    """Open bills that this agent has to pay, with when they are due; 0 for any time."""
    pairs: dict[bytes, Pair] = {}
    """By counterparty (`party`)."""
    first_settled_us: int | None = None
    transactions: int = 0
    volume_micro: int = 0
    """All that was settled, counted or not."""
    latency_ms: int = 0
    latencies: int = 0
    mode: str | None = None
    mode_since_us: int = 0
    days: list[Day] = []
    trust_ppm: int | None = None
    trust_tier: str = "unverified"
    trajectory: str = "stable"
    trust_at_us: int | None = None
    spent: list[tuple[int, int]] = []
    """Second and micro-USD, of the last five minutes before the newest payment."""
    defaults: int = 0
    last_default_us: int | None = None
    missed: int = 0
    did: str | None = None


_EMPTY: Final = Conduct()


class _Stored(msgspec.Struct):
    agents: dict[str, msgspec.Raw]
    owners: dict[bytes, str]
    payers: dict[str, str]
    same: dict[str, str]


def party(address: str) -> bytes:
    """An address as 20 bytes, however it is spelled: an EVM address itself, of any other the start of its hash."""
    if len(address) == 42:
        try:
            return bytes.fromhex(address[2:])
        except ValueError:
            pass
    return hashlib.sha256(address.encode()).digest()[:20]


class CreditBook:
    """The projection's state: every agent's conduct, and who uses which address."""

    def __init__(self) -> None:
        self._agents: dict[str, Conduct] = {}
        self._stored: dict[str, msgspec.Raw] = {}
        self._owners: dict[bytes, str] = {}
        self.payers: dict[str, str] = {}
        """Who has to pay each open bill."""
        self._same: dict[str, str] = {}
        """Agents that share an address with an earlier one: they have the same controller."""

    # ---- reading

    def conduct(self, agent_id: str) -> Conduct:
        """What is known about an agent; empty for one that the journal does not know. For reading only."""
        return self._find(agent_id) or _EMPTY

    def knows(self, agent_id: str) -> bool:
        """Whether the journal holds anything about this agent."""
        return self._find(agent_id) is not None

    def owns(self, agent_id: str, address: str) -> bool:
        """Whether the journal shows this agent, or another of its controller, using this address."""
        owner = self._owners.get(party(address))
        return owner is not None and self._root(owner) == self._root(agent_id)

    def factors(self, agent_id: str, now_us: int) -> Factors:
        """The five factors as of `now_us`."""
        conduct = self.conduct(agent_id)
        first = conduct.first_settled_us
        due = conduct.due + overdue_bills(conduct, now_us)
        return Factors(
            trust_ppm=conduct.trust_ppm if _trust_is_fresh(conduct, now_us) else None,
            payment_history_ppm=ratio_ppm(conduct.met + 1, due + 2) if due else None,
            volume_micro_usd=None if first is None else self.counted_volume(agent_id),
            account_age_days=None if first is None else max(0, now_us - first) // DAY_US,
            stability_ppm=stability_ppm(conduct, now_us),
        )

    def assess(self, agent_id: str, now_us: int, *, as_of_position: int = 0) -> Assessment:
        """The score as of `now_us`."""
        conduct = self.conduct(agent_id)
        return assess(
            agent_id,
            self.factors(agent_id, now_us),
            at_us=now_us,
            as_of_position=as_of_position,
            trust_at_us=conduct.trust_at_us,
            trust_is_degrading=_trust_is_fresh(conduct, now_us) and conduct.trajectory == "degrading",
        )

    def counted_volume(self, agent_id: str) -> int:
        """Settled micro-USD with others, without what came back."""
        net: dict[str | bytes, int] = {}
        own = self._root(agent_id)
        for name, pair in self.conduct(agent_id).pairs.items():
            owner = self._owners.get(name)
            other = name if owner is None else self._root(owner)
            if other != own:
                net[other] = net.get(other, 0) + pair.paid - pair.earned
        return sum(abs(amount) for amount in net.values())

    def counterparties(self, agent_id: str) -> int:
        """How many others the agent dealt with, as far as they are kept."""
        own = self._root(agent_id)
        others: set[str | bytes] = set()
        for name in self.conduct(agent_id).pairs:
            owner = self._owners.get(name)
            others.add(name if owner is None else self._root(owner))
        return len(others - {own})

    # ---- folding

    def of(self, agent_id: str) -> Conduct:
        """The agent's record, to write to."""
        conduct = self._find(agent_id)
        if conduct is None:
            conduct = self._agents[agent_id] = Conduct()
        return conduct

    def uses(self, agent_id: str, address: str | None) -> None:
        """The agent has this address; whoever else has it, too, has the same controller."""
        if not address:
            return
        owner = self._owners.setdefault(party(address), agent_id)
        if owner != agent_id:
            older, newer = sorted((self._root(owner), self._root(agent_id)))
            if older != newer:
                self._same[newer] = older

    def encode(self) -> bytes:
        """The state for a snapshot; equal states give equal bytes."""
        agents = {**self._stored, **{name: msgspec.Raw(_encode(kept)) for name, kept in self._agents.items()}}
        return _encode(_Stored(dict(sorted(agents.items())), self._owners, self.payers, self._same))

    @classmethod
    def decode(cls, content: bytes) -> CreditBook:
        """What `encode` wrote; msgspec.DecodeError for anything else."""
        stored = _decode_stored(content)
        book = cls()
        book._stored, book._owners, book._same = stored.agents, stored.owners, stored.same
        book.payers = stored.payers
        return book

    def _find(self, agent_id: str) -> Conduct | None:
        conduct = self._agents.get(agent_id)
        if conduct is None and (stored := self._stored.pop(agent_id, None)) is not None:
            conduct = self._agents[agent_id] = _decode_conduct(stored)
        return conduct

    def _root(self, agent_id: str) -> str:
        while (older := self._same.get(agent_id)) is not None:
            agent_id = older
        return agent_id


def stability_ppm(conduct: Conduct, now_us: int) -> int | None:
    """The share of the known time in a stable mode; None without a day of it."""
    first_day = now_us // DAY_US - (STABILITY_DAYS - 1)
    known = sum(day.known_us for day in conduct.days if day.day >= first_day)
    stable = sum(day.stable_us for day in conduct.days if day.day >= first_day)
    if conduct.mode is not None:
        running = max(0, now_us - max(conduct.mode_since_us, first_day * DAY_US))
        known += running
        stable += running if conduct.mode in STABLE else 0
    return ratio_ppm(stable, known) if known >= DAY_US else None


def overdue_bills(conduct: Conduct, now_us: int) -> int:
    """How many open bills are past their time."""
    return sum(0 < due_at_us < now_us for due_at_us in conduct.bills.values())


def spent_recently(conduct: Conduct, now_us: int) -> int:
    """Micro-USD that left in the five minutes before `now_us`."""
    since_s = now_us // SECOND_US - VELOCITY_WINDOW_S
    return sum(amount for second, amount in conduct.spent if second > since_s)


def has_recent_default(conduct: Conduct, now_us: int) -> bool:
    """Whether a line went into default in the 30 days before `now_us`."""
    return conduct.last_default_us is not None and now_us - conduct.last_default_us <= RECENT_DEFAULT_US


def _trust_is_fresh(conduct: Conduct, now_us: int) -> bool:
    return conduct.trust_at_us is not None and now_us - conduct.trust_at_us <= TRUST_MAX_AGE_US


_encode: Final = msgspec.msgpack.Encoder().encode
"""Dicts in the order in which they grew: equal histories give equal bytes, also when folding went on from a snapshot."""
_decode_stored: Final = msgspec.msgpack.Decoder(_Stored).decode
_decode_conduct: Final = msgspec.msgpack.Decoder(Conduct).decode
