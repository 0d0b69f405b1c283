"""Signing in with a wallet that has paid: what is let in, what is not, once per proof, after a restart, by the official client."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError, PaymentError
from life.aios.record import format_timestamp
from life.crypto.eip191 import personal_message_digest
from life.crypto.secp256k1 import sign_recoverable
from life.haima import events
from life.haima.x402 import wire
from life.haima.x402.middleware import X402Middleware
from life.haima.x402.networks import LOCAL
from life.haima.x402.paid_routes import Route, Routes
from life.haima.x402.sign_in import Proof, SignIn, check_proof, origin_of
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE, PAYER, STRANGER_KEY, with_high_s
from tests.haima.loopback import free_listener, served
from tests.haima.shop import PRICE, PRICE_ATOMIC, Shop, error_of, plain_app
from tests.peers.processes import node, run_client

PAYER_KEY = bytes.fromhex("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")
ROUTES: Routes = {
    "/goods": Route(PRICE, sign_in=SignIn(access_s=3600, statement="Sign in to the test shop.")),
    "/other": PRICE,
}
BASE_URL = "http://shop.test"
NOW_US = 1_700_000_000_000_000


def challenge_of(answer: httpx2.Response) -> dict[str, Any]:
    """The challenge in a 402."""
    terms = wire.decode_payment_required(answer.headers["payment-required"])
    challenge: dict[str, Any] = wire.read_extensions(terms.extensions)["sign-in-with-x"]  # type: ignore[assignment]
    return challenge


def proof_of(challenge: dict[str, Any], key: bytes = PAYER_KEY, address: str = PAYER, **changes: Any) -> Proof:
    """The signed proof for a challenge; changes are signed, too."""
    chain = challenge["supportedChains"][0]
    fields = {**challenge["info"], "chainId": chain["chainId"], "type": chain["type"], "address": address, **changes}
    unsigned = Proof(
        domain=fields["domain"],
        address=fields["address"],
        uri=fields["uri"],
        version=fields["version"],
        chain_id=fields["chainId"],
        type=fields["type"],
        nonce=fields["nonce"],
        issued_at=fields["issuedAt"],
        signature="",
        statement=fields.get("statement"),
        expiration_time=fields.get("expirationTime"),
        not_before=fields.get("notBefore"),
        resources=tuple(fields["resources"]) if fields.get("resources") is not None else None,
    )
    signature = sign_recoverable(personal_message_digest(unsigned.message().encode()), bytearray(key))
    return _signed(unsigned, signature)


def _signed(proof: Proof, signature: bytes) -> Proof:
    fields = {name: getattr(proof, name) for name in Proof.__struct_fields__}
    return Proof(**{**fields, "signature": "0x" + signature.hex()})


def header_of(proof: Proof) -> str:
    """SIGN-IN-WITH-X."""
    names = {"chain_id": "chainId", "issued_at": "issuedAt", "expiration_time": "expirationTime"}
    names |= {"not_before": "notBefore", "request_id": "requestId"}
    document = {
        names.get(name, name): getattr(proof, name)
        for name in Proof.__struct_fields__
        if getattr(proof, name) is not None
    }
    return base64.b64encode(json.dumps(document).encode()).decode()


async def visit(shop: Shop, proof: Proof | str, path: str = "/goods") -> httpx2.Response:
    """A request that signs in."""
    header = proof if isinstance(proof, str) else header_of(proof)
    return await shop.client.get(path, headers={"SIGN-IN-WITH-X": header})


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A shop with sign-in, whose payer has money."""
    made = Shop(app=plain_app, routes=ROUTES, base_url=BASE_URL)
    await made.fund()
    yield made
    await made.aclose()


