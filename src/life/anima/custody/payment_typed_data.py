"""Payments as EIP-712 typed data with names and types: what a device shows its owner before it signs (AN-HW-1).

Backends that sign digests use the quick forms of `life.crypto.eip3009` and `life.crypto.permit2`. A hardware wallet computes the
digest itself, from the members that it shows; both forms of one payment have the same digest, and it is checked.
"""

from __future__ import annotations

from typing import Final

from life.aios.ports.custody import PermitTransfer, SaleOffer, SaleReceipt, TokenPermit, TransferAuthorization
from life.anima.custody.wallet_rules import parse_network
from life.crypto.address import parse_address
from life.crypto.eip712 import Eip712Domain, Field, TypedData, TypeTable
from life.crypto.permit2 import PERMIT2
from life.crypto.sale_documents import VERSION

_ADDRESS, _NUMBER, _TEXT = "address", "uint256", "string"

_TRANSFER: Final = TypeTable(
    {
        "TransferWithAuthorization": (
            Field("from", _ADDRESS),
            Field("to", _ADDRESS),
            Field("value", _NUMBER),
            Field("validAfter", _NUMBER),
            Field("validBefore", _NUMBER),
            Field("nonce", "bytes32"),
        )
    }
)
_TOKEN_PERMIT: Final = TypeTable(
    {
        "Permit": (
            Field("owner", _ADDRESS),
            Field("spender", _ADDRESS),
            Field("value", _NUMBER),
            Field("nonce", _NUMBER),
            Field("deadline", _NUMBER),
        )
    }
)
_PERMIT_WITNESS: Final = (
    Field("permitted", "TokenPermissions"),
    Field("spender", _ADDRESS),
    Field("nonce", _NUMBER),
    Field("deadline", _NUMBER),
    Field("witness", "Witness"),
)
_PERMISSIONS: Final = (Field("token", _ADDRESS), Field("amount", _NUMBER))
_EXACT: Final = TypeTable(
    {
        "PermitWitnessTransferFrom": _PERMIT_WITNESS,
        "TokenPermissions": _PERMISSIONS,
        "Witness": (Field("to", _ADDRESS), Field("validAfter", _NUMBER)),
    }
)
_UPTO: Final = TypeTable(
    {
        "PermitWitnessTransferFrom": _PERMIT_WITNESS,
        "TokenPermissions": _PERMISSIONS,
        "Witness": (Field("to", _ADDRESS), Field("facilitator", _ADDRESS), Field("validAfter", _NUMBER)),
    }
)
_OFFER: Final = TypeTable(
    {
        "Offer": (
            Field("version", _NUMBER),
            *(Field(name, _TEXT) for name in ("resourceUrl", "scheme", "network", "asset", "payTo", "amount")),
            Field("validUntil", _NUMBER),
        )
    }
)
_RECEIPT: Final = TypeTable(
    {
        "Receipt": (
            Field("version", _NUMBER),
            *(Field(name, _TEXT) for name in ("network", "resourceUrl", "payer")),
            Field("issuedAt", _NUMBER),
            Field("transaction", _TEXT),
        )
    }
)

TypedRequest = TransferAuthorization | PermitTransfer | TokenPermit | SaleOffer | SaleReceipt


def typed_data_of(request: TypedRequest) -> TypedData:
    """The typed data of a request that passed the wallet's rules."""
    match request:
        case TransferAuthorization():
            return _transfer(request)
        case PermitTransfer():
            return _permit(request)
        case TokenPermit():
            return _token_permit(request)
        case SaleOffer():
            return _offer(request)
        case SaleReceipt():
            return _receipt(request)


def _transfer(asked: TransferAuthorization) -> TypedData:
    message = {
        "from": parse_address(asked.from_address),
        "to": parse_address(asked.to_address),
        "value": asked.value_atomic,
        "validAfter": asked.valid_after_s,
        "validBefore": asked.valid_before_s,
        "nonce": asked.nonce,
    }
    return TypedData(_token_domain(asked), _TRANSFER, "TransferWithAuthorization", message)


def _token_permit(asked: TokenPermit) -> TypedData:
    message = {
        "owner": parse_address(asked.from_address),
        "spender": parse_address(asked.spender),
        "value": asked.value_atomic,
        "nonce": asked.nonce,
        "deadline": asked.deadline_s,
    }
    return TypedData(_token_domain(asked), _TOKEN_PERMIT, "Permit", message)


def _permit(asked: PermitTransfer) -> TypedData:
    witness: dict[str, object] = {"to": parse_address(asked.to_address), "validAfter": asked.valid_after_s}
    if asked.facilitator is not None:
        witness["facilitator"] = parse_address(asked.facilitator)
    message = {
        "permitted": {"token": parse_address(asked.asset), "amount": asked.value_atomic},
        "spender": parse_address(asked.spender),
        "nonce": asked.nonce,
        "deadline": asked.deadline_s,
        "witness": witness,
    }
    domain = Eip712Domain(
        name="Permit2", chain_id=parse_network(asked.network), verifying_contract=parse_address(PERMIT2)
    )
    return TypedData(domain, _EXACT if asked.facilitator is None else _UPTO, "PermitWitnessTransferFrom", message)


def _offer(asked: SaleOffer) -> TypedData:
    message = {
        "version": VERSION,
        "resourceUrl": asked.resource_url,
        "scheme": asked.scheme,
        "network": asked.network,
        "asset": asked.asset,
        "payTo": asked.pay_to,
        "amount": asked.amount,
        "validUntil": asked.valid_until_s,
    }
    return TypedData(Eip712Domain(name="x402 offer", version="1", chain_id=1), _OFFER, "Offer", message)


def _receipt(asked: SaleReceipt) -> TypedData:
    message = {
        "version": VERSION,
        "network": asked.network,
        "resourceUrl": asked.resource_url,
        "payer": asked.payer,
        "issuedAt": asked.issued_at_s,
        "transaction": asked.transaction,
    }
    return TypedData(Eip712Domain(name="x402 receipt", version="1", chain_id=1), _RECEIPT, "Receipt", message)


def _token_domain(asked: TransferAuthorization | TokenPermit) -> Eip712Domain:
    return Eip712Domain(
        name=asked.token_name,
        version=asked.token_version,
        chain_id=parse_network(asked.network),
        verifying_contract=parse_address(asked.asset),
    )
