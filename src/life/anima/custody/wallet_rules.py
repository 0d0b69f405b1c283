"""What every backend checks before a wallet signs, so that no backend forgets a check (AN-CUS-4, AN-WAL-3, HM-WAL-3).

The rules are set when a handle is made. They hold whatever the caller believes: an authorization must come from the
handle's own wallet, on a permitted chain, for a positive amount, and be dead soon; with `require_reservation` it must name
the durable reservation that allows it (haima.md §8.7, invariant 3); and the guard, when there is one, has the last word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from life.aios.money import MAX_ATOMIC
from life.aios.ports.custody import (
    EvmTransaction,
    Operation,
    PermitTransfer,
    SaleDocument,
    SaleOffer,
    TokenPermit,
    TransferAuthorization,
)
from life.anima.errors import CustodyInputError, PolicyDeniedError
from life.anima.events import CustodyDenied, CustodySigned
from life.crypto.address import parse_address
from life.crypto.eip3009 import Domain, authorization_digest, cancel_digest
from life.crypto.errors import CryptoError
from life.crypto.permit2 import EXACT_PROXY, PERMIT2, UPTO_PROXY, permit_witness_digest, token_permit_digest
from life.crypto.sale_documents import offer_digest, receipt_digest

MAX_VALIDITY_S: Final = 3600
"""Longest time an authorization may still be valid from now, unless a handle is made with another limit."""

MAX_MESSAGE_BYTES: Final = 65_536


class PersonalMessage(NamedTuple):
    """A message for EIP-191, as a guard sees it."""

    message: bytes


WalletRequest = TransferAuthorization | PermitTransfer | TokenPermit | EvmTransaction | PersonalMessage | SaleDocument

WalletGuard = Callable[[WalletRequest], str | None]
"""Has the last word before a wallet signs: None allows, a sentence refuses. It is called without any pause before the
signature, so it must not block, and what it reserves or counts is consistent with what is signed. An exception refuses."""

CustodyObserver = Callable[[CustodySigned | CustodyDenied], None]
"""Told of every signature and refusal of a handle (AN-EV-2). It must not block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletRules:
    """What a handle's wallet may sign."""

    require_reservation: bool = False
    """Refuse an authorization without reservation id, and transactions altogether unless a guard judges them. Personal
    messages stay permitted: their prefix keeps them from ever being an authorization or a transaction (EIP-191)."""
    guard: WalletGuard | None = None
    """Setting one also makes reservation ids mandatory."""
    chain_ids: frozenset[int] | None = None
    """Permitted EIP-155 chains; None permits all."""
    max_validity_s: int = MAX_VALIDITY_S

    @property
    def permits_transactions(self) -> bool:
        """Whether transactions can be signed at all: they carry no reservation, so only a guard can stand in for it."""
        return self.guard is not None or not self.require_reservation

    def operations(self, *, auth: bool, wallet: bool) -> frozenset[Operation]:
        """What a handle with these halves and rules can do."""
        operations: set[Operation] = {"sign_token"} if auth else set()
        if wallet:
            operations |= {"sign_message", "sign_authorization", "sign_permit"}
            if self.permits_transactions:
                operations.add("sign_transaction")
        return frozenset(operations)

    def check_chain(self, chain_id: int) -> None:
        """CustodyInputError for a chain that is not permitted."""
        if self.chain_ids is not None and chain_id not in self.chain_ids:
            raise CustodyInputError(f"This wallet does not sign for chain {chain_id}.", details={"chain_id": chain_id})

    def ask_guard(self, request: WalletRequest) -> None:
        """PolicyDeniedError when the guard refuses."""
        if self.guard is not None:
            refusal = self.guard(request)
            if refusal is not None:
                raise PolicyDeniedError(refusal)

    def digest_to_sign(self, authorization: TransferAuthorization, *, own: OwnAddress, now_s: int) -> bytes:
        """The digest of an authorization of the wallet `own` that passes every rule and the guard.

        CustodyInputError when it can't be right, PolicyDeniedError when it may not be signed.
        """
        try:
            digest = self._checked_digest(authorization, own, now_s)
        except CryptoError as error:
            raise CustodyInputError(f"The authorization can't be right: {error}.") from None
        except (TypeError, AttributeError, ValueError):
            raise CustodyInputError("The authorization has a field of the wrong type.") from None
        if self.guard is not None:
            self.ask_guard(authorization)
        return digest

    def permit_digest_to_sign(self, permit: PermitTransfer | TokenPermit, *, own: OwnAddress, now_s: int) -> bytes:
        """The digest of a Permit2 payment, or of the allowance that goes with one, that passes every rule and the guard.

        The spender must be the one that the kind of permit names: Permit2 lets a spender choose who gets the money, so a
        permit for any other contract would be a blank cheque (life.crypto.permit2). Errors as in `digest_to_sign`.
        """
        try:
            digest = self._checked_permit_digest(permit, own, now_s)
        except CryptoError as error:
            raise CustodyInputError(f"The permit can't be right: {error}.") from None
        except (TypeError, AttributeError, ValueError):
            raise CustodyInputError("The permit has a field of the wrong type.") from None
        if self.guard is not None:
            self.ask_guard(permit)
        return digest

    def _checked_permit_digest(self, permit: PermitTransfer | TokenPermit, own: OwnAddress, now_s: int) -> bytes:
        after_s = permit.valid_after_s if isinstance(permit, PermitTransfer) else 0
        self._check_payment(
            permit.from_address, permit.value_atomic, after_s, permit.deadline_s + 1, permit.reservation_id, own, now_s
        )
        if not 0 <= permit.nonce <= MAX_ATOMIC:
            raise CustodyInputError("The nonce must be between 0 and 2^256-1.")
        spender = _spender_of(permit)
        if parse_address(permit.spender) != spender:
            raise CustodyInputError("The permit is for another spender than the one that its kind has.")
        if isinstance(permit, TokenPermit):
            chain_id, separator = token_domain(permit.network, permit.asset, permit.token_name, permit.token_version)
            self.check_chain(chain_id)
            return token_permit_digest(
                separator,
                owner=own.raw,
                spender=spender,
                value=permit.value_atomic,
                nonce=permit.nonce,
                deadline=permit.deadline_s,
            )
        chain_id = parse_network(permit.network)
        self.check_chain(chain_id)
        return permit_witness_digest(
            chain_id,
            token=recipient_bytes(permit.asset),
            amount=permit.value_atomic,
            spender=spender,
            nonce=permit.nonce,
            deadline=permit.deadline_s,
            to=recipient_bytes(permit.to_address),
            valid_after=permit.valid_after_s,
            facilitator=None if permit.facilitator is None else recipient_bytes(permit.facilitator),
        )

    def cancel_digest_to_sign(self, authorization: TransferAuthorization, *, own: OwnAddress) -> bytes:
        """The digest that burns an authorization's nonce. It moves no money, so only its owner and chain are checked."""
        payer = authorization.from_address
        if payer != own.text and payer.lower() != own.lower:
            raise CustodyInputError(f"The authorization is not from this wallet, {own.text}.")
        try:
            a = authorization
            chain_id, separator = token_domain(a.network, a.asset, a.token_name, a.token_version)
            digest = cancel_digest(separator, own.raw, a.nonce)
        except CryptoError as error:
            raise CustodyInputError(f"The authorization can't be right: {error}.") from None
        self.check_chain(chain_id)
        return digest

    def sale_digest_to_sign(self, document: SaleDocument) -> bytes:
        """The digest of an offer or a receipt that passes the guard. Errors as in `digest_to_sign`. It moves no money,
        so it needs no reservation."""
        try:
            digest = _sale_digest(document)
        except CryptoError as error:
            raise CustodyInputError(f"The document can't be right: {error}.") from None
        except (TypeError, AttributeError, ValueError):
            raise CustodyInputError("The document has a field of the wrong type.") from None
        self.ask_guard(document)
        return digest

    def _check_payment(
        self, payer: str, value: int, after_s: int, before_s: int, reservation: str, own: OwnAddress, now_s: int
    ) -> None:
        """What holds for everything that lets somebody take money: whose it is, how much, when, and for what."""
        if payer != own.text and payer.lower() != own.lower:
            raise CustodyInputError(f"The authorization is not from this wallet, {own.text}.")
        if not reservation and (self.require_reservation or self.guard is not None):
            raise PolicyDeniedError("This wallet signs no payment without a reservation.")
        if not 0 < value <= MAX_ATOMIC:
            raise CustodyInputError("The amount must be between 1 and 2^256-1 atomic units.")
        if not 0 <= after_s < before_s:
            raise CustodyInputError("The authorization's window is empty.")
        if before_s <= now_s:
            raise CustodyInputError("The authorization has expired before it is signed.")
        if before_s > now_s + self.max_validity_s:
            raise PolicyDeniedError(f"This wallet signs no payment that stays valid for over {self.max_validity_s} s.")

    def _checked_digest(self, authorization: TransferAuthorization, own: OwnAddress, now_s: int) -> bytes:
        (network, asset, name, version, payer, recipient, value, after_s, before_s, nonce, reservation) = authorization
        self._check_payment(payer, value, after_s, before_s, reservation, own, now_s)
        chain_id, separator = token_domain(network, asset, name, version)
        if self.chain_ids is not None:
            self.check_chain(chain_id)
        return authorization_digest(separator, own.raw, recipient_bytes(recipient), value, after_s, before_s, nonce)


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """The wallet's own address in the forms that are compared: EIP-55, lower case, 20 bytes."""

    text: str
    lower: str
    raw: bytes


