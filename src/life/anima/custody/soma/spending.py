"""The limits of a soul, kept by the oracle before its wallet signs (AN-POL-2, AN-CUS-4, AN-WAL-3).

What is signed counts as spent, whether or not anybody carries it out. The same payment asked for again counts once. Only
tokens that the policy names can be paid with, because only of those the amount in micro-credits is known; a transaction
goes to an account or a contract that the policy names, and to a named token only as a plain transfer, which counts like any
other payment.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, NamedTuple, Protocol

from life.aios.ports.custody import EvmTransaction, PermitTransfer, TokenPermit, TransferAuthorization
from life.anima.custody.soma.policy import AgentRule, AllowRule, asset_name
from life.anima.custody.wallet_rules import WalletRequest
from life.anima.errors import CustodyInputError, PolicyDeniedError
from life.anima.policy import PolicyManifest
from life.crypto.address import format_address, parse_address
from life.crypto.errors import CryptoError

MAX_REMEMBERED: Final = 100_000
_TRANSFER_SELECTOR: Final = bytes.fromhex("a9059cbb")
_TRANSFER_BYTES: Final = 68


class Reserved(NamedTuple):
    """What a signature will count: nothing when it was counted before, or moves no money."""

    key: tuple[object, ...] | None
    amount_micro: int
    at_us: int


UNCOUNTED: Final = Reserved(None, 0, 0)


class SpendJudge(Protocol):
    """Decides about the money in a request before the wallet signs it."""

    def reserve(self, request: WalletRequest, rule: AllowRule, agent: AgentRule, *, now_us: int) -> Reserved:
        """Count the request; PolicyDeniedError when it may not be signed. Takes effect at once."""
        ...

    def release(self, reserved: Reserved) -> None:
        """The wallet did not sign: count it no more."""
        ...

    def restore(self, amount_micro: int, at_us: int) -> None:
        """Count what was signed before the daemon started."""
        ...


class SoulSpending:
    """A SpendJudge over the economic limits in an agent's soul."""

    def __init__(self, values: PolicyManifest) -> None:
        self._values = values
        self._lifetime_micro = 0
        self._recent: deque[tuple[int, int]] = deque()
        self._recent_micro = 0
        self._counted: OrderedDict[tuple[object, ...], None] = OrderedDict()

    def reserve(self, request: WalletRequest, rule: AllowRule, agent: AgentRule, *, now_us: int) -> Reserved:
        """See SpendJudge."""
        try:
            amount = amount_of(request, agent)
        except CryptoError as error:
            raise CustodyInputError(f"The request can't be right: {error}.") from None
        except (TypeError, AttributeError, ValueError):
            raise CustodyInputError("The request has a field of the wrong type.") from None
        if amount is None:
            return UNCOUNTED
        if amount < 0:
            raise CustodyInputError("An amount is not negative.")
        if rule.max_payment_micro is not None and amount > rule.max_payment_micro:
            raise PolicyDeniedError(
                f"This caller may pay {rule.max_payment_micro} micro-credits at once, not {amount}."
            )
        if isinstance(request, TokenPermit):  # an allowance for Permit2 alone moves nothing; its payment is counted
            self._check(amount, session_micro=0, lifetime_micro=0)
            return UNCOUNTED
        key = _key(request)
        if key in self._counted:
            return UNCOUNTED
        window_us = agent.session_window_s * 1_000_000
        while self._recent and self._recent[0][0] <= now_us - window_us:
            self._recent_micro -= self._recent.popleft()[1]
        self._check(amount, session_micro=self._recent_micro, lifetime_micro=self._lifetime_micro)
        self._counted[key] = None
        while len(self._counted) > MAX_REMEMBERED:
            self._counted.popitem(last=False)
        self.restore(amount, now_us)
        return Reserved(key, amount, now_us)

    def release(self, reserved: Reserved) -> None:
        """See SpendJudge."""
        if reserved.key is None:
            return
        self._counted.pop(reserved.key, None)
        self._lifetime_micro -= reserved.amount_micro
        self._recent_micro -= reserved.amount_micro
        self._recent.remove((reserved.at_us, reserved.amount_micro))

    def restore(self, amount_micro: int, at_us: int) -> None:
        """See SpendJudge."""
        self._lifetime_micro += amount_micro
        self._recent_micro += amount_micro
        self._recent.append((at_us, amount_micro))

    def _check(self, amount: int, *, session_micro: int, lifetime_micro: int) -> None:
        exceeded = self._values.exceeded_limit(
            amount, session_spent_micro=session_micro, lifetime_spent_micro=lifetime_micro
        )
        if exceeded is not None:
            raise PolicyDeniedError(f"{amount} micro-credits would exceed the soul's limit {exceeded}.")


def amount_of(request: WalletRequest, agent: AgentRule) -> int | None:
    """What a request spends in micro-credits, None when it moves no money. PolicyDeniedError for money that is not named."""
    match request:
        case TransferAuthorization() | PermitTransfer() | TokenPermit():
            _require_asset(request.network, request.asset, agent)
            return request.value_atomic
        case EvmTransaction():
            return _transaction_amount(request, agent)
    return None


def _transaction_amount(request: EvmTransaction, agent: AgentRule) -> int | None:
    to = format_address(parse_address(request.to_address))
    rule = next((item for item in agent.transactions if (item.chain_id, item.to) == (request.chain_id, to)), None)
    if rule is None:
        raise PolicyDeniedError(f"The oracle's policy names no transactions to {to} on chain {request.chain_id}.")
    if request.value_wei > rule.max_value_wei:
        raise PolicyDeniedError(f"A transaction to {to} may move {rule.max_value_wei} wei, not {request.value_wei}.")
    fee_wei = request.gas_limit * request.max_fee_per_gas_wei
    if fee_wei > rule.max_fee_wei:
        raise PolicyDeniedError(f"A transaction to {to} may cost {rule.max_fee_wei} wei of fees, not {fee_wei}.")
    if f"eip155:{request.chain_id}/{to}" not in agent.assets:
        return None
    if request.data[:4] != _TRANSFER_SELECTOR or len(request.data) != _TRANSFER_BYTES or request.value_wei:
        raise PolicyDeniedError("To a token only plain transfers are signed.")
    return int.from_bytes(request.data[36:], "big")


def _require_asset(network: str, asset: str, agent: AgentRule) -> None:
    name = asset_name(network, asset)
    if name not in agent.assets:
        raise PolicyDeniedError(
            f"The oracle's policy does not let this wallet pay with {name}.",
            next_step="Name the token under assets of the agent in somad's policy file.",
        )


def _key(request: WalletRequest) -> tuple[object, ...]:
    """The payment itself, whatever reservation it is asked under."""
    if isinstance(request, TransferAuthorization | PermitTransfer):
        return tuple(request._replace(reservation_id=""))
    return tuple(request)
