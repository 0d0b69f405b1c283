"""SplitAnima: tokens signed by one backend, payments by another (anima.md §13, L4-D5, AN-CUS-7).

No TPM, no Vault and no browser has secp256k1, so their identities pay with a wallet that another backend holds: a PKCS#11
token with the curve, a hardware wallet, soma, a remote signer. The composition is made once, by whoever configures it, and
`capabilities` and `halves` show it. Each operation goes to its own half and nowhere else: when that half fails, so does the
operation.

The rules of a wallet are the wallet half's own. `SplitAnima` is given handles that are already bound to them. Rotation is the identity half's business: its rotator makes the new key, and the wallet stays.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import NamedTuple, NoReturn, Protocol

from life.aios.json import JsonObject
from life.aios.ports.custody import (
    BackendKind,
    Capabilities,
    Custody,
    EvmTransaction,
    PermitTransfer,
    SaleDocument,
    SaleSigning,
    TokenPermit,
    TransferAuthorization,
)
from life.anima.errors import CustodyInputError, StaleHandleError, UnsupportedOperationError


class CustodyHalf(Custody, Protocol):
    """A handle that can be closed."""

    def close(self) -> Awaitable[None] | None:
        """Sign nothing more."""
        ...


class Halves(NamedTuple):
    """Which backend signs what."""

    auth: BackendKind
    wallet: BackendKind


class SplitAnima:
    """The Custody port over two handles: `auth` for tokens, `wallet` for everything that a wallet signs."""

    def __init__(self, auth: CustodyHalf, wallet: CustodyHalf) -> None:
        """Takes over both handles. CustodyInputError when one lacks its half."""
        first, second = auth.capabilities(), wallet.capabilities()
        if first.did is None:
            raise CustodyInputError("The identity half of a split custody has no identity key.")
        if second.wallet_address is None:
            raise CustodyInputError("The wallet half of a split custody has no wallet.")
        self._auth = auth
        self._wallet = wallet
        self.halves = Halves(first.backend, second.backend)
        """Which backend signs tokens, and which one payments."""
        self._capabilities = Capabilities(
            backend=first.backend,
            operations=(first.operations & {"sign_token"}) | (second.operations - {"sign_token"}),
            did=first.did,
            wallet_address=second.wallet_address,
            user_confirmation=first.user_confirmation or second.user_confirmation,
            exportable=first.exportable or second.exportable,
        )
        self._closed = False

    def capabilities(self) -> Capabilities:
        """What both halves can do together. `backend` is the identity half's; `halves` names both."""
        return self._capabilities

    async def close(self) -> None:
        """Close both halves. May be called again."""
        self._closed = True
        try:
            await _closed(self._auth)
        finally:
            await _closed(self._wallet)

    async def sign_token(self, claims: JsonObject, *, typ: str = "JWT") -> str:
        """A compact JWS by the identity half."""
        self._check_open()
        return await self._auth.sign_token(claims, typ=typ)

    async def sign_message(self, message: bytes) -> bytes:
        """EIP-191 personal signature by the wallet half."""
        self._check_open()
        return await self._wallet.sign_message(message)

    async def sign_authorization(self, authorization: TransferAuthorization) -> bytes:
        """EIP-712 signature by the wallet half."""
        self._check_open()
        return await self._wallet.sign_authorization(authorization)

    async def sign_permit(self, permit: PermitTransfer | TokenPermit) -> bytes:
        """EIP-712 signature by the wallet half."""
        self._check_open()
        return await self._wallet.sign_permit(permit)

    async def sign_sale_document(self, document: SaleDocument) -> bytes:
        """EIP-712 signature by the wallet half; UnsupportedOperationError when that half does not sign such documents."""
        self._check_open()
        wallet: object = self._wallet
        if not isinstance(wallet, SaleSigning):
            raise UnsupportedOperationError("The wallet half of this custody does not sign offers and receipts.")
        return await wallet.sign_sale_document(document)

    async def sign_transaction(self, transaction: EvmTransaction) -> bytes:
        """The raw signed EIP-1559 transaction, by the wallet half."""
        self._check_open()
        return await self._wallet.sign_transaction(transaction)

    def _check_open(self) -> None:
        if self._closed:
            raise StaleHandleError("This custody handle is closed.", next_step="Open the identity again.")

    def __repr__(self) -> str:
        return f"<SplitAnima {self._auth!r} {self._wallet!r}{', closed' if self._closed else ''}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a custody handle is not pickled or copied")


async def _closed(half: CustodyHalf) -> None:
    """Close a half, whether or not it takes time."""
    closing = half.close()
    if closing is not None:
        await closing
