"""Wallets of commands: a key that was typed or exported, or the project's own identity.

A key arrives as text, because that is what command lines and environments hold. It is turned into bytes once, goes into
custody, and the bytes are wiped; the text itself is Python's to forget. No message ever repeats what was given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from life.aios.errors import CustodyError, InvalidInputError
from life.aios.ports.clock import Clock
from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.wallet_rules import WalletRules
from life.anima.home import open_identity, read_identity
from life.crypto.address import format_address, parse_address
from life.crypto.errors import CryptoError
from life.crypto.wiping import wipe
from life.haima.policy import SoulLimits
from life.haima.x402.networks import BUILT_IN, Network, chain_id_of, is_solana
from life.host.data_directory import DataDirectory
from life.host.keys import Prompt, choose_key_source

_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


class Wallet(NamedTuple):
    """Custody that signs for one wallet, and on whose behalf it is used. Close the custody."""

    custody: InProcessAnima
    agent_id: str
    soul: SoulLimits | None
    """The limits of the identity's soul; None for a bare key."""


def wallet_of_key(key: str, *, clock: Clock, rules: WalletRules, agent_id: str) -> Wallet:
    """A wallet from `0x` and 64 hex digits. InvalidInputError when that is no key."""
    digits = key.strip()
    digits = digits[2:] if digits[:2] in ("0x", "0X") else digits
    if len(digits) != 64 or not _HEX_DIGITS.issuperset(digits):
        raise InvalidInputError("The private key must be 0x and 64 hex digits.")
    secret = bytearray.fromhex(digits)
    try:
        custody = InProcessAnima.from_wallet_key(secret, clock=clock, rules=rules)
    except CustodyError:
        raise InvalidInputError("The private key is not one of secp256k1: it is zero or too large.") from None
    finally:
        wipe(secret)
    return Wallet(custody, agent_id, None)


async def wallet_of_identity(
    root: Path, *, environment: Mapping[str, str], prompt: Prompt, clock: Clock, rules: WalletRules
) -> Wallet:
    """The wallet of the project's identity in the data directory `root`. IdentityNotFoundError when there is none; the
    errors of `open_identity` and of its key source."""
    folder = DataDirectory(root).identity

    def opening() -> Wallet:
        read_identity(folder)
        opened = open_identity(folder, choose_key_source(folder, environment, prompt), clock=clock, rules=rules)
        limits = opened.identity.soul.values.economic_limits
        soul = SoulLimits(
            max_spend_per_tx_micro=limits.max_spend_per_tx_micro_credits,
            max_spend_per_session_micro=limits.max_spend_per_session_micro_credits,
            max_lifetime_spend_micro=limits.max_lifetime_spend_micro_credits,
        )
        return Wallet(opened.custody, opened.identity.agent_id, soul)

    return await asyncio.to_thread(opening)


def read_address(text: str, what: str) -> str:
    """The EIP-55 spelling of an address; InvalidInputError when it is none or its checksum is wrong."""
    try:
        return format_address(parse_address(text.strip()))
    except CryptoError as error:
        raise InvalidInputError(f"The {what} can't be right: {error}.") from None


def read_network(text: str) -> Network:
    """An EVM network by CAIP-2 name or alias. InvalidInputError when it is none; one that is not in the registry has no
    tokens, and is taken for one with real money."""
    known = BUILT_IN.network(text)
    if known is not None and not is_solana(known.caip2):
        return known
    if chain_id_of(text) is None:
        names = ", ".join(
            f"{network.caip2} ({network.alias})" for network in BUILT_IN.networks if not is_solana(network.caip2)
        )
        raise InvalidInputError(
            f"{text!r} is no EVM network: it must look like eip155:84532.", next_step=f"Known: {names}."
        )
    return Network(text, text, "", True)


def read_any_network(text: str) -> Network:
    """The same, also for Solana (`solana`, `solana-devnet`, or `solana:` and 32 characters of the genesis hash)."""
    known = BUILT_IN.network(text)
    if known is not None:
        return known
    if is_solana(text):
        return Network(text, text, "", True)
    if chain_id_of(text) is None:
        names = ", ".join(f"{network.caip2} ({network.alias})" for network in BUILT_IN.networks)
        raise InvalidInputError(
            f"{text!r} is no EVM network and none of Solana: it must look like eip155:84532.",
            next_step=f"Known: {names}.",
        )
    return Network(text, text, "", True)
