"""Networks and the tokens that are known on them.

A token's EIP-712 domain decides what a signature means, so it comes from this registry and not from whoever wants the
money: for a known token the name and version in the terms must equal ours, never override them. An unknown token takes
them from `extra`; without them it can't be signed or verified (`missing_eip712_domain`). Sources: x402.md §8, §16.3;
HM-WAL-3 (haima.md §2.3).

`LOCAL` is Life's own ledger for play money. Its chain id belongs to no real chain, so a signature made for it can never
move real money anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from life.haima.errors import PaymentRefusedError
from life.haima.x402 import codes
from life.haima.x402.wire import PaymentRequirements


class KnownToken(NamedTuple):
    """A token contract, its EIP-712 domain and its unit. One unit of a dollar token is one US dollar."""

    network: str
    """CAIP-2."""
    address: str
    """The contract in EIP-55 spelling: the domain's verifyingContract. On Solana the mint, in base58."""
    symbol: str
    name: str
    """The domain's name. It differs between networks for the same token; x402.md §8 has the classic mistake."""
    version: str
    decimals: int


class Network(NamedTuple):
    """A chain that settles payments."""

    caip2: str
    title: str
    alias: str
    """The short name of x402 version 1, also accepted on the command line."""
    real_money: bool


class TokenDomain(NamedTuple):
    """What a signature over one token is bound to. `decimals` is None for a token that is not known."""

    name: str
    version: str
    chain_id: int | None
    """None on Solana, where nothing is signed over a domain."""
    contract: str
    decimals: int | None


BASE: Final = "eip155:8453"
BASE_SEPOLIA: Final = "eip155:84532"
ETHEREUM: Final = "eip155:1"
LOCAL: Final = "eip155:4020402"
SOLANA: Final = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"
SOLANA_DEVNET: Final = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"

NETWORKS: Final = (
    Network(BASE, "Base", "base", True),
    Network(BASE_SEPOLIA, "Base Sepolia", "base-sepolia", False),
    Network(ETHEREUM, "Ethereum", "ethereum", True),
    Network(LOCAL, "life local ledger", "local", False),
    Network(SOLANA, "Solana", "solana", True),
    Network(SOLANA_DEVNET, "Solana devnet", "solana-devnet", False),
)

USDC_BASE: Final = KnownToken(BASE, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "USDC", "USD Coin", "2", 6)
USDC_BASE_SEPOLIA: Final = KnownToken(
    BASE_SEPOLIA, "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "USDC", "USDC", "2", 6
)
USDC_ETHEREUM: Final = KnownToken(ETHEREUM, "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USDC", "USD Coin", "2", 6)
PLAY_MONEY: Final = KnownToken(LOCAL, "0xA73665c2AB2acb3e8C32C13DCAb6CB494d34856A", "PLAY", "Life Play Money", "1", 6)
"""Play money of the local ledger. The address is the last 20 bytes of Keccak-256("life local ledger: play money")."""
USDC_SOLANA: Final = KnownToken(SOLANA, "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", "USDC", "USD Coin", "", 6)
USDC_SOLANA_DEVNET: Final = KnownToken(
    SOLANA_DEVNET, "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU", "USDC", "USD Coin", "", 6
)

TOKENS: Final = (USDC_BASE, USDC_BASE_SEPOLIA, USDC_ETHEREUM, PLAY_MONEY, USDC_SOLANA, USDC_SOLANA_DEVNET)

_CAIP2_EVM: Final = re.compile(r"eip155:([1-9][0-9]{0,77})")
_CAIP2_SOLANA: Final = re.compile(r"solana:[1-9A-HJ-NP-Za-km-z]{32}")
_DOMAIN_TEXT_CHARS: Final = 128


def chain_id_of(network: str) -> int | None:
    """The chain id in an EVM network's CAIP-2 name; None when it is no such name."""
    match = _CAIP2_EVM.fullmatch(network)
    if match is None:
        return None
    chain_id = int(match.group(1))
    return chain_id if chain_id < 1 << 256 else None


