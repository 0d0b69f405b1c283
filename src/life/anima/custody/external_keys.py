"""Typed signing over keys that live somewhere else: a token, a key server (anima.md §11, AN-CUS-1 to AN-CUS-5).

A key outside takes a digest and gives 64 bytes. Everything between a typed request and that digest is decided here, once
for every such backend: the rules and the guard come first, the device is asked only for what passed them, and what it
gives back is checked against the public key before anybody sees it: a wallet signature gets its low s and a recovery id
that was found, not believed.

Devices draw their own nonces, so asking twice would give two signatures of one payment. The last wallet signatures are
remembered by their digest: the same request gets the same bytes (AN-CUS-5), also when it is asked twice at once. A guard
has judged every request before the device is asked; when the device then fails, the guard has counted what was not
signed, never the other way round.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from hashlib import sha256
from typing import Final, NoReturn, Protocol

from life.aios.errors import CustodyError
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.custody import (
    BackendKind,
    Capabilities,
    EvmTransaction,
    Operation,
    PermitTransfer,
    SaleDocument,
    SaleOffer,
    TokenPermit,
    TransferAuthorization,
)
from life.anima.custody.typed_requests import (
    check_message,
    eip1559,
    finish_token,
    finish_wallet_signature,
    probe_digest,
    token_input,
)
from life.anima.custody.wallet_rules import (
    CustodyObserver,
    OwnAddress,
    PersonalMessage,
    WalletRequest,
    WalletRules,
)
from life.anima.custody.witness import Witness
from life.anima.errors import BadSignatureError, StaleHandleError, UnsupportedOperationError
from life.crypto import secp256k1
from life.crypto.address import format_address
from life.crypto.did import Curve, DidKey, encode_did, resolve_did
from life.crypto.eip191 import personal_message_digest
from life.crypto.errors import InvalidSignatureError
from life.crypto.jwk import thumbprint
from life.crypto.p256 import P256PublicKey
from life.crypto.transaction import assemble

REMEMBERED_SIGNATURES: Final = 1024


class ExternalKey(Protocol):
    """A private key that is not in this process. It signs digests for this package; nobody outside gets hold of it."""

    @property
    def public_key(self) -> bytes:
        """33 or 65 bytes of a point of the key's curve."""
        ...

    async def sign_digest(self, digest: bytes) -> bytes:
        """64 bytes ``r ‖ s`` over 32 bytes; any s. CustodyError when the device does not sign."""
        ...