async def test_challenge_is_fresh_and_complete(shop: Shop) -> None:
    """Every 402 has a challenge of its own: domain, URI, a nonce of 128 bits, the time, and the chains that can be paid on."""
    first, second = challenge_of(await shop.get("/goods")), challenge_of(await shop.get("/goods"))
    assert first["info"]["nonce"] != second["info"]["nonce"]
    assert len(first["info"]["nonce"]) == 32
    assert first["info"] == {
        "domain": "shop.test",
        "uri": "http://shop.test/goods",
        "version": "1",
        "nonce": first["info"]["nonce"],
        "issuedAt": format_timestamp(shop.clock.now_us()),
        "expirationTime": format_timestamp(shop.clock.now_us() + 300_000_000),
        "resources": ["http://shop.test/goods"],
        "statement": "Sign in to the test shop.",
    }
    assert first["supportedChains"] == [{"chainId": LOCAL, "type": "eip191"}]
    other = wire.decode_payment_required((await shop.get("/other")).headers["payment-required"])
    assert "sign-in-with-x" not in wire.read_extensions(other.extensions)


async def test_who_paid_comes_back_without_paying(shop: Shop) -> None:
    """After one payment the wallet is let in again by a proof, as often as it signs a new one, until the access is over."""
    seen: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["x402"])
        await plain_app(scope, receive, send)

    mine = Shop(app=app, routes=ROUTES, base_url=BASE_URL, journal=shop.journal, clock=shop.clock, entropy_seed="mine")
    before = await visit(mine, proof_of(challenge_of(await mine.get("/goods"))))
    assert (before.status_code, error_of(before)) == (402, "siwx_not_paid")
    assert (await mine.get("/goods", mine.pay(1))).status_code == 200
    for _ in range(2):
        again = await visit(mine, proof_of(challenge_of(await mine.get("/goods"))))
        assert (again.status_code, again.content) == (200, b"goods")
        assert again.headers["cache-control"] == "private"
        assert "payment-response" not in again.headers
    visitor = seen[-1]
    assert (visitor.address, visitor.resource) == (PAYER, "GET /goods")  # type: ignore[attr-defined]
    assert await mine.earned() == await mine.booked() == PRICE_ATOMIC
    mine.clock.advance_us(3600 * 1_000_000)
    over = await visit(mine, proof_of(challenge_of(await mine.get("/goods"))))
    assert (over.status_code, error_of(over)) == (402, "siwx_not_paid")
    await mine.get("/goods", mine.pay(2))
    assert (await visit(mine, proof_of(challenge_of(await mine.get("/goods"))))).status_code == 200
    await mine.aclose()


