"""A store with something in every area, all of it in one person's words, so that a test may choose hostile ones."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from pathlib import Path

from life.aios.ids import new_id
from life.aios.policy import PolicySet
from life.aios.record import USER, Stream
from life.arcan.memory.notes import MemoryEntry
from life.arcan.memory.scopes import Place
from life.haima.approval_desk import WALLET_PREFIX
from life.haima.events import ApprovalRequested, PaymentFailed
from life.haima.events.codec import finance_event
from life.host.system import System

PLAIN = "Work orders"


async def settled(system: System, session_id: str) -> None:
    """Until the session's run rests."""
    async with asyncio.timeout(10):
        while (await system.runtime.state(session_id)).status == "running":
            await asyncio.sleep(0.005)


async def waiting_call(system: System, folder: Path, words: str = PLAIN, session_id: str = "waits") -> None:
    """A session with a call that waits for a person."""
    script = folder / f"{session_id}.toml"
    content = json.dumps(words)
    script.write_text(
        f'[[turns]]\n[[turns.calls]]\ntool = "write_file"\narguments = {{ path = "a.txt", content = {content} }}\n'
        f'[[turns]]\n[[turns.calls]]\ntool = "write_file"\narguments = {{ path = "b.txt", content = "second" }}\n'
        '[[turns]]\ntext = "All decided."\n'
    )
    policy = PolicySet(allow_capabilities=("fs:read:**",), gate_capabilities=("fs:write:**",))
    await system.runtime.create_session(session_id, name=words[:1000], policy=policy, provider=f"scripted:{script}")
    await system.runtime.start(session_id, words)
    await settled(system, session_id)


async def waiting_payment(system: System, words: str = PLAIN) -> str:
    """A question about a payment; its ticket. And a payment that failed."""
    ticket_id = new_id(system.clock, system.entropy)
    wallet = f"eip155:4020402:{system.identity.wallet.address.lower()}"
    now_us = system.clock.now_us()
    asked = ApprovalRequested(
        ticket_id=ticket_id,
        terms_digest="0" * 64,
        wallet=wallet,
        network="eip155:4020402",
        asset=words[:200],
        payee=words[:200],
        amount_atomic="250000",
        amount_micro=250_000,
        resource_url=words,
        expires_at_us=now_us + 900_000_000,
        session_id="worked",
        reason=words,
        expected=words,
    )
    failed = PaymentFailed(amount_micro_credits=70_000, reason=words, resource_url=words, payee=words[:200])
    stream, agent_id = Stream(WALLET_PREFIX + wallet), system.identity.agent_id
    made = [
        finance_event(each, system.clock, system.entropy, stream=stream, agent_id=agent_id) for each in (asked, failed)
    ]
    await system.journal.append(made)
    return ticket_id


async def something_everywhere(system: System, folder: Path, words: str = PLAIN) -> None:
    """Sessions, a waiting call and payment, memories, agents, skills, servers, spaces, log lines."""
    script = folder / "worked.toml"
    content = json.dumps(words)
    script.write_text(
        f"[[turns]]\ntext = {content}\n"
        f'[[turns.calls]]\ntool = "write_file"\narguments = {{ path = "notes.md", content = {content} }}\n'
        f'[[turns.calls]]\ntool = "read_file"\narguments = {{ path = {content} }}\n'
        f"[[turns]]\ntext = {content}\n"
    )
    await system.runtime.create_session(
        "worked", name=words[:1000], provider=f"scripted:{script}", owner=words[:200], system_prompt=words
    )
    await system.runtime.run("worked", words)
    await waiting_call(system, folder, words)
    await waiting_payment(system, words)
    await _memories(system, words)
    _files(system, words)
    await system.equipment.skills.reload()
    await _spaces(system, words)
    logging.getLogger("life.test").warning("%s", words)


async def _memories(system: System, words: str) -> None:
    service, place = system.equipment.memory.service, Place("", system.identity.agent_id, by_operator=True)
    entry = MemoryEntry(content=words[:7_000], tags=(words[:40],))
    proposal = await service.propose(place, "user", [entry], key=None, expires_at_us=None, actor=USER)
    await service.commit(place, proposal.proposal_id, actor=USER)
    later = MemoryEntry(content=f"later {words[:7_000]}")
    await service.propose(place, "user", [later], key="later", expires_at_us=None, actor=USER)


def _files(system: System, words: str) -> None:
    line = json.dumps(words[:900])
    agents = system.data.root / "agents"
    agents.mkdir(exist_ok=True)
    (agents / "auditor.md").write_text(f"---\nname: auditor\ndescription: {line}\n---\n{words}\n")
    (agents / "broken.md").write_text(f"---\nname: {line}\ndescription: x\n---\nbody\n")
    skill = system.data.root / "skills" / "audit"
    skill.mkdir(parents=True, exist_ok=True)
    (skill / "SKILL.md").write_text(f"---\nname: audit\ndescription: {line}\n---\n{words}\n")
    servers = {"mcpServers": {"files": {"command": words[:200].replace("\0", "") or "x", "args": ["secret-argument"]}}}
    (system.data.root / "mcp.json").write_text(json.dumps(servers))


async def _spaces(system: System, words: str) -> None:
    from life.spaces.commands import CreateChannel, CreateServer, SendMessage

    seat = await system.spaces.seat()
    told = re.sub("[\x00-\x1f\u202a-\u202e\u2066-\u2069\u200b]", "", words)[:200]  # what Spaces takes in a description
    made = await seat.submit(CreateServer(name="Audits", description=told))
    channel = await seat.submit(CreateChannel(server_id=made.row.id, name="orders", topic=told))  # type: ignore[union-attr]
    await seat.submit(SendMessage(channel_id=channel.row.id, content=told))  # type: ignore[union-attr]
