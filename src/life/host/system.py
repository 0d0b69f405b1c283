"""The whole of Life in one process: the parts of one data directory, opened in order and closed in reverse.

    async with open_system(Path(".life")) as system:
        report = await system.runtime.run("notes", "Write hello.txt")

Order matters: the journal is verified before anything reads it, the identity before anything signs, open payments are
cleared up before new ones, and open runs are recovered last.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.wallet_rules import WalletRules
from life.anima.genesis import ensure_genesis
from life.anima.home import create_identity, open_identity
from life.anima.identity_file import Identity
from life.arcan.events import RunLimits
from life.arcan.providers.retry import RetryingProvider
from life.arcan.providers.selection import open_provider
from life.arcan.runtime import Runtime
from life.arcan.settings import DEFAULT_SYSTEM_PROMPT, RuntimeSettings
from life.haima.chain.local_ledger import LocalLedger
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy, SoulLimits
from life.haima.x402.networks import LOCAL
from life.haima.x402.transport import AsyncPayingTransport
from life.host.clock import SystemClock, SystemEntropy
from life.host.data_directory import DEFAULT_NAME, DataDirectory
from life.host.errors import SettingsError
from life.host.keys import Prompt, choose_key_source, nobody
from life.host.ledger import authorization_reader
from life.host.settings import PaymentSettings, Settings, ToolSettings, load_settings
from life.lago.errors import JournalFileDamagedError
from life.lago.journal.sqlite import SqliteJournal, WriterHost
from life.praxis.egress import EgressClient, EgressPolicy, private_permit
from life.praxis.fetch_request import HttpFetchPolicy
from life.praxis.standard import standard_tools

SHUTDOWN_GRACE_MS: Final = 1_500
"""How long running tools may take to finish when everything closes: a daemon is gone within three seconds."""


@dataclass(frozen=True)
class System:
    """The open parts."""

    data: DataDirectory
    settings: Settings
    clock: Clock
    entropy: Entropy
    journal: Journal
    identity: Identity
    custody: InProcessAnima
    payer: Payer
    ledger: LocalLedger
    runtime: Runtime
    identity_is_new: bool


@asynccontextmanager
async def open_system(
    root: Path | str = DEFAULT_NAME,
    *,
    settings: Settings | None = None,
    environment: Mapping[str, str] | None = None,
    prompt: Prompt = nobody,
    journal_writer: WriterHost = "in_loop",
    clock: Clock | None = None,
    entropy: Entropy | None = None,
) -> AsyncIterator[System]:
    """Open (and, where it is missing, make) everything in the data directory `root`."""
    environment = os.environ if environment is None else environment
    data = DataDirectory.create(Path(root))
    settings = settings or load_settings(data.config, environment)
    clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
    _check_journal_is_there(data)
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(SqliteJournal.open(data.journal, clock=clock, writer=journal_writer))
        identity, custody, is_new = await asyncio.to_thread(_identity, data, environment, prompt, clock, entropy)
        stack.callback(custody.close)
        await ensure_genesis(journal, identity)
        ledger = LocalLedger(journal, clock, entropy, network=LOCAL)
        payer = await stack.enter_async_context(
            Payer(
                journal=journal,
                custody=custody,
                clock=clock,
                entropy=entropy,
                agent_id=identity.agent_id,
                policy=payment_policy(settings.payments),
                mode=lambda: settings.payments.economic_mode,
                soul=_soul_limits(identity),
                authorization_state=authorization_reader([ledger]),
            )
        )
        http = HttpFetchPolicy(egress=egress_policy(settings.tools))
        client = EgressClient(http.egress, wrap=lambda inner: AsyncPayingTransport(payer, inner))
        stack.push_async_callback(client.aclose)
        provider_of = functools.partial(open_provider, environment=environment, clock=clock, entropy=entropy)
        provider = provider_of(settings.model.provider)
        if isinstance(provider, RetryingProvider):
            stack.push_async_callback(provider.aclose)
        runtime = await stack.enter_async_context(
            Runtime(
                journal,
                standard_tools(client, http=http),
                provider=provider,
                open_provider=provider_of,
                clock=clock,
                entropy=entropy,
                agent_id=identity.agent_id,
                workspace_of=lambda session_id: str(data.workspace(session_id).resolve()),
                settings=RuntimeSettings(
                    limits=RunLimits(max_steps=settings.model.max_steps),
                    system_prompt=settings.model.system or DEFAULT_SYSTEM_PROMPT,
                    max_output_tokens=settings.model.max_output_tokens,
                    shutdown_grace_ms=SHUTDOWN_GRACE_MS,
                ),
            )
        )
        yield System(
            data, settings, clock, entropy, journal, identity, custody, payer, ledger, runtime, identity_is_new=is_new
        )


def _check_journal_is_there(data: DataDirectory) -> None:
    """An empty file beside sessions' workspaces is what is left of a journal, not a new one: JournalFileDamagedError."""
    if data.journal.exists() and data.journal.stat().st_size == 0 and any((data.root / "workspaces").iterdir()):
        raise JournalFileDamagedError(str(data.journal), "it is empty, but there are workspaces of sessions")


def egress_policy(settings: ToolSettings) -> EgressPolicy:
    """Where tools may connect to; SettingsError when a pattern can't be meant."""
    policy = EgressPolicy(allow_private_hosts=settings.allow_private_hosts)
    try:
        private_permit(policy)
    except ValueError as error:
        raise SettingsError(f"A setting can't be right: {error} - at `$.tools.allow_private_hosts`.") from None
    return policy


def payment_policy(settings: PaymentSettings) -> PaymentPolicy:
    """Haima's policy from the settings."""
    return PaymentPolicy(
        enabled=settings.enabled,
        auto_approve_cap_micro=settings.auto_approve_cap_micro,
        hard_cap_per_tx_micro=settings.hard_cap_per_tx_micro,
        session_spend_cap_micro=settings.session_spend_cap_micro,
        total_cap_micro=settings.total_spend_cap_micro,
        max_tx_per_minute=settings.max_tx_per_minute,
        networks=(settings.network,),
    )


def _identity(
    data: DataDirectory, environment: Mapping[str, str], prompt: Prompt, clock: Clock, entropy: Entropy
) -> tuple[Identity, InProcessAnima, bool]:
    """Make or find the identity and open it; blocks for the key derivation."""
    key_source = choose_key_source(data.identity, environment, prompt)
    _, is_new = create_identity(data.identity, key_source=key_source, clock=clock, entropy=entropy)
    opened = open_identity(data.identity, key_source, clock=clock, rules=WalletRules(require_reservation=True))
    return opened.identity, opened.custody, is_new


def _soul_limits(identity: Identity) -> SoulLimits:
    limits = identity.soul.values.economic_limits
    return SoulLimits(
        max_spend_per_tx_micro=limits.max_spend_per_tx_micro_credits,
        max_spend_per_session_micro=limits.max_spend_per_session_micro_credits,
        max_lifetime_spend_micro=limits.max_lifetime_spend_micro_credits,
    )
