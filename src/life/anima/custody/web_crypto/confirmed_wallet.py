"""ConfirmedWallet: a wallet that lives elsewhere and signs only what the person in the browser has agreed to (L4-D5, AN-WEB-2).

The browser never has the wallet's key. For each request the terms go to the page inside a signing input of type
`anima-approval+jwt`, which also carries the digest of what the wallet is going to sign; passkey and device key answer for
exactly those bytes; then the wallet signs, under its own rules and guard as ever. A request that the rules forbid is not
shown to anybody.

The same request is shown once: who asks again for what was agreed to gets the wallet's signature of it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Mapping
from typing import Final, NamedTuple, NoReturn, Protocol

from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.custody import (
    Capabilities,
    Custody,
    EvmTransaction,
    PermitTransfer,
    TokenPermit,
    TransferAuthorization,
)
from life.anima.custody.typed_requests import check_message, eip1559, finish_token, token_input
from life.anima.custody.wallet_rules import OwnAddress, WalletRules
from life.anima.custody.web_crypto.desk import SigningDesk
from life.anima.errors import CustodyInputError, StaleHandleError, UnsupportedOperationError
from life.crypto.address import parse_address
from life.crypto.eip191 import personal_message_digest
from life.crypto.jwk import thumbprint

APPROVAL_TYP: Final = "anima-approval+jwt"
REMEMBERED_APPROVALS: Final = 1024
_SHOWN_CHARACTERS: Final = 500


class ClosableWallet(Custody, Protocol):
    """A handle with a wallet that can be closed."""

    def close(self) -> Awaitable[None] | None:
        """Sign nothing more."""
        ...


class KnownToken(NamedTuple):
    """How a token's amounts are written for people."""

    symbol: str
    decimals: int


