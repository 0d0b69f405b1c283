"""What an identity publishes, and the routes of its host (AN-ROT-8, AN-KYA-5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette

from life.anima.api import MAX_CHALLENGES_PER_S, PUBLIC_PATHS, IdentityApi
from life.anima.document import check_document
from life.anima.kya import Challenge, check_counterparty, check_response, new_challenge
from life.anima.report import IdentityReport
from life.anima.revocation import revocation_claims
from life.anima.well_known import read_revocations, read_rotations
from life.host.http.problem import EXCEPTION_HANDLERS
from life.host.http.routes import openapi_document, routes
from tests.anima.material import SEED_B, AgentBench, agent_bench, did_of, handle


@pytest.fixture
async def agent(tmp_path: Path) -> AgentBench:
    """The host's own agent."""
    return await agent_bench(tmp_path / "identity")


def api_of(agent: AgentBench) -> IdentityApi:
    """The routes."""
    return IdentityApi(
        journal=agent.journal,
        registry=agent.registry,
        custody=agent.custody,
        agent_id=agent.agent_id,
        clock=agent.clock,
    )


def client_of(agent: AgentBench) -> httpx2.AsyncClient:
    """A client of an application with all routes."""
    api = api_of(agent)
    app = Starlette(routes=routes([*api.public_operations(), *api.operations()]), exception_handlers=EXCEPTION_HANDLERS)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://host")


@pytest.fixture
async def client(agent: AgentBench) -> AsyncIterator[httpx2.AsyncClient]:
    """The client, closed."""
    async with client_of(agent) as opened:
        yield opened


async def get(client: httpx2.AsyncClient, name: str, did: str | None = None) -> bytes:
    """A public answer."""
    answer = await client.get(f"/.well-known/anima/{name}", params={} if did is None else {"did": did})
    assert answer.status_code == 200, answer.text
    return answer.content


async def test_a_stranger_checks_the_agent(agent: AgentBench, client: httpx2.AsyncClient) -> None:
    """Document, revocations and a challenge over HTTP are enough for the whole check."""
    await agent.rotate()
    async with client_of(agent) as fresh:
        challenge = new_challenge(did_of(handle(SEED_B)), clock=agent.clock, entropy=agent.entropy)
        answer = await fresh.post("/.well-known/anima/challenge", content=msgspec.json.encode(challenge))
        report = check_counterparty(
            await get(fresh, "identity"),
            revocations=await get(fresh, "revocations"),
            publishers={agent.did},
            clock=agent.clock,
            challenge=challenge,
            response=answer.json()["response"],
        )
    assert (report.verdict, report.did, report.key_proven) == ("verified", agent.did, True)


async def test_answers_about_old_dids(agent: AgentBench, client: httpx2.AsyncClient) -> None:
    """Any DID of the chain leads to the chain, with `as_of_seq`."""
    first = agent.did
    await agent.rotate()
    async with client_of(agent) as fresh:
        rotations = read_rotations(await get(fresh, "rotations", first), did=first, now_s=agent.now_s)
        assert [link.new_did for link in rotations.events] == [agent.did]
        assert rotations.as_of_seq == 4
        told = read_revocations(await get(fresh, "revocations", first), did=first, authorities=(), now_s=agent.now_s)
        assert (told.answer.seq, told.answer.as_of_seq, told.publisher) == (None, 4, agent.did)
        assert check_document(await get(fresh, "identity", first), now_s=agent.now_s).document.did == agent.did


async def test_a_revocation_comes_in_and_shows(agent: AgentBench, client: httpx2.AsyncClient) -> None:
    """One that an authority signed is stored and published at once; a stranger's is refused."""
    assert (
        read_revocations(
            await get(client, "revocations"), did=agent.did, authorities=(agent.did,), now_s=agent.now_s
        ).answer.seq
        is None
    )
    stranger = handle(SEED_B, clock=agent.clock)
    refused = revocation_claims(agent.did, authority=did_of(stranger), reason="compromised", now_s=agent.now_s)
    body = {"agent_id": agent.agent_id, "did": agent.did, "revocation_jws": await stranger.sign_token(refused)}
    answer = await client.post("/anima/revocations", json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "anima.statement_refused")
    claims = revocation_claims(agent.did, authority=agent.did, reason="compromised", now_s=agent.now_s)
    body["revocation_jws"] = await agent.custody.sign_token(claims)
    for _ in range(2):
        answer = await client.post("/anima/revocations", json=body)
        assert (answer.status_code, answer.json()["revoked"]) == (201, True)
        agent.clock.advance_us(1)
    told = read_revocations(
        await get(client, "revocations"), did=agent.did, authorities=(agent.did,), now_s=agent.now_s
    )
    assert told.answer.seq == 4
    assert [item.reason for item in told.answer.revocations] == ["compromised"]
    challenge = new_challenge(agent.did, clock=agent.clock, entropy=agent.entropy)
    answer = await client.post("/.well-known/anima/challenge", content=msgspec.json.encode(challenge))
    assert (answer.status_code, answer.json()["code"]) == (403, "custody.identity_revoked")