async def test_proof_is_good_once(shop: Shop) -> None:
    """A nonce is used once: at the same time, later, and in another process over the same journal."""
    await shop.get("/goods", shop.pay(1))
    other = Shop(
        app=plain_app, routes=ROUTES, base_url=BASE_URL, journal=shop.journal, clock=shop.clock, entropy_seed="other"
    )
    proof = proof_of(challenge_of(await shop.get("/goods")))
    answers = await asyncio.gather(*(visit(each, proof) for each in (shop, other) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200] + [402] * 9
    later = await visit(other, proof)
    assert (later.status_code, error_of(later)) == (402, "invalid_siwx_nonce")
    assert sum(isinstance(event, events.SignedIn) for event in await shop.events()) == 1
    await other.aclose()


async def test_access_is_to_one_resource_and_method(shop: Shop) -> None:
    """What was paid with GET opens GET of this path and nothing else."""
    await shop.get("/goods", shop.pay(1))
    proof = header_of(proof_of(challenge_of(await shop.get("/goods"))))
    posted = await shop.client.post("/goods", headers={"SIGN-IN-WITH-X": proof})
    assert posted.status_code == 402
    assert (await visit(shop, proof, "/other")).status_code == 402
    assert (await visit(shop, proof)).status_code == 200


async def test_failed_sale_opens_nothing() -> None:
    """A payment that was never settled opens nothing."""

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    shop = Shop(app=broken, routes=ROUTES, base_url=BASE_URL)
    await shop.fund()
    await shop.get("/goods", shop.pay(1))
    answer = await visit(shop, proof_of(challenge_of(await shop.get("/goods"))))
    assert error_of(answer) == "siwx_not_paid"
    assert not any(isinstance(event, events.AccessGranted) for event in await shop.events())
    await shop.aclose()


WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "another domain": ("invalid_siwx_domain_mismatch", {"domain": "evil.test"}),
    "another origin": ("invalid_siwx_uri_mismatch", {"uri": "https://shop.test/goods"}),
    "no URI": ("invalid_siwx_uri_mismatch", {"uri": "goods"}),
    "no time": ("invalid_siwx_issued_at", {"issuedAt": "yesterday"}),
    "no time zone": ("invalid_siwx_issued_at", {"issuedAt": "2024-01-01T00:00:00"}),
    "too old": ("invalid_siwx_issued_at_too_old", {"issuedAt": "2020-01-01T00:00:00Z"}),
    "of the future": ("invalid_siwx_issued_at_in_future", {"issuedAt": "2999-01-01T00:00:00Z"}),
    "expired": ("invalid_siwx_expired", {"expirationTime": "2020-01-01T00:00:00Z"}),
    "bad expiration": ("invalid_siwx_expiration_time", {"expirationTime": "soon"}),
    "not yet": ("invalid_siwx_not_yet_valid", {"notBefore": "2999-01-01T00:00:00Z"}),
    "bad start": ("invalid_siwx_not_before", {"notBefore": "later"}),
    "short nonce": ("invalid_siwx_nonce", {"nonce": "abc"}),
    "odd nonce": ("invalid_siwx_nonce", {"nonce": "aaaaaaaa-bbbb"}),
    "another chain": ("invalid_siwx_unsupported_chain", {"chainId": "eip155:1"}),
    "another version": ("invalid_siwx_unsupported_chain", {"version": "2"}),
    "another kind": ("invalid_siwx_unsupported_chain", {"type": "ed25519"}),
}


@pytest.mark.parametrize("case", WRONG)
async def test_wrong_proofs_are_refused_with_the_official_codes(shop: Shop, case: str) -> None:
    """Each check has its code, none of them uses the nonce up, and the 402 carries the terms."""
    code, changes = WRONG[case]
    await shop.get("/goods", shop.pay(1))
    answer = await visit(shop, proof_of(challenge_of(await shop.get("/goods")), **changes))
    assert (answer.status_code, error_of(answer)) == (402, code)
    assert not any(isinstance(event, events.SignedIn) for event in await shop.events())


async def test_somebody_elses_signature_lets_nobody_in(shop: Shop) -> None:
    """A forged, malleable or foreign signature; and a wallet that has not paid."""
    await shop.get("/goods", shop.pay(1))
    challenge = challenge_of(await shop.get("/goods"))
    good = proof_of(challenge)
    signature = bytes.fromhex(good.signature[2:])
    for wrong in (
        proof_of(challenge, STRANGER_KEY),
        _signed(good, with_high_s(signature)),
        _signed(good, signature[:64]),
        _signed(good, bytes(65)),
        _signed(good, b""),
    ):
        answer = await visit(shop, wrong)
        assert (answer.status_code, error_of(answer)) == (402, "invalid_siwx_signature")
    stranger = proof_of(challenge, STRANGER_KEY, "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")
    assert error_of(await visit(shop, stranger)) == "siwx_not_paid"
    assert (await visit(shop, good)).status_code == 200


@pytest.mark.parametrize("header", ["%%%", "bm8=", base64.b64encode(b"[]").decode(), base64.b64encode(b"{}").decode()])
async def test_garbage_is_malformed(shop: Shop, header: str) -> None:
    """What can't be read is 400."""
    assert (await visit(shop, header)).status_code == 400


async def test_lines_cannot_be_smuggled_in(shop: Shop) -> None:
    """A field with a line break would let one text mean two things; it is malformed."""
    challenge = challenge_of(await shop.get("/goods"))
    proof = proof_of(challenge)
    fields = {name: getattr(proof, name) for name in Proof.__struct_fields__}
    for name in ("statement", "issued_at", "uri"):
        evil = Proof(**{**fields, name: fields[name] + "\nNonce: other"})
        answer = await visit(shop, evil)
        assert answer.status_code in (400, 402)
        assert answer.status_code == 400 or error_of(answer) != "siwx_not_paid"


