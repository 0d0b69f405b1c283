"""The keys of somad: one identity folder for each agent, sealed under the daemon's key (AN-SOMA-5, AN-SOMA-7).

    STORE/
      agents/alice/soul.json, seed.enc    as in any identity folder (`life.anima.home`)
      agents/alice/disabled               while nothing is signed for it
      oracle/soul.json, seed.enc          the oracle's own identity, for remote callers
      audit-000001.jsonl                  what was decided
      .somad.lock                         held by the one daemon that works here

The soul is made with the keys and stays here, so its limits are the oracle's to keep, whatever an agent's own files say.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import ConflictError, LifeError
from life.aios.ports.clock import Clock, Entropy
from life.anima.chain import RotationLink
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.soma.policy import AgentRule, check_agent_name
from life.anima.custody.soma.protocol import Adopt, Provision
from life.anima.custody.soma.spending import SoulSpending, SpendJudge
from life.anima.custody.wallet_rules import WalletRules
from life.anima.errors import (
    CustodyInputError,
    CustodyLockedError,
    CustodyUnavailableError,
    InsecureFileError,
    KeyNotFoundError,
)
from life.anima.home import (
    DEFAULT_MISSION,
    create_identity,
    disk_errors,
    open_identity,
    read_identity,
    wiped_seeds,
)
from life.anima.identity import DEFAULT_CHAIN
from life.anima.identity_file import SEED_FILE, SOUL_FILE, Identity, decode_identity, encode_identity
from life.anima.key_source import KeySource
from life.anima.policy import EconomicLimits, PolicyManifest
from life.anima.private_files import FolderLock, make_private_folder, sync_folder, write_public
from life.anima.seed_file import Seeds, seal_seeds, write_seed_file
from life.anima.seed_rotation import SeedRotator
from life.anima.soul import Soul
from life.crypto.wiping import wipe, wiped

ORACLE: Final = "oracle"
_DISABLED: Final = "disabled"
_LOCK: Final = ".somad.lock"


class OpenedKeys(NamedTuple):
    """An agent's identity, the handle that signs for it, and the judge of its spending."""

    identity: Identity
    custody: InProcessAnima
    judge: SpendJudge
    rules: AgentRule
    """The rules that the handle was opened under."""


JudgeOf = Callable[[Identity], SpendJudge]


def judge_by_soul(identity: Identity) -> SpendJudge:
    """The judge that keeps the limits of the identity's soul."""
    return SoulSpending(identity.soul.values)


