"""The whole of Life in one process: the parts of one data directory, opened in order and closed in reverse.

    async with open_system(Path(".life")) as system:
        await system.runtime.create_session("notes")
        report = await system.runtime.run("notes", "Write hello.txt")

Order matters: the journal is verified before anything reads it, the identity before anything signs, open payments are
cleared up before new ones, and open runs are recovered last.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from life.aios.ports.blobs import Blobs
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.aios.ports.journal import Journal
from life.aios.ports.provider import ModelProvider
from life.aios.ports.regulator import ModelTier
from life.aios.ports.snapshots import Snapshots
from life.aios.state import EconomicMode
from life.anima.custody.wallet_rules import WalletRules
from life.anima.custody_journal import CustodyJournal
from life.anima.genesis import ensure_genesis
from life.anima.guarded_custody import GuardedCustody
from life.anima.identity_file import Identity
from life.anima.key_source import KeySource
from life.anima.registry import IdentityRegistry
from life.arcan.events import RunLimits
from life.arcan.foreign.outside_loop import OutsideLoop
from life.arcan.providers.guarded import TimeLimits
from life.arcan.providers.opening import ModelOptions, ProviderOpener
from life.arcan.providers.retry import RetryPolicy
from life.arcan.providers.translation import MAX_IMAGE_BYTES, ReadImage
from life.arcan.runtime import Runtime
from life.arcan.settings import DEFAULT_SYSTEM_PROMPT, RuntimeSettings
from life.haima.chain.local_ledger import LocalLedger
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy, SoulLimits
from life.haima.x402.networks import LOCAL
from life.haima.x402.transport import AsyncPayingTransport
from life.host.agents import open_agents
from life.host.autonomic import Autonomic, keeping, open_autonomic
from life.host.autonomic_telemetry import shown
from life.host.clock import SystemClock, SystemEntropy
from life.host.custody_opening import CustodyContext, ensure_identity, open_custody
from life.host.custody_rotation import settle_identity
from life.host.custody_settings import CustodySettings
from life.host.data_directory import DEFAULT_NAME, DataDirectory
from life.host.demos.judge import DemoJudges, judging
from life.host.demos.recordings import JournalWithRecordings
from life.host.demos.spaces import DemoSpacesParts
from life.host.demos.world import DemoWorld
from life.host.equipment import Equipment, open_equipment, workspace_of
from life.host.errors import SettingsError
from life.host.evaluation import Evaluator, evaluating
from life.host.keys import Prompt, choose_key_source, nobody
from life.host.lagod_engine import NATS_FOLDER, NatsSettings, open_nats
from life.host.ledger import authorization_reader
from life.host.model_keys import ModelKeys, open_model_keys
from life.host.settings import (
    AutonomicSettings,
    JournalSettings,
    ModelSettings,
    PaymentSettings,
    Settings,
    ToolSettings,
    load_settings,
)
from life.host.spaces_link import LinkParts, SpacesLink
from life.host.telemetry import open_host_telemetry
from life.lago.errors import JournalFileDamagedError
from life.lago.journal.sqlite import SqliteJournal, WriterHost
from life.lago.snapshots import SqliteSnapshots
from life.praxis.egress import EgressClient, EgressPolicy, private_permit
from life.praxis.fetch_request import HttpFetchPolicy
from life.praxis.function_tool import FunctionTool

if TYPE_CHECKING:
    from life.host.hiring.hiring import Hiring
    from life.vigil.telemetry import LiveTelemetry

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
    registry: IdentityRegistry
    """Every identity of this journal, as it stands now."""
    custody: Custody
    """The agent's own keys. Who signs for it takes them guarded, so that a revoked identity signs nothing."""
    payer: Payer
    autonomic: Autonomic
    """What keeps the agent within its means and its limits."""
    ledger: LocalLedger
    runtime: Runtime
    equipment: Equipment
    """What the runtime thinks and works with."""
    model_keys: ModelKeys
    """Keys of model providers, sealed under the identity."""
    environment: Mapping[str, str] = field(repr=False)
    """What the process was given, without stored keys."""
    identity_is_new: bool
    spaces: SpacesLink
    """Where the agent meets others; nothing is opened before it is used."""
    hiring: Hiring | None
    """How it hires and is hired; None where Spaces is off, or only served."""
    demo_world: DemoWorld
    """What the demos are surrounded by."""
    demo_judges: DemoJudges
    telemetry: LiveTelemetry | None = None
    """What exports spans, when telemetry is on."""


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
    provider: ModelProvider | None = None,
    loop: OutsideLoop | None = None,
    tools: Sequence[FunctionTool[..., object]] = (),
    recordings: bool = True,
) -> AsyncIterator[System]:
    """Open (and, where it is missing, make) everything in the data directory `root`. A `provider` given here thinks for
    sessions that name none, instead of the one in the settings; closing it is its owner's business. A `loop` of
    another framework thinks and acts instead of both (docs/bring-your-own-loop.md); it is stopped at the end. `tools` stand beside the built-in ones. `recordings`: whether the demos' recordings can be read beside the journal."""
    environment = os.environ if environment is None else environment
    data = DataDirectory.create(Path(root))
    settings = settings or load_settings(data.config, environment)
    clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
    _check_journal_is_there(data, settings.journal)
    async with AsyncExitStack() as stack:
        journal: Journal
        snapshots: Snapshots
        if settings.journal.engine == "nats":
            journal, snapshots, _ = await open_nats(_nats_settings(settings.journal), data.root, entropy, stack)
        else:
            journal = await stack.enter_async_context(
                SqliteJournal.open(data.journal, clock=clock, writer=journal_writer)
            )
            snapshots = await stack.enter_async_context(SqliteSnapshots(data.journal))
        telemetry = await open_host_telemetry(
            stack, settings.telemetry, environment, clock=clock, entropy=entropy, root=data.root
        )
        if telemetry is not None:
            journal = telemetry.watch(journal)
        if recordings:
            journal = JournalWithRecordings(journal)
        agent = await _open_agent(
            stack,
            journal,
            data,
            settings.custody,
            lambda: choose_key_source(data.identity, environment, prompt),
            clock,
            entropy,
        )
        identity = agent.identity
        registry = await stack.enter_async_context(IdentityRegistry.open(journal, clock))
        ledger = LocalLedger(journal, clock, entropy, network=LOCAL)
        autonomic = await stack.enter_async_context(
            open_autonomic(
                journal,
                snapshots,
                settings.autonomic,
                clock=clock,
                entropy=entropy,
                agent_id=identity.agent_id,
                floor=settings.payments.economic_mode,
                token=data.token,
            )
        )
        payer = await stack.enter_async_context(
            Payer(
                journal=journal,
                custody=GuardedCustody(agent.custody, registry),
                clock=clock,
                entropy=entropy,
                agent_id=identity.agent_id,
                policy=payment_policy(settings.payments, settings.autonomic),
                mode=autonomic.mode,
                soul=_soul_limits(identity),
                approval_lifetime_s=settings.payments.approval_lifetime_s,
                authorization_state=authorization_reader([ledger]),
            )
        )
        spaces = SpacesLink(
            LinkParts(
                settings=settings.spaces,
                data=data,
                journal=journal,
                registry=registry,
                custody=GuardedCustody(agent.custody, registry),
                agent_id=identity.agent_id,
                did=identity.did,
                name=identity.name,
                clock=clock,
                entropy=entropy,
                environment=environment,
            )
        )
        stack.push_async_callback(spaces.aclose)
        http = HttpFetchPolicy(egress=egress_policy(settings.tools))
        demo_world = DemoWorld(
            DemoSpacesParts(
                data=data,
                journal=journal,
                registry=registry,
                custody=GuardedCustody(agent.custody, registry),
                payer=payer,
                ledger=ledger,
                mode=autonomic.mode,
                agent_id=identity.agent_id,
                did=identity.did,
                name=identity.name,
                clock=clock,
                entropy=entropy,
            )
        )
        stack.push_async_callback(demo_world.aclose)
        client = EgressClient(
            http.egress, wrap=lambda inner: AsyncPayingTransport(payer, demo_world.network.around(inner))
        )
        stack.push_async_callback(client.aclose)
        model_keys = open_model_keys(data, agent.custody, environment, clock=clock, entropy=entropy)
        provider_of = model_keys.renewing(
            ProviderOpener(
                environment=model_keys.environment,
                clock=clock,
                entropy=entropy,
                options=model_options(settings.model),
                read_image=_image_reader(data, clock, entropy, environment, prompt),
            )
        )
        if loop is not None:
            provider = loop
            stack.push_async_callback(loop.aclose)
        if provider is None:
            provider = provider_of(settings.model.provider)
            close_provider: Callable[[], Awaitable[None]] | None = getattr(provider, "aclose", None)
            if close_provider is not None:
                stack.push_async_callback(close_provider)
        hiring: Hiring | None = None
        if settings.spaces.hires:
            from life.host.hiring import hiring as hires

            hiring = hires.Hiring(
                hires.HiringParts(
                    link=spaces,
                    journal=journal,
                    registry=registry,
                    custody=GuardedCustody(agent.custody, registry),
                    payer=payer,
                    ledger=ledger,
                    mode=autonomic.mode,
                    agent_id=identity.agent_id,
                    did=identity.did,
                    house=settings.spaces.house,
                    network=settings.payments.network,
                    clock=clock,
                    entropy=entropy,
                )
            )
            stack.push_async_callback(hiring.aclose)
        equipment = await open_equipment(
            stack,
            data,
            settings,
            journal=journal,
            identity=identity,
            client=client,
            http=http,
            open_provider=provider_of,
            environment=environment,
            prompt=prompt,
            clock=clock,
            entropy=entropy,
            own_tools=tools,
            demo_world=demo_world,
            spaces=hiring.toolbox if hiring is not None and settings.spaces.offers_tools else None,
        )
        runtime = await stack.enter_async_context(
            Runtime(
                journal,
                equipment.toolbox if loop is None else loop.toolbox(equipment.toolbox, journal),
                provider=provider,
                open_provider=equipment.open_provider,
                clock=clock,
                entropy=entropy,
                agent_id=identity.agent_id,
                workspace_of=lambda session_id: workspace_of(data, session_id),
                settings=RuntimeSettings(
                    limits=RunLimits(max_steps=settings.model.max_steps),
                    system_prompt=equipment.instructions(settings.model.system or DEFAULT_SYSTEM_PROMPT),
                    policy=equipment.policy,
                    max_output_tokens=settings.model.max_output_tokens,
                    tier_providers=_regulator_tiers(settings.model) if loop is None else {},
                    reads_at_once=settings.tools.reads_at_once,
                    shutdown_grace_ms=SHUTDOWN_GRACE_MS,
                ),
                context=equipment.context,
                files=equipment.files,
                checkpoints=snapshots,
                agents=open_agents(data, environment) if loop is None else None,
                regulator=autonomic.regulator,
                telemetry=telemetry,
            )
        )
        if hiring is not None:
            hiring.attach(runtime)
        demo_world.spaces.attach(runtime)
        await stack.enter_async_context(keeping(autonomic, runtime))
        await stack.enter_async_context(shown(autonomic, telemetry))
        if telemetry is not None and spaces.is_on:
            from life.host.spaces_telemetry import spaces_shown

            await stack.enter_async_context(spaces_shown(spaces, telemetry))
        if settings.evaluation.inline or settings.evaluation.judge:
            toolbox = equipment.toolbox
            evaluator = Evaluator(
                journal,
                settings.evaluation,
                clock=clock,
                entropy=entropy,
                agent_id=identity.agent_id,
                schemas=lambda: {tool.name: tool.input_schema for tool in toolbox.definitions()},
                open_provider=provider_of,
                rates=autonomic.homeostasis.rates,
                vitals=autonomic.homeostasis.vitals,
            )
            await stack.enter_async_context(evaluating(evaluator, journal, autonomic.follower.position))
        schemas_of = equipment.toolbox
        demo_judges = await stack.enter_async_context(
            judging(
                DemoJudges(
                    journal,
                    settings.evaluation,
                    clock=clock,
                    entropy=entropy,
                    agent_id=identity.agent_id,
                    schemas=lambda: {tool.name: tool.input_schema for tool in schemas_of.definitions()},
                    rates=autonomic.homeostasis.rates,
                    vitals=autonomic.homeostasis.vitals,
                ),
                autonomic.follower.position,
            )
        )
        yield System(
            data=data,
            settings=settings,
            clock=clock,
            entropy=entropy,
            journal=journal,
            identity=identity,
            registry=registry,
            custody=agent.custody,
            payer=payer,
            autonomic=autonomic,
            ledger=ledger,
            runtime=runtime,
            equipment=equipment,
            model_keys=model_keys,
            environment=environment,
            identity_is_new=agent.is_new,
            spaces=spaces,
            hiring=hiring,
            demo_world=demo_world,
            demo_judges=demo_judges,
            telemetry=telemetry,
        )


