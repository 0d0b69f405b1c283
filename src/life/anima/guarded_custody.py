"""A handle that stops when its key does: before every signature the registry is asked (AN-CUS-3, AN-REV-4).

It wraps a handle of any backend. Once the journal holds a rotation of its DID it is stale, once it holds a revocation it is
dead, from the very next call on; while a critical violation waits for an operator, the wallet half does not sign (AN-POL-3).
Only the rotation itself uses the wrapped handle, to sign the proof.
"""

from __future__ import annotations

from life.aios.json import JsonObject
from life.aios.ports.custody import (
    Capabilities,
    Custody,
    EvmTransaction,
    PermitTransfer,
    SaleDocument,
    SaleSigning,
    TokenPermit,
    TransferAuthorization,
)
from life.anima.errors import IdentityRevokedError, PolicyDeniedError, StaleHandleError, UnsupportedOperationError
from life.anima.registry import Identities


class GuardedCustody:
    """The Custody port over another handle, as long as its identity may sign."""

    __slots__ = ("_custody", "_identities")

    def __init__(self, custody: Custody, identities: Identities) -> None:
        self._custody = custody
        self._identities = identities

    def capabilities(self) -> Capabilities:
        """What the handle can do, and its public names."""
        return self._custody.capabilities()

    async def sign_token(self, claims: JsonObject, *, typ: str = "JWT") -> str:
        """See Custody. StaleHandleError or IdentityRevokedError when the key is no longer the identity's."""
        self._require_standing(wallet=False)
        return await self._custody.sign_token(claims, typ=typ)

    async def sign_message(self, message: bytes) -> bytes:
        """See Custody; PolicyDeniedError also while the wallet is frozen."""
        self._require_standing(wallet=True)
        return await self._custody.sign_message(message)

    async def sign_authorization(self, authorization: TransferAuthorization) -> bytes:
        """See Custody; PolicyDeniedError also while the wallet is frozen."""
        self._require_standing(wallet=True)
        return await self._custody.sign_authorization(authorization)

    async def sign_permit(self, permit: PermitTransfer | TokenPermit) -> bytes:
        """See Custody; PolicyDeniedError also while the wallet is frozen."""
        self._require_standing(wallet=True)
        return await self._custody.sign_permit(permit)

    async def sign_transaction(self, transaction: EvmTransaction) -> bytes:
        """See Custody; PolicyDeniedError also while the wallet is frozen."""
        self._require_standing(wallet=True)
        return await self._custody.sign_transaction(transaction)

    async def sign_sale_document(self, document: SaleDocument) -> bytes:
        """See SaleSigning; UnsupportedOperationError when the wrapped handle can't."""
        self._require_standing(wallet=True)
        if not isinstance(self._custody, SaleSigning):
            raise UnsupportedOperationError("This custody handle does not sign offers and receipts.")
        return await self._custody.sign_sale_document(document)

    def _require_standing(self, *, wallet: bool) -> None:
        did = self._custody.capabilities().did
        if did is None:
            return  # a wallet without identity: nothing can be said about it
        self._identities.require_fresh()
        standing = self._identities.standing(did)
        if standing is None:
            return  # not registered: the identity has no journal here
        if standing.dead or standing.key_state == "revoked":
            raise IdentityRevokedError("The identity is revoked; its keys sign nothing any more.")
        if standing.key_state != "current":
            raise StaleHandleError("The identity has another key now.", next_step="Open the identity again.")
        if wallet and standing.wallet_frozen:
            raise PolicyDeniedError(
                "The wallet is frozen after a critical violation of the soul's values.",
                next_step="An operator has to look at the violation and clear it.",
            )

    def __repr__(self) -> str:
        return f"<GuardedCustody {self._custody!r}>"