def is_solana(network: str) -> bool:
    """Whether it is the CAIP-2 name of a Solana network: the first 32 characters of its genesis hash."""
    return _CAIP2_SOLANA.fullmatch(network) is not None


def _token_key(network: str, asset: str) -> tuple[str, str]:
    """Solana's addresses are base58, where case means something."""
    return network, asset if is_solana(network) else asset.lower()


class NetworkRegistry:
    """The networks and tokens of one installation: the built-in ones and those of its configuration."""

    def __init__(self, *, networks: Iterable[Network] = (), tokens: Iterable[KnownToken] = ()) -> None:
        """`networks` and `tokens` are added; an added entry replaces a built-in one of the same name or contract."""
        self._networks = {entry.caip2: entry for entry in (*NETWORKS, *networks)}
        self._aliases = {entry.alias: entry.caip2 for entry in self._networks.values() if entry.alias}
        self._tokens = {_token_key(entry.network, entry.address): entry for entry in (*TOKENS, *tokens)}
        self._domains: dict[tuple[str, str], TokenDomain] = {}

    @property
    def networks(self) -> tuple[Network, ...]:
        """All networks."""
        return tuple(self._networks.values())

    @property
    def tokens(self) -> tuple[KnownToken, ...]:
        """All known tokens."""
        return tuple(self._tokens.values())

    def network(self, name: str) -> Network | None:
        """The network with this CAIP-2 name or alias."""
        return self._networks.get(self._aliases.get(name, name))

    def token(self, network: str, asset: str) -> KnownToken | None:
        """The known token at this contract; on EVM networks in any spelling of the address."""
        return self._tokens.get((network, asset)) or self._tokens.get(_token_key(network, asset))

    def default_token(self, network: str) -> KnownToken | None:
        """The first token of a network: what a price in dollars means there."""
        return next((token for token in self._tokens.values() if token.network == network), None)

    def domain(self, requirements: PaymentRequirements) -> TokenDomain:
        """The EIP-712 domain that these terms must be signed under.

        PaymentRefusedError: `invalid_network`, `missing_eip712_domain`, or a name or version that contradicts a known
        token.
        """
        name, version = requirements.extra_text("name"), requirements.extra_text("version")
        token = self.token(requirements.network, requirements.asset)
        if token is not None:
            if name is not None and name != token.name:
                raise PaymentRefusedError(codes.TOKEN_NAME_MISMATCH, f"This token's name is {token.name!r}.")
            if version is not None and version != token.version:
                raise PaymentRefusedError(codes.TOKEN_VERSION_MISMATCH, f"This token's version is {token.version!r}.")
            return self._known(token)
        chain_id = chain_id_of(requirements.network)
        if chain_id is None:
            raise PaymentRefusedError(codes.INVALID_NETWORK, "The network is not an EVM network (eip155:<chain id>).")
        if not name or not version or len(name) > _DOMAIN_TEXT_CHARS or len(version) > _DOMAIN_TEXT_CHARS:
            raise PaymentRefusedError(codes.MISSING_EIP712_DOMAIN, "The terms do not name this token's EIP-712 domain.")
        return TokenDomain(name, version, chain_id, requirements.asset, None)

    def _known(self, token: KnownToken) -> TokenDomain:
        key = (token.network, token.address)
        domain = self._domains.get(key)
        if domain is None:
            chain_id = chain_id_of(token.network)
            if chain_id is None:
                raise PaymentRefusedError(codes.INVALID_NETWORK, f"{token.network} is not an EVM network.")
            domain = TokenDomain(token.name, token.version, chain_id, token.address, token.decimals)
            self._domains[key] = domain
        return domain


BUILT_IN: Final = NetworkRegistry()
"""The registry without any configuration."""
