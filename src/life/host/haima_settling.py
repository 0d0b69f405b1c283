"""Who settles a shop's payments, by the name that a person gives: a facilitator's address, or one of the hosted ones.

    https://…        any x402 facilitator (RemoteFacilitator)
    coinbase-cdp     Coinbase's; CDP_API_KEY_ID and CDP_API_KEY_SECRET in the environment
    stripe           Stripe machine payments; STRIPE_SECRET_KEY in the environment, settled by `settle_with` (coinbase-cdp)

Keys are read from the environment and nowhere else: neither a setting nor an option holds one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.haima.facilitator.coinbase_cdp import CDP_URL, CdpCredentials, CdpFacilitator
from life.haima.facilitator.port import Facilitator
from life.haima.facilitator.remote import RemoteFacilitator
from life.haima.facilitator.stripe import StripeFacilitator
from life.haima.facilitator.stripe_deposits import StripeDeposits
from life.haima.facilitator.stripe_intents import STRIPE_URL, StripeIntents, StripeKey
from life.host.access import load_or_create_token

COINBASE: Final = "coinbase-cdp"
STRIPE: Final = "stripe"
NAMES: Final = (COINBASE, STRIPE)

CHALLENGE_SECRET_FILE: Final = "challenge-secret"  # noqa: S105 (the name of a file)


class Settling(NamedTuple):
    """A facilitator, open."""

    facilitator: Facilitator
    title: str
    """What to call it in front of people."""
    deposits: StripeDeposits | None = None
    """With Stripe: prices are `deposits.priced(price, network=…)`, and no payee is named."""


@asynccontextmanager
async def open_settling(
    name: str,
    journal: Journal,
    clock: Clock,
    entropy: Entropy,
    *,
    settle_with: str | None = None,
    environment: Mapping[str, str] | None = None,
    allow_plain_http: bool = False,
    simulate_deposits: bool = False,
    cdp_url: str = CDP_URL,
    stripe_url: str = STRIPE_URL,
) -> AsyncIterator[Settling]:
    """Open it, follow Stripe's captures meanwhile, close it. InvalidInputError for a name or keys that can't be right.

    `settle_with` (an address, or `coinbase-cdp`) moves the money to Stripe's deposit addresses. `simulate_deposits` tells
    Stripe's sandbox of each payment; a live key refuses it. The URLs are others only for tests.
    """
    keys = os.environ if environment is None else environment
    if name != STRIPE:
        if settle_with is not None or simulate_deposits:
            raise InvalidInputError("Only Stripe needs somebody else to settle with.")
        facilitator = _settler(name, clock, entropy, keys, allow_plain_http=allow_plain_http, cdp_url=cdp_url)
        try:
            yield Settling(facilitator, "Coinbase" if name == COINBASE else name)
        finally:
            await facilitator.aclose()
        return
    key = StripeKey.from_environment(keys)
    if simulate_deposits and key.is_live:
        raise InvalidInputError("Deposits are simulated with test keys only.")
    settler_name = settle_with or COINBASE
    if settler_name == STRIPE:
        raise InvalidInputError("Stripe settles nothing over x402 itself.", next_step="Name a facilitator, or nothing.")
    inner = _settler(settler_name, clock, entropy, keys, allow_plain_http=allow_plain_http, cdp_url=cdp_url)
    deposits = StripeDeposits(StripeIntents(key, clock, url=stripe_url), journal, clock, entropy)
    stripe = StripeFacilitator(inner, deposits, clock, simulate_deposits=simulate_deposits)
    watching: asyncio.Task[None] | None = None
    try:
        await stripe.open()
        watching = asyncio.create_task(stripe.watch())
        mode = "live" if key.is_live else "test"
        settled_by = "Coinbase" if settler_name == COINBASE else settler_name
        yield Settling(stripe, f"Stripe ({mode}), through {settled_by}", deposits)
    finally:
        if watching is not None:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        await stripe.aclose()


def challenge_secret(directory: Path, entropy: Entropy) -> bytes:
    """The secret of a shop's payment challenges (life.haima.mpp.server), made at first use and kept in its directory, mode
    0600: every process that serves the same shop reads the same one. Deleting it voids the challenges that are not paid yet,
    and nothing else. DataDirectoryError for a file that others can read, or that is none."""
    return load_or_create_token(directory / CHALLENGE_SECRET_FILE, entropy).encode()


def _settler(
    name: str, clock: Clock, entropy: Entropy, keys: Mapping[str, str], *, allow_plain_http: bool, cdp_url: str
) -> Facilitator:
    if name == COINBASE:
        return CdpFacilitator(CdpCredentials.from_environment(keys), clock, entropy, url=cdp_url)
    if "://" not in name:
        raise InvalidInputError(
            f"{name!r} is no facilitator.", next_step=f"Give its address (https://…), or one of {', '.join(NAMES)}."
        )
    return RemoteFacilitator(name, clock, allow_plain_http=allow_plain_http)


__all__ = ["COINBASE", "NAMES", "STRIPE", "Settling", "challenge_secret", "open_settling"]
