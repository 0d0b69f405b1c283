"""Permits: verified offline, narrowed at every hop, taken back by id (AN-CAP-1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.anima.beliefs import GrantConstraint
from life.anima.capability_tokens import (
    MAX_DEPTH,
    SEPARATOR,
    TYP,
    CapabilityGrant,
    Permit,
    issue_capability,
    verify_capability,
)
from life.anima.errors import TokenRefusedError
from life.anima.events import IdentityTransitioned
from life.anima.revoking import revoke_capability, revoke_identity
from life.anima.scopes import KNOWN_SCOPES, any_covers, covers, is_pattern
from life.crypto import jws
from life.crypto.errors import CryptoError
from tests.anima.material import AgentBench, agent_bench, forged


@pytest.fixture
async def agents(tmp_path: Path) -> list[AgentBench]:
    """Four agents on one journal: the granter, and three others."""
    first = await agent_bench(tmp_path / "0", seed="0")
    others = [
        await agent_bench(
            tmp_path / str(number), seed=str(number), journal=first.journal, registry=first.registry, clock=first.clock
        )
        for number in range(1, 4)
    ]
    return [first, *others]


async def grant(
    giver: AgentBench,
    taker: AgentBench,
    *names: str,
    parent: str | None = None,
    constraints: Sequence[GrantConstraint] = (),
    lifetime_s: int = 600,
) -> str:
    """A permit from one agent to another."""
    return await issue_capability(
        giver.custody,
        grantee_did=taker.did,
        capabilities=[CapabilityGrant(capability=name, constraints=tuple(constraints)) for name in names],
        clock=giver.clock,
        entropy=giver.entropy,
        lifetime_s=lifetime_s,
        parent=parent,
    )


def check(agents: list[AgentBench], chain: str, presenter: AgentBench, *, did: str | None = None) -> Permit:
    """Verify a permit where the first agent is trusted."""
    return verify_capability(
        chain,
        presenter_did=did or presenter.did,
        identities=agents[0].registry,
        is_trusted=lambda agent_id: agent_id == agents[0].agent_id,
        clock=agents[0].clock,
    )


def refusal(agents: list[AgentBench], chain: str, presenter: AgentBench) -> str:
    """Why a permit is refused."""
    with pytest.raises(TokenRefusedError) as error:
        check(agents, chain, presenter)
    return error.value.reason


async def test_a_permit(agents: list[AgentBench]) -> None:
    """It says what its holder may do, under its conditions, until its end."""
    limit = GrantConstraint(field="micro", constraint="maximum", value=100)
    chain = await grant(agents[0], agents[1], "x402:pay", constraints=[limit])
    permit = check(agents, chain, agents[1])
    assert permit.issuer_agent_id == agents[0].agent_id
    assert permit.allows("x402:pay", {"micro": 100})
    assert not permit.allows("x402:pay", {"micro": 101})
    assert not permit.allows("x402:pay", {})
    assert not permit.allows("wallet:write", {"micro": 1})
    assert permit.scopes() == ()
    free = check(agents, await grant(agents[0], agents[1], "events:read", "agent:*"), agents[1])
    assert free.scopes() == ("events:read", "agent:*")
    agents[0].clock.advance_us(600 * 1_000_000)
    await agents[0].registry.load()
    assert refusal(agents, chain, agents[1]) == "expired"


async def test_it_gets_narrower_at_every_hop(agents: list[AgentBench]) -> None:
    """Each holder may pass on less; what is allowed is what every link allows."""
    first = await grant(agents[0], agents[1], "events:*", "agent:read")
    limit = GrantConstraint(field="n", constraint="maximum", value=5)
    second = await grant(agents[1], agents[2], "events:read", parent=first, constraints=[limit], lifetime_s=300)
    third = await grant(agents[2], agents[3], "events:read:spaces", parent=second, lifetime_s=300)
    permit = check(agents, third, agents[3])
    assert permit.allows("events:read:spaces", {"n": 5})
    assert not permit.allows("events:read:spaces", {})
    assert not permit.allows("events:read:other", {"n": 1})
    assert not permit.allows("agent:read", {"n": 1})
    assert len(permit.links) == 3


async def test_nobody_passes_on_more(agents: list[AgentBench]) -> None:
    """Wider, longer or earlier links are not made, and refused when somebody makes them by hand."""
    first = await grant(agents[0], agents[1], "events:read", lifetime_s=100)
    with pytest.raises(InvalidInputError):
        await grant(agents[1], agents[2], "events:*", parent=first, lifetime_s=50)
    with pytest.raises(InvalidInputError):
        await grant(agents[1], agents[2], "events:read", parent=first, lifetime_s=101)
    good = await grant(agents[1], agents[2], "events:read", parent=first, lifetime_s=50)
    body: dict[str, Any] = jws.verify(good.split(SEPARATOR)[1], typ=TYP).claims
    now = agents[0].now_s
    changes: tuple[dict[str, Any], ...] = (
        {"cap": [{"capability": "*"}]},
        {"cap": [{"capability": "events:*"}]},
        {"exp": now + 101},
        {"nbf": now - 1},
    )
    for change in changes:
        wide = await agents[1].custody.sign_token({**body, **change}, typ=TYP)
        assert refusal(agents, first + SEPARATOR + wide, agents[2]) == "widened"


async def test_links_belong_together(agents: list[AgentBench]) -> None:
    """A link on another parent, by another granter, or without its beginning is refused."""
    first = await grant(agents[0], agents[1], "events:read")
    other = await grant(agents[0], agents[1], "events:read")
    second = await grant(agents[1], agents[2], "events:read", parent=first, lifetime_s=300)
    tail = second.split(SEPARATOR)[1]
    assert refusal(agents, other + SEPARATOR + tail, agents[2]) == "invalid"
    assert refusal(agents, tail, agents[2]) == "untrusted_issuer"
    foreign = await grant(agents[2], agents[3], "events:read", parent=first, lifetime_s=300)
    assert refusal(agents, foreign, agents[3]) == "invalid"
    own = await grant(agents[1], agents[2], "events:read")
    assert refusal(agents, own, agents[2]) == "untrusted_issuer"
    assert refusal(agents, second, agents[3]) == "wrong_presenter"
    assert refusal(agents, first, agents[0]) == "wrong_presenter"


async def test_it_is_taken_back_by_its_id(agents: list[AgentBench]) -> None:
    """Taking back any link ends everything that stands on it, at once."""
    first = await grant(agents[0], agents[1], "events:read")
    second = await grant(agents[1], agents[2], "events:read", parent=first, lifetime_s=300)
    check(agents, second, agents[2])
    jti = jws.verify(second.split(SEPARATOR)[1], typ=TYP).claims["jti"]
    await revoke_capability(
        agents[1].journal,
        agents[1].custody,
        agent_id=agents[1].agent_id,
        jti=str(jti),
        clock=agents[1].clock,
        registry=agents[1].registry,
    )
    assert refusal(agents, second, agents[2]) == "revoked"
    check(agents, first, agents[1])


async def test_granters_must_stand(agents: list[AgentBench]) -> None:
    """A permit by a revoked, replaced or inactive key is worth nothing; a holder who rotated keeps its own."""
    first = await grant(agents[0], agents[1], "events:read")
    second = await grant(agents[1], agents[2], "events:read", parent=first, lifetime_s=300)
    await agents[2].rotate()
    check(agents, second, agents[2])
    await agents[1].rotate()
    assert refusal(agents, second, agents[2]) == "superseded"
    renewed = await grant(agents[1], agents[2], "events:read", parent=first, lifetime_s=300)
    check(agents, renewed, agents[2])
    await agents[1].write(IdentityTransitioned(agent_id=agents[1].agent_id, from_="active", to="expired", reason="r"))
    assert refusal(agents, renewed, agents[2]) == "inactive"
    await revoke_identity(
        agents[0].journal,
        agents[0].custody,
        agent_id=agents[0].agent_id,
        reason="compromised",
        clock=agents[0].clock,
        registry=agents[0].registry,
    )
    assert refusal(agents, first, agents[1]) == "revoked"


async def test_depth_is_bounded(agents: list[AgentBench]) -> None:
    """A chain has at most eight links."""
    chain = await grant(agents[0], agents[1], "events:read")
    for number in range(MAX_DEPTH - 1):
        giver, taker = agents[1 + number % 2], agents[2 - number % 2]
        chain = await grant(giver, taker, "events:read", parent=chain, lifetime_s=300)
    last = agents[1 + (MAX_DEPTH - 1) % 2]
    check(agents, chain, last)
    with pytest.raises(InvalidInputError):
        await grant(last, agents[3], "events:read", parent=chain, lifetime_s=300)
    assert refusal(agents, SEPARATOR.join([chain] * 2), last) == "invalid"


async def test_what_cant_be_right(agents: list[AgentBench]) -> None:
    """Empty, overlong and malformed permits are neither made nor believed."""
    for names, lifetime in (((), 60), (("a b",), 60), (("x",), 0), (("x",), 91 * 24 * 3600), (("x",) * 65, 60)):
        with pytest.raises(InvalidInputError):
            await grant(agents[0], agents[1], *names, lifetime_s=lifetime)
    for chain in ("", "~", "x", "a.b.c", await agents[0].token()):
        assert refusal(agents, chain, agents[1]) == "invalid"
    stranger = forged({"iss": "x"}, typ=TYP)
    assert refusal(agents, stranger, agents[1]) == "invalid"


@given(position=st.integers(0, 5000), letter=st.sampled_from("ABCxyz019-_.~"))
def test_any_changed_character_is_refused(position: int, letter: str) -> None:
    """One changed character in a permit's signature or content makes it unreadable."""
    index = position % len(GOOD)
    if GOOD[index] == letter:
        return
    with pytest.raises(CryptoError):
        jws.verify(GOOD[:index] + letter + GOOD[index + 1 :], typ=TYP)


