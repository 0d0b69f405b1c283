"""What a facilitator's operators watch, as Prometheus text (exposition format 0.0.4), and whether it can work.

    haima_facilitator_verifications_total{network,reason}   reason is "ok", or the code of the refusal
    haima_facilitator_settlements_total{network,reason}     the same; `settlement_pending` is not final
    haima_facilitator_settlement_seconds                    how long callers waited for a settlement's answer
    haima_facilitator_open_settlements                      under way now
    haima_facilitator_rate_limited_total                    requests that were over their client's limit
    haima_facilitator_ready{network}                        1 when the node answers and the gas account is not empty
    haima_facilitator_gas_balance_wei{network,account}      as of the last look
    haima_facilitator_fee_balance_lamports{network,account} the same on Solana

Counters start at 0 with the process. Reasons that are not codes of ours count as "other", so that nobody can make up series.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock
from life.haima.chain.evm import EvmChain
from life.haima.x402 import codes
from life.host.http.rate_limit import TokenBuckets

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
LOOK_US: Final = 5_000_000
"""How long the answer of a node counts."""
_BUCKETS_MS: Final = (10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 20_000)
_REASONS: Final = frozenset(value for name, value in vars(codes).items() if name.isupper() and isinstance(value, str))


class NetworkHealth(NamedTuple):
    """Whether payments can be settled on one network. `problem` is empty when they can."""

    problem: str
    account: str | None = None
    """The gas account; None on the local ledger."""
    gas_wei: int | None = None
    lamports: int | None = None
    """On Solana instead of wei."""


class FeeAccount(Protocol):
    """Who pays the fees on a Solana network (life.haima.solana.facilitator)."""

    @property
    def fee_account(self) -> str:
        """Base58."""
        ...

    async def fee_lamports(self) -> int:
        """What it holds; a LifeError when the node does not say, or serves another network."""
        ...


class FacilitatorMetrics:
    """Counts answers; a FacilitatorObserver."""

    def __init__(self) -> None:
        self._verifications: Counter[tuple[str, str]] = Counter()
        self._settlements: Counter[tuple[str, str]] = Counter()
        self._durations: Counter[int] = Counter()
        self._duration_sum_us = 0
        self._duration_count = 0

    def verified(self, network: str, reason: str) -> None:
        """A payment was checked."""
        self._verifications[network, _label(reason)] += 1

    def settled(self, network: str, reason: str, duration_us: int) -> None:
        """A settlement was answered."""
        self._settlements[network, _label(reason)] += 1
        self._duration_sum_us += duration_us
        self._duration_count += 1
        for limit_ms in _BUCKETS_MS:
            if duration_us <= limit_ms * 1000:
                self._durations[limit_ms] += 1

    def text(self, *, open_settlements: int, health: Mapping[str, NetworkHealth], buckets: TokenBuckets | None) -> str:
        """Everything as Prometheus text."""
        lines: list[str] = []
        _counter(lines, "verifications_total", "Payments that were checked.", self._verifications)
        _counter(lines, "settlements_total", "Settlements that were answered.", self._settlements)
        name = _head(lines, "settlement_seconds", "histogram", "How long callers waited for a settlement's answer.")
        for limit_ms in _BUCKETS_MS:
            lines.append(f'{name}_bucket{{le="{limit_ms / 1000}"}} {self._durations[limit_ms]}')
        lines.append(f'{name}_bucket{{le="+Inf"}} {self._duration_count}')
        lines.append(f"{name}_sum {self._duration_sum_us / 1_000_000}")
        lines.append(f"{name}_count {self._duration_count}")
        lines.append(f"{_head(lines, 'open_settlements', 'gauge', 'Settlements under way.')} {open_settlements}")
        if buckets is not None:
            name = _head(lines, "rate_limited_total", "counter", "Requests that were over their client's limit.")
            lines.append(f"{name} {buckets.refused}")
        name = _head(lines, "ready", "gauge", "Whether payments can be settled on a network.")
        lines += [f'{name}{{network="{network}"}} {int(not each.problem)}' for network, each in health.items()]
        name = _head(lines, "gas_balance_wei", "gauge", "What the gas account holds.")
        lines += [
            f'{name}{{network="{network}",account="{each.account}"}} {each.gas_wei}'
            for network, each in health.items()
            if each.gas_wei is not None
        ]
        name = _head(lines, "fee_balance_lamports", "gauge", "What the fee payer holds on Solana.")
        lines += [
            f'{name}{{network="{network}",account="{each.account}"}} {each.lamports}'
            for network, each in health.items()
            if each.lamports is not None
        ]
        return "\n".join(lines) + "\n"


class HealthWatch:
    """Asks the nodes whether they answer and what the gas accounts hold, at most every `LOOK_US`."""

    def __init__(self, chains: Mapping[str, EvmChain | FeeAccount | None], clock: Clock) -> None:
        """`chains` by network; None is the local ledger, which is always ready."""
        self._chains = chains
        self._clock = clock
        self._lock = asyncio.Lock()
        self._health: dict[str, NetworkHealth] = {}
        self._looked_us: int | None = None

    async def look(self) -> dict[str, NetworkHealth]:
        """By network, at most `LOOK_US` old."""
        async with self._lock:
            now_us = self._clock.monotonic_us()
            if self._looked_us is None or now_us - self._looked_us > LOOK_US:
                answers = await asyncio.gather(*(_ask(chain) for chain in self._chains.values()))
                self._health = dict(zip(self._chains, answers, strict=True))
                self._looked_us = self._clock.monotonic_us()
            return self._health


async def _ask(chain: EvmChain | FeeAccount | None) -> NetworkHealth:
    if chain is None:
        return NetworkHealth("")
    if not isinstance(chain, EvmChain):
        try:
            lamports = await chain.fee_lamports()
        except LifeError as error:
            return NetworkHealth(error.message, chain.fee_account)
        return NetworkHealth("" if lamports else "The fee payer's account is empty.", chain.fee_account, None, lamports)
    try:
        await chain.open()
        gas_wei = await chain.gas_balance_wei()
    except LifeError as error:
        return NetworkHealth(error.message, chain.gas_address)
    return NetworkHealth("" if gas_wei else "The gas account is empty.", chain.gas_address, gas_wei)


def _label(reason: str) -> str:
    if not reason:
        return "ok"
    return reason if reason in _REASONS else "other"


def _head(lines: list[str], name: str, kind: str, help_text: str) -> str:
    full = f"haima_facilitator_{name}"
    lines += [f"# HELP {full} {help_text}", f"# TYPE {full} {kind}"]
    return full


def _counter(lines: list[str], name: str, help_text: str, counts: Mapping[tuple[str, str], int]) -> None:
    full = _head(lines, name, "counter", help_text)
    for (network, reason), count in sorted(counts.items()):
        lines.append(f'{full}{{network="{network}",reason="{reason}"}} {count}')
