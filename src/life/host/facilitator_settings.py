"""What a facilitator is told: networks by options or in a TOML file, and what it refuses to be told.

    fee_bps = 0                      # owed by sellers, by invoice
    rate_per_minute = 6000           # per client on other machines; 0 is no limit
    burst = 200

    [[network]]
    network = "base"                 # CAIP-2 or short name
    rpc = "https://…"                # or rpc_env = "BASE_RPC_URL", to keep a key out of the file
    max_fee_gwei = 50                # nothing is sent while the chain asks for more
    confirmations = 1
    final_depth = 12                 # blocks on top until a settlement is not looked after any more
    wallet_factories = ["0x…"]       # may deploy payers' wallets with our gas (ERC-6492)

    [[network]]
    network = "solana"               # a network of Solana has no settings but its node
    rpc = "https://…"

An unknown key is an error, so that no setting is ignored. The keys of the accounts that pay gas never stand in the file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from life.aios.errors import InvalidInputError
from life.crypto.address import format_address
from life.crypto.errors import CryptoError
from life.crypto.secp256k1 import address_of, public_key
from life.crypto.wiping import wipe
from life.haima.chain.local_ledger import DEVELOPMENT_ACCOUNTS
from life.haima.x402.networks import BUILT_IN, is_solana
from life.host.haima_wallet import read_address, read_any_network

RATE_PER_MINUTE: Final = 6_000
BURST: Final = 200
MAX_FEE_GWEI: Final = 200
"""Above this nothing is sent unless a higher limit is set: a stuck or lying node must not drain the gas account."""
GWEI: Final = 1_000_000_000
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Settlement(NamedTuple):
    """Where a facilitator settles. Without `rpc_url` on a ledger in its own journal, with play money."""

    network: str
    """CAIP-2 or alias."""
    rpc_url: str | None = None
    key: str | None = None
    """Of the account that pays gas; needed with `rpc_url`. `0x` and 64 hex digits, on Solana as its own tools write it."""
    asset: str | None = None
    """Play money only: the token's contract. Default: the first token that is known on the network."""
    funds: Mapping[str, int] = {}
    """Play money only: accounts and the balance, in atomic units, that they are topped up to at the start."""
    max_fee_gwei: int = MAX_FEE_GWEI
    confirmations: int = 1
    final_depth: int = 12
    wallet_factories: tuple[str, ...] = ()

    @property
    def on_solana(self) -> bool:
        """Whether it is a network of Solana."""
        return is_solana_name(self.network)


class FacilitatorSettings(NamedTuple):
    """Everything about one facilitator but where it listens."""

    settlements: tuple[Settlement, ...]
    fee_bps: int = 0
    rate_per_minute: int = RATE_PER_MINUTE
    """Per client on another machine; 0 is no limit."""
    burst: int = BURST
    public_metrics: bool = False
    """Whether /metrics answers requests from other machines."""


class _Network(msgspec.Struct, forbid_unknown_fields=True):
    network: str
    rpc: str | None = None
    rpc_env: str | None = None
    max_fee_gwei: int = MAX_FEE_GWEI
    confirmations: int = 1
    final_depth: int = 12
    wallet_factories: tuple[str, ...] = ()


class _File(msgspec.Struct, forbid_unknown_fields=True):
    network: tuple[_Network, ...] = ()
    fee_bps: int = 0
    rate_per_minute: int = RATE_PER_MINUTE
    burst: int = BURST
    public_metrics: bool = False


