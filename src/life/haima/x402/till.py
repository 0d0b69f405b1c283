"""The till: everything a seller needs, whatever its application is written with.

A till takes one paid request from its headers to its answer; the adapters (`middleware` for ASGI, `wsgi`, `fastapi`,
`life.haima.x402.mcp`) only translate. One till per process and stream of claims; several adapters may share it.

    till = Till(pay_to="0x…", network="eip155:8453", facilitator=facilitator, journal=journal, clock=clock, entropy=entropy)
    table = till.table({"GET /report": "$0.01"})
    await till.start()
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec
from starlette.types import Scope

from life.aios.errors import InvalidInputError, UnavailableError
from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.record import Stream
from life.haima.errors import FacilitatorUnavailableError, MalformedPaymentError, PaymentRefusedError
from life.haima.facilitator.port import Facilitator, settlement_header
from life.haima.x402 import answers, exact, upto, v1
from life.haima.x402.answers import Answer, IdentifierTerms, Terms
from life.haima.x402.cashier import MAX_KEPT_BODY_BYTES, Cashier
from life.haima.x402.claims import STREAM, Claims
from life.haima.x402.closing import Closer
from life.haima.x402.networks import BUILT_IN, NetworkRegistry, is_solana
from life.haima.x402.offer_receipt import OFFER_RECEIPT, OfferReceipts
from life.haima.x402.paid_routes import FixedPrice, Offers, PaidRoute, Route, Routes, RouteTable
from life.haima.x402.price import Offer
from life.haima.x402.sale import Form, Handler, Sale, Streamer
from life.haima.x402.seller_v1 import X_PAYMENT, X_PAYMENT_RESPONSE
from life.haima.x402.sign_in import SIGN_IN_WITH_X, SignIns, Visitor, origin_of
from life.haima.x402.svm import FEE_PAYER
from life.haima.x402.wire import EIP2612_GAS_SPONSORING, X402_VERSION, SupportedResponse, decode_payment_response

LEASE_S: Final = 60
ANSWER_KEPT_S: Final = 3600
RECONCILED_S: Final = 7 * 24 * 3600
"""How far back `start` looks for claims without an end. Older ones are taken up when their payment comes again."""

_ASK_AGAIN_US: Final = 2_000_000
"""How often a facilitator that did not say what it settles is asked again, at most."""

_log: Final = logging.getLogger(__name__)


class Order(msgspec.Struct, frozen=True, gc=False):
    """A request that brings a payment."""

    payment: bytes
    form: Form
    route: PaidRoute
    terms: Terms
    request: str
    resource: str


class Till:
    """See the module. Options are those of `X402Middleware`."""

    def __init__(
        self,
        *,
        pay_to: str,
        network: str,
        facilitator: Facilitator,
        journal: Journal,
        clock: Clock,
        entropy: Entropy,
        agent_id: str = "seller",
        stream: Stream = STREAM,
        registry: NetworkRegistry = BUILT_IN,
        verify: Literal["facilitator", "local"] = "facilitator",
        payment_identifier: Literal["optional", "required", "off"] = "optional",
        base_url: str | None = None,
        sole_server: bool = False,
        lease_s: int = LEASE_S,
        answer_kept_s: int = ANSWER_KEPT_S,
        max_kept_body_bytes: int = MAX_KEPT_BODY_BYTES,
        offer_receipt: OfferReceipts | None = None,
        accept_v1: bool = False,
    ) -> None:
        self.clock: Final = clock
        self.max_kept_body_bytes: Final = max_kept_body_bytes
        self.identifier: Final = (
            None if payment_identifier == "off" else IdentifierTerms(payment_identifier == "required")
        )
        self._facilitator = facilitator
        self._network = network
        self._registry = registry
        self._base_url = base_url
        self._offer_receipt = offer_receipt
        self._accept_v1 = accept_v1
        self._offers = Offers(pay_to=pay_to, network=network, registry=registry)
        self._routes: list[PaidRoute] = []
        self._asked_us: int | None = None
        self.claims: Final = Claims(
            journal, clock, entropy, agent_id=agent_id, stream=stream, owner=new_id(clock, entropy)
        )
        self._sign_ins: SignIns | None = None
        if base_url is not None:
            self._sign_ins = SignIns(
                journal, clock, entropy, agent_id=agent_id, stream=stream, origin=origin_of(base_url)
            )
        self._closer = Closer(
            facilitator,
            self.claims,
            clock,
            lease_s=lease_s,
            sole_server=sole_server,
            answer_kept_s=answer_kept_s,
            registry=registry,
            grants=self._sign_ins,
            receipts=offer_receipt,
        )
        self._cashier = Cashier(
            facilitator,
            self.claims,
            self._closer,
            clock,
            verify_with_facilitator=verify == "facilitator",
            max_kept_body_bytes=max_kept_body_bytes,
            registry=registry,
        )

    # ---- what is for sale

    def table(self, routes: Routes) -> RouteTable:
        """The routes that cost money, ready to be looked up. InvalidInputError for one that can't be right."""
        made = [
            PaidRoute(
                pattern,
                route if isinstance(route, Route) else Route(route),
                offers=self._offers,
                identifier=self.identifier,
                base_url=self._base_url,
                v1=self._accept_v1,
                registry=self._registry,
            )
            for pattern, route in routes.items()
        ]
        self._routes += made
        return RouteTable(made)

    def offers(self, price: FixedPrice, route: Route) -> tuple[Offer, ...]:
        """Offers of something that is no route, such as a tool."""
        return self._offers.of(price, route)

    # ---- one request

    async def enter(self, route: PaidRoute, scope: Scope) -> Answer | Visitor | Order:
        """What a request for a paid route is: answered at once (without payment, or with one that can't be read), let in,
        or an order to be sold."""
        payment: bytes | None = None
        old: bytes | None = None
        proof: bytes | None = None
        host = b"localhost"
        for name, value in scope["headers"]:
            if name == b"payment-signature":
                if payment is not None:
                    return answers.malformed("There are two PAYMENT-SIGNATURE headers.")
                payment = value
            elif name == b"host":
                host = value
            elif name == X_PAYMENT:
                if old is not None:
                    return answers.malformed("There are two X-PAYMENT headers.")
                old = value
            elif name == b"sign-in-with-x":
                proof = value
        try:
            terms, unpaid = route.fixed_terms(scope, host) or await self._dynamic_terms(route, scope, host)
        except UnavailableError as error:
            return answers.facilitator_unavailable(error.message)
        refused_sign_in: str | None = None
        if proof is not None and route.sign_in is not None and self._sign_ins is not None:
            try:
                return await self._sign_ins.admit(
                    proof.decode("latin-1"), resource=route.resource(scope), networks=_networks(terms)
                )
            except MalformedPaymentError as error:
                return answers.malformed(error.message)
            except PaymentRefusedError as error:
                refused_sign_in = error.reason
        form: Form = "header"
        if payment is None and old is not None and terms.v1 is not None:
            payment, form = old, "v1"
        if payment is not None:
            return Order(payment, form, route, terms, request_name(scope), route.resource(scope))
        if self._offer_receipt is None and route.sign_in is None:
            return unpaid
        return await self._ask(route, terms, scope["path"], refused_sign_in or "Payment required")

    async def _dynamic_terms(self, route: PaidRoute, scope: Scope, host: bytes) -> tuple[Terms, Answer]:
        """Terms that the facilitator may have a part in: it is asked again when it did not answer at the start."""
        try:
            return await route.dynamic_terms(scope, host)
        except UnavailableError:
            if not await self.ask_again():
                raise
            return await route.dynamic_terms(scope, host)

    async def ask_again(self) -> bool:
        """Ask the facilitator again what it settles, every now and then; whether it answered this time. Not before `start`."""
        now_us = self.clock.monotonic_us()
        if self._asked_us is None or now_us - self._asked_us < _ASK_AGAIN_US:
            return False
        self._asked_us = now_us
        try:
            self._learn(await self._facilitator.supported())
        except FacilitatorUnavailableError:
            return False
        return True

    async def sell(self, order: Order, handler: Handler, *, stream: Streamer | None = None) -> Answer | None:
        """The answer to an order; None when `stream` has sent it."""
        route = order.route
        sale = Sale(
            order.payment,
            order.form,
            order.terms,
            order.request,
            route.settle_first,
            route.rerun_interrupted,
            handler,
            stream if route.stream else None,
            None if route.sign_in is None else route.sign_in.access_s,
            order.resource,
        )
        answer = await self._cashier.sell(sale)
        if answer is None or order.form != "v1":
            return answer
        header = answers.header_of(answer, answers.PAYMENT_RESPONSE)
        if header is None:
            return answer
        settlement = v1.short_named(decode_payment_response(header.decode("ascii")), self._registry)
        return answers.with_header(answer, X_PAYMENT_RESPONSE, settlement_header(settlement))

    async def sell_tool(self, sale: Sale) -> Answer:
        """The answer to a sale that is no HTTP request."""
        answer = await self._cashier.sell(sale)
        assert answer is not None  # only streams have left by themselves
        return answer

    async def _ask(self, route: PaidRoute, terms: Terms, path: str, error: str) -> Answer:
        """402 with what is made anew each time."""
        return answers.payment_required(terms, await self.fresh(route, terms, path), error=error)

    async def fresh(self, route: PaidRoute | None, terms: Terms, path: str) -> Sequence[tuple[str, bytes]]:
        """The extensions of one 402 that are not always the same: signed offers, and a challenge to sign."""
        made: list[tuple[str, bytes]] = []
        if self._offer_receipt is not None:
            made.append((OFFER_RECEIPT, await self._offer_receipt.offers(terms.resource.url, terms.offers)))
        if route is not None and route.sign_in is not None and self._sign_ins is not None:
            challenge = self._sign_ins.challenge(route.sign_in, path=path, networks=_networks(terms))
            made.append((SIGN_IN_WITH_X, msgspec.json.encode(challenge)))
        return made

    # ---- life

    async def start(self) -> int:
        """Check that the facilitator settles what is asked for, and bring claims of earlier runs to their end. How many
        stay open. InvalidInputError when the facilitator answers and does not settle on the network."""
        self._asked_us = self.clock.monotonic_us()
        try:
            supported = await self._facilitator.supported()
        except FacilitatorUnavailableError as error:
            _log.warning("the facilitator was not asked what it settles: %s", error)
        else:
            self._check(supported)
        return await self._closer.reconcile(since_us=self.clock.now_us() - RECONCILED_S * 1_000_000)

    def _learn(self, supported: SupportedResponse) -> Mapping[tuple[str, str], Mapping[str, object]]:
        """What the facilitator puts into our offers; and its kinds."""
        kinds = {
            (kind.scheme, kind.network): kind.extra or {}
            for kind in supported.kinds
            if kind.x402_version == X402_VERSION
        }
        self._offers.facilitators = _facilitators(supported, kinds)
        self._offers.fee_payers = {
            network: named
            for (scheme, network), extra in kinds.items()
            if scheme == exact.SCHEME and is_solana(network) and isinstance(named := extra.get(FEE_PAYER), str)
        }
        return kinds

    def _check(self, supported: SupportedResponse) -> None:
        kinds = self._learn(supported)
        wanted = {
            (exact.SCHEME, network)
            for route in self._routes
            if route.scheme == exact.SCHEME
            for network in route.networks
        }
        wanted |= {(upto.SCHEME, self._network) for route in self._routes if route.scheme == upto.SCHEME}
        for scheme, network in sorted(wanted or {(exact.SCHEME, self._network)}):
            if (scheme, network) not in kinds:
                raise InvalidInputError(
                    f"The facilitator does not settle scheme {scheme} on {network}.",
                    next_step="Choose another facilitator or another network.",
                )
        for _, network in sorted(wanted):
            if is_solana(network) and network not in self._offers.fee_payers:
                raise InvalidInputError(
                    f"The facilitator does not name its fee payer on {network}.",
                    next_step="Choose another facilitator.",
                )
        sponsors = EIP2612_GAS_SPONSORING in supported.extensions
        if not sponsors and any(route.sponsors_allowance for route in self._routes):
            raise InvalidInputError(
                "The facilitator does not send allowances along.", next_step="Leave out sponsor_allowance."
            )

    async def resolve(self, claim_key: str, *, transaction: str | None) -> bool:
        """An operator's word on a sale that stays in doubt: the transaction that paid it, or None for "never paid"."""
        return await self._closer.resolve(claim_key, transaction=transaction)

    async def aclose(self) -> None:
        """Finish what was cut off. The facilitator and the journal belong to the caller."""
        await self._cashier.aclose()


def request_name(scope: Scope) -> str:
    """Which request a payment pays for. The body is not part of it."""
    query = scope["query_string"].decode("latin-1")
    name: str = f"{scope['method']} {scope['path']}?{query}" if query else f"{scope['method']} {scope['path']}"
    return name if len(name) <= 200 else "sha256:" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _networks(terms: Terms) -> frozenset[str]:
    return frozenset(offer.requirements.network for offer in terms.offers)


def _facilitators(
    supported: SupportedResponse, kinds: Mapping[tuple[str, str], Mapping[str, object]]
) -> dict[str, str]:
    """Who carries out `upto` payments: what the kind says, or the only signer there is for the network."""
    found: dict[str, str] = {}
    for (scheme, network), extra in kinds.items():
        if scheme != upto.SCHEME:
            continue
        named = extra.get(upto.FACILITATOR_KEY)
        signers = supported.signers.get(network) or supported.signers.get("eip155:*") or ()
        if isinstance(named, str):
            found[network] = named
        elif len(signers) == 1:
            found[network] = signers[0]
    return found