def _check_journal_is_there(data: DataDirectory, settings: JournalSettings) -> None:
    """An empty file beside sessions' workspaces is what is left of a journal, not a new one: JournalFileDamagedError. A project
    whose journal is elsewhere is not begun anew here: SettingsError."""
    is_in_file = data.journal.exists() and data.journal.stat().st_size > 0
    if settings.engine == "nats" and is_in_file:
        raise SettingsError(
            f"This project's journal is the file {data.journal}.",
            next_step="Leave journal.engine at sqlite, or take a new --data-dir and import an export into it.",
        )
    if settings.engine == "sqlite" and not is_in_file and (data.root / NATS_FOLDER).exists():
        raise SettingsError(
            f"This project's journal is on the NATS server of {data.root / NATS_FOLDER}.",
            next_step="Start with --nats.",
        )
    if data.journal.exists() and data.journal.stat().st_size == 0 and any((data.root / "workspaces").iterdir()):
        raise JournalFileDamagedError(str(data.journal), "it is empty, but there are workspaces of sessions")


def _nats_settings(settings: JournalSettings) -> NatsSettings:
    return NatsSettings(
        servers=settings.nats_urls,
        credentials=Path(settings.nats_credentials) if settings.nats_credentials else None,
        ca_file=Path(settings.nats_ca) if settings.nats_ca else None,
        name=settings.nats_name,
        replicas=settings.nats_replicas,
        accept_unverified=settings.nats_accept_unverified,
    )


