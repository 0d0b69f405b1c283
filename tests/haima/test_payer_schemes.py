"""What a payer can pay with: Permit2, `upto`, an allowance that comes along; and signing in where it has paid."""

from __future__ import annotations

import base64
import json

import httpx2
import msgspec
import pytest

from life.aios.json import Json, JsonObject
from life.aios.ports.chain import SignedPermit
from life.crypto.eip191 import personal_message_digest
from life.crypto.permit2 import EXACT_PROXY, PERMIT2, UPTO_PROXY
from life.crypto.secp256k1 import recover_address
from life.haima import events
from life.haima.errors import AlreadyPaidError, OutcomeUnknownError, PolicyDeniedError
from life.haima.payer import Allowance, Payer
from life.haima.policy import PaymentPolicy
from life.haima.reservations import EXPIRY_MARGIN_S
from life.haima.x402 import wire
from life.haima.x402.driving import CONTEXT, RECEIPT
from life.haima.x402.networks import LOCAL
from life.haima.x402.sign_in import SIGN_IN_HEADER, check_proof, decode_proof, origin_of
from life.haima.x402.sign_in_message import unsigned_proof
from life.haima.x402.transport import AsyncPayingTransport
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.payee import Payee
from tests.haima.payer_kit import (
    ADDRESS,
    AGENT,
    OPEN_POLICY,
    finance_events,
    kinds,
    paying,
    replayed,
    same_state,
    wallet,
)

FACILITATOR = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
EXPIRED_US = (300 + EXPIRY_MARGIN_S) * 1_000_000


