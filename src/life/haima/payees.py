"""Who is paid: lists of hosts and addresses, and the memory of what each seller was paid before (HM-POL, HM-X402-2).

The memory is folded from reservations: a payment that was reserved under the policy was accepted. Per origin (scheme, host and
port of the resource) it keeps where the money went, and how much was accepted at most, for each resource and for the origin as
a whole. A seller that is not known is never odd; that is what caps are for.

    payee_changed   the origin was paid before, but never at this address in this token on this network
    price_jumped    the price is more than `price_jump_percent` of the highest that was accepted

Prices of single resources are kept for the newest few thousand; older ones are measured at their origin's highest.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from life.aios.errors import InvalidInputError
from life.aios.money import format_micro
from life.crypto.address import format_address, parse_address
from life.crypto.errors import CryptoError
from life.haima.x402.svm import is_solana_address

KEPT_PRICES: Final = 4096
"""How many resources have a price of their own in memory."""

_HOST_CHARS: Final = 253


class Destination(NamedTuple):
    """Where money goes."""

    network: str
    """CAIP-2."""
    asset: str
    """Lower case, where case means nothing."""
    payee: str
    """The same."""

    @classmethod
    def of(cls, network: str, asset: str, payee: str) -> Destination:
        """In one spelling. Solana's addresses are base58, where case means something."""
        if network.startswith("solana:"):
            return cls(network, asset, payee)
        return cls(network, asset.lower(), payee.lower())


class Familiarity(NamedTuple):
    """What is odd about a seller that is known."""

    code: Literal["payee_changed", "price_jumped"]
    reason: str
    expected: str
    """What would not have been odd, for people."""


class HostList:
    """An allow list and a deny list of hosts. Deny wins; without an allow list every other host is permitted."""

    def __init__(self, allow: Iterable[str] | None, deny: Iterable[str]) -> None:
        """InvalidInputError for a pattern that can't be meant: `host` (exactly) or `.host` (it and everything below)."""
        self._allow = None if allow is None else tuple(_pattern(text) for text in allow)
        self._deny = tuple(_pattern(text) for text in deny)

    def permits(self, host: str) -> bool:
        """Whether this host (canonical) may be paid."""
        if any(_matches(pattern, host) for pattern in self._deny):
            return False
        return self._allow is None or any(_matches(pattern, host) for pattern in self._allow)


class PayeeList:
    """The same for addresses: EVM's are compared as 20 bytes (HM-WAL-1), Solana's have one spelling."""

    def __init__(self, allow: Iterable[str] | None, deny: Iterable[str]) -> None:
        """InvalidInputError for what is no address."""
        self._allow = None if allow is None else frozenset(_address(text) for text in allow)
        self._deny = frozenset(_address(text) for text in deny)

    def permits(self, payee: str) -> bool:
        """Whether this address (EIP-55, or base58 of Solana) may be paid."""
        return payee not in self._deny and (self._allow is None or payee in self._allow)