def egress_policy(settings: ToolSettings) -> EgressPolicy:
    """Where tools may connect to; SettingsError when a pattern can't be meant."""
    policy = EgressPolicy(allow_private_hosts=settings.allow_private_hosts)
    try:
        private_permit(policy)
    except ValueError as error:
        raise SettingsError(f"A setting can't be right: {error} - at `$.tools.allow_private_hosts`.") from None
    return policy


def model_options(settings: ModelSettings) -> ModelOptions:
    """How models are asked, from the settings."""
    tiers = {"small": settings.tiers.small, "standard": settings.tiers.standard, "large": settings.tiers.large}
    return ModelOptions(
        effort=settings.effort or None,
        tiers={name: specification for name, specification in tiers.items() if specification},
        prices=settings.prices,
        requests_per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
        time_limits=TimeLimits(
            first_piece_ms=settings.first_piece_timeout_s * 1000,
            idle_ms=settings.idle_timeout_s * 1000,
            total_ms=settings.total_timeout_s * 1000,
        ),
        retry=RetryPolicy(attempts=settings.retries + 1),
    )


def _regulator_tiers(settings: ModelSettings) -> dict[ModelTier, str]:
    """What the regulator's tiers mean; those without a provider change nothing."""
    tiers = settings.tiers
    named: dict[ModelTier, str] = {"economy": tiers.small, "standard": tiers.standard, "premium": tiers.large}
    return {tier: specification for tier, specification in named.items() if specification}