def read_settings(
    path: Path,
    *,
    key: str | None,
    solana_key: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> FacilitatorSettings:
    """Settings from a TOML file. InvalidInputError says what is wrong, and shows no address of a node."""
    try:
        content = tomllib.loads(path.read_text())
        read = msgspec.convert(content, _File)
    except OSError as error:
        raise InvalidInputError(f"The settings in {path} can't be read: {error.strerror}.") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InvalidInputError(f"The settings in {path} can't be used: {error}.") from None
    settlements = []
    for each in read.network:
        if each.rpc is not None and each.rpc_env is not None:
            raise InvalidInputError(f"{each.network} names its node twice, in rpc and in rpc_env.")
        rpc = each.rpc
        if each.rpc_env is not None:
            rpc = environment.get(each.rpc_env)
            if not rpc:
                raise InvalidInputError(f"{each.network} takes its node from {each.rpc_env}, which is not set.")
        settlements.append(
            Settlement(
                each.network,
                rpc,
                None if rpc is None else solana_key if is_solana_name(each.network) else key,
                max_fee_gwei=each.max_fee_gwei,
                confirmations=each.confirmations,
                final_depth=each.final_depth,
                wallet_factories=each.wallet_factories,
            )
        )
    if not settlements:
        raise InvalidInputError(f"The settings in {path} name no network.", next_step="Add a [[network]] table.")
    return FacilitatorSettings(tuple(settlements), read.fee_bps, read.rate_per_minute, read.burst, read.public_metrics)


def pair_networks(
    networks: tuple[str, ...], rpc_urls: tuple[str, ...], *, key: str | None, solana_key: str | None = None
) -> tuple[Settlement, ...]:
    """Networks and nodes that were given in pairs: the first network belongs to the first node, and so on. Without any node
    there is one network, on the local ledger."""
    names = networks or ("local",)
    if rpc_urls and len(rpc_urls) != len(names):
        raise InvalidInputError(
            f"There are {len(names)} networks and {len(rpc_urls)} nodes; give one --rpc for each --network, in order."
        )
    if not rpc_urls:
        return tuple(Settlement(name) for name in names)
    return tuple(
        Settlement(name, rpc, solana_key if is_solana_name(name) else key)
        for name, rpc in zip(names, rpc_urls, strict=True)
    )


def is_solana_name(network: str) -> bool:
    """Whether a CAIP-2 name or alias is one of Solana."""
    known = BUILT_IN.network(network)
    return is_solana(network if known is None else known.caip2)


def check_settings(settings: FacilitatorSettings, *, host_is_local: bool) -> None:
    """InvalidInputError for settings that can't work or put money at risk; the sentence says which and why."""
    seen: set[str] = set()
    for where in settings.settlements:
        network = read_any_network(where.network)
        if network.caip2 in seen:
            raise InvalidInputError(f"{network.caip2} is named twice.")
        seen.add(network.caip2)
        if where.max_fee_gwei < 1 or where.confirmations < 1 or where.final_depth < 1:
            raise InvalidInputError("max_fee_gwei, confirmations and final_depth are at least 1.")
        if where.on_solana:
            _check_solana(where)
        for factory in where.wallet_factories:
            read_address(factory, "wallet factory")
        if where.rpc_url is None or not network.real_money or _is_here(where.rpc_url):
            continue
        if where.rpc_url.lower().startswith("http:"):
            raise InvalidInputError(
                f"The node of {network.title} would be asked over plain HTTP, where anybody on the way can answer for it.",
                next_step="Use https, or a node on this machine.",
            )
        if where.key is not None and not where.on_solana and _is_development_key(where.key):
            raise InvalidInputError(
                f"The gas key is one of anvil's and Hardhat's, which everybody knows; on {network.title} it would be emptied.",
                next_step="Make a key of your own.",
            )
    if settings.fee_bps and any(where.on_solana for where in settings.settlements):
        raise InvalidInputError(
            "No fee is recorded for settlements on Solana.", next_step="Leave out the fee, or settle there elsewhere."
        )
    if settings.rate_per_minute < 0 or settings.burst < 1:
        raise InvalidInputError("rate_per_minute is at least 0, burst at least 1.")
    if settings.rate_per_minute == 0 and not host_is_local:
        raise InvalidInputError(
            "Beyond this machine a facilitator needs a rate limit: every call costs calls of the node.",
            next_step="Set --rate, or leave it out.",
        )


def _check_solana(where: Settlement) -> None:
    """InvalidInputError for settings that mean nothing on Solana."""
    if where.rpc_url is None or where.funds or where.asset is not None:
        raise InvalidInputError(
            f"There is no play money on {where.network}.", next_step="Name its node, or another network."
        )
    usual = Settlement(where.network)
    if (where.max_fee_gwei, where.confirmations, where.final_depth, where.wallet_factories) != (
        usual.max_fee_gwei,
        usual.confirmations,
        usual.final_depth,
        usual.wallet_factories,
    ):
        raise InvalidInputError(
            f"max_fee_gwei, confirmations, final_depth and wallet_factories mean nothing on {where.network}: a transaction "
            "there has a fixed price, and counts when the cluster has confirmed it.",
            next_step="Leave them out for this network.",
        )


def _is_here(rpc_url: str) -> bool:
    """Whether the node is on this machine: a chain of one's own, or a node that one runs."""
    try:
        return urlsplit(rpc_url).hostname in _LOOPBACK
    except ValueError:
        return False  # JsonRpc says that it is no URL


def _is_development_key(key: str) -> bool:
    digits = key.strip().lower().removeprefix("0x")
    try:
        secret = bytearray.fromhex(digits)
        address = format_address(address_of(public_key(secret)))
    except (ValueError, CryptoError):
        return False  # wallet_of_key says that it is none
    wipe(secret)
    return address in DEVELOPMENT_ACCOUNTS
