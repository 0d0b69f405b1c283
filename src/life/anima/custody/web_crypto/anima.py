"""WebCryptoAnima: the identity half of the Custody port, in a person's browser (AN-WEB-1).

Every token is shown to the person and confirmed with the passkey; the device key's signature is verified here before
it is released. There is no wallet: secp256k1 has no place in a browser (L4-D5, AN-WEB-4). Put one beside it with
`split.SplitAnima`, plain or behind `confirmed_wallet.ConfirmedWallet`.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, NoReturn

from life.aios.errors import CustodyError
from life.aios.json import JsonObject
from life.aios.ports.custody import (
    Capabilities,
    EvmTransaction,
    Operation,
    PermitTransfer,
    TokenPermit,
    TransferAuthorization,
)
from life.anima.custody.typed_requests import finish_token, token_input
from life.anima.custody.wallet_rules import CustodyObserver
from life.anima.custody.web_crypto.confirmed_wallet import APPROVAL_TYP
from life.anima.custody.web_crypto.desk import SigningDesk
from life.anima.custody.web_crypto.enrolling import DEVICE_TYP
from life.anima.errors import CustodyInputError, KeyNotFoundError, StaleHandleError, UnsupportedOperationError
from life.anima.events import CustodyDenied, CustodySigned
from life.crypto.did import DidKey
from life.crypto.jwk import thumbprint

RESERVED_TYPES: Final = frozenset({DEVICE_TYP, APPROVAL_TYP})
"""What the page shows as an enrolment or a payment is never a token that an agent made up (AN-KEY-4)."""


class WebCryptoAnima:
    """Signs tokens with the enrolled browser's device key. Make one with `open`; close it."""

    def __init__(self, desk: SigningDesk, key: DidKey, *, observer: CustodyObserver | None) -> None:
        """Callers use `open`."""
        self._desk = desk
        self._key = key
        self._issuers = (key.did, thumbprint(key))
        self._observer = observer
        self._closed = False
        self._capabilities = Capabilities(
            backend="web_crypto",
            operations=frozenset({"sign_token"}),
            did=key.did,
            wallet_address=None,
            user_confirmation=True,
        )

    @classmethod
    def open(
        cls, desk: SigningDesk, *, did: str | None = None, observer: CustodyObserver | None = None
    ) -> WebCryptoAnima:
        """The handle of the enrolled browser. KeyNotFoundError when none is, or when it is not the identity `did`."""
        enrolment = desk.enrolment()
        if did is not None and enrolment.did != did:
            raise KeyNotFoundError(
                "The enrolled browser is not this identity's.",
                next_step="Use the enrolment record that the identity was made with.",
                details={"did": did, "enrolled": enrolment.did},
            )
        return cls(desk, enrolment.key, observer=observer)

    def capabilities(self) -> Capabilities:
        """Tokens, each confirmed by the person."""
        return self._capabilities

    async def close(self) -> None:
        """Sign nothing more; what waits ends in a StaleHandleError. May be called again."""
        self._closed = True
        self._desk.withdraw(self, _closed())

    async def sign_token(self, claims: JsonObject, *, typ: str = "JWT") -> str:
        """A compact JWS (ES256, `kid` = the DID) over `claims`, once the person has agreed. Errors of `SigningDesk.ask`."""
        try:
            if self._closed:
                raise _closed()
            if isinstance(typ, str) and typ.lower() in RESERVED_TYPES:
                raise CustodyInputError("Tokens of this type are made by the custody page itself.")
            message = token_input(claims, typ, key=self._key, issuers=self._issuers)
            signature = await self._desk.ask("token", message, owner=self)
            token = finish_token(message, signature, key=self._key)
        except CustodyError as error:
            if self._observer is not None:
                self._observer(CustodyDenied(did=self._key.did, op="sign_token", reason=error.code))
            raise
        if self._observer is not None:
            self._observer(
                CustodySigned(
                    did=self._key.did,
                    op="sign_token",
                    purpose=typ,
                    payload_hash=sha256(message).hexdigest(),
                    policy_decision="allowed",
                    backend="web_crypto",
                    request_id="",
                )
            )
        return token

    async def sign_message(self, message: bytes) -> bytes:
        """UnsupportedOperationError."""
        raise self._no_wallet("sign_message")

    async def sign_authorization(self, authorization: TransferAuthorization) -> bytes:
        """UnsupportedOperationError."""
        raise self._no_wallet("sign_authorization")

    async def sign_permit(self, permit: PermitTransfer | TokenPermit) -> bytes:
        """UnsupportedOperationError."""
        raise self._no_wallet("sign_permit")

    async def sign_transaction(self, transaction: EvmTransaction) -> bytes:
        """UnsupportedOperationError."""
        raise self._no_wallet("sign_transaction")

    def _no_wallet(self, operation: Operation) -> UnsupportedOperationError:
        error = UnsupportedOperationError("A browser holds no wallet; configure a wallet half beside it.")
        if self._observer is not None:
            self._observer(CustodyDenied(did=self._key.did, op=operation, reason=error.code))
        return error

    def __repr__(self) -> str:
        return f"<WebCryptoAnima did={self._key.did}{', closed' if self._closed else ''}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a custody handle is not pickled or copied")


def _closed() -> StaleHandleError:
    return StaleHandleError("This custody handle is closed.", next_step="Open the identity again.")