def _image_reader(
    data: DataDirectory, clock: Clock, entropy: Entropy, environment: Mapping[str, str], prompt: Prompt
) -> ReadImage:
    """Images of conversations, from the project's blobs; the store is opened with the first."""
    opened: list[Blobs] = []

    async def read(blob: str) -> bytes:
        if not opened:
            from life.host.blob_keys import open_blobs
            from life.lago.blobs.directory import DirectoryObjects

            objects = DirectoryObjects(data.blobs, entropy)
            opened.append(open_blobs(data, objects, clock, entropy, environment=environment, prompt=prompt))
        return await opened[0].get(blob, max_bytes=MAX_IMAGE_BYTES)

    return read


def payment_policy(settings: PaymentSettings, short: AutonomicSettings | None = None) -> PaymentPolicy:
    """Haima's policy from the settings; `short` says what needs no approval while means are short."""
    by_mode: dict[EconomicMode, int] = {}
    if short is not None:
        limits: dict[EconomicMode, int | None] = {
            "conserving": short.conserving_auto_approve_micro,
            "hustle": short.hustle_auto_approve_micro,
        }
        by_mode = {mode: limit for mode, limit in limits.items() if limit is not None}
    return PaymentPolicy(
        auto_approve_by_mode_micro=by_mode,
        enabled=settings.enabled,
        auto_approve_cap_micro=settings.auto_approve_cap_micro,
        hard_cap_per_tx_micro=settings.hard_cap_per_tx_micro,
        session_spend_cap_micro=settings.session_spend_cap_micro,
        total_cap_micro=settings.total_spend_cap_micro,
        task_cap_micro=settings.task_cap_micro,
        payee_cap_micro=settings.payee_cap_micro,
        host_cap_micro=settings.host_cap_micro,
        day_cap_micro=settings.day_cap_micro,
        rolling_day_cap_micro=settings.rolling_day_cap_micro,
        max_tx_per_minute=settings.max_tx_per_minute,
        allow_hosts=settings.allow_hosts or None,
        deny_hosts=settings.deny_hosts,
        allow_payees=settings.allow_payees or None,
        deny_payees=settings.deny_payees,
        on_payee_change=settings.on_payee_change,
        price_jump_percent=settings.price_jump_percent,
        networks=(settings.network,),
    )


