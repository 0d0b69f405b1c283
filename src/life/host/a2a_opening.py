"""A2A of a daemon, from its settings: the profile on the card, the till that priced skills are paid at, and where tasks are told.

    async with open_daemon_a2a(system, address="http://127.0.0.1:3000") as a2a:
        operations = [*a2a.public_operations, *a2a.operations]

Who sells needs a facilitator. On the local ledger it is one of our own, over the same journal; on a chain it is named
(`a2a.facilitator`), and the money goes to the agent's own wallet unless `a2a.pay_to` names another address.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import life
from life.aios.errors import InvalidInputError, LifeError
from life.haima.facilitator.port import Facilitator
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.x402.networks import LOCAL
from life.haima.x402.price import parse_price
from life.haima.x402.till import Till
from life.host.a2a import PATH, A2a, a2a_parts, open_a2a
from life.host.errors import SettingsError
from life.host.haima_seller import read_payee
from life.host.haima_settling import open_settling
from life.host.settings import A2aSettings
from life.host.system import System, egress_policy
from life.host.webhook_client import CheckedWebhookClient
from life.spaces.a2a.card import Profile, Skill
from life.spaces.a2a.channel import AgentLogChannel

_log: Final = logging.getLogger("life.host.a2a")
AUDIENCE: Final = "arcand"
"""What agents put into their tokens (the daemon's own name)."""
DESCRIPTION: Final = "An agent of Life: it answers, and works on tasks with its tools."
PATIENCE_S: Final = 3.0
"""How long the start waits for a facilitator to say what it settles."""
DEFAULT_SKILL: Final = Skill(
    id="work",
    name="Work on a task",
    description="Answers a question, or works on a task with this agent's tools and says what came of it.",
    tags=("text", "tasks"),
)


@asynccontextmanager
async def open_daemon_a2a(system: System, *, address: str) -> AsyncIterator[A2a | None]:
    """A2A as `[a2a]` has it; None when it is off, when the agent has no key that signs its card, or when that does not answer now (said
    in the log). `address` is where the daemon is reached unless the settings say otherwise. SettingsError for what can't be meant.
    Recover the runtime's sessions before."""
    settings = system.settings.a2a
    if not settings.enabled or system.custody.capabilities().did is None:
        yield None
        return
    profile = profile_of(system, address=address)
    async with AsyncExitStack() as stack:
        webhooks: CheckedWebhookClient | None = None
        if settings.push:
            webhooks = CheckedWebhookClient(egress_policy(system.settings.tools))
            stack.push_async_callback(webhooks.aclose)
        till = await _till(stack, system) if any(skill.price for skill in profile.skills) else None
        channel: AgentLogChannel | None = None
        if settings.channel and system.spaces.is_on:
            channel = AgentLogChannel(system.spaces.seat, settings.channel, agent_id=system.identity.agent_id)
        parts = a2a_parts(system, webhooks=webhooks, till=till, channel=channel)._replace(max_open=settings.max_open)
        try:
            a2a: A2a | None = await stack.enter_async_context(open_a2a(parts, profile))
        except LifeError as error:
            if not error.retryable:
                raise
            _log.warning("A2A is not served: %s", error.message)
            a2a = None
        yield a2a


def profile_of(system: System, *, address: str) -> Profile:
    """What the card says."""
    settings = system.settings.a2a
    base = (settings.url or address).rstrip("/")
    if not base.startswith(("https://", "http://")):
        raise SettingsError("a2a.url is an http(s) address.")
    return Profile(
        name=settings.name or system.identity.name,
        description=settings.description or DESCRIPTION,
        version=life.__version__,
        base_url=f"{base}{PATH}",
        skills=_skills(settings),
        organization=settings.organization,
        organization_url=settings.organization_url,
        audience=AUDIENCE,
    )


def _skills(settings: A2aSettings) -> tuple[Skill, ...]:
    ids = [skill.id for skill in settings.skills]
    if len(set(ids)) != len(ids):
        raise SettingsError("Two of a2a.skills have the same id.")
    return tuple(
        Skill(
            id=skill.id,
            name=skill.name,
            description=skill.description,
            tags=skill.tags,
            examples=skill.examples,
            price=skill.price,
            is_private=skill.private,
        )
        for skill in settings.skills
    ) or (DEFAULT_SKILL,)


async def _till(stack: AsyncExitStack, system: System) -> Till:
    settings = system.settings.a2a
    wanted = settings.network or system.settings.payments.network
    payee = settings.pay_to or system.custody.capabilities().wallet_address
    if payee is None:
        raise SettingsError("A priced skill needs somebody who is paid.", next_step="Set a2a.pay_to.")
    try:
        network, pay_to = read_payee(wanted, payee, "a2a.pay_to")
    except InvalidInputError as error:
        raise SettingsError(f"a2a: {error.message}") from None
    till = Till(
        pay_to=pay_to,
        network=network,
        facilitator=await _facilitator(stack, system, network),
        journal=system.journal,
        clock=system.clock,
        entropy=system.entropy,
        agent_id=system.identity.agent_id,
    )
    stack.push_async_callback(till.aclose)
    try:
        for skill in settings.skills:
            if skill.price:
                parse_price(skill.price, network=network)
    except InvalidInputError as error:
        raise SettingsError(f"a2a.skills: {error.message}") from None
    starting = asyncio.create_task(till.start())
    stack.push_async_callback(_ended, starting)
    await asyncio.wait([starting], timeout=PATIENCE_S)
    if starting.done():
        starting.result()  # a facilitator that does not settle there is an error, one that is down is not
    return till


async def _ended(task: asyncio.Task[int]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _facilitator(stack: AsyncExitStack, system: System, network: str) -> Facilitator:
    name = system.settings.a2a.facilitator
    if name:
        settling = await stack.enter_async_context(open_settling(name, system.journal, system.clock, system.entropy))
        return settling.facilitator
    if network != LOCAL:
        raise SettingsError(
            f"Nobody settles payments on {network} here.",
            next_step="Set a2a.facilitator to an address or coinbase-cdp.",
        )
    own = SelfHostedFacilitator([system.ledger], system.journal, system.clock, system.entropy)
    await own.start()
    stack.push_async_callback(own.aclose)
    return own