def _sale_digest(document: SaleDocument) -> bytes:
    if isinstance(document, SaleOffer):
        return offer_digest(**document._asdict())
    return receipt_digest(**document._asdict())


_PERMIT2: Final = parse_address(PERMIT2)
_EXACT_PROXY: Final = parse_address(EXACT_PROXY)
_UPTO_PROXY: Final = parse_address(UPTO_PROXY)


def _spender_of(permit: PermitTransfer | TokenPermit) -> bytes:
    """The 20 bytes of the only spender that a permit of this kind may name."""
    if isinstance(permit, TokenPermit):
        return _PERMIT2
    return _EXACT_PROXY if permit.facilitator is None else _UPTO_PROXY


@lru_cache(maxsize=256)
def token_domain(network: str, asset: str, name: str, version: str) -> tuple[int, bytes]:
    """Chain id and EIP-712 domain separator of a token. CustodyInputError or CryptoError for a malformed part."""
    chain_id = parse_network(network)
    return chain_id, Domain(name, version, chain_id, parse_address(asset)).separator


recipient_bytes = lru_cache(maxsize=1024)(parse_address)
"""The 20 bytes of an address text; payees repeat, and checking a checksum costs a hash."""


def parse_network(network: str) -> int:
    """The EIP-155 chain id of a CAIP-2 name; CustodyInputError when it is not an EVM chain."""
    namespace, _, reference = network.partition(":")
    if namespace != "eip155" or not reference.isascii() or not reference.isdigit() or not 0 < len(reference) <= 18:
        raise CustodyInputError("The network must be an EVM chain in CAIP-2, like 'eip155:84532'.")
    if reference[0] == "0":
        raise CustodyInputError("A chain id is a positive number without leading zeros.")
    return int(reference)