class _Agent(NamedTuple):
    """The identity, the handle that signs for it, and whether it was made now."""

    identity: Identity
    custody: Custody
    is_new: bool


async def _open_agent(
    stack: AsyncExitStack,
    journal: Journal,
    data: DataDirectory,
    settings: CustodySettings,
    key_source: Callable[[], KeySource],
    clock: Clock,
    entropy: Entropy,
) -> _Agent:
    """Make or find the identity and open it on its backend; what its keys sign from now on is written to its custody
    stream."""
    keys = CustodyContext(settings, data.identity, key_source, clock, entropy)
    _, is_new = await ensure_identity(keys)
    identity = (await settle_identity(journal, keys)).identity
    signed = CustodyJournal(journal, agent_id=identity.agent_id, clock=clock, entropy=entropy)
    stack.push_async_callback(signed.flush)
    custody = await stack.enter_async_context(
        open_custody(keys, identity=identity, rules=WalletRules(require_reservation=True), observer=signed)
    )
    await ensure_genesis(journal, identity)
    writing = asyncio.create_task(signed.run())

    async def stop_writing() -> None:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    stack.push_async_callback(stop_writing)
    return _Agent(identity, custody, is_new)


def _soul_limits(identity: Identity) -> SoulLimits:
    limits = identity.soul.values.economic_limits
    return SoulLimits(
        max_spend_per_tx_micro=limits.max_spend_per_tx_micro_credits,
        max_spend_per_session_micro=limits.max_spend_per_session_micro_credits,
        max_lifetime_spend_micro=limits.max_lifetime_spend_micro_credits,
    )