def seller(scheme: str = "exact", extensions: dict[str, object] | None = None, **extra: object) -> Payee:
    """A seller that wants Permit2 payments, over the standing clock."""
    payee = Payee(now_s=lambda: ManualClock().now_us() // 1_000_000)
    terms = {**(payee.requirements.extra or {}), "assetTransferMethod": "permit2", **extra}
    if scheme == "upto":
        terms["facilitatorAddress"] = FACILITATOR
    payee.requirements = msgspec.structs.replace(payee.requirements, scheme=scheme, extra=terms)
    payee.terms = wire.offer(
        (payee.requirements,),
        resource=wire.ResourceInfo(url="http://localhost/paid"),
        extensions=extensions,  # type: ignore[arg-type]
    )
    return payee


@pytest.mark.parametrize("scheme", ["exact", "upto"])
async def test_a_permit2_payment(scheme: str) -> None:
    """Reserved with its whole permit, signed for x402's own proxy, verified by the seller; the same bytes when repeated."""
    async with paying(payee=seller(scheme)) as kit:
        kit.payee.faults = ["http_500"]
        one = {CONTEXT: {"purchase_id": "order-1"}}
        with pytest.raises(OutcomeUnknownError):
            await kit.client.get("/paid", extensions=one)
        assert (await kit.client.get("/paid", extensions=one)).status_code == 200
        assert kit.payee.charged == 50 and len(set(kit.payee.presented)) == 1
        sent = json.loads(base64.b64decode(kit.payee.presented[0]))["payload"]["permit2Authorization"]
        assert sent["spender"] == (UPTO_PROXY if scheme == "upto" else EXACT_PROXY)
        assert sent["witness"].get("facilitator") == (FACILITATOR if scheme == "upto" else None)
        await kit.payer.flush()
        (reserved, *_) = await finance_events(kit.journal)
        assert isinstance(reserved, events.PaymentReserved)
        assert int(reserved.nonce, 16) == int(sent["nonce"]) and reserved.transfer_method == "permit2"
        async with paying(payee=kit.payee, journal=kit.journal, clock=kit.clock, seed="later") as later:
            assert (await later.client.get("/paid", extensions=one)).status_code == 200
        assert len(set(kit.payee.presented)) == 1


async def test_eip3009_is_preferred() -> None:
    """Of one price by three ways, the plainest is taken; `upto` only when nothing else is offered."""
    payee = seller("upto")
    plain = Payee().requirements
    by_permit = seller().requirements
    payee.terms = wire.offer((payee.requirements, by_permit, plain))
    payee.requirements = plain
    async with paying(payee=payee) as kit:
        await kit.client.get("/paid")
        assert "authorization" in json.loads(base64.b64decode(payee.presented[0]))["payload"]


@pytest.mark.parametrize("claims", [0, 20])
async def test_upto_counts_the_maximum_until_nothing_more_can_be_taken(claims: int) -> None:
    """The seller says that it took less. Its word frees nothing until the permit is dead; then what it said is booked."""
    payee = seller("upto")
    payee.takes = payee.claims = claims
    policy = msgspec.structs.replace(OPEN_POLICY, session_spend_cap_micro=99)
    async with paying(payee=payee, policy=policy) as kit:
        answer = await kit.client.get("/paid", extensions={CONTEXT: {"purchase_id": "p"}})
        assert answer.extensions[RECEIPT].state == "settled"
        state = kit.payer.purse(LOCAL).state
        assert (state.outstanding_micro, state.settled_micro) == (50, 0)
        with pytest.raises(PolicyDeniedError):
            await kit.client.get("/paid?2")
        assert (await kit.client.get("/paid", extensions={CONTEXT: {"purchase_id": "p"}})).status_code == 200
        assert len(set(payee.presented)) == 1
        kit.clock.advance_us(EXPIRED_US)
        payee.now_s = lambda: kit.clock.now_us() // 1_000_000
        with pytest.raises(AlreadyPaidError):
            await kit.client.get("/paid", extensions={CONTEXT: {"purchase_id": "p"}})
        assert (await kit.client.get("/paid?2")).status_code == 200
        assert state.settled_micro == claims
        await kit.payer.flush()
        assert same_state(state, await replayed(kit.journal))


async def test_upto_and_a_seller_that_says_nothing_or_nonsense() -> None:
    """No amount, more than the maximum, or no number: the maximum is booked."""
    for claimed in (None, 51, 50):
        payee = seller("upto")
        payee.claims = claimed
        async with paying(payee=payee) as kit:
            await kit.client.get("/paid")
            assert kit.payer.purse(LOCAL).state.settled_micro == 50


@pytest.mark.parametrize(("chain", "booked"), [("used", 50), ("unused", 0)])
async def test_a_seller_that_lies_about_what_it_took(chain: str, booked: int) -> None:
    """It says zero, and the chain shows a burnt nonce: the maximum is booked. It says twenty, and the nonce is unused when
    the permit is dead: nothing is."""

    async def look(network: str, asset: str, payer: str, nonce: bytes) -> str:
        assert (network, asset, payer, len(nonce)) == (LOCAL, PERMIT2, ADDRESS, 32)
        return chain

    payee = seller("upto")
    payee.takes, payee.claims = 0, 0 if chain == "used" else 20
    async with paying(payee=payee, chain=look) as kit:  # type: ignore[arg-type]
        await kit.client.get("/paid")
        kit.clock.advance_us(EXPIRED_US)
        await kit.payer.reconcile()
        state = kit.payer.purse(LOCAL).state
        assert (state.outstanding_micro, state.settled_micro) == (0, booked)


@pytest.mark.parametrize(("allowed", "brings"), [(0, True), (49, True), (50, False)])
async def test_the_allowance_comes_along_when_it_is_missing(allowed: int, brings: bool) -> None:
    """A seller that sends EIP-2612 permits along gets one for exactly the amount, to Permit2 and nobody else; the rest of its
    extension is echoed as it was."""
    offered: dict[str, object] = {
        "eip2612GasSponsoring": {"info": {"description": "gas is on us", "version": "1"}, "schema": {"a": 1}}
    }
    payee = seller(extensions=offered)

    async def look(network: str, asset: str, owner: str) -> Allowance:
        return Allowance(allowed, 7)

    clock = ManualClock()
    payer = Payer(
        journal=MemoryJournal(),
        custody=wallet(clock),
        clock=clock,
        entropy=SeededEntropy("allowance"),
        agent_id=AGENT,
        policy=OPEN_POLICY,
        allowances=look,
    )
    async with payer:
        transport = AsyncPayingTransport(payer, httpx2.ASGITransport(payee))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            payee.faults = ["http_500"]
            with pytest.raises(OutcomeUnknownError):
                await client.get("/paid")
            await client.get("/paid")
    assert len(set(payee.presented)) == 1, "the allowance, too, is the same when it is repeated"
    (permit,) = payee.permits
    echoed = json.loads(base64.b64decode(payee.presented[0]))["extensions"]["eip2612GasSponsoring"]
    assert echoed["schema"] == {"a": 1} and echoed["info"]["description"] == "gas is on us"
    if not brings:
        assert permit is None and echoed == offered["eip2612GasSponsoring"]
        return
    assert isinstance(permit, SignedPermit)
    assert (permit.permit.spender, permit.permit.value_atomic, permit.permit.nonce) == (PERMIT2, 50, 7)
    assert permit.permit.from_address == ADDRESS


async def test_a_wallet_that_signs_no_permits() -> None:
    """Such offers are not taken, and the words say why."""
    from life.aios.ports.custody import Capabilities
    from life.haima.errors import NoAcceptableTermsError

    class Plain:
        def __init__(self, clock: ManualClock) -> None:
            self._inner = wallet(clock)

        def __getattr__(self, name: str) -> object:
            return getattr(self._inner, name)

        def capabilities(self) -> Capabilities:
            has = self._inner.capabilities()
            return msgspec.structs.replace(has, operations=has.operations - {"sign_permit"})

    clock = ManualClock()
    payer = Payer(
        journal=MemoryJournal(),
        custody=Plain(clock),  # type: ignore[arg-type]
        clock=clock,
        entropy=SeededEntropy(),
        agent_id=AGENT,
        policy=PaymentPolicy(),
    )
    async with payer:
        transport = AsyncPayingTransport(payer, httpx2.ASGITransport(seller()))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            with pytest.raises(NoAcceptableTermsError, match="Permit2"):
                await client.get("/paid")


# --- signing in ----------------------------------------------------------------------------------------------------------


class Club:
    """A seller that lets wallets in that have paid."""

    def __init__(self, clock: ManualClock, domain: str = "localhost") -> None:
        self.payee = Payee(now_s=lambda: clock.now_us() // 1_000_000)
        self.clock = clock
        self.domain = domain
        self.members: set[str] = set()
        self.proofs: list[str] = []
        info = {
            "domain": domain,
            "uri": f"http://{domain}/paid",
            "version": "1",
            "nonce": "abcdef0123456789",
            "issuedAt": "2025-11-20T07:03:00Z",
            "statement": "Come in.",
        }
        challenge = {"info": info, "supportedChains": [{"chainId": LOCAL, "type": "eip191"}], "schema": {}}
        self.payee.terms = wire.offer((self.payee.requirements,), extensions={"sign-in-with-x": challenge})  # type: ignore[dict-item]

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}  # type: ignore[index]
        proof = headers.get(SIGN_IN_HEADER.lower())
        if proof is not None:
            self.proofs.append(proof)
            who = check_proof(
                decode_proof(proof),
                origin=origin_of("http://localhost"),
                networks=frozenset((LOCAL,)),
                now_us=self.clock.now_us(),
            )
            if who in self.members:
                await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
                await send({"type": "http.response.body", "body": b"welcome back"})  # type: ignore[operator]
                return
        await self.payee(scope, receive, send)  # type: ignore[arg-type]


@pytest.mark.parametrize("member", [True, False], ids=["let-in", "not-let-in"])
async def test_signing_in_where_it_has_paid(member: bool) -> None:
    """The first visit is paid and tells nobody who asks; the second signs in, and pays only when that is not enough."""
    clock = ManualClock()
    club = Club(clock)
    async with paying(clock=clock) as kit:
        transport = AsyncPayingTransport(kit.payer, httpx2.ASGITransport(club))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await client.get("/paid")
            assert club.payee.charged == 50 and club.proofs == []
            if member:
                club.members.add(ADDRESS)
            again = await client.get("/paid")
            assert len(club.proofs) == 1
            assert (again.content, club.payee.charged) == ((b"welcome back", 50) if member else (b"goods", 100))
        await kit.payer.flush()
        assert (await kinds(kit.journal)).count("PaymentReserved") == (1 if member else 2)


async def test_nothing_is_signed_for_another_origin() -> None:
    """A challenge for another domain is not answered: the proof could be carried there."""
    clock = ManualClock()
    club = Club(clock, domain="bank.example")
    async with paying(clock=clock) as kit:
        transport = AsyncPayingTransport(kit.payer, httpx2.ASGITransport(club))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for _ in range(2):
                assert (await client.get("/paid")).status_code == 200
    assert club.proofs == [] and club.payee.charged == 100


INFO: dict[str, Json] = {
    "domain": "a.example",
    "uri": "https://a.example/x",
    "nonce": "abcdefgh",
    "issuedAt": "2025-11-20T07:03:00Z",
}


def info(**changes: Json) -> dict[str, Json]:
    """The challenge's fields, changed."""
    return {**INFO, **changes}


CHAINS: list[Json] = [{"chainId": LOCAL, "type": "eip191"}]


@pytest.mark.parametrize(
    "challenge",
    [
        {},
        {"info": []},
        {"info": INFO},
        {"info": INFO, "supportedChains": [{"chainId": "eip155:1", "type": "eip191"}]},
        {"info": INFO, "supportedChains": [{"chainId": LOCAL, "type": "ed25519"}]},
        {"info": info(version="2"), "supportedChains": CHAINS},
        {"info": info(nonce="short"), "supportedChains": CHAINS},
        {"info": info(nonce="with\nlines12"), "supportedChains": CHAINS},
        {"info": info(statement="two\nlines"), "supportedChains": CHAINS},
        {"info": info(uri="https://b.example/x"), "supportedChains": CHAINS},
        {"info": info(domain="b.example"), "supportedChains": CHAINS},
        {"info": info(issuedAt=5), "supportedChains": CHAINS},
        {"info": info(resources="x"), "supportedChains": CHAINS},
    ],
)
def test_challenges_that_are_not_answered(challenge: JsonObject) -> None:
    """Malformed ones, other versions and chains, other origins, and text that would change its lines."""
    assert unsigned_proof(challenge, url="https://a.example/x", address=ADDRESS, networks=(LOCAL,)) is None


async def test_the_text_is_eip_4361s() -> None:
    """A good challenge gives the text that wallets know, and its signature is the wallet's."""
    proof = unsigned_proof(
        {"info": INFO, "supportedChains": CHAINS},
        url="https://a.example/x",
        address=ADDRESS,
        networks=(LOCAL,),
    )
    assert proof is not None
    text = proof.message()
    assert text.startswith(f"a.example wants you to sign in with your Ethereum account:\n{ADDRESS}\n\n")
    assert "Chain ID: 4020402\nNonce: abcdefgh\nIssued At: 2025-11-20T07:03:00Z" in text
    signature = await wallet(ManualClock()).sign_message(text.encode())
    assert recover_address(personal_message_digest(text.encode()), signature) == bytes.fromhex(ADDRESS[2:])