@lru_cache(maxsize=512)
def host_of(url: str) -> str:
    """The host of a URL in canonical form: lower case, IDNA, no trailing dot; empty when there is none."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return canonical_host(host)


@lru_cache(maxsize=512)
def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, with the scheme's own port left out (RFC 6454)."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    host = canonical_host(parts.hostname or "")
    where = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{where}" if port in (None, usual) else f"{parts.scheme}://{where}:{port}"


def canonical_host(host: str) -> str:
    """One spelling of a host: lower case, IDNA, no trailing dot, addresses in their shortest form."""
    text = host.rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if not text.isascii():
        try:
            return text.encode("idna").decode("ascii")
        except UnicodeError:
            return text
    return text


class SellerMemory:
    """What each seller was paid before. A part of the wallet's fold: what `remember` did can be taken back, newest first."""

    def __init__(self) -> None:
        self._destinations: dict[str, dict[Destination, None]] = {}
        self._highest_micro: dict[str, int] = {}
        self._prices_micro: OrderedDict[str, int] = OrderedDict()

    def knows(self, origin: str) -> bool:
        """Whether anything was paid there."""
        return origin in self._destinations

    def destinations(self, origin: str) -> tuple[Destination, ...]:
        """Where money of this origin went, oldest first."""
        return tuple(self._destinations.get(origin, ()))

    def has(self, origin: str, destination: Destination) -> bool:
        """Whether money of this origin went there."""
        known = self._destinations.get(origin)
        return known is not None and destination in known

    def accepted_micro(self, resource_url: str) -> int | None:
        """The highest price accepted for this very resource, as long as it is in memory."""
        return self._prices_micro.get(resource_url)

    def highest_micro(self, origin: str) -> int | None:
        """The highest price accepted at this origin."""
        return self._highest_micro.get(origin)

    def remember(self, resource_url: str, destination: Destination, amount_micro: int) -> Undo | None:
        """Fold a reservation in. None when nothing is new."""
        origin = origin_of(resource_url)
        known = self._destinations.setdefault(origin, {})
        is_new = destination not in known
        price = self._prices_micro.get(resource_url)
        highest = self._highest_micro.get(origin)
        if not is_new and price is not None and price >= amount_micro:
            return None
        known[destination] = None
        self._prices_micro[resource_url] = max(price or 0, amount_micro)
        self._highest_micro[origin] = max(highest or 0, amount_micro)
        dropped: tuple[str, int] | None = None
        if len(self._prices_micro) > KEPT_PRICES:
            dropped = self._prices_micro.popitem(last=False)
        return Undo(resource_url, origin, destination if is_new else None, price, highest, dropped)

    def take_back(self, undo: Undo) -> None:
        """Undo one `remember`, the newest that stands."""
        if undo.dropped is not None:
            self._prices_micro[undo.dropped[0]] = undo.dropped[1]
            self._prices_micro.move_to_end(undo.dropped[0], last=False)
        if undo.price_micro is None:
            self._prices_micro.pop(undo.resource_url, None)
        else:
            self._prices_micro[undo.resource_url] = undo.price_micro
        if undo.highest_micro is None:
            self._highest_micro.pop(undo.origin, None)
        else:
            self._highest_micro[undo.origin] = undo.highest_micro
        if undo.destination is not None:
            known = self._destinations[undo.origin]
            del known[undo.destination]
            if not known:
                del self._destinations[undo.origin]

    def summary(self) -> dict[str, object]:
        """The whole memory in plain values, for comparing folds."""
        return {
            "destinations": {origin: list(known) for origin, known in self._destinations.items()},
            "highest_micro": self._highest_micro,
            "prices_micro": list(self._prices_micro.items()),
        }


class Undo(NamedTuple):
    """What stood before something was remembered."""

    resource_url: str
    origin: str
    destination: Destination | None
    """The new one, if it was new."""
    price_micro: int | None
    highest_micro: int | None
    dropped: tuple[str, int] | None


def familiarity(
    memories: Iterable[SellerMemory],
    resource_url: str,
    destination: Destination,
    amount_micro: int,
    *,
    price_jump_percent: int | None,
) -> Familiarity | None:
    """What is odd about this seller, against all that this wallet paid it on any network; None when nothing is."""
    origin = origin_of(resource_url)
    known = [memory for memory in memories if memory.knows(origin)]
    if not known:
        return None
    if not any(memory.has(origin, destination) for memory in known):
        before = known[0].destinations(origin)[-1]
        return Familiarity(
            "payee_changed",
            f"{origin} was never paid at {destination.payee} in {destination.asset} on {destination.network} before.",
            f"{before.payee} in {before.asset} on {before.network}",
        )
    if price_jump_percent is None:
        return None
    prices = [price for memory in known if (price := memory.accepted_micro(resource_url)) is not None]
    prices = prices or [price for memory in known if (price := memory.highest_micro(origin)) is not None]
    highest = max(prices, default=0)
    if not highest or amount_micro * 100 <= highest * price_jump_percent:
        return None
    return Familiarity(
        "price_jumped",
        f"{format_micro(amount_micro)} is far more than the {format_micro(highest)} that were accepted at {origin} before.",
        format_micro(highest),
    )


@lru_cache(maxsize=1024)
def _pattern(text: str) -> str:
    is_suffix = text.startswith(".")
    host = canonical_host(text[1:] if is_suffix else text)
    if not _is_host(host):
        raise InvalidInputError(f"{text!r} is no host: write 'api.example.org', or '.example.org' for all below it.")
    return f".{host}" if is_suffix else host


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return 0 < len(host) <= _HOST_CHARS and not host.startswith(".") and not set(host) & set("*/:@ ?#[]%")
    return True


def _matches(pattern: str, host: str) -> bool:
    if pattern.startswith("."):
        return host == pattern[1:] or host.endswith(pattern)
    return host == pattern


@lru_cache(maxsize=1024)
def _address(text: str) -> str:
    if is_solana_address(text.strip()):
        return text.strip()
    try:
        return format_address(parse_address(text.strip()))
    except CryptoError as error:
        raise InvalidInputError(f"{text!r} is no address: {error}.") from None
