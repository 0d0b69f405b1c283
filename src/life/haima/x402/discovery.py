"""Finding paid resources: a client for the catalogues of facilitators and for agentic.market (HM-X402-6).

    async with Discovery("https://facilitator.example", clock) as discovery:
        for offering in await discovery.search("weather"):
            print(offering.url, offering.prices)

What is found is a hint and nothing more: whoever pays asks the resource for its terms, and what counts is the live 402. Lists
are kept for ten minutes and fetched once however many ask at the same time; when the source fails, the last list is given, as
long as there is one. Answers are bounded in size, time and number of entries, and nothing in them is executed or followed.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec
from msgspec import Raw

from life.aios.errors import InvalidInputError, UnavailableError
from life.aios.ports.clock import Clock
from life.haima.errors import MalformedPaymentError
from life.haima.x402.bazaar import BAZAAR
from life.haima.x402.wire import PaymentRequirements, decode_requirements

Source = Literal["facilitator", "agentic_market"]

AGENTIC_MARKET: Final = "https://agentic.market"
KEPT_US: Final = 600 * 1_000_000
TIMEOUT_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
MAX_OFFERINGS: Final = 2_000
_PAGE: Final = 100
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Offering(NamedTuple):
    """A paid resource as somebody lists it. Nothing of it is verified."""

    name: str
    url: str
    type: str
    """`http`, `mcp`, or what the source says."""
    method: str
    tool: str
    description: str
    prices: tuple[str, ...]
    """For people: `10000 of 0x… on eip155:8453 (exact)`, or the source's own words."""
    accepts: tuple[PaymentRequirements, ...]
    networks: tuple[str, ...]
    tags: tuple[str, ...]
    updated: str
    source: str


