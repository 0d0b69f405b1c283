"""Rotation of an identity key that an oracle holds (anima.md §15; AN-SOMA-5).

The oracle makes the new key, keeps it beside the old one, and switches when it is shown the whole chain of proofs; the journal is
the agent's, and decides. The policy has to allow `rotate`, and the statement `anima.rotation_proof` by the old key.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.custody import BackendKind
from life.anima.chain import RotationLink
from life.anima.custody.oracle_handle import OracleAnima, OracleChannel
from life.anima.custody.rotation_lock import RotationLock
from life.anima.custody.soma.protocol import AgentFacts, Reply, RotationStep, SignPrepared
from life.anima.custody.typed_requests import token_input


class PreparedOracleKey(OracleAnima):
    """The prepared key: it signs its acceptance and the seal of soul.json."""

    async def sign_token(self, claims: JsonObject, *, typ: str = "JWT") -> str:
        """A token by the prepared key; PolicyDeniedError for anything but those two."""
        message = token_input(claims, typ, key=self._did, issuers=self._issuers)
        reply = await self._channel.ask(SignPrepared(agent=self._agent, claims=dict(claims), typ=typ))
        return self._checked_token(reply, message)


class OracleRotator:
    """How an oracle's key is replaced (`life.anima.rotation.KeyRotator`). Make one with `open`; close it."""

    def __init__(
        self, channel: OracleChannel, agent: str, lock: RotationLock, *, backend: BackendKind, clock: Clock
    ) -> None:
        """Takes over channel and lock. Callers use `open`."""
        self._channel = channel
        self._agent = agent
        self._lock = lock
        self._backend: BackendKind = backend
        self._clock = clock

    @classmethod
    async def open(
        cls, channel: OracleChannel, agent: str, *, backend: BackendKind, folder: Path, clock: Clock
    ) -> OracleRotator:
        """The rotator of `agent`, whose folder here is locked meanwhile. ConflictError while another one works here."""
        try:
            lock = await asyncio.to_thread(RotationLock, folder)
        except BaseException:
            await channel.close()
            raise
        return cls(channel, agent, lock, backend=backend, clock=clock)

    async def prepared(self) -> PreparedOracleKey | None:
        """The key that the oracle has prepared."""
        return self._handle(await self._channel.ask(RotationStep(agent=self._agent, step="prepared")))

    async def prepare(self) -> PreparedOracleKey:
        """A new key, or the one that is prepared already."""
        handle = self._handle(await self._channel.ask(RotationStep(agent=self._agent, step="prepare")))
        assert handle is not None  # `prepare` always has one
        return handle

    async def commit(self, links: tuple[RotationLink, ...]) -> None:
        """Let the oracle verify the chain and switch; the old key is gone then."""
        encoded = msgspec.json.encode(links).decode()
        await self._channel.ask(RotationStep(agent=self._agent, step="commit", links=encoded))

    async def discard(self) -> None:
        """Let the oracle destroy the prepared key."""
        await self._channel.ask(RotationStep(agent=self._agent, step="discard"))

    async def close(self) -> None:
        """Give channel and lock back."""
        try:
            await self._channel.close()
        finally:
            self._lock.release()

    def _handle(self, reply: Reply) -> PreparedOracleKey | None:
        if not reply.agents:
            return None
        facts = reply.agents[0]
        named = AgentFacts(
            agent=self._agent,
            did=facts.did,
            wallet_address=facts.wallet_address,
            chain=facts.chain,
            operations=("sign_token",),
        )
        return PreparedOracleKey(self._channel, named, backend=self._backend, clock=self._clock)
