"""The host's parts of A2A: who asks, sealed secrets, tokens for others."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from life.aios.errors import InvalidInputError
from life.anima.custody.in_process import InProcessAnima
from life.anima.identity import agent_id_of_did
from life.crypto.agent_token import verify_agent_token
from life.host.a2a import SealedVault, agent_tokens, caller_of
from life.host.http.authentication import AUTH_KEY, OPERATOR, PERSON, AuthContext
from life.spaces.a2a.ports import Caller
from life.testing.clock import ManualClock, SeededEntropy


@pytest.mark.parametrize(
    ("auth", "caller"),
    [
        (OPERATOR, Caller("operator", may_approve=True)),
        (PERSON, Caller("operator", may_approve=True)),
        (AuthContext(kind="agent", subject="a1", scopes=("a2a:send",)), Caller("agent:a1")),
        (AuthContext(kind="agent", subject="a1", scopes=("a2a:*",)), Caller("agent:a1", may_approve=True)),
        (AuthContext(kind="user", subject="a1", scopes=("a2a:send", "a2a:approve")), Caller("user:a1", may_approve=True)),
    ],
)  # fmt: skip
def test_callers_are_told_apart(auth: AuthContext, caller: Caller) -> None:
    """Agents and users of the same name are different owners; approving needs its scope."""
    assert caller_of(Request({"type": "http", AUTH_KEY: auth})) == caller


def test_sealed_secrets_open_under_their_key_alone() -> None:
    """Every sealing is different; another key or a changed letter is refused."""
    vault = SealedVault(b"k" * 32, SeededEntropy("vault"))
    one, two = vault.seal(b"secret"), vault.seal(b"secret")
    assert one != two
    assert vault.open(one) == vault.open(two) == b"secret"
    with pytest.raises(InvalidInputError):
        SealedVault(b"x" * 32, SeededEntropy("vault")).open(one)
    with pytest.raises(InvalidInputError):
        vault.open(one[:-2] + ("AA" if one[-2:] != "AA" else "BB"))
    assert "secret" not in repr(vault)


async def test_tokens_for_another_agent_are_agent_tokens() -> None:
    """For its audience, a fresh one each time."""
    clock = ManualClock()
    keys = InProcessAnima.from_seed(bytearray(32 * b"\x07"), clock=clock)
    did = keys.capabilities().did
    assert did is not None
    agent_id = agent_id_of_did(did)
    assert agent_id is not None
    token = agent_tokens(keys, clock, SeededEntropy("t"), agent_id=agent_id, audience="arcand")
    one, two = await token("https://peer.example"), await token("https://peer.example")
    verified = verify_agent_token(one, audience="arcand", now_s=clock.now_us() // 1_000_000)
    assert verified.signer.did == did
    assert one != two