class Discovery:
    """One source of offerings. Belongs to one event loop."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        source: Source = "facilitator",
        kept_us: int = KEPT_US,
        timeout_s: float = TIMEOUT_S,
        max_offerings: int = MAX_OFFERINGS,
        allow_plain_http: bool = False,
    ) -> None:
        """`url` without a trailing slash. Plain HTTP is refused except on loopback, unless it is allowed."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInputError("The catalogue's address is not a valid http or https URL.")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not allow_plain_http:
            raise InvalidInputError(
                "The catalogue's address is plain HTTP.", next_step="Use https, or allow plain HTTP explicitly."
            )
        self._url = url.rstrip("/")
        self._name = parts.netloc
        self._clock = clock
        self._source = source
        self._kept_us = kept_us
        self._timeout_s = timeout_s
        self._max_offerings = max_offerings
        self._kept: tuple[int, tuple[Offering, ...]] | None = None
        self._refreshing: asyncio.Task[tuple[Offering, ...]] | None = None
        self._client = httpx2.AsyncClient(
            timeout=timeout_s, follow_redirects=False, trust_env=parts.hostname not in _LOOPBACK
        )

    async def offerings(self, *, refresh: bool = False) -> tuple[Offering, ...]:
        """Everything the source lists, up to the limit. UnavailableError when it fails and nothing is kept."""
        kept = self._kept
        now_us = self._clock.monotonic_us()
        if kept is not None and not refresh and now_us - kept[0] < self._kept_us:
            return kept[1]
        task = self._refreshing
        if task is None:
            task = self._refreshing = asyncio.ensure_future(self._refresh())
            task.add_done_callback(self._refreshed)
        try:
            return await asyncio.shield(task)
        except UnavailableError:
            if kept is None:
                raise
            return kept[1]

    async def search(self, query: str, *, limit: int = 20) -> tuple[Offering, ...]:
        """What the source finds for a query; never kept. UnavailableError when it fails."""
        if not query.strip() or len(query) > 256 or not 1 <= limit <= _PAGE:
            raise InvalidInputError("A query has 1 to 256 characters, a limit is between 1 and 100.")
        if self._source == "agentic_market":
            answer = _read(_services, await self._get("/v1/services/search", {"q": query}))
            return tuple(self._service(each) for each in answer.services[:limit])
        content = await self._get("/discovery/search", {"query": query, "limit": str(limit)})
        return tuple(self._item(each) for each in _read(_found, content).resources[:limit])

    async def aclose(self) -> None:
        """Close the connections."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        await self._client.aclose()

    async def __aenter__(self) -> Discovery:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _refresh(self) -> tuple[Offering, ...]:
        found = await (self._all_services() if self._source == "agentic_market" else self._all_items())
        self._kept = self._clock.monotonic_us(), found
        return found

    def _refreshed(self, task: asyncio.Task[tuple[Offering, ...]]) -> None:
        self._refreshing = None
        if not task.cancelled():
            task.exception()  # whoever waits has it

    async def _all_services(self) -> tuple[Offering, ...]:
        answer = _read(_services, await self._get("/v1/services", {}))
        return tuple(self._service(each) for each in answer.services[: self._max_offerings])

    async def _all_items(self) -> tuple[Offering, ...]:
        found: list[Offering] = []
        while len(found) < self._max_offerings:
            query = {"limit": str(_PAGE), "offset": str(len(found))}
            page = _read(_items, await self._get("/discovery/resources", query))
            found += [self._item(each) for each in page.items]
            if len(page.items) < _PAGE:
                break
        return tuple(found[: self._max_offerings])

    async def _get(self, path: str, query: dict[str, str]) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s):
                async with self._client.stream("GET", self._url + path, params=query) as response:
                    content = bytearray()
                    async for chunk in response.aiter_bytes():
                        content += chunk
                        if len(content) > MAX_ANSWER_BYTES:
                            raise UnavailableError(f"The catalogue {self._name} answers too much.")
                    if response.status_code != 200:
                        raise UnavailableError(f"The catalogue {self._name} answers {response.status_code}.")
                    return bytes(content)
        except (httpx2.HTTPError, OSError, TimeoutError) as error:
            raise UnavailableError(f"The catalogue {self._name} does not answer ({type(error).__name__}).") from None

    def _item(self, item: _Item) -> Offering:
        accepts = []
        for raw in item.accepts[:16]:
            try:
                accepts.append(decode_requirements(raw))
            except MalformedPaymentError:
                continue  # terms of another version, or none
        declared = item.extensions.get(BAZAAR) if isinstance(item.extensions, dict) else None
        given = _input_of(declared)
        return Offering(
            name=_line(item.service_name or _text(given.get("toolName")) or ""),
            url=_line(item.resource),
            type=_line(item.type),
            method=_line(_text(given.get("method"))),
            tool=_line(_text(given.get("toolName"))),
            description=_line(item.description or ""),
            prices=tuple(f"{each.amount} of {each.asset} on {each.network} ({each.scheme})" for each in accepts),
            accepts=tuple(accepts),
            networks=tuple(dict.fromkeys(each.network for each in accepts)),
            tags=tuple(_line(tag) for tag in (item.tags or ())[:5]),
            updated=_line(item.last_updated if isinstance(item.last_updated, str) else str(item.last_updated or "")),
            source=self._name,
        )

    def _service(self, service: _Service) -> Offering:
        return Offering(
            name=_line(service.name),
            url=_line(service.url),
            type="http",
            method="",
            tool="",
            description=_line(service.description),
            prices=(_line(service.price_range),) if service.price_range else (),
            accepts=(),
            networks=tuple(_line(each) for each in service.networks[:16]),
            tags=(_line(service.category),) if service.category else (),
            updated="",
            source=self._name,
        )


class _Item(msgspec.Struct, rename="camel"):
    resource: str = ""
    type: str = ""
    accepts: list[Raw] = []
    last_updated: str | int | float | None = None
    description: str | None = None
    service_name: str | None = None
    tags: list[str] | None = None
    extensions: object = None


class _Items(msgspec.Struct):
    items: list[_Item] = []


class _Found(msgspec.Struct):
    resources: list[_Item] = []


class _Service(msgspec.Struct):
    name: str = ""
    url: str = ""
    category: str = ""
    description: str = ""
    price_range: str = ""
    networks: list[str] = []


class _Services(msgspec.Struct):
    services: list[_Service] = []


_T = TypeVar("_T", bound=msgspec.Struct)
_items: Final = msgspec.json.Decoder(_Items)
_found: Final = msgspec.json.Decoder(_Found)
_services: Final = msgspec.json.Decoder(_Services)


def _read(decoder: msgspec.json.Decoder[_T], content: bytes) -> _T:
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, RecursionError):
        raise UnavailableError("The catalogue's answer can't be read.") from None


def _input_of(declared: object) -> dict[str, object]:
    info = declared.get("info") if isinstance(declared, dict) else None
    given = info.get("input") if isinstance(info, dict) else None
    return given if isinstance(given, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _line(text: str) -> str:
    """One line that a terminal shows as it is."""
    return "".join(character if character.isprintable() else " " for character in text[:500])


__all__ = ["AGENTIC_MARKET", "Discovery", "Offering", "Source"]