async def test_unknown_and_malformed_questions(agent: AgentBench, client: httpx2.AsyncClient) -> None:
    """A stranger's DID is 404, no DID is 400, and neither is signed."""
    stranger = did_of(handle(SEED_B))
    for name in ("identity", "rotations", "revocations"):
        for did, status in ((stranger, 404), ("x", 400), ("", 400), ("did:web:example.org", 400)):
            answer = await client.get(f"/.well-known/anima/{name}", params={"did": did})
            assert answer.status_code == status
    assert (await client.get("/anima/identities/agent-x")).status_code == 404
    for content in (b"", b"[]", b"{}", b"x" * 70_000, b'{"nonce":"x","verifier_did":"y","issued_at_s":1}'):
        assert (await client.post("/.well-known/anima/challenge", content=content)).status_code == 400
        assert (await client.post("/anima/revocations", content=content)).status_code == 400


async def test_a_replaced_key_answers_no_challenge(agent: AgentBench, client: httpx2.AsyncClient) -> None:
    """The host still holds the old handle: it says so instead of proving a key that is not in use."""
    async with client_of(agent) as stale:
        await agent.rotate()
        challenge = new_challenge(agent.did, clock=agent.clock, entropy=agent.entropy)
        answer = await stale.post("/.well-known/anima/challenge", content=msgspec.json.encode(challenge))
        assert answer.status_code == 403
        assert (await stale.get("/.well-known/anima/identity")).status_code == 409


async def test_asking_often_does_not_sign_often(agent: AgentBench, client: httpx2.AsyncClient) -> None:
    """Answers are kept for a second; challenges are counted."""
    first = await get(client, "rotations")
    agent.clock.advance_us(1_000_000)
    assert await get(client, "rotations") == first
    agent.clock.advance_us(1)
    assert await get(client, "rotations") != first
    challenge: Challenge = new_challenge(agent.did, clock=agent.clock, entropy=agent.entropy)
    body = msgspec.json.encode(challenge)
    statuses = [
        (await client.post("/.well-known/anima/challenge", content=body)).status_code
        for _ in range(MAX_CHALLENGES_PER_S + 1)
    ]
    assert statuses == [200] * MAX_CHALLENGES_PER_S + [429]
    agent.clock.advance_us(1_000_000)
    answer = await client.post("/.well-known/anima/challenge", content=body)
    check_response(answer.json()["response"], challenge, did=agent.did, now_s=agent.now_s)


async def test_the_inspector(agent: AgentBench, client: httpx2.AsyncClient) -> None:
    """A typed report of everything, for the page."""
    await agent.rotate()
    listed: list[dict[str, Any]] = (await client.get("/anima/identities")).json()
    assert [(item["agent_id"], item["did"], item["revoked"]) for item in listed] == [(agent.agent_id, agent.did, False)]
    async with client_of(agent) as fresh:
        content = (await fresh.get(f"/anima/identities/{agent.agent_id}")).content
    report = msgspec.json.decode(content, type=IdentityReport)
    assert (report.did, report.security, len(report.chain), report.active) == (agent.did, "software", 1, True)
    assert "sign_token" in report.operations


def test_the_table_describes_itself(tmp_path: Path) -> None:
    """The table makes an OpenAPI document, and the public paths are those that the guard is told."""
    import asyncio

    agent = asyncio.run(agent_bench(tmp_path / "identity"))
    api = api_of(agent)
    assert b"/.well-known/anima/identity" in openapi_document("x", [*api.public_operations(), *api.operations()])
    assert {operation.path for operation in api.public_operations()} == set(PUBLIC_PATHS)
