"""The Coinbase facilitator against a stand-in that checks every token as the documentation asks for.

The stand-in is the scripted facilitator behind CDP's front door: each request needs a JWT for its own method and path, signed by
the key whose id it names, not expired and never seen before. It is not Coinbase.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from life.aios.errors import InvalidInputError
from life.haima.errors import FacilitatorUnavailableError, OutcomeUnknownError
from life.haima.facilitator.coinbase_cdp import CdpCredentials, CdpFacilitator
from life.haima.x402 import wire
from life.haima.x402.networks import LOCAL
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.scripted_facilitator import ScriptedFacilitator
from tests.haima.shop import OFFER, Shop

BASE = "platform/v2/x402"
KEY_ID = "organizations/1/apiKeys/2"
TERMS = OFFER.requirements

_ec = ec.generate_private_key(ec.SECP256R1())
_ed = ed25519.Ed25519PrivateKey.generate()


def pem(key: ec.EllipticCurvePrivateKey, *, pkcs8: bool = False) -> str:
    """As the portal hands it out, or as PKCS#8."""
    form = serialization.PrivateFormat.PKCS8 if pkcs8 else serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def ed25519_secret(key: ed25519.Ed25519PrivateKey) -> str:
    """Base64 of seed and public key."""
    raw = serialization.Encoding.Raw
    seed = key.private_bytes(raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    return base64.b64encode(seed + key.public_key().public_bytes(raw, serialization.PublicFormat.Raw)).decode()


def pem_of(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> bytes:
    """The public half, as PyJWT reads it."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


class CdpStandIn(ScriptedFacilitator):
    """CDP's front door."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(LOCAL)
        self.clock = clock
        self.seen: set[str] = set()
        self.refusals: list[str] = []

    def answer(self, endpoint: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes] | None:
        """401 unless the token is in order."""
        folder, _, name = endpoint.rpartition("/")
        try:
            assert folder == BASE, "another path"
            self._check(name, {key.lower(): value for key, value in headers.items()})
        except (AssertionError, jwt.InvalidTokenError, KeyError) as error:
            self.refusals.append(f"{type(error).__name__}: {error}")
            return 401, b'{"errorType":"unauthorized","errorMessage":"The token is not valid."}'
        return super().answer(name, body, headers)

    def _check(self, name: str, headers: dict[str, str]) -> None:
        scheme, _, token = headers["authorization"].partition(" ")
        header = jwt.get_unverified_header(token)
        assert scheme == "Bearer"
        assert header["kid"] == KEY_ID
        assert header["typ"] == "JWT"
        assert header["nonce"] not in self.seen, "a token is good for one request"
        self.seen.add(header["nonce"])
        known = {"ES256": pem_of(_ec.public_key()), "EdDSA": pem_of(_ed.public_key())}
        claims = jwt.decode(
            token, known[header["alg"]], [header["alg"]], options={"verify_exp": False, "verify_nbf": False}
        )
        now_s = self.clock.now_us() // 1_000_000
        assert (claims["sub"], claims["iss"]) == (KEY_ID, "cdp")
        assert claims["nbf"] <= now_s < claims["exp"] <= claims["nbf"] + 120
        method = "GET" if name == "supported" else "POST"
        assert claims["uris"] == [f"{method} {headers['host']}/{BASE}/{name}"]


@pytest.fixture
async def stand_in() -> AsyncIterator[CdpStandIn]:
    with CdpStandIn(ManualClock()) as standing:
        yield standing


def facilitator(stand_in: CdpStandIn, secret: str) -> CdpFacilitator:
    return CdpFacilitator(
        CdpCredentials(KEY_ID, secret),
        stand_in.clock,
        SeededEntropy("cdp"),
        url=f"{stand_in.url}/{BASE}",
        timeout_s=1.0,
    )


def payment() -> wire.PaymentPayload:
    return wire.decode_payment_signature(Shop().pay(1))


@pytest.mark.parametrize(
    "secret",
    [pem(_ec), pem(_ec, pkcs8=True), pem(_ec).replace("\n", "\\n"), ed25519_secret(_ed)],
    ids=["pem", "pkcs8", "one-line pem", "ed25519"],  # never the key itself: it is another one in every process
)
async def test_every_request_is_signed_for_itself(stand_in: CdpStandIn, secret: str) -> None:
    """Both kinds of key, in every spelling the portal and shells give them: verify, settle and supported are let in."""
    remote = facilitator(stand_in, secret)
    try:
        assert (await remote.verify(payment(), TERMS)).is_valid
        assert (await remote.settle(payment(), TERMS)).success
        assert (await remote.supported()).kinds[0].network == LOCAL
        assert len(stand_in.seen) == 3
        assert stand_in.refusals == []
    finally:
        await remote.aclose()


async def test_a_wrong_key_is_an_unavailable_facilitator_and_moves_nothing(stand_in: CdpStandIn) -> None:
    """401 says that nothing was sent to the chain: no payment is in doubt, none is refused."""
    remote = facilitator(stand_in, pem(ec.generate_private_key(ec.SECP256R1())))
    try:
        with pytest.raises(FacilitatorUnavailableError):
            await remote.verify(payment(), TERMS)
        with pytest.raises(FacilitatorUnavailableError):
            await remote.settle(payment(), TERMS)
        assert not stand_in.moved
        assert stand_in.refusals
    finally:
        await remote.aclose()


async def test_pending_as_500_is_reconciled_by_the_identical_resend(stand_in: CdpStandIn) -> None:
    """x402.md §12 row 8: the body counts, not the status; the same bytes go again, under a fresh token."""
    stand_in.script("settle", "pending 500", "pending 500")
    remote = facilitator(stand_in, ed25519_secret(_ed))

    async def let_time_pass() -> None:
        while True:
            await asyncio.sleep(0.01)
            stand_in.clock.advance_us(3_000_000)

    passing = asyncio.create_task(let_time_pass())
    try:
        settled = await remote.settle(payment(), TERMS)
    finally:
        passing.cancel()
        await remote.aclose()
    assert settled.success
    bodies = [body for name, body in stand_in.calls if name == "settle"]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1
    assert len(stand_in.moved) == 1


@pytest.mark.parametrize("step", ["moves and hangs up", "status 502", "status 500", "silent"])
async def test_an_answer_that_got_lost_is_never_a_refusal(stand_in: CdpStandIn, step: str) -> None:
    """x402.md §12 rows 3 and 10: the outcome is unknown; asking again with the same payment finds it."""
    stand_in.script("settle", step)
    remote = facilitator(stand_in, pem(_ec))
    try:
        with pytest.raises(OutcomeUnknownError):
            await remote.settle(payment(), TERMS)
        assert (await remote.settle(payment(), TERMS)).success
        assert sum(stand_in.moved.values()) == 1
    finally:
        await remote.aclose()


async def test_a_busy_facilitator_is_unavailable(stand_in: CdpStandIn) -> None:
    """429 is no word about the payment."""
    stand_in.script("settle", "status 429")
    remote = facilitator(stand_in, pem(_ec))
    try:
        with pytest.raises(FacilitatorUnavailableError):
            await remote.settle(payment(), TERMS)
    finally:
        await remote.aclose()


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "nonsense",
        base64.b64encode(b"short").decode(),
        base64.b64encode(bytes(64)).decode(),
        pem(ec.generate_private_key(ec.SECP384R1())),
        "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----",
    ],
)
def test_a_key_that_can_not_sign_is_refused_without_being_shown(secret: str) -> None:
    """At the start, with a sentence that has nothing of the secret in it."""
    with pytest.raises(InvalidInputError) as refused:
        CdpCredentials(KEY_ID, secret)
    assert not secret or secret not in str(refused.value)
    assert refused.value.__cause__ is None


def test_credentials_come_from_the_environment_and_stay_out_of_sight() -> None:
    """Both variables are named when they are missing; a repr shows the id only."""
    with pytest.raises(InvalidInputError, match="CDP_API_KEY_ID and CDP_API_KEY_SECRET"):
        CdpCredentials.from_environment({})
    secret = ed25519_secret(_ed)
    credentials = CdpCredentials.from_environment({"CDP_API_KEY_ID": KEY_ID, "CDP_API_KEY_SECRET": secret})
    assert repr(credentials) == f"<CdpCredentials {KEY_ID}>"
