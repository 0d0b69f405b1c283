"""Error codes of x402, in the spelling of the specification and the Python SDK (x402.md §7).

We emit these spellings. From peers we accept any text and branch on one only: `SETTLEMENT_PENDING`, which is not a
refusal but "the transaction is out, its receipt is not in yet" (x402.md §16.6).
"""

from __future__ import annotations

from typing import Final

UNSUPPORTED_SCHEME: Final = "unsupported_scheme"
INVALID_SCHEME: Final = "invalid_scheme"
INVALID_NETWORK: Final = "invalid_network"
NETWORK_MISMATCH: Final = "network_mismatch"
INVALID_PAYLOAD: Final = "invalid_payload"
INVALID_PAYMENT_REQUIREMENTS: Final = "invalid_payment_requirements"
INVALID_X402_VERSION: Final = "invalid_x402_version"
INVALID_TRANSACTION_STATE: Final = "invalid_transaction_state"
UNEXPECTED_VERIFY_ERROR: Final = "unexpected_verify_error"
UNEXPECTED_SETTLE_ERROR: Final = "unexpected_settle_error"

NO_MATCHING_REQUIREMENTS: Final = "No matching payment requirements"
"""What both SDK servers say when `accepted` equals none of their offers (x402.md §1)."""

MISSING_EIP712_DOMAIN: Final = "missing_eip712_domain"
TOKEN_NAME_MISMATCH: Final = "invalid_exact_evm_token_name_mismatch"  # noqa: S105 — the name of an error
TOKEN_VERSION_MISMATCH: Final = "invalid_exact_evm_token_version_mismatch"  # noqa: S105
EIP3009_NOT_SUPPORTED: Final = "invalid_exact_evm_eip3009_not_supported"
RECIPIENT_MISMATCH: Final = "invalid_exact_evm_payload_recipient_mismatch"
VALUE_MISMATCH: Final = "invalid_exact_evm_payload_authorization_value_mismatch"
VALID_BEFORE: Final = "invalid_exact_evm_payload_authorization_valid_before"
VALID_AFTER: Final = "invalid_exact_evm_payload_authorization_valid_after"
INVALID_SIGNATURE: Final = "invalid_exact_evm_payload_signature"
UNDEPLOYED_SMART_WALLET: Final = "invalid_exact_evm_payload_undeployed_smart_wallet"
FACTORY_NOT_ALLOWED: Final = "eip6492_factory_not_allowed"
ASSET_NOT_DEPLOYED: Final = "asset_not_deployed_contract"
INSUFFICIENT_BALANCE: Final = "invalid_exact_evm_insufficient_balance"
INSUFFICIENT_FUNDS: Final = "insufficient_funds"
NONCE_ALREADY_USED: Final = "invalid_exact_evm_nonce_already_used"
SIMULATION_FAILED: Final = "invalid_exact_evm_transaction_simulation_failed"
TRANSFER_EVENT_MISMATCH: Final = "invalid_exact_evm_transfer_event_mismatch"
TRANSACTION_FAILED: Final = "transaction_failed"

PERMIT2_SPENDER: Final = "invalid_permit2_spender"
PERMIT2_RECIPIENT_MISMATCH: Final = "invalid_permit2_recipient_mismatch"
PERMIT2_DEADLINE_EXPIRED: Final = "permit2_deadline_expired"
PERMIT2_NOT_YET_VALID: Final = "permit2_not_yet_valid"
PERMIT2_AMOUNT_MISMATCH: Final = "permit2_amount_mismatch"
PERMIT2_TOKEN_MISMATCH: Final = "permit2_token_mismatch"  # noqa: S105
PERMIT2_INVALID_SIGNATURE: Final = "invalid_permit2_signature"
PERMIT2_ALLOWANCE_REQUIRED: Final = "permit2_allowance_required"
PERMIT2_INSUFFICIENT_BALANCE: Final = "permit2_insufficient_balance"
PERMIT2_INVALID_NONCE: Final = "permit2_invalid_nonce"
PERMIT2_INVALID_AMOUNT: Final = "permit2_invalid_amount"
PERMIT2_INVALID_DESTINATION: Final = "permit2_invalid_destination"
PERMIT2_INVALID_OWNER: Final = "permit2_invalid_owner"
PERMIT2_2612_AMOUNT_MISMATCH: Final = "permit2_2612_amount_mismatch"

EIP2612_FORMAT: Final = "invalid_eip2612_extension_format"
EIP2612_FROM_MISMATCH: Final = "eip2612_from_mismatch"
EIP2612_ASSET_MISMATCH: Final = "eip2612_asset_mismatch"
EIP2612_SPENDER: Final = "eip2612_spender_not_permit2"
EIP2612_DEADLINE_EXPIRED: Final = "eip2612_deadline_expired"

UPTO_EXCEEDS_AMOUNT: Final = "invalid_upto_evm_payload_settlement_exceeds_amount"
UPTO_FACILITATOR_MISMATCH: Final = "upto_facilitator_mismatch"
UPTO_UNAUTHORIZED_FACILITATOR: Final = "upto_unauthorized_facilitator"
UPTO_AMOUNT_EXCEEDS_PERMITTED: Final = "upto_amount_exceeds_permitted"

SVM_MISSING_FEE_PAYER: Final = "invalid_exact_svm_payload_missing_fee_payer"
SVM_FEE_PAYER_NOT_MANAGED: Final = "fee_payer_not_managed_by_facilitator"
SVM_TRANSACTION: Final = "invalid_exact_svm_payload_transaction"
SVM_MINT_MISMATCH: Final = "invalid_exact_svm_payload_mint_mismatch"
SVM_RECIPIENT_MISMATCH: Final = "invalid_exact_svm_payload_recipient_mismatch"
SVM_AMOUNT_MISMATCH: Final = "invalid_exact_svm_payload_amount_mismatch"
SVM_MEMO_MISMATCH: Final = "invalid_exact_svm_payload_memo_mismatch"
SVM_SIGNATURE: Final = "invalid_exact_svm_payload_signature"
SVM_SIMULATION_FAILED: Final = "transaction_simulation_failed"
SVM_EXPIRED: Final = "transaction_expired"

SETTLEMENT_PENDING: Final = "settlement_pending"
"""Not a refusal: the outcome is open, and the identical call may be repeated."""

HANDLER_FAILED: Final = "handler_failed"
"""Ours: the payment was good, the handler failed, nothing was settled."""

DUPLICATE_SETTLEMENT: Final = "duplicate_settlement"
EXTENSION_ECHO_MISMATCH: Final = "extension_echo_mismatch"
