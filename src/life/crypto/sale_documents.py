"""Offers and receipts of x402's extension ``offer-receipt``, hashed as EIP-712 typed data (x402.md §5).

A seller's wallet signs what it offered and that it was paid. The two domains are ``x402 offer`` and ``x402 receipt``,
version ``1``, chain id **always 1** whatever the payment's network is, and no contract: such a signature can never be
mistaken for one over a token, whose domain has a verifying contract.

    Offer(uint256 version,string resourceUrl,string scheme,string network,string asset,string payTo,string amount,
          uint256 validUntil)
    Receipt(uint256 version,string network,string resourceUrl,string payer,uint256 issuedAt,string transaction)

Times are Unix seconds. Every function raises :class:`InvalidTypedDataError` for a value that can't be encoded.
"""

from __future__ import annotations

from typing import Final

from life.crypto.eip712 import Eip712Domain, Field, TypeTable, digest

VERSION: Final = 1
"""Of both documents."""

_UINT256: Final = "uint256"
_TYPES: Final = TypeTable(
    {
        "Offer": (
            Field("version", _UINT256),
            Field("resourceUrl", "string"),
            Field("scheme", "string"),
            Field("network", "string"),
            Field("asset", "string"),
            Field("payTo", "string"),
            Field("amount", "string"),
            Field("validUntil", _UINT256),
        ),
        "Receipt": (
            Field("version", _UINT256),
            Field("network", "string"),
            Field("resourceUrl", "string"),
            Field("payer", "string"),
            Field("issuedAt", _UINT256),
            Field("transaction", "string"),
        ),
    }
)
_OFFER_DOMAIN: Final = Eip712Domain(name="x402 offer", version="1", chain_id=1).separator()
_RECEIPT_DOMAIN: Final = Eip712Domain(name="x402 receipt", version="1", chain_id=1).separator()


def offer_digest(
    *,
    resource_url: str,
    scheme: str,
    network: str,
    asset: str,
    pay_to: str,
    amount: str,
    valid_until_s: int,
    version: int = VERSION,
) -> bytes:
    """The 32 bytes to sign for an offer."""
    message = {
        "version": version,
        "resourceUrl": resource_url,
        "scheme": scheme,
        "network": network,
        "asset": asset,
        "payTo": pay_to,
        "amount": amount,
        "validUntil": valid_until_s,
    }
    return digest(_OFFER_DOMAIN, _TYPES.hash_struct("Offer", message))


def receipt_digest(
    *, network: str, resource_url: str, payer: str, issued_at_s: int, transaction: str, version: int = VERSION
) -> bytes:
    """The 32 bytes to sign for a receipt. `transaction` may be empty: a seller need not tell it."""
    message = {
        "version": version,
        "network": network,
        "resourceUrl": resource_url,
        "payer": payer,
        "issuedAt": issued_at_s,
        "transaction": transaction,
    }
    return digest(_RECEIPT_DOMAIN, _TYPES.hash_struct("Receipt", message))
