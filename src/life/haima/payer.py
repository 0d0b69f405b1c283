"""The payer: an agent's wallet, its policy and its books behind the one thing a client needs, `purchase`.

    async with Payer(journal=…, custody=…, clock=…, entropy=…, agent_id=…) as payer:
        async with httpx2.AsyncClient(transport=AsyncPayingTransport(payer)) as client:
            answer = await client.get("https://example.org/paid")

It keeps one purse per network, asks custody for signatures over reserved authorizations only, and clears up on start what
an earlier run left open. It implements `life.haima.x402.purchase.Desk`; who drives the conversation does the HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Final, Literal, NamedTuple

from msgspec import UNSET

from life.aios.errors import ConflictError, InvalidInputError, NotFoundError
from life.aios.ids import check_id, new_id
from life.aios.ports.chain import AuthorizationState
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody, TransferAuthorization
from life.aios.ports.journal import Journal
from life.crypto.permit2 import PERMIT2
from life.haima.approvals import APPROVAL_LIFETIME_S, Ticket
from life.haima.errors import ChainError, DenialCode, PolicyDeniedError, PurchaseInProgressError, WalletMismatchError
from life.haima.events import (
    PayeeAlarm,
    PaymentAmbiguous,
    PaymentCancelling,
    PaymentDelivered,
    PaymentSettled,
    PaymentSubmitted,
    PaymentUndelivered,
)
from life.haima.mpp.client import RAIL, is_challenge_terms, nonce_of, read_challenge_terms, wants_challenge
from life.haima.payees import SellerMemory
from life.haima.payment_outcomes import claimed_event, failed_event, settled_event, taken_of
from life.haima.payment_signer import PaymentSigner
from life.haima.policy import Mode, PaymentPolicy, SoulLimits
from life.haima.purse import Order, Purse
from life.haima.reservations import Payment, authorization_of
from life.haima.transfer_account import TransferAccount
from life.haima.wallet_log import RIDE_ALONG_US
from life.haima.x402.known_terms import KnownTerms
from life.haima.x402.networks import BUILT_IN, NetworkRegistry, chain_id_of
from life.haima.x402.payment_header import offers_gas_sponsoring
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
from life.haima.x402.sign_in import Proof
from life.haima.x402.sign_in_message import challenge_of, unsigned_proof
from life.haima.x402.terms import Offers, Terms, TermsPreference
from life.haima.x402.wire import X402_VERSION, SettlementResponse

Rail = Literal["x402", "mpp"]

AuthorizationReader = Callable[[str, str, str, bytes], Awaitable[AuthorizationState]]
"""(network, token, payer, nonce) → whether the chain has burnt this nonce. `unused` must come from a block of the present:
a node that lags behind answers `unknown`. Of a Permit2 payment the token is Permit2's own address, because that is where its
nonce is burnt."""


class Allowance(NamedTuple):
    """What a token says of its owner and Permit2."""

    allowed_atomic: int
    permit_nonce: int
    """The token's count of the owner's EIP-2612 permits."""


Canceller = Callable[[TransferAuthorization, bytes], Awaitable[Literal["cancelled", "used"]]]
"""(authorization, signature over its CancelAuthorization) → what became of its nonce. A ChainError when nobody can tell yet;
asking again is harmless."""

AllowanceReader = Callable[[str, str, str], Awaitable[Allowance | None]]
"""(network, token, owner) → what Permit2 may move, or None when nobody can tell."""

_CAPS: Final[tuple[DenialCode, ...]] = (
    "session_cap",
    "total_cap",
    "day_cap",
    "task_cap",
    "payee_cap",
    "host_cap",
    "soul_limit",
)


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
        custody: Custody | None,
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
        allowances: AllowanceReader | None = None,
        canceller: Canceller | None = None,
        on_question: Callable[[Ticket], None] | None = None,
        on_alarm: Callable[[PayeeAlarm], None] | None = None,
        approval_lifetime_s: int = APPROVAL_LIFETIME_S,
        prefer_rail: Rail = "x402",
        realms: Mapping[str, str] | None = None,
        solana: TransferAccount | None = None,
    ) -> None:
        """WalletMismatchError when custody has no wallet that signs authorizations, or when there is no wallet at all: with
        `solana` alone (`custody` None) payments are made there and nowhere else.

        `session_id` is the session of calls that name none; by default this payer's life is one session. With `allowances`
        Permit2 payments bring their allowance where the seller sends it along. `on_question` is told of every payment that
        waits for a person, once it is on disk, `on_alarm` of sellers that changed; `approval_lifetime_s` is how long that person has, and then how long the
        grant is good. With a `canceller` open payments can be burnt on the chain (`cancel`). `prefer_rail` decides for sellers
        that ask over x402 and the Machine Payments Protocol; `realms` are the realms of challenges that are trusted where they
        are not the host's own name: `{"https://host": "realm"}`.
        """
        self._signer = PaymentSigner(custody, solana, entropy)
        self.address = self._signer.address
        self._solana = solana
        self.policy = policy or PaymentPolicy()
        self._clock = clock
        self._entropy = entropy
        self._registry = registry
        self._chain = authorization_state
        self._session_id = session_id or new_id(clock, entropy)
        self._allow_insecure_http = allow_insecure_http
        self._in_flight: set[str] = set()
        if not 1 <= approval_lifetime_s <= 30 * 86_400:
            raise InvalidInputError("approval_lifetime_s must be between a second and 30 days.")
        self._allowances = allowances
        self._canceller = canceller
        names = self.policy.networks
        if names is None:
            names = tuple(network.caip2 for network in registry.networks)
            if solana is not None and solana.network not in names:
                names += (solana.network,)
        wallets = {
            name: self.address for name in names if self._signer.has_evm_wallet and chain_id_of(name) is not None
        }
        if solana is not None and solana.network in names:
            wallets[solana.network] = solana.address
        self._purses = {
            name: Purse(
                journal,
                clock,
                entropy,
                network=name,
                address=address,
                agent_id=agent_id,
                policy=self.policy,
                mode=mode,
                soul=soul,
                refusals_expire=authorization_state is None and chain_id_of(name) is not None,
                ride_along_us=ride_along_us,
                wake=wake,
                sellers=self._sellers,
                on_question=on_question,
                on_alarm=on_alarm,
                approval_lifetime_s=approval_lifetime_s,
            )
            for name, address in wallets.items()
        }
        self._prefer_rail = prefer_rail
        self._realms = dict(realms or {})
        self._terms = KnownTerms(
            registry,
            preference or TermsPreference(),
            allowed_networks=tuple(self._purses),
            permits="sign_permit" in self._signer.operations,
            solana=() if solana is None else (solana.network,),
        )
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

    async def check_on_account(self, network: str, amount_micro: int, request: PurchaseRequest) -> None:
        """Whether what lies on an account at the seller's may be spent on this request; see Purse. NotFoundError when the policy
        does not allow the network."""
        await self.purse(network).check_on_account(
            amount_micro,
            purchase_id=request.purchase_id or "",
            resource_url=public_url(request.url),
            session_id=request.session_id or self._session_id,
            task_id=request.task_id,
        )

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

    async def cancel(self, payment_id: str) -> Payment:
        """Burn the authorization of an open payment on the chain, so that it can never land (W06). Returns the payment as it
        stands then: released, or settled when its payee was quicker.

        NotFoundError when none is open under this id; ConflictError when it is under way here, or is one that can't be
        cancelled (only EIP-3009's can, with a canceller and a custody that signs for it); ChainError when the chain does not
        say what became of it: call again.
        """
        for purse in self._purses.values():
            await purse.catch_up()
            payment = purse.state.payment(payment_id)
            if payment is None or not payment.open:
                continue
            if payment.reserved.purchase_id in self._in_flight:
                raise ConflictError("This payment is under way.", details={"payment_id": payment_id})
            return await self._cancel(purse, payment)
        raise NotFoundError("No payment is open under this id.", details={"payment_id": payment_id})

    async def _cancel(self, purse: Purse, payment: Payment) -> Payment:
        authorization = None if payment.reserved.transaction is not None else authorization_of(payment.reserved)
        if not isinstance(authorization, TransferAuthorization) or self._canceller is None or not self._signer.cancels:
            raise ConflictError("This payment can't be cancelled here.", details={"payment_id": payment.payment_id})
        # On disk before the chain is asked: after a crash a burnt nonce must not be taken for a payment.
        await purse.record(PaymentCancelling(payment_id=payment.payment_id))
        signature = await self._signer.sign_cancellation(authorization)
        if await self._canceller(authorization, signature) == "cancelled":
            purse.release(payment, "cancelled")
        else:
            purse.settle(settled_event(payment, "", "chain", now_us=self.now_us))
        await purse.flush()
        return self.payment(payment)

    async def _look(self, purse: Purse, payment: Payment) -> str:
        if payment.cancelling and self._canceller is not None:
            try:
                return (await self._cancel(purse, payment)).state
            except ChainError:
                return "open"
        state = await self.look_at_chain(payment)
        payment = self.payment(payment)
        if not payment.open:
            return payment.state
        if state == "used":
            self.note_settled(payment, None)
            return "settled"
        if payment.is_dead(state, self.now_us):
            purse.release(payment, "expired_unused")
            return "released"
        if payment.state == "claimed" and payment.expired(self.now_us):
            purse.close_claim(payment)
            return "settled"
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

    def is_terms(self, body: bytes) -> bool:
        """See Desk."""
        return self._terms.is_terms(body)

    def prefers_challenge(self, header: str) -> bool:
        """See Desk."""
        return self._prefer_rail == "mpp" or wants_challenge(header)

    def known_terms(self, url: str) -> str | bytes | None:
        """See Desk."""
        return self._terms.of_url(url)

    def forget_terms(self, url: str) -> None:
        """See Desk."""
        self._terms.forget(url)

    async def sleep_us(self, duration_us: int) -> None:
        """See Desk."""
        await self._clock.sleep_us(duration_us)

    def sign_in_challenge(self, call: Call, terms: str | bytes) -> Proof | None:
        """See Desk. Whoever was never paid is not told who we are."""
        if not self._signer.signs_in or isinstance(terms, bytes):
            return None
        resource_url = public_url(call.request.url)
        if not any(memory.accepted_micro(resource_url) for memory in self._sellers()):
            return None
        challenge = challenge_of(self._terms.offers(terms))
        if challenge is None:
            return None
        return unsigned_proof(challenge, url=call.request.url, address=self.address, networks=self._purses)

    async def sign_in(self, proof: Proof) -> str:
        """See Desk."""
        return await self._signer.sign_in(proof)

    async def look_at_ticket(self, ticket_id: str) -> Ticket | None:
        """See Desk."""
        for purse in self._purses.values():
            ticket = await purse.look_at_ticket(ticket_id)
            if ticket is not None:
                return ticket
        return None

    async def reserve_and_sign(self, call: Call, terms: str | bytes, attempt: int) -> Signed:
        """See Desk."""
        is_challenge = is_challenge_terms(terms)
        offers, chosen = self._challenged(terms, call) if is_challenge else self._terms.choose(terms)
        order = self._order(call, offers, chosen, attempt)
        if is_challenge:
            order = order._replace(rail=RAIL, nonce=nonce_of(order.accepted))
        if (
            chosen.transfer_method == "permit2"
            and self._allowances is not None
            and offers_gas_sponsoring(offers.extensions)
        ):
            allowance = await self._allowances(order.network, order.asset, self.address)
            if allowance is not None and allowance.allowed_atomic < order.amount_atomic:
                order = order._replace(allowance_nonce=allowance.permit_nonce)
        if call.request.ahead and not is_challenge:  # a challenge is good for one payment
            self._terms.remember(call.request.url, terms)
        if chosen.transfer_method == "solana" and chosen.domain is not None and order.network in self._purses:
            order = await self._signer.prepare(order, chosen)
        # A network that is not allowed has no books; its refusal is noted in the first ones.
        purse = self._purses.get(order.network) or next(iter(self._purses.values()))
        try:
            reserved = await purse.reserve(order)
        except PolicyDeniedError as denied:
            has_chain = self._chain is not None or self._solana is not None
            if denied.verdict not in _CAPS or not has_chain or not self._has_expired(purse):
                raise
            await self.reconcile()
            reserved = await purse.reserve(order)
        if not reserved.created:
            return Signed(reserved.payment, "", created=False)
        try:
            header = await self._signer.sign(purse, reserved.payment)
        except BaseException:
            purse.release(reserved.payment, "not_signed")  # whatever was signed never left this process
            raise
        return Signed(self.payment(reserved.payment), header, created=True)

    async def sign_again(self, payment: Payment) -> str:
        """See Desk. The stored signature, or a new one over the same authorization when its note was lost."""
        payment = self.payment(payment)
        if payment.signature is not None:
            return await self._signer.repeat(payment, payment.signature)
        return await self._signer.sign(self._purse_of(payment), payment)

    async def look_at_chain(self, payment: Payment) -> AuthorizationState:
        """See Desk."""
        reserved = payment.reserved
        if reserved.transaction is not None:
            is_here = self._solana is not None and self._solana.network == reserved.network
            return await self._solana.state(reserved) if self._solana is not None and is_here else "unknown"
        if self._chain is None:
            return "unknown"
        if self.payment(payment).cancelling:
            return "unknown"  # a nonce that is used may be one that was cancelled
        asset = PERMIT2 if reserved.transfer_method == "permit2" else reserved.asset
        return await self._chain(reserved.network, asset, reserved.wallet, bytes.fromhex(reserved.nonce[2:]))

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
        self._purse_of(payment).note(failed_event(payment, reason))

    def note_settled(self, payment: Payment, settlement: SettlementResponse | None) -> None:
        """See Desk."""
        purse = self._purse_of(payment)
        if settlement is None:
            if payment.state == "claimed" and payment.spent_micro:
                purse.close_claim(payment)
            else:  # a nonce that is burnt although the payee says that it took nothing: it took something
                purse.settle(self._settled(payment, "", "chain"))
            return
        transaction = settlement.transaction[:128]
        taken = taken_of(payment, settlement)
        if taken is None:
            purse.settle(self._settled(payment, transaction, "payee"))
        elif payment.state not in ("claimed", "settled"):
            purse.note(claimed_event(payment, taken, transaction))

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

    def _sellers(self) -> tuple[SellerMemory, ...]:
        return tuple(state.sellers for state in self._states)

    def _challenged(self, terms: str | bytes, call: Call) -> tuple[Offers, Terms]:
        """The offers of payment challenges (life.haima.mpp), and what is taken of them."""
        found = read_challenge_terms(
            terms,
            url=call.request.url,
            body=call.request.body,
            registry=self._registry,
            now_s=self.now_us // 1_000_000,
            realms=self._realms,
        )
        offers = Offers(X402_VERSION, found, UNSET, UNSET)
        return offers, self._terms.choose_among(offers)

    def _order(self, call: Call, offers: Offers, terms: Terms, attempt: int) -> Order:
        request, requirements = call.request, terms.requirements
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
            resource=offers.resource,
            extensions=offers.extensions,
            session_id=request.session_id or self._session_id,
            task_id=request.task_id,
            ceiling_micro=request.max_amount_micro,
            attempt=attempt,
            x402_version=offers.x402_version,
            scheme=requirements.scheme,
            transfer_method=terms.transfer_method,
            spender=terms.spender,
            facilitator=terms.facilitator,
        )

    def _settled(
        self, payment: Payment, transaction: str, source: Literal["payee", "chain", "operator"]
    ) -> PaymentSettled:
        return settled_event(payment, transaction, source, now_us=self.now_us)

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
