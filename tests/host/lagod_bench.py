"""A lagod in this process, on a real loopback port, with the operator's token, users and agents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import jwt

from life.anima.events import CapabilityGranted
from life.anima.policy import PolicyManifest
from life.anima.user_tokens import DEFAULT_AUDIENCE, DEFAULT_ISSUER, UserTokenVerifier
from life.host.access import Access
from life.host.anima_verifier import IdentityServices
from life.host.lagod import BUILT_IN_POLICY, Parts, caller_of, lagod_app
from life.host.lagod_engine import OpenEngine
from life.host.lagod_knowledge import open_knowledge
from life.lago.access_rules.rules import Rules, parse_rules
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.lago.owners.registry import Owners
from life.lago.snapshots import MemorySnapshots
from life.lago.streams.log import FrameLogs
from life.testing.clock import SeededEntropy
from life.vigil.telemetry import LiveTelemetry
from tests.anima.material import AgentBench, agent_bench
from tests.host.serving import serving

TOKEN = "t" * 43
SECRET = b"0123456789abcdef0123456789abcdef"


class Lagod:
    """The daemon and its callers."""

    def __init__(self, agent: AgentBench, owners: Owners, logs: FrameLogs, blobs: BlobStore, address: str) -> None:
        self.agent = agent
        self.owners = owners
        self.logs = logs
        self.blobs = blobs
        self.address = address
        self.clock = agent.clock
        self.journal = agent.journal
        self._client = httpx2.AsyncClient(base_url=address, timeout=20)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def call(
        self, method: str, path: str, *, token: str = TOKEN, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx2.Response:
        """One request, as the operator unless told otherwise."""
        return await self._client.request(
            method, path, headers={"authorization": f"Bearer {token}", **(headers or {})}, **more
        )

    def user(self, sub: str, *scopes: str) -> str:
        """A user's token."""
        now = self.agent.now_s
        claims = {"sub": sub, "aud": DEFAULT_AUDIENCE, "iss": DEFAULT_ISSUER, "iat": now, "exp": now + 3000}
        return jwt.encode({**claims, "scopes": list(scopes or ("*",))}, SECRET, algorithm="HS256")

    async def agent_token(self) -> str:
        """A fresh token of the agent, which may do everything that scopes let in."""
        return await self.agent.token(audience="lagod")

    def event(self, event_id: str, kind: dict[str, Any], **more: Any) -> dict[str, Any]:
        """An envelope as clients send it."""
        return {"event_id": event_id, "session_id": "-", "timestamp": self.clock.now_us(), "kind": kind, **more}


@asynccontextmanager
async def running_lagod(
    folder: Path,
    policy: Rules | None = None,
    *,
    heartbeat_s: float = 15.0,
    telemetry: LiveTelemetry | None = None,
) -> AsyncIterator[Lagod]:
    """A lagod for the length of the block."""
    agent = await agent_bench(folder / "agent", seed="lagod", values=PolicyManifest(capability_ceiling=("*",)))
    await agent.write(CapabilityGranted(capability="*", granted_by="operator"))
    entropy = SeededEntropy("lagod")
    rules = policy or parse_rules(BUILT_IN_POLICY)
    blobs = BlobStore(DirectoryObjects(folder / "blobs", entropy), entropy)
    access = Access(TOKEN, agent.clock, entropy)
    opened = OpenEngine(agent.journal, MemorySnapshots(), blobs, access, TOKEN, folder / "token", folder, None)
    services = IdentityServices(
        agent.registry, agent.verifier(audience="lagod"), UserTokenVerifier(SECRET, clock=agent.clock)
    )
    owners = Owners(agent.journal, agent.clock, entropy, quota_of=rules.quota_of, snapshots=MemorySnapshots())
    logs = FrameLogs(agent.journal, heartbeat_s=heartbeat_s)
    hosts: list[str] = []
    parts = Parts(opened, services, rules, owners, logs, agent.clock, entropy)

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await app[0](scope, receive, send)

    app: list[Any] = []
    async with serving(late) as address:
        hosts.append(address.removeprefix("http://"))
        async with open_knowledge(agent.journal, blobs, agent.clock, root=folder, caller=caller_of) as knowledge:
            app.append(lagod_app(parts, hosts=hosts, also=knowledge, telemetry=telemetry))
            daemon = Lagod(agent, owners, logs, blobs, address)
            try:
                yield daemon
            finally:
                await daemon.aclose()
                await logs.aclose()
                await owners.aclose()
