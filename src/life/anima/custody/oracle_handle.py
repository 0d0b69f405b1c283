"""Typed signing by an oracle: a handle whose keys, and the one who asks them, are in another process (AN-SOM-3, AN-REM-2).

The handle's own rules and guard come first, as in every backend; then the request goes out as it is, never as a digest; and
what comes back is checked: a token must be the very one that was asked for, a wallet signature must recover to the wallet
over the digest that was computed here. An oracle that errs, or lies, can refuse, but not give a signature of something else.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, NoReturn, Protocol

from life.aios.errors import CustodyError
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.custody import (
    BackendKind,
    Capabilities,
    EvmTransaction,
    PermitTransfer,
    SaleDocument,
    SaleOffer,
    TokenPermit,
    TransferAuthorization,
)
from life.anima.custody.external_keys import did_key_of
from life.anima.custody.soma.protocol import (
    AgentFacts,
    AnyRequest,
    OracleOperation,
    Reply,
    SignAuthorization,
    SignCancellation,
    SigningRequest,
    SignMessage,
    SignPermit,
    SignSaleOffer,
    SignSaleReceipt,
    SignToken,
    SignTokenPermit,
    SignTransaction,
)
from life.anima.custody.typed_requests import check_message, eip1559, finish_token, finish_wallet_signature, token_input
from life.anima.custody.wallet_rules import CustodyObserver, OwnAddress, PersonalMessage, WalletRules
from life.anima.custody.witness import Witness
from life.anima.errors import CustodyProtocolError, StaleHandleError, UnsupportedOperationError
from life.crypto import secp256k1
from life.crypto.address import format_address, parse_address
from life.crypto.base64url import decode_base64url
from life.crypto.did import resolve_did
from life.crypto.eip191 import personal_message_digest
from life.crypto.errors import CryptoError, InvalidEncodingError, InvalidSignatureError
from life.crypto.jwk import thumbprint
from life.crypto.transaction import assemble


class OracleChannel(Protocol):
    """The way to an oracle."""

    async def ask(self, request: AnyRequest) -> Reply:
        """The reply to `request`, which is no refusal: those are raised. CustodyUnavailableError, CustodyTimeoutError."""
        ...

    async def close(self) -> None:
        """Ask no more. May be called again."""
        ...


_DEFAULT_RULES: Final = WalletRules()


class OracleAnima:
    """The Custody port over an oracle's keys for one agent. `SomaCustody` and `RemoteAnima` open one."""

    def __init__(
        self,
        channel: OracleChannel,
        facts: AgentFacts,
        *,
        backend: BackendKind,
        clock: Clock,
        rules: WalletRules = _DEFAULT_RULES,
        observer: CustodyObserver | None = None,
    ) -> None:
        """Takes over `channel`. CustodyProtocolError when the oracle's names are malformed."""
        self._channel = channel
        self._clock = clock
        self._rules = rules
        self._agent = facts.agent
        self.facts = facts
        """What the oracle said when the handle was opened: names, offered operations, and the agent's soul."""
        self._offered = frozenset(facts.operations)
        try:
            self._did = did_key_of(resolve_did(facts.did).public_key)
            raw = parse_address(facts.wallet_address)
            text = format_address(raw)
        except CryptoError:
            raise CustodyProtocolError("The oracle's DID or wallet address is malformed.") from None
        if self._did.did != facts.did:
            raise CustodyProtocolError("The oracle's DID is not one of a P-256 key.")
        self._issuers = (self._did.did, thumbprint(self._did))
        self._own = OwnAddress(text, text.lower(), raw)
        wallet_offered = bool(self._offered - {"sign_token"})
        auth_offered = "sign_token" in self._offered
        allowed = rules.operations(auth=auth_offered, wallet=wallet_offered)
        self._capabilities = Capabilities(
            backend=backend,
            operations=allowed & self._offered,
            did=self._did.did if auth_offered else None,
            wallet_address=text if wallet_offered else None,
        )
        self._witness = Witness(observer, did=self._did.did, backend=backend, guarded=rules.guard is not None)
        self._closed = False

    def capabilities(self) -> Capabilities:
        """What this caller may have signed, and the public names. The oracle's policy may have changed since."""
        return self._capabilities

    async def close(self) -> None:
        """Sign nothing more: every later signing call is a StaleHandleError. May be called again."""
        self._closed = True
        await self._channel.close()

    async def sign_token(self, claims: JsonObject, *, typ: str = "JWT") -> str:
        """A compact JWS (ES256, `kid` = the DID) over `claims`. An `iss` must name this handle's own key."""
        try:
            self._require("sign_token")
            message = token_input(claims, typ, key=self._did, issuers=self._issuers)
            reply = await self._channel.ask(SignToken(agent=self._agent, claims=dict(claims), typ=typ))
            token = self._checked_token(reply, message)
        except CustodyError as error:
            self._witness.denied("sign_token", error)
            raise
        if self._witness.listens:
            self._witness.signed("sign_token", typ, sha256(message).digest())
        return token

    async def sign_message(self, message: bytes) -> bytes:
        """EIP-191 personal signature by the wallet: 65 bytes r‖s‖v, v 27 or 28, low s. At most 64 KiB."""
        try:
            self._require("sign_message")
            check_message(message)
            self._rules.ask_guard(PersonalMessage(message))
            digest = personal_message_digest(message)
            signature = await self._signature(SignMessage(agent=self._agent, message=message), digest)
        except CustodyError as error:
            self._witness.denied("sign_message", error)
            raise
        self._witness.signed("sign_message", "eip191", digest)
        return signature

    async def sign_authorization(self, authorization: TransferAuthorization) -> bytes:
        """EIP-712 signature over an EIP-3009 authorization: 65 bytes r‖s‖v, v 27 or 28, low s. Refused as the rules say."""
        try:
            self._require("sign_authorization")
            digest = self._rules.digest_to_sign(authorization, own=self._own, now_s=self._now_s())
            request = SignAuthorization(agent=self._agent, authorization=authorization)
            signature = await self._signature(request, digest)
        except CustodyError as error:
            self._witness.denied("sign_authorization", error)
            raise
        self._witness.signed("sign_authorization", "eip3009", digest, authorization.reservation_id)
        return signature

    async def sign_cancellation(self, authorization: TransferAuthorization) -> bytes:
        """EIP-712 signature that burns an unused authorization of this wallet (CancelSigning): 65 bytes r‖s‖v, low s."""
        try:
            self._require("sign_cancellation")
            digest = self._rules.cancel_digest_to_sign(authorization, own=self._own)
            request = SignCancellation(agent=self._agent, authorization=authorization)
            signature = await self._signature(request, digest)
        except CustodyError as error:
            self._witness.denied("sign_cancellation", error)
            raise
        self._witness.signed("sign_cancellation", "eip3009", digest, authorization.reservation_id)
        return signature

    async def sign_permit(self, permit: PermitTransfer | TokenPermit) -> bytes:
        """EIP-712 signature over a Permit2 payment, or the EIP-2612 allowance that goes with one: 65 bytes r‖s‖v, low s."""
        try:
            self._require("sign_permit")
            digest = self._rules.permit_digest_to_sign(permit, own=self._own, now_s=self._now_s())
            request: SigningRequest
            if isinstance(permit, TokenPermit):
                request = SignTokenPermit(agent=self._agent, permit=permit)
            else:
                request = SignPermit(agent=self._agent, permit=permit)
            signature = await self._signature(request, digest)
        except CustodyError as error:
            self._witness.denied("sign_permit", error)
            raise
        purpose = "eip2612" if isinstance(permit, TokenPermit) else "permit2"
        self._witness.signed("sign_permit", purpose, digest, permit.reservation_id)
        return signature

    async def sign_sale_document(self, document: SaleDocument) -> bytes:
        """EIP-712 signature over an offer or a receipt of this seller (SaleSigning): 65 bytes r‖s‖v, low s."""
        try:
            self._require("sign_sale_document")
            digest = self._rules.sale_digest_to_sign(document)
            request: SigningRequest
            if isinstance(document, SaleOffer):
                request = SignSaleOffer(agent=self._agent, document=document)
            else:
                request = SignSaleReceipt(agent=self._agent, document=document)
            signature = await self._signature(request, digest)
        except CustodyError as error:
            self._witness.denied("sign_sale_document", error)
            raise
        self._witness.signed("sign_sale_document", "offer" if isinstance(document, SaleOffer) else "receipt", digest)
        return signature

    async def sign_transaction(self, transaction: EvmTransaction) -> bytes:
        """The raw signed EIP-1559 transaction, ready to broadcast."""
        try:
            self._require("sign_transaction")
            fields, digest = eip1559(transaction)
            self._rules.check_chain(fields.chain_id)
            self._rules.ask_guard(transaction)
            request = SignTransaction(agent=self._agent, transaction=transaction)
            raw = assemble(fields, await self._signature(request, digest)).raw
        except CustodyError as error:
            self._witness.denied("sign_transaction", error)
            raise
        self._witness.signed("sign_transaction", "eip1559", digest)
        return raw

    def _require(self, operation: OracleOperation) -> None:
        """UnsupportedOperationError for what is not offered, StaleHandleError after `close`."""
        if operation not in self._offered:
            raise UnsupportedOperationError(
                f"The oracle's policy offers no {operation} to this caller for the agent {self._agent}."
            )
        if operation == "sign_transaction" and not self._rules.permits_transactions:
            raise UnsupportedOperationError(
                "This wallet signs only what has a reservation; a transaction has none, so it needs a guard."
            )
        if self._closed:
            raise StaleHandleError("This custody handle is closed.", next_step="Open the identity again.")

    async def _signature(self, request: SigningRequest, digest: bytes) -> bytes:
        signature = (await self._channel.ask(request)).signature
        if signature is None or len(signature) != 65:
            raise CustodyProtocolError("The oracle's answer has no signature.")
        if signature[64] in (27, 28) and secp256k1.is_low_s(signature) and _recovers(digest, signature, self._own.raw):
            return signature
        return finish_wallet_signature(digest, signature[:64], address=self._own.raw)

    def _checked_token(self, reply: Reply, message: bytes) -> str:
        head, _, signature = (reply.token or "").rpartition(".")
        if head.encode() != message:
            raise CustodyProtocolError("The oracle's token is not the one that was asked for.")
        try:
            return finish_token(message, decode_base64url(signature), key=self._did)
        except InvalidEncodingError:
            raise CustodyProtocolError("The oracle's token is malformed.") from None

    def _now_s(self) -> int:
        return self._clock.now_us() // 1_000_000

    def __repr__(self) -> str:
        names = f"agent={self._agent}, did={self._did.did}, wallet={self._own.text}"
        return f"<{type(self).__name__} {names}{', closed' if self._closed else ''}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a custody handle is not pickled or copied")


def _recovers(digest: bytes, signature: bytes, address: bytes) -> bool:
    """Whether the oracle's own recovery id is right; when it is not, the right one is looked for."""
    try:
        return secp256k1.recover_address(digest, signature) == address
    except InvalidSignatureError:
        return False