GOOD = forged({"iss": "x", "cap": []}, typ=TYP)

names = st.sampled_from(sorted(KNOWN_SCOPES))


@given(pattern=names | names.map(lambda name: name.partition(":")[0] + ":*") | st.just("*"), name=names)
def test_covering(pattern: str, name: str) -> None:
    """A pattern covers what begins like it; nothing else is implied."""
    assert covers(pattern, name) is (
        pattern == "*" or pattern == name or (pattern.endswith("*") and name.startswith(pattern[:-1]))
    )


def test_scopes_do_not_imply_each_other() -> None:
    """Writing to the wallet is not paying; reading events covers their namespaces."""
    assert not any_covers(["wallet:write", "wallet:*"], "x402:pay")
    assert covers("events:read", "events:read:spaces")
    assert not covers("events:read:spaces", "events:read")
    assert not covers("agent:read", "agent:read:x")
    assert not covers("events:read", "events:readx")
    assert not covers("chat:*", "*")
    assert not covers("chat:send", "chat:*")
    assert [text for text in ("", "a b", "a*b", "**", "ü", "x" * 300) if is_pattern(text)] == []


@given(st.text(max_size=30))
def test_patterns_are_printable(text: str) -> None:
    """Whatever is a pattern has no blanks, no control characters, and `*` only at its end."""
    if is_pattern(text):
        assert text.isascii() and " " not in text and "*" not in text[:-1]