def test_text_is_that_of_eip_4361() -> None:
    """The text that is signed, line by line, with and without the optional parts (EIP-4361's own layout)."""
    proof = Proof(
        domain="service.invalid",
        address="0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2",
        uri="https://service.invalid/login",
        version="1",
        chain_id="eip155:1",
        type="eip191",
        nonce="32891756",
        issued_at="2021-09-30T16:25:24Z",
        signature="",
        statement="I accept the ServiceOrg Terms of Service: https://service.invalid/tos",
        resources=(
            "ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/",
            "https://example.com/my-web2-claim.json",
        ),
    )
    assert proof.message() == (
        "service.invalid wants you to sign in with your Ethereum account:\n"
        "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2\n"
        "\n"
        "I accept the ServiceOrg Terms of Service: https://service.invalid/tos\n"
        "\n"
        "URI: https://service.invalid/login\n"
        "Version: 1\n"
        "Chain ID: 1\n"
        "Nonce: 32891756\n"
        "Issued At: 2021-09-30T16:25:24Z\n"
        "Resources:\n"
        "- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/\n"
        "- https://example.com/my-web2-claim.json"
    )
    bare = Proof(
        **{**{name: getattr(proof, name) for name in Proof.__struct_fields__}, "statement": None, "resources": None}
    )
    assert bare.message().startswith(
        "service.invalid wants you to sign in with your Ethereum account:\n"
        "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2\n\n\nURI: https://service.invalid/login\n"
    )


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries({name: st.text(max_size=40) for name in Proof.__struct_fields__ if name != "resources"}))
def test_no_text_breaks_the_check(fields: dict[str, str]) -> None:
    """Whatever stands in a proof, it is refused with one of our errors."""
    with pytest.raises(PaymentError):
        check_proof(
            Proof(**cast("Any", fields)), origin=origin_of(BASE_URL), networks=frozenset({LOCAL}), now_us=NOW_US
        )


def test_sign_in_needs_an_address_and_a_fixed_price() -> None:
    """The Host header is the client's word; and a cheap request must not open a dear one."""
    with pytest.raises(InvalidInputError, match="public address"):
        Shop(app=plain_app, routes=ROUTES)
    computed: Routes = {"/goods": Route(lambda scope: PRICE, sign_in=SignIn())}
    with pytest.raises(InvalidInputError, match="fixed price"):
        Shop(app=plain_app, routes=computed, base_url=BASE_URL)


@pytest.mark.part("npm-peers", "node")
async def test_official_client_signs_in() -> None:
    """npm @x402/extensions: after a payment its client is let in by our challenge, over real HTTP; before, it is not."""
    clock, entropy = SystemClock(), SystemEntropy()
    listener = free_listener()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    shop = Shop(journal=MemoryJournal(), app=plain_app, routes=ROUTES, base_url=BASE_URL)
    app = X402Middleware(
        plain_app,
        routes={"/goods": Route(PRICE, sign_in=SignIn(statement="Sign in, please."))},
        pay_to=PAYEE,
        network=LOCAL,
        facilitator=shop.facilitator,
        journal=shop.journal,
        clock=clock,
        entropy=entropy,
        base_url=url,
        sole_server=True,
    )
    key = "0x" + PAYER_KEY.hex()

    def sign_in() -> int:
        return run_client(node("sign_in_client.mjs", url=url + "/goods", key=key)).status

    await shop.fund()
    grants = app.till._sign_ins
    assert grants is not None
    async with served(app, listener):
        assert await asyncio.to_thread(sign_in) == 402
        until_s = clock.now_us() // 1_000_000 + 600
        await grants.grant("GET /goods", PAYER, payment_id="payment", until_s=until_s)
        assert await asyncio.to_thread(sign_in) == 200
    await shop.aclose()
