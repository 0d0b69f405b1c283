"""The payer: an agent's wallet, its policy and its books behind the one thing a client needs, `purchase`.

    async with Payer(journal=…, custody=…, clock=…, entropy=…, agent_id=…) as payer:
        async with httpx2.AsyncClient(transport=AsyncPayingTransport(payer)) as client:
            answer = await client.get("https://example.org/paid")

It keeps one purse per network, asks custody for signatures over reserved authorizations only, and clears up on start what
an earlier run left open. It implements `life.haima.x402.purchase.Desk`; who drives the conversation does the HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Literal, NamedTuple

from life.aios.errors import ConflictError, CustodyError, NotFoundError
from life.aios.ids import check_id, new_id
from life.aios.ports.chain import AuthorizationState
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.aios.ports.journal import Journal
from life.crypto.address import format_address, parse_address
from life.crypto.errors import CryptoError
from life.crypto.secp256k1 import recover_address
from life.haima.errors import DenialCode, PolicyDeniedError, PurchaseInProgressError, WalletMismatchError
from life.haima.events import (
    PaymentAmbiguous,
    PaymentDelivered,
    PaymentFailed,
    PaymentSettled,
    PaymentSigned,
    PaymentSubmitted,
    PaymentUndelivered,
)
from life.haima.policy import Mode, PaymentPolicy, SoulLimits
from life.haima.purse import Order, Purse
from life.haima.reservations import Payment, authorization_of
from life.haima.wallet_log import RIDE_ALONG_US
from life.haima.x402 import exact
from life.haima.x402.networks import BUILT_IN, NetworkRegistry, chain_id_of
from life.haima.x402.purchase import (
    INTERRUPTED_AFTER_S,
    NO_SETTLEMENT_HEADER,
    Call,
    Conversation,
    PurchaseRequest,
    Receipt,
    Signed,
    public_url,
    purchase,
)
from life.haima.x402.terms import Terms, TermsPreference, choose_terms
from life.haima.x402.wire import PaymentRequired, SettlementResponse, decode_payment_required, encode_header

AuthorizationReader = Callable[[str, str, str, bytes], Awaitable[AuthorizationState]]
"""(network, token, payer, nonce) → whether the chain has burnt this nonce. `unused` must come from a block of the present:
a node that lags behind answers `unknown`."""

_KEPT_TERMS: Final = 64
_KEPT_TERMS_CHARS: Final = 16 * 1024
"""How many different terms are kept read, and how long they may be."""

_CAPS: Final[tuple[DenialCode, ...]] = ("session_cap", "total_cap", "task_cap", "payee_cap", "soul_limit")


class Reconciliation(NamedTuple):
    """What became of the payments that were open."""

    settled: int
    released: int
    still_open: int


class Payer:
    """Pays for one agent. Belongs to one event loop; use `BlockingPayer` from synchronous code."""

    def __init__(
        self,
        *,
        journal: Journal,
        custody: Custody,
        clock: Clock,
        entropy: Entropy,
        agent_id: str,
        policy: PaymentPolicy | None = None,
        registry: NetworkRegistry = BUILT_IN,
        preference: TermsPreference | None = None,
        mode: Callable[[], Mode] | None = None,
        soul: SoulLimits | None = None,
        authorization_state: AuthorizationReader | None = None,
        session_id: str | None = None,
        allow_insecure_http: bool = False,
        ride_along_us: int = RIDE_ALONG_US,
        wake: Callable[[], None] | None = None,
    ) -> None:
        """WalletMismatchError when custody has no wallet that signs authorizations.

        `session_id` is the session of calls that name none; by default this payer's life is one session.
        """
        capabilities = custody.capabilities()
        if capabilities.wallet_address is None or "sign_authorization" not in capabilities.operations:
            raise WalletMismatchError("This custody has no wallet that can sign payments.")
        try:
            self.address = format_address(parse_address(capabilities.wallet_address))
        except CryptoError:
            raise WalletMismatchError("Custody names a wallet address that is none.") from None
        self.policy = policy or PaymentPolicy()
        self._custody = custody
        self._clock = clock
        self._entropy = entropy
        self._registry = registry
        self._preference = preference or TermsPreference()
        self._chain = authorization_state
        self._session_id = session_id or new_id(clock, entropy)
        self._allow_insecure_http = allow_insecure_http
        # RFC 6979 in our own process gives the same bytes again, so the signature need not be stored when all goes well.
        # Another signer may not, or asks a person each time: there it is on disk before it leaves.
        self._signs_alike = capabilities.backend == "in_process" and not capabilities.user_confirmation
        self._signer_checked = False
        self._in_flight: set[str] = set()
        self._known_terms: dict[str, tuple[PaymentRequired, Terms]] = {}
        names = self.policy.networks
        if names is None:
            names = tuple(network.caip2 for network in registry.networks)
        self._purses = {
            name: Purse(
                journal,
                clock,
                entropy,
                network=name,
                address=self.address,
                agent_id=agent_id,
                policy=self.policy,
                mode=mode,
                soul=soul,
                refusals_expire=authorization_state is None,
                ride_along_us=ride_along_us,
                wake=wake,
            )
            for name in names
            if chain_id_of(name) is not None
        }
        self._states = tuple(purse.state for purse in self._purses.values())
        if not self._purses:
            raise WalletMismatchError("The policy allows no network that this wallet can pay on.")

    # --- life -----------------------------------------------------------------------------------------------------

    async def open(self) -> Reconciliation:
        """Read the books and clear up what an earlier run left open, before anything new is paid."""
        for purse in self._purses.values():
            await purse.open()
        return await self.reconcile()

    async def __aenter__(self) -> Payer:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Store what waits, then stop."""
        for purse in self._purses.values():
            await purse.aclose()

    async def flush(self) -> None:
        """Return when everything noted so far is on disk."""
        for purse in self._purses.values():
            await purse.flush()

    def purse(self, network: str) -> Purse:
        """The books on one network (CAIP-2 or alias); NotFoundError when the policy does not allow it."""
        known = self._registry.network(network)
        purse = self._purses.get(known.caip2 if known is not None else network)
        if purse is None:
            raise NotFoundError(f"There is no purse for {network}.", details={"network": network})
        return purse

    @property
    def purses(self) -> tuple[Purse, ...]:
        """The books of every network."""
        return tuple(self._purses.values())

    # --- paying ---------------------------------------------------------------------------------------------------

    def purchase(self, request: PurchaseRequest) -> Conversation[Receipt | None]:
        """The conversation of one call (life.haima.x402.purchase)."""
        return purchase(self, request)

    def note_delivered(self, payment: Payment) -> None:
        """The paid answer was read to its end."""
        self._purse_of(payment).note(PaymentDelivered(payment_id=payment.payment_id))

    def note_undelivered(self, payment: Payment) -> None:
        """The paid answer broke off: repeating the request sends the same payment again."""
        self._purse_of(payment).note(PaymentUndelivered(payment_id=payment.payment_id))

    # --- clearing up ----------------------------------------------------------------------------------------------

    async def reconcile(self) -> Reconciliation:
        """Ask the chain about every open payment that is not under way here, and give back what can no longer land.

        Without a chain to ask, only what the payee refused is given back, after its time; a payment whose answer was lost
        keeps counting until the payee, the chain or an operator (`resolve`) says what happened.
        """
        settled = released = still_open = 0
        for purse in self._purses.values():
            await purse.catch_up()
            released += purse.release_expired()
            for payment in purse.state.open_payments():
                if payment.reserved.purchase_id in self._in_flight:
                    continue
                state = await self._look(purse, payment)
                if state == "settled":
                    settled += 1
                elif state == "released":
                    released += 1
                else:
                    still_open += 1
            await purse.flush()
        return Reconciliation(settled, released, still_open)

    async def resolve(self, payment_id: str, *, charged: bool) -> None:
        """An operator says what became of an open payment. NotFoundError when none is open under this id; ConflictError
        when it is to be given back while it can still be settled."""
        for purse in self._purses.values():
            await purse.catch_up()
            payment = purse.state.payment(payment_id)
            if payment is None or not payment.open:
                continue
            if charged:
                purse.settle(self._settled(payment, "", "operator"))
            elif payment.expired(self.now_us):
                purse.release(payment, "resolved_by_operator")
            else:
                raise ConflictError(
                    "This payment can still be settled by its payee; it can't be given back before its time is over.",
                    details={"payment_id": payment_id, "valid_before_s": payment.reserved.valid_before_s},
                )
            await purse.flush()
            return
        raise NotFoundError("No payment is open under this id.", details={"payment_id": payment_id})

    async def _look(self, purse: Purse, payment: Payment) -> str:
        state = await self.look_at_chain(payment)
        payment = self.payment(payment)
        if not payment.open:
            return payment.state
        if state == "used":
            purse.settle(self._settled(payment, "", "chain"))
            return "settled"
        if state == "unused" and payment.expired(self.now_us):
            purse.release(payment, "expired_unused")
            return "released"
        age_us = self.now_us - payment.reserved_at_us
        if payment.state in ("held", "signed", "submitted") and age_us >= INTERRUPTED_AFTER_S * 1_000_000:
            self.note_ambiguous(payment, "interrupted")
        return "open"

    # --- the desk of a purchase (life.haima.x402.purchase.Desk) -----------------------------------------------------

    @property
    def now_us(self) -> int:
        """The wall clock."""
        return self._clock.now_us()

    @property
    def allow_insecure_http(self) -> bool:
        """Whether payments may travel over plain HTTP to other machines."""
        return self._allow_insecure_http

    def begin(self, request: PurchaseRequest) -> Call:
        """See Desk. A call without a purchase id takes up the purchase that it has to finish, or gets a new one."""
        key = request.key()
        earlier: Payment | None = None
        purchase_id = request.purchase_id
        if purchase_id is None:
            earlier = self._unfinished(request, key)
            purchase_id = earlier.reserved.purchase_id if earlier else new_id(self._clock, self._entropy)
        elif check_id(purchase_id, what="purchase id") in self._in_flight:
            raise PurchaseInProgressError(
                "This purchase is under way.",
                next_step="Repeat it when the first call is over.",
                details={"purchase_id": purchase_id},
            )
        self._in_flight.add(purchase_id)
        return Call(request, key, purchase_id, earlier)

    def end(self, call: Call) -> None:
        """See Desk."""
        self._in_flight.discard(call.purchase_id)

    async def find(self, purchase_id: str) -> Payment | None:
        """See Desk. A purchase is looked for on every network; one that stands beats one that was released."""
        found: Payment | None = None
        for purse in self._purses.values():
            payment = await purse.find_purchase(purchase_id)
            if payment is not None and (found is None or found.state == "released"):
                found = payment
        return found

    async def reserve_and_sign(self, call: Call, terms: str, attempt: int) -> Signed:
        """See Desk."""
        order = self._order(call, self._choose(terms), attempt)
        # A network that is not allowed has no books; its refusal is noted in the first ones.
        purse = self._purses.get(order.network) or next(iter(self._purses.values()))
        try:
            reserved = await purse.reserve(order)
        except PolicyDeniedError as denied:
            if denied.verdict not in _CAPS or self._chain is None or not self._has_expired(purse):
                raise
            await self.reconcile()
            reserved = await purse.reserve(order)
        if not reserved.created:
            return Signed(reserved.payment, "", created=False)
        try:
            signed, header = await self._sign(purse, reserved.payment)
        except BaseException:
            purse.release(reserved.payment, "not_signed")  # whatever was signed never left this process
            raise
        return Signed(signed, header, created=True)

    async def sign_again(self, payment: Payment) -> str:
        """See Desk. The stored signature, or a new one over the same authorization when its note was lost."""
        payment = self.payment(payment)
        if payment.signature is not None:
            return _header(payment, bytes.fromhex(payment.signature[2:]))
        return (await self._sign(self._purse_of(payment), payment))[1]

    async def look_at_chain(self, payment: Payment) -> AuthorizationState:
        """See Desk."""
        if self._chain is None:
            return "unknown"
        reserved = payment.reserved
        return await self._chain(reserved.network, reserved.asset, reserved.wallet, bytes.fromhex(reserved.nonce[2:]))

    def payment(self, payment: Payment) -> Payment:
        """See Desk."""
        return self._purse_of(payment).state.payment(payment.payment_id) or payment

    async def record_resend(self, payment: Payment, resend: int) -> None:
        """See Desk. (A first payment leaves in the breath in which it is signed: its `payment_signed` says so.)"""
        await self._purse_of(payment).record(PaymentSubmitted(payment_id=payment.payment_id, resend=resend))

    def note_ambiguous(self, payment: Payment, reason: str) -> None:
        """See Desk."""
        self._purse_of(payment).note(PaymentAmbiguous(payment_id=payment.payment_id, reason=reason))

    def note_refused(self, payment: Payment, reason: str) -> None:
        """See Desk."""
        reserved = payment.reserved
        self._purse_of(payment).note(
            PaymentFailed(
                payment_id=reserved.payment_id,
                session_id=reserved.session_id,
                task_id=reserved.task_id,
                wallet=reserved.wallet,
                network=reserved.network,
                asset=reserved.asset,
                payee=reserved.payee,
                nonce=reserved.nonce,
                amount_atomic=reserved.amount_atomic,
                resource_url=reserved.resource_url,
                amount_micro_credits=reserved.amount_micro,
                reason=reason,
            )
        )

    def note_settled(self, payment: Payment, settlement: SettlementResponse | None) -> None:
        """See Desk."""
        if settlement is None:
            event = self._settled(payment, "", "chain")
        else:
            event = self._settled(payment, settlement.transaction[:128], "payee")
        self._purse_of(payment).settle(event)

    def release(self, payment: Payment, reason: str) -> None:
        """See Desk."""
        self._purse_of(payment).release(payment, reason)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _purse_of(self, payment: Payment) -> Purse:
        return self._purses[payment.reserved.network]

    def _unfinished(self, request: PurchaseRequest, key: str) -> Payment | None:
        if request.repeat == "never":
            return None
        now_us = self.now_us
        for state in self._states:
            for payment in state.unfinished(key):
                if payment.reserved.purchase_id not in self._in_flight and _is_unknown(payment, now_us):
                    return payment
        return None

    def _choose(self, header: str) -> tuple[PaymentRequired, Terms]:
        """What is asked and what is taken of it. A resource repeats its terms, so the last ones are kept; the choice
        depends on nothing but them and what this payer was made with."""
        known = self._known_terms.get(header)
        if known is None:
            required = decode_payment_required(header)
            terms = choose_terms(required, self._registry, self._preference, allowed_networks=tuple(self._purses))
            known = required, terms
            if len(header) <= _KEPT_TERMS_CHARS:
                while len(self._known_terms) >= _KEPT_TERMS:
                    del self._known_terms[next(iter(self._known_terms))]
                self._known_terms[header] = known
        return known

    def _order(self, call: Call, chosen: tuple[PaymentRequired, Terms], attempt: int) -> Order:
        request, (required, terms) = call.request, chosen
        requirements = terms.requirements
        return Order(
            purchase_id=call.purchase_id,
            request_key=call.key,
            resource_url=public_url(request.url),
            network=requirements.network,
            network_known=requirements.network in self._purses,
            asset=requirements.asset,
            domain=terms.domain,
            payee=terms.payee,
            amount_atomic=terms.amount_atomic,
            amount_micro=terms.amount_micro,
            timeout_s=requirements.max_timeout_seconds,
            accepted=terms.accepted,
            resource=required.resource,
            extensions=required.extensions,
            session_id=request.session_id or self._session_id,
            task_id=request.task_id,
            ceiling_micro=request.max_amount_micro,
            attempt=attempt,
        )

    async def _sign(self, purse: Purse, payment: Payment) -> tuple[Payment, str]:
        authorization = authorization_of(payment.reserved)
        signature = await self._custody.sign_authorization(authorization)
        if not self._signer_checked:
            self._check_signer(exact.digest(authorization), signature)
        signed = PaymentSigned(payment_id=payment.payment_id, signature="0x" + signature.hex())
        if self._signs_alike:
            purse.hold(payment.payment_id, signed)
        else:
            await purse.record(signed)
        return self.payment(payment), _header(payment, signature)

    def _check_signer(self, digest: bytes, signature: bytes) -> None:
        """Once: custody signs with the wallet that it names. A payment by another key would only be refused."""
        try:
            signer = recover_address(digest, signature)
        except CryptoError as error:
            raise CustodyError(f"Custody gave a signature that is none: {error}.") from None
        if signer != parse_address(self.address):
            raise WalletMismatchError("Custody signs with another wallet than the one it names.")
        self._signer_checked = True

    def _settled(
        self, payment: Payment, transaction: str, source: Literal["payee", "chain", "operator"]
    ) -> PaymentSettled:
        reserved = payment.reserved
        return PaymentSettled(
            payment_id=reserved.payment_id,
            session_id=reserved.session_id,
            task_id=reserved.task_id,
            wallet=reserved.wallet,
            network=reserved.network,
            asset=reserved.asset,
            payee=reserved.payee,
            nonce=reserved.nonce,
            amount_atomic=reserved.amount_atomic,
            tx_hash=transaction,
            amount_micro_credits=reserved.amount_micro,
            chain=reserved.network,
            latency_ms=max(0, self.now_us - payment.reserved_at_us) // 1000,
            facilitator="",
            source=source,
        )

    def _has_expired(self, purse: Purse) -> bool:
        now_us = self.now_us
        return any(payment.expired(now_us) for payment in purse.state.open_payments())


def _is_unknown(payment: Payment, now_us: int) -> bool:
    """Whether a call without a purchase id takes this payment up again (rule `usual`)."""
    if not payment.sendable(now_us):
        return False
    if payment.delivery == "lost":
        return True
    if payment.state in ("ambiguous", "refused"):
        return payment.reason != NO_SETTLEMENT_HEADER
    return payment.open and now_us - payment.reserved_at_us >= INTERRUPTED_AFTER_S * 1_000_000


def _header(payment: Payment, signature: bytes) -> str:
    """PAYMENT-SIGNATURE: the same payment always gives the same bytes."""
    reserved = payment.reserved
    return encode_header(
        exact.build_payload(
            reserved.accepted,
            authorization_of(reserved),
            signature,
            resource=reserved.resource,
            extensions=reserved.extensions,
        )
    )
