"""Cards: signed by custody, verified by DID; what was changed, or signed by others, does not count."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.aios.json import Json
from life.anima.custody.in_process import InProcessAnima
from life.spaces.a2a.card import (
    MAX_CARD_BYTES,
    X402_EXTENSION,
    Profile,
    Skill,
    build_card,
    canonical_card,
    sign_card,
    verify_card,
)
from life.spaces.a2a.errors import CardRefusedError
from life.testing.clock import ManualClock
from tests.spaces.a2a.kit import FREE, PAID, PRIVATE, custody

PROFILE = Profile(
    "Ada", "Answers.", "1.0", "https://ada.example/a2a", (FREE, PAID, PRIVATE), audience="arcand", push=True
)
NESTED = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


async def signed() -> tuple[bytes, str]:
    """A signed card and its DID."""
    keys = custody(ManualClock())
    did = keys.capabilities().did
    assert did is not None
    return msgspec.json.encode(await sign_card(build_card(PROFILE), keys)), did


async def test_a_signed_card_is_its_signers() -> None:
    """The DID of the signature is told; the skills stand in it, private ones do not, prices stand in the x402 extension."""
    document, did = await signed()
    verified = verify_card(document, trusted=did.__eq__)
    assert verified.signer == did
    assert [skill.id for skill in verified.card.skills] == ["talk", "report"]
    (extension,) = verified.card.capabilities.extensions
    assert extension["uri"] == X402_EXTENSION
    assert extension["params"] == {"prices": {"report": "$0.01"}}
    extended = build_card(PROFILE, extended=True)
    assert isinstance(extended["skills"], list)
    assert len(extended["skills"]) == 3


async def test_every_change_of_a_member_is_noticed() -> None:
    """Each text of the card, changed by one letter, makes the signature bad."""
    document, did = await signed()
    card = json.loads(document)
    for name in ("name", "description", "version"):
        with pytest.raises(CardRefusedError):
            verify_card(msgspec.json.encode({**card, name: card[name] + "x"}), trusted=did.__eq__)
    moved = json.loads(document)
    moved["supportedInterfaces"][0]["url"] = "https://evil.example"
    with pytest.raises(CardRefusedError):
        verify_card(msgspec.json.encode(moved), trusted=did.__eq__)
    added = {**card, "iconUrl": "https://evil.example/icon"}
    with pytest.raises(CardRefusedError):
        verify_card(msgspec.json.encode(added), trusted=did.__eq__)


async def test_a_foreign_signature_is_refused_although_it_holds() -> None:
    """Signed by another key: authentic, and not by whom we trust. Beside a trusted one it does no harm."""
    document, did = await signed()
    other = InProcessAnima.from_seed(bytearray([9]) * 32, clock=ManualClock())
    card = json.loads(document)
    foreign = await sign_card(card, other)
    with pytest.raises(CardRefusedError):
        verify_card(msgspec.json.encode(foreign), trusted=did.__eq__)
    both = {**card, "signatures": [foreign["signatures"][0], card["signatures"][0]]}  # type: ignore[index]
    assert verify_card(msgspec.json.encode(both), trusted=did.__eq__).signer == did


@pytest.mark.parametrize(
    "change",
    [
        {"signatures": []},
        {"signatures": "yes"},
        {"signatures": [{}]},
        {"signatures": [{"protected": "!!", "signature": "!!"}]},
        {"signatures": [{"protected": "e30", "signature": "AA"}]},
        {"signatures": [1, None]},
        {"signatures": [{"protected": "eyJhbGciOiJub25lIn0", "signature": ""}]},
        {"signatures": [{"protected": "eyJhbGciOiJIUzI1NiIsImtpZCI6ImEifQ", "signature": "AA"}]},
        {"signatures": [{"protected": "e30", "signature": "AA"}] * 9},
        {"supportedInterfaces": "none"},
        {"name": 7},
    ],
)
async def test_malformed_cards_are_refused_and_nothing_breaks(change: dict[str, Json]) -> None:
    """Missing, empty, foreign and hostile signatures; members of the wrong kind."""
    document, did = await signed()
    with pytest.raises(CardRefusedError):
        verify_card(msgspec.json.encode({**json.loads(document), **change}), trusted=did.__eq__)


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{", b'{"name":"a","name":"b"}', b"\xff", b"[" * 100_000, b" " * (MAX_CARD_BYTES + 1)],
)
def test_what_is_no_card_is_refused(document: bytes) -> None:
    """No JSON, no object, a member twice, too deep, too large."""
    with pytest.raises(CardRefusedError):
        verify_card(document, trusted=lambda _did: True)


async def test_an_unsigned_card_is_read_only_when_that_is_allowed() -> None:
    """And a badly signed one is refused either way."""
    document, did = await signed()
    card = json.loads(document)
    bare = msgspec.json.encode({name: value for name, value in card.items() if name != "signatures"})
    with pytest.raises(CardRefusedError):
        verify_card(bare, trusted=did.__eq__)
    assert verify_card(bare, trusted=did.__eq__, required=False).signer is None
    with pytest.raises(CardRefusedError):
        verify_card(msgspec.json.encode({**card, "name": "x"}), trusted=did.__eq__, required=False)


async def test_a_card_that_custody_can_not_sign_is_refused_with_a_word() -> None:
    """Too large, and fractions, which canonical JSON writes otherwise than others."""
    keys = custody(ManualClock())
    many = tuple(Skill(id=f"s{number}", name="n" * 50, description="d" * 200) for number in range(40))
    with pytest.raises(InvalidInputError, match="at most"):
        await sign_card(build_card(PROFILE._replace(skills=many)), keys)


@given(NESTED, st.booleans())
def test_the_canonical_form_does_not_depend_on_order(value: Any, drop: bool) -> None:
    """Members in any order give the same bytes, and reading them back and writing them again, too."""
    card = {"b": value, "a": value, "name": "n"}
    form = canonical_card(card, without_defaults=drop)
    assert form == canonical_card(dict(reversed(list(card.items()))), without_defaults=drop)
    assert canonical_card(json.loads(form), without_defaults=drop) == form
