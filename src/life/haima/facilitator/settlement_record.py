"""One payment's settlement as it stands in the journal, and the payment itself in the fields of its intent."""

from __future__ import annotations

from typing import Final, NamedTuple

from life.aios.ports.chain import Prepared, SignedPermit
from life.aios.ports.custody import PermitTransfer, TokenPermit, TransferAuthorization
from life.crypto.permit2 import EXACT_PROXY, PERMIT2, UPTO_PROXY
from life.haima import events
from life.haima.x402.authorization import SignedAuthorization

NOTHING: Final = "0"
"""`charged_atomic` of an `upto` payment that is settled without a transaction."""

End = events.SettlementConfirmed | events.SettlementFailed
Transaction = events.SettlementPrepared | events.SettlementRepriced


class SettlementRecord(NamedTuple):
    """What is on disk about one payment."""

    intent: events.SettlementIntended
    prepared: events.SettlementPrepared | None
    """The newest attempt's transaction."""
    end: End | None
    """The newest attempt's end."""
    repriced: tuple[events.SettlementRepriced, ...] = ()
    """Its replacements with higher fees, in the order in which they left; read while it is open or reopened."""
    reopened: events.SettlementReopened | None = None
    """The newest attempt was confirmed, and its block was taken back."""

    @property
    def final(self) -> End | None:
        """The payment's end; None while it is open or may be tried again."""
        end = self.end
        if self.reopened is not None or (isinstance(end, events.SettlementFailed) and not end.sent):
            return None
        return end

    @property
    def attempt(self) -> int:
        """The newest attempt's number; 0 before the first."""
        return 0 if self.prepared is None else self.prepared.attempt

    @property
    def next_attempt(self) -> int:
        """The attempt that is to be driven now."""
        return self.attempt + (1 if self.end is not None else 0)

    @property
    def open_transactions(self) -> tuple[Prepared, ...]:
        """The transactions that exist and of which one may be executed, newest first."""
        return () if self.end is not None else self._transactions()

    @property
    def taken_back(self) -> Prepared | None:
        """The transaction whose block was taken back, when it was one of ours: it can be sent again as it is."""
        if self.reopened is None:
            return None
        wanted = self.reopened.transaction
        return next((each for each in self._transactions() if each.transaction_hash == wanted), None)

    @property
    def moves_nothing(self) -> bool:
        """Whether it is a charge of 0, which needs no transaction."""
        return self.intent.charged_atomic == NOTHING

    @property
    def charged_atomic(self) -> int | None:
        """What is charged of an `upto` payment; None for `exact`."""
        return None if self.intent.charged_atomic is None else int(self.intent.charged_atomic)

    @property
    def moved_atomic(self) -> int:
        """What a settlement moves."""
        return int(self.intent.charged_atomic or self.intent.amount_atomic)

    @property
    def signed(self) -> SignedAuthorization:
        """The payment itself."""
        intent = self.intent
        signature = bytes.fromhex(intent.signature[2:])
        if intent.method == "permit2":
            permit = _permit(intent)
            return SignedAuthorization(
                permit, signature, intent.payer, intent.claim_key, _allowance(intent, permit, intent.allowance)
            )
        authorization = TransferAuthorization(
            network=intent.network,
            asset=intent.asset,
            token_name=intent.token_name,
            token_version=intent.token_version,
            from_address=intent.payer,
            to_address=intent.payee,
            value_atomic=int(intent.amount_atomic),
            valid_after_s=intent.valid_after_s,
            valid_before_s=intent.valid_before_s,
            nonce=bytes.fromhex(intent.nonce[2:]),
        )
        return SignedAuthorization(authorization, signature, intent.payer, intent.claim_key)

    def _transactions(self) -> tuple[Prepared, ...]:
        if self.prepared is None:
            return ()
        everything: tuple[Transaction, ...] = (*reversed(self.repriced), self.prepared)
        return tuple(_as_prepared(each) for each in everything)


def _as_prepared(transaction: Transaction) -> Prepared:
    raw = bytes.fromhex(transaction.raw_transaction[2:])
    return Prepared(transaction.transaction, raw, transaction.account_nonce)


def intent_of(signed: SignedAuthorization, *, payment_id: str, charged_atomic: int | None) -> events.SettlementIntended:
    """The intent to settle a payment: everything that is needed to do it, also after a crash."""
    authorization, allowance = signed.authorization, signed.permit
    is_permit = isinstance(authorization, PermitTransfer)
    nonce = f"{authorization.nonce:064x}" if isinstance(authorization, PermitTransfer) else authorization.nonce.hex()
    named = allowance.permit if allowance is not None else authorization
    return events.SettlementIntended(
        claim_key=signed.key,
        payment_id=payment_id,
        network=authorization.network,
        asset=authorization.asset,
        token_name="" if isinstance(named, PermitTransfer) else named.token_name,
        token_version="" if isinstance(named, PermitTransfer) else named.token_version,
        payer=authorization.from_address,
        payee=authorization.to_address,
        amount_atomic=str(authorization.value_atomic),
        valid_after_s=authorization.valid_after_s,
        valid_before_s=authorization.valid_before_s,
        nonce="0x" + nonce,
        signature="0x" + signed.signature.hex(),
        method="permit2" if is_permit else "eip3009",
        facilitator=authorization.facilitator if isinstance(authorization, PermitTransfer) else None,
        charged_atomic=None if charged_atomic is None else str(charged_atomic),
        allowance=None
        if allowance is None
        else events.SettlementAllowance(
            nonce=str(allowance.permit.nonce),
            deadline_s=allowance.permit.deadline_s,
            signature="0x" + allowance.signature.hex(),
        ),
    )


def _permit(intent: events.SettlementIntended) -> PermitTransfer:
    return PermitTransfer(
        network=intent.network,
        asset=intent.asset,
        from_address=intent.payer,
        to_address=intent.payee,
        value_atomic=int(intent.amount_atomic),
        spender=EXACT_PROXY if intent.facilitator is None else UPTO_PROXY,
        nonce=int(intent.nonce, 16),
        deadline_s=intent.valid_before_s - 1,
        valid_after_s=intent.valid_after_s,
        facilitator=intent.facilitator,
    )


def _allowance(
    intent: events.SettlementIntended, payment: PermitTransfer, kept: events.SettlementAllowance | None
) -> SignedPermit | None:
    if kept is None:
        return None
    permit = TokenPermit(
        network=payment.network,
        asset=payment.asset,
        token_name=intent.token_name,
        token_version=intent.token_version,
        from_address=payment.from_address,
        spender=PERMIT2,
        value_atomic=payment.value_atomic,
        nonce=int(kept.nonce),
        deadline_s=kept.deadline_s,
    )
    return SignedPermit(permit, bytes.fromhex(kept.signature[2:]))