class ConfirmedWallet:
    """A wallet half that asks the person first. Close it; that closes the wallet, too."""

    def __init__(
        self,
        wallet: ClosableWallet,
        desk: SigningDesk,
        *,
        clock: Clock,
        rules: WalletRules = WalletRules(),  # noqa: B008 (frozen)
        tokens: Mapping[tuple[str, str], KnownToken] | None = None,
    ) -> None:
        """`rules` are judged before the person is asked; give the wallet's own. `tokens` by network and contract."""
        capabilities = wallet.capabilities()
        if capabilities.wallet_address is None:
            raise CustodyInputError("The wallet that is to be confirmed in the browser has no address.")
        raw = parse_address(capabilities.wallet_address)
        self._own = OwnAddress(capabilities.wallet_address, capabilities.wallet_address.lower(), raw)
        self._wallet = wallet
        self._desk = desk
        self._key = desk.enrolment().key
        self._clock = clock
        # The guard judges, and may count, once: when the wallet itself is asked.
        self._rules = dataclasses.replace(
            rules, guard=None, require_reservation=rules.require_reservation or rules.guard is not None
        )
        self._tokens = {(network, asset.lower()): token for (network, asset), token in (tokens or {}).items()}
        self._approvals: OrderedDict[bytes, asyncio.Future[None]] = OrderedDict()
        self._closed = False
        self._capabilities = Capabilities(
            backend=capabilities.backend,
            operations=capabilities.operations - {"sign_token", "sign_sale_document"},
            did=None,
            wallet_address=capabilities.wallet_address,
            user_confirmation=True,
            exportable=capabilities.exportable,
        )

    def capabilities(self) -> Capabilities:
        """The wallet's, confirmed by the person."""
        return self._capabilities

    async def close(self) -> None:
        """Sign nothing more; what waits ends in a StaleHandleError. May be called again."""
        self._closed = True
        self._desk.withdraw(self, _closed())
        closing = self._wallet.close()
        if inspect.isawaitable(closing):
            await closing

    async def sign_token(self, claims: JsonObject, *, typ: str = "JWT") -> str:
        """UnsupportedOperationError: tokens are the identity half's."""
        raise UnsupportedOperationError("This is a wallet; tokens are signed by the identity half.")

    async def sign_message(self, message: bytes) -> bytes:
        """EIP-191 signature by the wallet, once the person has agreed."""
        self._check("sign_message")
        check_message(message)
        text = message.decode("utf-8", "backslashreplace")
        terms: JsonObject = {"message": text[:_SHOWN_CHARACTERS], "length_bytes": len(message)}
        await self._confirm("Sign a message", terms, personal_message_digest(message))
        return await self._wallet.sign_message(message)

    async def sign_authorization(self, authorization: TransferAuthorization) -> bytes:
        """EIP-712 signature by the wallet over an EIP-3009 authorization, once the person has agreed."""
        self._check("sign_authorization")
        digest = self._rules.digest_to_sign(authorization, own=self._own, now_s=self._now_s())
        await self._confirm("Pay", self._payment_terms(authorization), digest)
        return await self._wallet.sign_authorization(authorization)

    async def sign_permit(self, permit: PermitTransfer | TokenPermit) -> bytes:
        """EIP-712 signature by the wallet over a permit, once the person has agreed."""
        self._check("sign_permit")
        digest = self._rules.permit_digest_to_sign(permit, own=self._own, now_s=self._now_s())
        if isinstance(permit, TokenPermit):
            purpose, recipient = "Give an allowance", permit.spender
        else:
            purpose, recipient = "Pay", permit.to_address
        terms = self._terms(permit.network, permit.asset, recipient, permit.value_atomic, permit.deadline_s)
        await self._confirm(purpose, terms, digest)
        return await self._wallet.sign_permit(permit)

    async def sign_transaction(self, transaction: EvmTransaction) -> bytes:
        """The raw signed transaction, once the person has agreed."""
        self._check("sign_transaction")
        fields, digest = eip1559(transaction)
        self._rules.check_chain(fields.chain_id)
        terms: JsonObject = {
            "network": f"eip155:{transaction.chain_id}",
            "to": transaction.to_address,
            "value_wei": str(transaction.value_wei),
            "most_fee_wei": str(transaction.max_fee_per_gas_wei * transaction.gas_limit),
            "nonce": transaction.nonce,
            "data": "0x" + transaction.data.hex()[:_SHOWN_CHARACTERS],
            "data_bytes": len(transaction.data),
        }
        await self._confirm("Send a transaction", terms, digest)
        return await self._wallet.sign_transaction(transaction)

    def _check(self, operation: str) -> None:
        if operation not in self._capabilities.operations:
            raise UnsupportedOperationError("The wallet behind the browser does not do this.")
        if self._closed:
            raise _closed()

    def _now_s(self) -> int:
        return self._clock.now_us() // 1_000_000

    def _payment_terms(self, asked: TransferAuthorization) -> JsonObject:
        return self._terms(asked.network, asked.asset, asked.to_address, asked.value_atomic, asked.valid_before_s - 1)

    def _terms(self, network: str, asset: str, to: str, value_atomic: int, until_s: int) -> JsonObject:
        token = self._tokens.get((network, asset.lower()))
        terms: dict[str, str | int] = {} if token is None else {"amount": written_amount(value_atomic, token)}
        return {
            **terms,
            "to": to,
            "value_atomic": str(value_atomic),
            "asset": asset,
            "network": network,
            "from": self._own.text,
            "valid_until_s": until_s,
        }

    async def _confirm(self, purpose: str, terms: JsonObject, digest: bytes) -> None:
        """Return once the person has agreed to what has this digest; whoever asks meanwhile waits for the same answer."""
        known = self._approvals.get(digest)
        if known is None:
            known = asyncio.ensure_future(self._ask(purpose, terms, digest))
            self._approvals[digest] = known
            known.add_done_callback(lambda ended: self._remember(digest, ended))
        await asyncio.shield(known)
        if self._closed:
            raise _closed()

    async def _ask(self, purpose: str, terms: JsonObject, digest: bytes) -> None:
        claims: JsonObject = {
            "iss": self._key.did,
            "type": "anima.wallet_approval",
            "purpose": purpose,
            "terms": terms,
            "digest": "0x" + digest.hex(),
            "iat": self._now_s(),
        }
        message = token_input(claims, APPROVAL_TYP, key=self._key, issuers=(self._key.did, thumbprint(self._key)))
        finish_token(message, await self._desk.ask("payment", message, owner=self), key=self._key)

    def _remember(self, digest: bytes, ended: asyncio.Future[None]) -> None:
        """Keep what was agreed to, among the last; forget a refusal, so that it may be asked again."""
        failed = ended.cancelled() or ended.exception() is not None
        if failed and self._approvals.get(digest) is ended:
            del self._approvals[digest]
        while len(self._approvals) > REMEMBERED_APPROVALS and next(iter(self._approvals.values())).done():
            self._approvals.popitem(last=False)

    def __repr__(self) -> str:
        return f"<ConfirmedWallet wallet={self._own.text}{', closed' if self._closed else ''}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a custody handle is not pickled or copied")


def written_amount(value_atomic: int, token: KnownToken) -> str:
    """An amount for people, with every digit: 10000 of a token with 6 decimals is "0.01 USDC"."""
    whole, part = divmod(value_atomic, 10**token.decimals)
    decimals = str(part).rjust(token.decimals, "0").rstrip("0") if token.decimals else ""
    return f"{whole}{'.' + decimals if decimals else ''} {token.symbol}"


def _closed() -> StaleHandleError:
    return StaleHandleError("This custody handle is closed.", next_step="Open the identity again.")
