"""Which offer of a 402 is taken, and what is said when none can be."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.haima.errors import NoAcceptableTermsError
from life.haima.x402 import wire
from life.haima.x402.networks import BASE, BASE_SEPOLIA, BUILT_IN, PLAY_MONEY, USDC_BASE, USDC_BASE_SEPOLIA, KnownToken
from life.haima.x402.terms import Terms, TermsPreference, choose_terms

PAYEE = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"


def offer(token: KnownToken = USDC_BASE, /, **changes: object) -> dict[str, object]:
    """One offer, as JSON."""
    fields: dict[str, object] = {
        "scheme": "exact",
        "network": token.network,
        "amount": "100",
        "asset": token.address,
        "payTo": PAYEE,
        "maxTimeoutSeconds": 300,
        "extra": {"name": token.name, "version": token.version},
    }
    return {**fields, **changes}


def choose(*offers: object, preference: TermsPreference | None = None, allowed: tuple[str, ...] | None = None) -> Terms:
    """What is chosen of these offers."""
    body = json.dumps({"x402Version": 2, "accepts": list(offers)}).encode()
    required = wire.decode_payment_required(base64.b64encode(body).decode())
    return choose_terms(required, BUILT_IN, preference or TermsPreference(), allowed_networks=allowed)


def test_the_cheapest_known_offer_is_taken() -> None:
    """Without a preference the payee's order does not matter, the price does."""
    chosen = choose(offer(amount="300"), offer(USDC_BASE_SEPOLIA, amount="200"), offer(PLAY_MONEY, amount="250"))
    assert (chosen.requirements.network, chosen.amount_micro) == (BASE_SEPOLIA, 200)


def test_preferences_beat_price() -> None:
    """A preferred network is taken even if it costs more; then a preferred token."""
    both = (offer(amount="300"), offer(USDC_BASE_SEPOLIA, amount="200"))
    assert choose(*both, preference=TermsPreference(networks=(BASE,))).requirements.network == BASE
    wanted = TermsPreference(assets=(USDC_BASE.address.lower(),))
    assert choose(*both, preference=wanted).requirements.network == BASE


def test_an_allowed_network_beats_a_forbidden_one() -> None:
    """Among several, one that the policy allows; if there is none, one that it will refuse by name."""
    both = (offer(amount="100"), offer(USDC_BASE_SEPOLIA, amount="200"))
    assert choose(*both, allowed=(BASE_SEPOLIA,)).requirements.network == BASE_SEPOLIA
    assert choose(*both, allowed=("eip155:1",)).requirements.network == BASE


def test_payment_flows() -> None:
    """`authorization` is preferred, `upfront` is known, another flow is skipped."""
    extra = {"name": "USD Coin", "version": "2"}
    upfront = offer(amount="1", extra={**extra, "paymentFlow": "upfront"})
    escrow = offer(amount="1", extra={**extra, "paymentFlow": "escrow"})
    assert choose(upfront, offer(amount="90")).amount_atomic == 90
    assert choose(upfront, escrow).requirements.extra_text("paymentFlow") == "upfront"
    with pytest.raises(NoAcceptableTermsError, match="flow"):
        choose(escrow)


def test_an_unknown_token_is_chosen_last() -> None:
    """A token of unknown value is not cheaper than a known one, however small its number."""
    odd = offer(asset=PAYEE, amount="1")
    assert choose(odd, offer(amount="100")).amount_micro == 100
    chosen = choose(odd)
    assert chosen.domain is None and chosen.amount_micro is None


def test_the_offer_is_kept_verbatim() -> None:
    """What will be echoed is the very bytes of the offer, with keys that nobody knows."""
    chosen = choose(offer(somethingNew={"a": 1.5}))
    assert json.loads(bytes(chosen.accepted))["somethingNew"] == {"a": 1.5}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"scheme": "deferred"}, "scheme"),
        ({"scheme": "upto"}, "facilitatorAddress"),
        ({"scheme": "upto", "extra": {"assetTransferMethod": "eip3009"}}, "transfer method"),
        ({"network": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"}, "network"),
        ({"network": "base"}, "network"),
        ({"payTo": "merchant"}, "payTo"),
        ({"payTo": "0x" + "0" * 40}, "zero address"),
        ({"payTo": PAYEE.replace("F", "f", 1)}, "payTo"),
        ({"asset": "USD"}, "asset"),
        ({"amount": "0"}, "amount"),
        ({"amount": "-5"}, "amount"),
        ({"amount": "1.5"}, "amount"),
        ({"amount": "0x10"}, "amount"),
        ({"amount": str(2**256)}, "amount"),
        ({"maxTimeoutSeconds": 0}, "time"),
        ({"extra": {"name": "USDC", "version": "2"}}, "name"),
        ({"extra": {"name": "USD Coin", "version": "3"}}, "version"),
        ({"extra": {"assetTransferMethod": "erc7710"}}, "transfer method"),
        ({"amount": 5}, "can be read"),
    ],
    ids=str,
)
def test_what_can_not_be_taken(changes: dict[str, object], why: str) -> None:
    """Each obstacle is named; nothing is signed for it."""
    with pytest.raises(NoAcceptableTermsError, match=why):
        choose(offer(**changes))


def test_no_offer_at_all() -> None:
    """An empty list is an answer, too."""
    with pytest.raises(NoAcceptableTermsError):
        choose()


@given(st.permutations([100, 200, 300, 400]), st.integers(0, 3))
def test_the_choice_does_not_depend_on_the_order(amounts: list[int], split: int) -> None:
    """Property: any order of the same offers gives the same choice."""
    offers = [offer(USDC_BASE if index < split else PLAY_MONEY, amount=str(a)) for index, a in enumerate(amounts)]
    assert choose(*offers).amount_atomic == choose(*reversed(offers)).amount_atomic == 100
