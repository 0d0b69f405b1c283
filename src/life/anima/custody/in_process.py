"""InProcessAnima: both keys in this process's memory (anima.md §13.1). For development and single-user machines.

The P-256 key lives inside an object of the `cryptography` package, the wallet key in a locked page that libsecp256k1
reads in place; neither is ever a Python `int` or `bytes`, and `close` wipes both. Whoever can read this process's memory
can use the keys: daemons call `process_hardening.harden_process` first.

Signatures are deterministic (RFC 6979), so signing the same thing again gives the same bytes (AN-CUS-5). They are not
verified one by one: they come from the very libraries that would verify them, and each would take three times as long;
instead each key proves itself once, when the handle is made (AN-CUS-2). Typed errors: StaleHandleError after `close`,
UnsupportedOperationError for what `capabilities` does not list, CustodyInputError and PolicyDeniedError from the rules.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, NoReturn

from life.aios.errors import CustodyError
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.custody import (
    Capabilities,
    EvmTransaction,
    Operation,
    PermitTransfer,
    SaleDocument,
    SaleOffer,
    TokenPermit,
    TransferAuthorization,
)
from life.anima.custody.locked_memory import LockedSecret
from life.anima.custody.typed_requests import check_message, eip1559, probe_digest, token_input
from life.anima.custody.wallet_rules import (
    CustodyObserver,
    OwnAddress,
    PersonalMessage,
    WalletRules,
)
from life.anima.custody.witness import Witness
from life.anima.errors import (
    BadSignatureError,
    CustodyInputError,
    StaleHandleError,
    UnsupportedOperationError,
)
from life.crypto import jws, secp256k1
from life.crypto.address import format_address
from life.crypto.derivation import STORAGE_LABEL, derive_p256_secret, derive_secp256k1_secret, derive_subkey
from life.crypto.did import Curve, DidKey, encode_did, resolve_did
from life.crypto.eip191 import personal_message_digest
from life.crypto.errors import CryptoError, InvalidSignatureError
from life.crypto.jwk import thumbprint
from life.crypto.p256 import P256PrivateKey, P256PublicKey, load_private_key
from life.crypto.transaction import assemble
from life.crypto.wiping import wiped

_DEFAULT_RULES: Final = WalletRules()


class InProcessAnima:
    """The Custody port over keys in memory. Make one with `from_seed`, `from_seeds` or `from_wallet_key`; close it."""

    __slots__ = (
        "__weakref__",
        "_auth",
        "_capabilities",
        "_clock",
        "_did",
        "_issuers",
        "_own",
        "_rules",
        "_storage",
        "_wallet",
        "_witness",
    )

    def __init__(
        self,
        auth: P256PrivateKey | None,
        wallet: LockedSecret | None,
        *,
        clock: Clock,
        rules: WalletRules = _DEFAULT_RULES,
        observer: CustodyObserver | None = None,
        storage: LockedSecret | None = None,
    ) -> None:
        """Takes over the keys. Callers outside this package use the constructors below."""
        self._auth = auth
        self._wallet = wallet
        self._storage = storage
        self._clock = clock
        self._rules = rules
        self._did: DidKey | None = None if auth is None else _proven_did(auth)
        self._issuers = () if self._did is None else (self._did.did, thumbprint(self._did))
        self._own: OwnAddress | None = None
        if wallet is not None:
            raw = _proven_address(wallet)
            text = format_address(raw)
            self._own = OwnAddress(text, text.lower(), raw)
        self._capabilities = Capabilities(
            backend="in_process",
            operations=rules.operations(auth=auth is not None, wallet=wallet is not None),
            did=None if self._did is None else self._did.did,
            wallet_address=None if self._own is None else self._own.text,
            exportable=True,
        )
        self._witness = Witness(
            observer, did=self._capabilities.did, backend="in_process", guarded=rules.guard is not None
        )

    @classmethod
    def from_seed(
        cls,
        seed: bytearray | memoryview,
        *,
        clock: Clock,
        rules: WalletRules = _DEFAULT_RULES,
        observer: CustodyObserver | None = None,
    ) -> InProcessAnima:
        """Both keys from one 32-byte master seed (AN-KEY-1), which stays the caller's to wipe. CustodyInputError for a
        bad seed."""
        return cls.from_seeds(seed, seed, clock=clock, rules=rules, observer=observer)

    @classmethod
    def from_seeds(
        cls,
        auth_seed: bytearray | memoryview,
        wallet_seed: bytearray | memoryview,
        *,
        clock: Clock,
        rules: WalletRules = _DEFAULT_RULES,
        observer: CustodyObserver | None = None,
    ) -> InProcessAnima:
        """Each key from its own seed, as a seed file holds them. Otherwise as `from_seed`."""
        try:
            with wiped(derive_p256_secret(auth_seed)) as secret:
                auth = load_private_key(secret)
            with wiped(derive_secp256k1_secret(wallet_seed)) as secret:
                wallet = LockedSecret(secret)
            with wiped(derive_subkey(wallet_seed, STORAGE_LABEL)) as secret:
                storage = LockedSecret(secret)
        except CryptoError as error:
            raise CustodyInputError(f"The seed can't be used: {error}.") from None
        return cls(auth, wallet, clock=clock, rules=rules, observer=observer, storage=storage)

    @classmethod
    def from_wallet_key(
        cls,
        key: bytearray | memoryview,
        *,
        clock: Clock,
        rules: WalletRules = _DEFAULT_RULES,
        observer: CustodyObserver | None = None,
    ) -> InProcessAnima:
        """Only a wallet, from its 32-byte secp256k1 key, which stays the caller's to wipe. No DID, no tokens.

        CustodyInputError when the key is out of range.
        """
        try:
            secp256k1.public_key(key)
        except CryptoError as error:
            raise CustodyInputError(f"The wallet key can't be used: {error}.") from None
        return cls(None, LockedSecret(key), clock=clock, rules=rules, observer=observer)

    @property
    def memory_locked(self) -> bool:
        """Whether the system keeps the wallet key out of swap."""
        return self._wallet is not None and self._wallet.locked

    def close(self) -> None:
        """Wipe the keys. Every later signing call is a StaleHandleError; `capabilities` stays readable."""
        secrets = self._wallet, self._storage
        self._wallet = self._storage = self._auth = None
        for secret in secrets:
            if secret is not None:
                secret.wipe()

    def storage_key(self, purpose: str) -> bytes:
        """32 bytes to encrypt what this agent keeps on disk, the same for the same purpose for ever: it follows from the
        wallet's seed, which no rotation changes, and tells nothing about the keys that sign. UnsupportedOperationError for a
        handle that was made from a bare wallet key."""
        root = self._storage
        if root is None:
            if self._auth is None and self._wallet is None:
                raise _closed()
            raise UnsupportedOperationError("This custody handle has no seed to derive storage keys from.")
        return bytes(derive_subkey(root.view, b"life/storage/" + purpose.encode()))

    def capabilities(self) -> Capabilities:
        """What this handle can do, and its public names."""
        return self._capabilities

    async def sign_token(self, claims: JsonObject, *, typ: str = "JWT") -> str:
        """A compact JWS (ES256, `kid` = the DID) over `claims`. An `iss` must name this handle's own key."""
        return self.sign_claims(claims, typ=typ)

    def sign_claims(self, claims: JsonObject, *, typ: str = "JWT") -> str:
        """`sign_token` for callers without an event loop."""
        try:
            token = self._token(claims, typ)
        except CustodyError as error:
            self._witness.denied("sign_token", error)
            raise
        return token

    async def sign_message(self, message: bytes) -> bytes:
        """EIP-191 personal signature by the wallet: 65 bytes r‖s‖v, v 27 or 28, low s. At most 64 KiB."""
        try:
            secret, _ = self._wallet_for("sign_message")
            check_message(message)
            self._rules.ask_guard(PersonalMessage(message))
            digest = personal_message_digest(message)
            signature = _signature(digest, secret)
        except CustodyError as error:
            self._witness.denied("sign_message", error)
            raise
        self._witness.signed("sign_message", "eip191", digest)
        return signature

    async def sign_authorization(self, authorization: TransferAuthorization) -> bytes:
        """EIP-712 signature over an EIP-3009 authorization: 65 bytes r‖s‖v, v 27 or 28, low s.

        Refused: another wallet's `from_address`, a missing reservation where one is required, an amount or window out of
        range, a chain that is not permitted, and whatever the guard says.
        """
        try:
            secret, own = self._wallet_for("sign_authorization")
            digest = self._rules.digest_to_sign(authorization, own=own, now_s=self._clock.now_us() // 1_000_000)
            signature = _signature(digest, secret)
        except CustodyError as error:
            self._witness.denied("sign_authorization", error)
            raise
        if self._witness.listens:
            self._witness.signed("sign_authorization", "eip3009", digest, authorization.reservation_id)
        return signature

    async def sign_permit(self, permit: PermitTransfer | TokenPermit) -> bytes:
        """EIP-712 signature over a Permit2 payment, or the EIP-2612 allowance that goes with one: 65 bytes r‖s‖v, low s.

        Refused as an authorization is, and for every spender but the one that the kind of permit names.
        """
        try:
            secret, own = self._wallet_for("sign_permit")
            digest = self._rules.permit_digest_to_sign(permit, own=own, now_s=self._clock.now_us() // 1_000_000)
            signature = _signature(digest, secret)
        except CustodyError as error:
            self._witness.denied("sign_permit", error)
            raise
        purpose = "eip2612" if isinstance(permit, TokenPermit) else "permit2"
        self._witness.signed("sign_permit", purpose, digest, permit.reservation_id)
        return signature

    async def sign_cancellation(self, authorization: TransferAuthorization) -> bytes:
        """EIP-712 signature that burns an unused authorization of this wallet (CancelSigning): 65 bytes r‖s‖v, low s."""
        try:
            secret, own = self._wallet_for("sign_authorization")  # whoever may authorize may take it back
            digest = self._rules.cancel_digest_to_sign(authorization, own=own)
            signature = _signature(digest, secret)
        except CustodyError as error:
            self._witness.denied("sign_cancellation", error)
            raise
        self._witness.signed("sign_cancellation", "eip3009", digest, authorization.reservation_id)
        return signature

    async def sign_sale_document(self, document: SaleDocument) -> bytes:
        """EIP-712 signature over an offer or a receipt of this seller (SaleSigning): 65 bytes r‖s‖v, low s.

        What a seller says of itself: it moves no money, and no token's domain can be confused with it.
        """
        try:
            secret, _ = self._wallet_for("sign_message")  # whoever may sign messages may sign these
            digest = self._rules.sale_digest_to_sign(document)
            signature = _signature(digest, secret)
        except CustodyError as error:
            self._witness.denied("sign_sale_document", error)
            raise
        self._witness.signed("sign_sale_document", "offer" if isinstance(document, SaleOffer) else "receipt", digest)
        return signature

    async def sign_transaction(self, transaction: EvmTransaction) -> bytes:
        """The raw signed EIP-1559 transaction, ready to broadcast."""
        try:
            secret, own = self._wallet_for("sign_transaction")
            fields, digest = eip1559(transaction)
            self._rules.check_chain(fields.chain_id)
            self._rules.ask_guard(transaction)
            signed = assemble(fields, _signature(digest, secret))
            if signed.sender != own.raw:
                raise BadSignatureError("The signature is not that of this wallet; nothing was released.")
        except CustodyError as error:
            self._witness.denied("sign_transaction", error)
            raise
        self._witness.signed("sign_transaction", "eip1559", digest)
        return signed.raw

    def _token(self, claims: JsonObject, typ: str) -> str:
        auth, key = self._auth, self._did
        if key is None:
            raise UnsupportedOperationError("This custody handle has no identity key, so it can't sign tokens.")
        if auth is None:
            raise _closed()
        message = token_input(claims, typ, key=key, issuers=self._issuers)
        token = jws.assemble(message, auth.sign(message))
        if self._witness.listens:
            self._witness.signed("sign_token", typ, sha256(message).digest())
        return token

    def _wallet_for(self, operation: Operation) -> tuple[LockedSecret, OwnAddress]:
        """Key and address for an operation that `capabilities` lists; UnsupportedOperationError or StaleHandleError."""
        wallet, own = self._wallet, self._own
        if own is None:
            raise UnsupportedOperationError("This custody handle has no wallet.")
        if operation not in self._capabilities.operations:
            raise UnsupportedOperationError(
                "This wallet signs only what has a reservation; a transaction has none, so it needs a guard."
            )
        if wallet is None:
            raise _closed()
        return wallet, own

    def __repr__(self) -> str:
        closed = self._auth is None and self._wallet is None
        names = f"did={self._capabilities.did}, wallet={self._capabilities.wallet_address}"
        return f"<InProcessAnima {names}{', closed' if closed else ''}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a custody handle is not pickled or copied")


def _proven_did(auth: P256PrivateKey) -> DidKey:
    """The DID of a key that has just signed a probe for it; BadSignatureError when it does not verify."""
    key, digest = resolve_did(encode_did(Curve.P256, auth.public_key)), probe_digest("open")
    try:
        P256PublicKey(key.public_key).verify_digest(digest, auth.sign_digest(digest))
    except InvalidSignatureError:
        raise BadSignatureError("The identity key does not fit its public half.") from None
    return key


def _proven_address(wallet: LockedSecret) -> bytes:
    """The address of a wallet key, by its public half and by a probe that it has just signed."""
    raw, digest = secp256k1.address_of(secp256k1.public_key(wallet.view)), probe_digest("open")
    if secp256k1.recover_address(digest, secp256k1.sign_recoverable(digest, wallet.view)) != raw:
        raise BadSignatureError("The wallet key does not fit its public half.")
    return raw


def _signature(digest: bytes, secret: LockedSecret) -> bytes:
    """65 bytes over a digest; StaleHandleError when the key is gone: closed by another thread, or in a forked process."""
    try:
        return secp256k1.sign_recoverable(digest, secret.view)
    except ValueError:  # a wiped secret, or (a CryptoError) the zeros that a fork leaves of it
        raise _closed() from None


def _closed() -> StaleHandleError:
    return StaleHandleError("This custody handle is closed.", next_step="Open the identity again.")
