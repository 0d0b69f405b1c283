"""A somad of the tests: its store, policy and socket, in this process or as a program of its own."""

from __future__ import annotations

import grp
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from life.aios.ports.clock import Clock
from life.anima.custody.soma.audit import AuditLog
from life.anima.custody.soma.key_store import JudgeOf, SomaKeyStore, judge_by_soul
from life.anima.custody.soma.policy import AgentRule, AllowRule, PolicyFile
from life.anima.custody.soma.protocol import Provision
from life.anima.custody.soma.server import ServerLimits, SomaServer
from life.anima.custody.soma.service import SomaService
from life.anima.custody.soma.spending import Reserved
from life.anima.custody.wallet_rules import WalletRequest
from life.anima.identity_file import Identity
from life.anima.key_source import RawKey
from life.testing.clock import ManualClock, SeededEntropy

ALL: Final = (
    "sign_token",
    "sign_message",
    "sign_authorization",
    "sign_permit",
    "sign_transaction",
    "sign_sale_document",
    "sign_cancellation",
)
BASE_SEPOLIA_USDC: Final = "eip155:84532/0x036CbD53842c5426634e7929541eC2318f3dCF7e"
GROUP: Final = grp.getgrgid(os.getgid()).gr_name


class Uncounted:
    """A judge without limits, for the conformance suite: it asks for amounts and contracts that no soul would allow."""

    def reserve(self, request: WalletRequest, rule: AllowRule, agent: AgentRule, *, now_us: int) -> Reserved:
        """Everything."""
        return Reserved(None, 0, now_us)

    def release(self, reserved: Reserved) -> None:
        """Nothing was counted."""

    def restore(self, amount_micro: int, at_us: int) -> None:
        """Nothing is counted."""


def uncounted(_: Identity) -> Uncounted:
    """For `SomaKeyStore.open`."""
    return Uncounted()


def toml(value: object) -> str:
    """A value of a policy."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else f'"{value}"'


def rule(**members: object) -> dict[str, object]:
    """A rule [[allow]] for this test's user, agent alice and everything, with changes."""
    subject = {} if {"uid", "user", "did"} & members.keys() else {"uid": os.getuid()}
    return {"agents": ["alice"], "operations": ALL, "max_per_minute": 10**9, **subject, **members}


def write_policy(
    path: Path,
    *,
    allow: Sequence[Mapping[str, object]] | None = None,
    admin: Sequence[Mapping[str, object]] = (),
    agent: Mapping[str, object] | None = None,
    group: str = GROUP,
    revoked: Sequence[str] = (),
) -> None:
    """The policy file, replaced whole."""
    text = toml_lines(
        {
            "group": group,
            "revoked_permits": list(revoked),
            "allow": [rule()] if allow is None else allow,
            "admin": admin,
            "agents": {
                "alice": {"assets": [BASE_SEPOLIA_USDC], "require_reservation": False} if agent is None else agent
            },
        }
    )
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.replace(path)


def toml_lines(members: Mapping[str, object]) -> str:
    """One line for each member."""
    return "".join(f"{key} = {toml(value)}\n" for key, value in members.items())


class Oracle:
    """An oracle that runs in this process."""

    def __init__(self, folder: Path, store: SomaKeyStore, service: SomaService, audit: AuditLog) -> None:
        self.folder = folder
        self.store = store
        self.service = service
        self.audit = audit
        self.socket = folder / "somad.sock"
        self.policy_file = folder / "policy.toml"
        self.server: SomaServer | None = None

    async def identity(self) -> Identity:
        """Alice's."""
        return (await self.store.keys("alice", self.service.policy.agent("alice"))).identity


@asynccontextmanager
async def running_oracle(
    folder: Path,
    *,
    clock: Clock | None = None,
    judge_of: JudgeOf = judge_by_soul,
    limits: ServerLimits | None = None,
    provision: Provision | None = None,
    segment_bytes: int = 1 << 20,
    **policy: Any,
) -> AsyncIterator[Oracle]:
    """A somad with the agent alice."""
    clock = clock or ManualClock()
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    if policy or not (folder / "policy.toml").exists():
        write_policy(folder / "policy.toml", **policy)
    store = SomaKeyStore.open(
        folder / "store", RawKey(bytearray(b"k" * 32)), clock=clock, entropy=SeededEntropy(), judge_of=judge_of
    )
    audit = AuditLog(folder / "store", clock, segment_bytes=segment_bytes)
    try:
        await store.provision(provision or Provision(agent="alice"))
        service = SomaService(store, PolicyFile(folder / "policy.toml"), audit, clock=clock, entropy=SeededEntropy())
        oracle = Oracle(folder, store, service, audit)
        oracle.server = await SomaServer.open(service, oracle.socket, limits=limits)
        try:
            yield oracle
        finally:
            await oracle.server.close()
    finally:
        audit.close()
        store.close()