class ExternalKeysAnima:
    """The Custody port over an identity key (P-256), a wallet key (secp256k1), or both, held outside of this process."""

    def __init__(
        self,
        auth: ExternalKey | None,
        wallet: ExternalKey | None,
        *,
        backend: BackendKind,
        clock: Clock,
        rules: WalletRules,
        observer: CustodyObserver | None = None,
        exportable: bool = False,
        user_confirmation: bool = False,
    ) -> None:
        """`exportable` says what the key store says of its keys; `user_confirmation`, that a person confirms each use."""
        self._auth = auth
        self._wallet = wallet
        self._clock = clock
        self._rules = rules
        self._did: DidKey | None = None if auth is None else did_key_of(auth.public_key)
        self._issuers = () if self._did is None else (self._did.did, thumbprint(self._did))
        self._own: OwnAddress | None = None
        if wallet is not None:
            raw = secp256k1.address_of(secp256k1.decompress(wallet.public_key))
            text = format_address(raw)
            self._own = OwnAddress(text, text.lower(), raw)
        self._capabilities = Capabilities(
            backend=backend,
            operations=rules.operations(auth=auth is not None, wallet=wallet is not None),
            did=None if self._did is None else self._did.did,
            wallet_address=None if self._own is None else self._own.text,
            user_confirmation=user_confirmation,
            exportable=exportable,
        )
        self._witness = Witness(observer, did=self._capabilities.did, backend=backend, guarded=rules.guard is not None)
        self._closed: str | None = None
        self._signatures: OrderedDict[bytes, asyncio.Future[bytes]] = OrderedDict()

    def capabilities(self) -> Capabilities:
        """What this handle can do, and its public names."""
        return self._capabilities

    async def close(self) -> None:
        """Sign nothing more: every later signing call is a StaleHandleError. May be called again."""
        self._retire("This custody handle is closed.")

    async def check(self) -> None:
        """Ask the device for a signature that means nothing, and verify it; the error says what is wrong.

        Only the identity key is asked; a wallet signs nothing but typed requests.
        """
        if self._auth is None or self._did is None:
            raise UnsupportedOperationError("This custody handle has no identity key to check.")
        self._check_open()
        digest = probe_digest("check")
        signature = await self._auth.sign_digest(digest)
        try:
            P256PublicKey(self._did.public_key).verify_digest(digest, signature)
        except InvalidSignatureError:
            raise BadSignatureError("The device signs with another key than this identity's.") from None

    async def sign_token(self, claims: JsonObject, *, typ: str = "JWT") -> str:
        """A compact JWS (ES256, `kid` = the DID) over `claims`. An `iss` must name this handle's own key."""
        try:
            auth, key = self._auth, self._did
            if auth is None or key is None:
                raise UnsupportedOperationError("This custody handle has no identity key, so it can't sign tokens.")
            self._check_open()
            message = token_input(claims, typ, key=key, issuers=self._issuers)
            digest = sha256(message).digest()
            token = finish_token(message, await auth.sign_digest(digest), key=key)
        except CustodyError as error:
            self._witness.denied("sign_token", error)
            raise
        self._witness.signed("sign_token", typ, digest)
        return token

    async def sign_message(self, message: bytes) -> bytes:
        """EIP-191 personal signature by the wallet: 65 bytes r‖s‖v, v 27 or 28, low s. At most 64 KiB."""
        try:
            wallet, own = self._wallet_for("sign_message")
            check_message(message)
            self._rules.ask_guard(PersonalMessage(message))
            digest = personal_message_digest(message)
            signature = await self._sign_once(wallet, digest, own, PersonalMessage(message))
        except CustodyError as error:
            self._witness.denied("sign_message", error)
            raise
        self._witness.signed("sign_message", "eip191", digest)
        return signature

    async def sign_authorization(self, authorization: TransferAuthorization) -> bytes:
        """EIP-712 signature over an EIP-3009 authorization: 65 bytes r‖s‖v, v 27 or 28, low s. Refused as the rules say."""
        try:
            wallet, own = self._wallet_for("sign_authorization")
            digest = self._rules.digest_to_sign(authorization, own=own, now_s=self._clock.now_us() // 1_000_000)
            signature = await self._sign_once(wallet, digest, own, authorization)
        except CustodyError as error:
            self._witness.denied("sign_authorization", error)
            raise
        self._witness.signed("sign_authorization", "eip3009", digest, authorization.reservation_id)
        return signature

    async def sign_permit(self, permit: PermitTransfer | TokenPermit) -> bytes:
        """EIP-712 signature over a Permit2 payment, or the EIP-2612 allowance that goes with one: 65 bytes r‖s‖v, low s.

        Refused as an authorization is, and for every spender but the one that the kind of permit names.
        """
        try:
            wallet, own = self._wallet_for("sign_permit")
            digest = self._rules.permit_digest_to_sign(permit, own=own, now_s=self._clock.now_us() // 1_000_000)
            signature = await self._sign_once(wallet, digest, own, permit)
        except CustodyError as error:
            self._witness.denied("sign_permit", error)
            raise
        purpose = "eip2612" if isinstance(permit, TokenPermit) else "permit2"
        self._witness.signed("sign_permit", purpose, digest, permit.reservation_id)
        return signature

    async def sign_sale_document(self, document: SaleDocument) -> bytes:
        """EIP-712 signature over an offer or a receipt of this seller (SaleSigning): 65 bytes r‖s‖v, low s."""
        try:
            wallet, own = self._wallet_for("sign_message")  # whoever may sign messages may sign these
            digest = self._rules.sale_digest_to_sign(document)
            signature = await self._sign_once(wallet, digest, own, document)
        except CustodyError as error:
            self._witness.denied("sign_sale_document", error)
            raise
        self._witness.signed("sign_sale_document", "offer" if isinstance(document, SaleOffer) else "receipt", digest)
        return signature

    async def sign_transaction(self, transaction: EvmTransaction) -> bytes:
        """The raw signed EIP-1559 transaction, ready to broadcast."""
        try:
            wallet, own = self._wallet_for("sign_transaction")
            fields, digest = eip1559(transaction)
            self._rules.check_chain(fields.chain_id)
            self._rules.ask_guard(transaction)
            raw = assemble(fields, await self._sign_once(wallet, digest, own, transaction)).raw
        except CustodyError as error:
            self._witness.denied("sign_transaction", error)
            raise
        self._witness.signed("sign_transaction", "eip1559", digest)
        return raw

    def _retire(self, sentence: str) -> None:
        """From now on this handle refuses with `sentence`."""
        self._closed = self._closed or sentence
        self._signatures.clear()

    def _check_open(self) -> None:
        if self._closed is not None:
            raise StaleHandleError(self._closed, next_step="Open the identity again.")

    def _wallet_for(self, operation: Operation) -> tuple[ExternalKey, OwnAddress]:
        """Key and address for an operation that `capabilities` lists; UnsupportedOperationError or StaleHandleError."""
        wallet, own = self._wallet, self._own
        if wallet is None or own is None:
            raise UnsupportedOperationError("This custody handle has no wallet.")
        if operation not in self._capabilities.operations:
            raise UnsupportedOperationError(
                "This wallet signs only what has a reservation; a transaction has none, so it needs a guard."
            )
        self._check_open()
        return wallet, own

    async def _ask_wallet(self, wallet: ExternalKey, digest: bytes, request: WalletRequest) -> bytes:
        """64 bytes over `digest`, which is `request`'s: a store that wants to know what it signs is shown the request."""
        return await wallet.sign_digest(digest)

    async def _wallet_signature(
        self, wallet: ExternalKey, digest: bytes, own: OwnAddress, request: WalletRequest
    ) -> bytes:
        return finish_wallet_signature(digest, await self._ask_wallet(wallet, digest, request), address=own.raw)

    async def _sign_once(self, wallet: ExternalKey, digest: bytes, own: OwnAddress, request: WalletRequest) -> bytes:
        """The one signature over `digest`; whoever asks meanwhile waits for it. A failure is not remembered."""
        known = self._signatures.get(digest)
        if known is None:
            known = asyncio.ensure_future(self._wallet_signature(wallet, digest, own, request))
            self._signatures[digest] = known
            known.add_done_callback(lambda ended: self._remember(digest, ended))
        # A caller that gives up does not take the signature away from the others.
        signature = await asyncio.shield(known)
        self._check_open()
        return signature

    def _remember(self, digest: bytes, ended: asyncio.Future[bytes]) -> None:
        """Keep what was signed, among the last ones; forget what failed, so that it may be asked again."""
        failed = ended.cancelled() or ended.exception() is not None
        if failed and self._signatures.get(digest) is ended:
            del self._signatures[digest]
        while len(self._signatures) > REMEMBERED_SIGNATURES and next(iter(self._signatures.values())).done():
            self._signatures.popitem(last=False)

    def __repr__(self) -> str:
        names = f"did={self._capabilities.did}, wallet={self._capabilities.wallet_address}"
        return f"<{type(self).__name__} {names}{', closed' if self._closed else ''}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a custody handle is not pickled or copied")


def did_key_of(public_key: bytes) -> DidKey:
    """The DID of a P-256 point of 33 or 65 bytes, checked to lie on the curve."""
    return resolve_did(encode_did(Curve.P256, P256PublicKey(public_key).compressed))