class SomaKeyStore:
    """The folder of one daemon. Make it with `open`; close it."""

    def __init__(self, root: Path, key_source: KeySource, *, clock: Clock, entropy: Entropy, judge_of: JudgeOf) -> None:
        """Takes the lock: ConflictError while another daemon works here. Callers use `open`."""
        self.root = root
        self._key_source = key_source
        self._clock = clock
        self._entropy = entropy
        self._judge_of = judge_of
        self._opened: dict[str, OpenedKeys] = {}
        self._judges: dict[str, SpendJudge] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._oracle: InProcessAnima | None = None
        self._lock = _claim(root / _LOCK)

    @classmethod
    def open(
        cls,
        root: Path,
        key_source: KeySource,
        *,
        clock: Clock,
        entropy: Entropy,
        judge_of: JudgeOf = judge_by_soul,
    ) -> SomaKeyStore:
        """The store in `root`, made (mode 0700) when it is new. InsecureFileError when others could use it. Blocks."""
        make_private_folder(root)
        status = root.stat(follow_symlinks=False)
        if status.st_mode & 0o077 or status.st_uid != os.geteuid():
            raise InsecureFileError(
                f"The key store {root} can be used by others than the daemon's own user.",
                next_step=f"chown the folder to the daemon's user && chmod 700 {root}",
            )
        make_private_folder(root / "agents")
        return cls(root, key_source, clock=clock, entropy=entropy, judge_of=judge_of)

    async def oracle(self) -> InProcessAnima:
        """The handle of the oracle's own identity, made when it is new."""
        if self._oracle is None:
            self._oracle = await asyncio.to_thread(self._open_oracle)
        return self._oracle

    async def keys(self, agent: str, rules: AgentRule) -> OpenedKeys:
        """The agent's keys under the policy's rules. KeyNotFoundError without such an agent, CustodyLockedError while it is
        disabled; errors of `open_identity`."""
        found = self._opened.get(agent)
        if found is None or found.rules != rules:
            async with self._opening.setdefault(check_agent_name(agent), asyncio.Lock()):
                found = self._opened.get(agent)
                if found is None or found.rules != rules:
                    opened = await asyncio.to_thread(self._open_keys, agent, rules)
                    if found is not None:
                        found.custody.close()
                    self._opened[agent] = found = opened
        return found

    async def provision(self, request: Provision) -> tuple[Identity, bool]:
        """The identity of the agent, made if there is none; True when it was made now. Errors of `create_identity`."""
        folder = self._folder(request.agent)
        defaults = EconomicLimits()
        limits = EconomicLimits(
            max_spend_per_tx_micro_credits=_or(request.max_per_tx_micro, defaults.max_spend_per_tx_micro_credits),
            max_spend_per_session_micro_credits=_or(
                request.max_per_session_micro, defaults.max_spend_per_session_micro_credits
            ),
            max_lifetime_spend_micro_credits=request.max_lifetime_micro,
        )
        return await asyncio.to_thread(
            create_identity,
            folder,
            name=request.name or request.agent,
            mission=request.mission or DEFAULT_MISSION,
            chain=request.chain or DEFAULT_CHAIN,
            key_source=self._key_source,
            clock=self._clock,
            entropy=self._entropy,
            values=PolicyManifest(economic_limits=limits),
        )

    async def rotator(self, agent: str) -> SeedRotator:
        """What replaces the agent's key. Close it. ConflictError while another one works."""
        folder = self._existing(agent)
        return await asyncio.to_thread(
            SeedRotator.open, folder, self._key_source, clock=self._clock, entropy=self._entropy
        )

    def forget(self, agent: str) -> None:
        """Open the agent's keys anew at the next request."""
        opened = self._opened.pop(agent, None)
        if opened is not None:
            opened.custody.close()

    def adopt(self, request: Adopt) -> tuple[Identity, bool]:
        """The identity whose keys were brought, stored under this store's key; True when it is new here. Blocks.

        ConflictError when the agent has other keys here. CustodyInputError, IdentityMismatchError when seeds, soul and
        rotations do not belong together. Seed first, soul last: interrupted, it is asked again.
        """
        folder = self._folder(request.agent)
        try:
            soul = msgspec.json.decode(request.soul, type=Soul)
            links = msgspec.json.decode(request.rotations, type=tuple[RotationLink, ...])
            with wiped(bytearray(request.auth_seed)) as auth, wiped(bytearray(request.wallet_seed)) as wallet:
                seeds = Seeds(auth, wallet)
        except (msgspec.DecodeError, LifeError, ValueError) as error:
            raise CustodyInputError(f"What was brought can't be an identity: {type(error).__name__}.") from None
        with wiped_seeds(seeds):
            custody = InProcessAnima.from_seeds(seeds.auth_seed.view, seeds.wallet_seed.view, clock=self._clock)
            try:
                content = encode_identity(soul, chain=request.chain, custody=custody, rotations=links)
            finally:
                custody.close()
            identity = decode_identity(content, folder=folder)  # proves that the parts belong together
            with disk_errors(folder):
                make_private_folder(folder)
                with FolderLock(folder):
                    if (folder / SOUL_FILE).exists():
                        return _same(read_identity(folder), identity), False
                    secret = self._key_source.provision(self._entropy)
                    try:
                        container = seal_seeds(seeds, secret, entropy=self._entropy)
                    finally:
                        wipe(secret.buffer)
                    write_seed_file(folder / SEED_FILE, container)
                    write_public(folder / SOUL_FILE, content)
        return identity, True

    def agents(self) -> list[tuple[str, Identity, bool]]:
        """Every agent with its identity, and whether it is disabled. Blocks."""
        names = sorted(path.name for path in (self.root / "agents").iterdir() if (path / SOUL_FILE).exists())
        return [(name, read_identity(self._folder(name)), (self._folder(name) / _DISABLED).exists()) for name in names]

    def disable(self, agent: str) -> None:
        """Sign nothing for the agent any more, also after a start. KeyNotFoundError without such an agent."""
        folder = self._existing(agent)
        (folder / _DISABLED).touch(mode=0o600)
        sync_folder(folder)
        self.forget(agent)

    def enable(self, agent: str) -> None:
        """Take `disable` back."""
        folder = self._existing(agent)
        (folder / _DISABLED).unlink(missing_ok=True)
        sync_folder(folder)

    def restore(self, agent: str, judge: Callable[[SpendJudge], None]) -> None:
        """Let `judge` count what the agent spent before this start; kept for when its keys are opened."""
        identity = read_identity(self._folder(agent))
        judge(self._judges.setdefault(agent, self._judge_of(identity)))

    def close(self) -> None:
        """Wipe every key and let the next daemon in. May be called again."""
        for opened in self._opened.values():
            opened.custody.close()
        self._opened.clear()
        if self._oracle is not None:
            self._oracle.close()
            self._oracle = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _open_keys(self, agent: str, rules: AgentRule) -> OpenedKeys:
        folder = self._existing(agent)
        if (folder / _DISABLED).exists():
            raise CustodyLockedError(f"The agent {agent} is disabled at its oracle.", next_step=f"somad enable {agent}")
        opened = open_identity(
            folder,
            self._key_source,
            clock=self._clock,
            rules=WalletRules(require_reservation=False, max_validity_s=rules.max_validity_s),
        )
        judge = self._judges.setdefault(agent, self._judge_of(opened.identity))
        return OpenedKeys(opened.identity, opened.custody, judge, rules)

    def _open_oracle(self) -> InProcessAnima:
        folder = self.root / ORACLE
        create_identity(folder, name="somad", key_source=self._key_source, clock=self._clock, entropy=self._entropy)
        return open_identity(folder, self._key_source, clock=self._clock).custody

    def _existing(self, agent: str) -> Path:
        folder = self._folder(agent)
        if not (folder / SOUL_FILE).exists():
            raise KeyNotFoundError(
                f"The oracle has no keys for the agent {agent}.", next_step=f"somad provision {agent}"
            )
        return folder

    def _folder(self, agent: str) -> Path:
        return self.root / "agents" / check_agent_name(agent)


def _claim(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CustodyUnavailableError(f"{path} can't be used: {error.strerror}.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConflictError(
            f"Another somad works in {path.parent}.", next_step="Stop it first, or choose another folder."
        ) from None
    return descriptor


def _same(here: Identity, brought: Identity) -> Identity:
    if (here.did, here.wallet, here.soul_hash) != (brought.did, brought.wallet, brought.soul_hash):
        raise ConflictError("The oracle has other keys under this agent's name.", next_step="Choose another name.")
    return here


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
