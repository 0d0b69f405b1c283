"""Several facilitators as one: each network's payments go to the one that settles there."""

from __future__ import annotations

from collections.abc import Mapping

from life.haima.facilitator.port import REPEATABLE_SETTLEMENT, Facilitator
from life.haima.x402 import codes
from life.haima.x402.wire import (
    PaymentPayload,
    PaymentRequirements,
    SettlementResponse,
    SupportedResponse,
    VerifyResponse,
)

_ELSEWHERE = "This facilitator does not settle on {}."


class FacilitatorByNetwork:
    """A Facilitator in front of others. They belong to the caller of the constructor until `aclose` closes them."""

    def __init__(self, others: Mapping[str, Facilitator]) -> None:
        """`others` by CAIP-2 network; several networks may have the same one."""
        self._by_network = dict(others)
        self._all = tuple({id(other): other for other in others.values()}.values())

    async def repeatable(self) -> bool:
        """See Facilitator. Yes when all of them remember."""
        return all([await other.repeatable() for other in self._all])

    async def verify(self, payload: PaymentPayload, requirements: PaymentRequirements) -> VerifyResponse:
        """See Facilitator."""
        other = self._by_network.get(requirements.network)
        if other is None:
            words = _ELSEWHERE.format(requirements.network[:80])
            return VerifyResponse(is_valid=False, invalid_reason=codes.INVALID_NETWORK, invalid_message=words)
        return await other.verify(payload, requirements)

    async def settle(self, payload: PaymentPayload, requirements: PaymentRequirements) -> SettlementResponse:
        """See Facilitator."""
        other = self._by_network.get(requirements.network)
        if other is None:
            return SettlementResponse(
                success=False,
                transaction="",
                network=requirements.network,
                error_reason=codes.INVALID_NETWORK,
                error_message=_ELSEWHERE.format(requirements.network[:80]),
            )
        return await other.settle(payload, requirements)

    async def supported(self) -> SupportedResponse:
        """See Facilitator: everything that any of them settles. That settlements repeat is said only when all say it."""
        answers = [await other.supported() for other in self._all]
        extensions = dict.fromkeys(name for answer in answers for name in answer.extensions)
        if not all(REPEATABLE_SETTLEMENT in answer.extensions for answer in answers):
            extensions.pop(REPEATABLE_SETTLEMENT, None)
        signers: dict[str, tuple[str, ...]] = {}
        for answer in answers:
            for pattern, accounts in answer.signers.items():
                signers[pattern] = tuple(dict.fromkeys((*signers.get(pattern, ()), *accounts)))
        return SupportedResponse(
            kinds=tuple(kind for answer in answers for kind in answer.kinds),
            extensions=tuple(extensions),
            signers=signers,
        )

    async def aclose(self) -> None:
        """See Facilitator."""
        for other in self._all:
            await other.aclose()
