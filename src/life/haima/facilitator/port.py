"""What a seller needs of a facilitator, wherever it runs.

`verify` and `settle` answer with x402's own objects: a refusal is an answer. What is no answer is an exception:
FacilitatorUnavailableError (nothing was sent), OutcomeUnknownError (something may have been). A settlement whose
transaction is out but not confirmed is the answer `settlement_pending` with its hash; the identical call may be repeated
until it says more (x402.md §3.1, §16.6).
"""

from __future__ import annotations

import binascii
from typing import Final, Protocol

import msgspec

from life.haima.x402.wire import (
    PaymentPayload,
    PaymentRequirements,
    SettlementResponse,
    SupportedResponse,
    VerifyResponse,
)

REPEATABLE_SETTLEMENT: Final = "repeatable-settlement"
"""Extension id in `/supported` of a facilitator that remembers: settling a payment again gives the first result, also
after a crash on either side. Ours names it; peers ignore ids they do not know."""


class Facilitator(Protocol):
    """Verifies and settles payments."""

    async def repeatable(self) -> bool:
        """Whether `settle`, called again for the same payment, gives the first result. Where it does not, a failure of a
        repeated call proves nothing: the first one may have moved the money (x402.md §12 row 4)."""
        ...

    async def verify(self, payload: PaymentPayload, requirements: PaymentRequirements) -> VerifyResponse:
        """Whether the payment would settle now. Changes nothing."""
        ...

    async def settle(self, payload: PaymentPayload, requirements: PaymentRequirements) -> SettlementResponse:
        """Move the money, at most once however often this is called for one payment."""
        ...

    async def supported(self) -> SupportedResponse:
        """Which (version, scheme, network) it settles, and with which accounts."""
        ...

    async def aclose(self) -> None:
        """Free what it holds. Settlements that are open stay in the journal."""
        ...


class _SettlementAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """SettlementResponse as peers read it: `transaction` and `network` stand there even when they are empty."""

    success: bool
    transaction: str
    network: str
    payer: str | None = None
    amount: str | None = None
    error_reason: str | None = None
    error_message: str | None = None
    extensions: dict[str, object] | None = None
    extra: dict[str, object] | None = None


_encode: Final = msgspec.json.Encoder().encode


def encode_settlement(response: SettlementResponse) -> bytes:
    """The JSON of a settlement. The official SDKs refuse one without `transaction` or `network` (x402-rs#119)."""
    return _encode(
        _SettlementAnswer(
            success=response.success,
            transaction=response.transaction,
            network=response.network,
            payer=response.payer,
            amount=response.amount,
            error_reason=response.error_reason,
            error_message=response.error_message,
            extensions=None if response.extensions is None else dict(response.extensions),
            extra=None if response.extra is None else dict(response.extra),
        )
    )


def settlement_header(response: SettlementResponse) -> bytes:
    """The value of a PAYMENT-RESPONSE header."""
    return binascii.b2a_base64(encode_settlement(response), newline=False)
