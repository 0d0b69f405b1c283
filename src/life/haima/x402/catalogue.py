"""What a facilitator lists: the paid resources whose payments it settled (x402.md §4, §5).

A resource is listed when a payment that declares it has settled: that costs the one who wants to be found something, and a
payment that is only checked lists nobody. Entries belong to a payee: somebody else's payment for the same address makes an
entry of its own and changes nobody's. The list is a fold over its own stream, bounded, and shared by all processes over the
journal; an entry that has not changed is written again at most once an hour.

What stands here is a hint. Who pays asks the resource itself for its terms.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from life.aios.errors import InvalidInputError, LifeError
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import Stream, format_timestamp
from life.haima.errors import PaymentRefusedError
from life.haima.events import ResourceListed, finance_event, read_finance
from life.haima.facilitator.port import Facilitator
from life.haima.x402.bazaar import BAZAAR, Listing, read_listing
from life.haima.x402.wire import (
    X402_VERSION,
    PaymentPayload,
    PaymentRequirements,
    SettlementResponse,
    SupportedResponse,
    VerifyResponse,
    decode_requirements,
    to_raw,
)

STREAM: Final = Stream("catalogue")
MAX_ENTRIES: Final = 10_000
MAX_ACCEPTS: Final = 8
DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
MAX_QUERY_CHARS: Final = 256
REFRESH_US: Final = 3600 * 1_000_000
_PAGE: Final = 1_000
_log: Final = logging.getLogger(__name__)
_WORD: Final = re.compile(r"[a-z0-9]+")


class Entry(msgspec.Struct, kw_only=True):
    """One listed resource."""

    listed: ResourceListed
    accepts: dict[str, Raw]
    """Terms that were paid, newest last, by scheme, network and asset."""
    updated_us: int

    @property
    def words(self) -> str:
        """What a search looks at, in lower case."""
        listed = self.listed
        parts = (listed.resource, listed.tool, listed.description, listed.service_name, " ".join(listed.tags))
        return " ".join(part for part in parts if part).lower()


class Filter(NamedTuple):
    """Which entries: every field that is given must fit."""

    type: str | None = None
    pay_to: str | None = None
    scheme: str | None = None
    network: str | None = None
    extensions: str | None = None


class Resource(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An entry on the wire."""

    resource: str
    type: str
    x402_version: int
    accepts: tuple[Raw, ...]
    last_updated: str
    """RFC 3339, as the official SDKs read it."""
    description: str | None = None
    mime_type: str | None = None
    service_name: str | None = None
    tags: tuple[str, ...] | None = None
    icon_url: str | None = None
    extensions: JsonObject | None = None


class Pagination(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page stands."""

    limit: int
    offset: int
    total: int


class ResourcePage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer of `/discovery/resources`."""

    x402_version: int
    items: tuple[Resource, ...]
    pagination: Pagination


class SearchPagination(msgspec.Struct, frozen=True, kw_only=True):
    """Where a search goes on; `cursor` is null at the end."""

    limit: int
    cursor: str | None


class SearchPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer of `/discovery/search`."""

    x402_version: int
    resources: tuple[Resource, ...]
    partial_results: bool
    pagination: SearchPagination


class Catalogue:
    """See the module."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        entropy: Entropy,
        *,
        agent_id: str = "facilitator",
        stream: Stream = STREAM,
        max_entries: int = MAX_ENTRIES,
        allow_local: bool = False,
    ) -> None:
        """`allow_local` also lists plain HTTP and addresses of this machine: for development."""
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._agent_id = agent_id
        self._stream = stream
        self._max_entries = max_entries
        self._allow_local = allow_local
        self._entries: dict[str, Entry] = {}
        self._sequence = 0

    # ---- feeding

    def judge(self, payload: PaymentPayload) -> Listing | str | None:
        """What a payment declares: a listing, why it is not to be listed, or None when it declares nothing."""
        try:
            return read_listing(payload, allow_local=self._allow_local)
        except PaymentRefusedError as error:
            return error.message

    async def add(self, listing: Listing, requirements: PaymentRequirements) -> None:
        """List a resource whose payment settled under these terms."""
        await self._catch_up()
        event = ResourceListed(
            entry=f"{listing.key}|{requirements.pay_to.lower()}",
            medium=listing.type,
            resource=listing.resource,
            method=listing.method,
            tool=listing.tool,
            pay_to=requirements.pay_to,
            accepted=to_raw(requirements),
            declaration=to_raw(listing.declaration),
            description=listing.description,
            mime_type=listing.mime_type,
            service_name=listing.service_name,
            tags=listing.tags,
            icon_url=listing.icon_url,
        )
        known = self._entries.get(event.entry)
        now_us = self._clock.now_us()
        if known is not None and now_us - known.updated_us < REFRESH_US and _says_the_same(known, event):
            return
        stored = finance_event(event, self._clock, self._entropy, stream=self._stream, agent_id=self._agent_id)
        await self._journal.append([stored])
        await self._catch_up()

    # ---- asking

    async def page(self, wanted: Filter, *, limit: int = DEFAULT_LIMIT, offset: int = 0) -> ResourcePage:
        """Entries that fit, newest first. InvalidInputError for a limit outside 1..100 or a negative offset."""
        _check_limit(limit)
        if offset < 0:
            raise InvalidInputError("offset must not be negative.")
        await self._catch_up()
        found = [entry for entry in self._newest_first() if _fits(entry, wanted)]
        return ResourcePage(
            x402_version=X402_VERSION,
            items=tuple(_resource(entry) for entry in found[offset : offset + limit]),
            pagination=Pagination(limit=limit, offset=offset, total=len(found)),
        )

    async def search(
        self, query: str, wanted: Filter, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> SearchPage:
        """Entries that have words of the query, those with most of them first. InvalidInputError for an empty or too long
        query, a limit outside 1..100, or a cursor that is none."""
        _check_limit(limit)
        words = set(_WORD.findall(query.lower()))
        if not words or len(query) > MAX_QUERY_CHARS:
            raise InvalidInputError(f"A query has words, and at most {MAX_QUERY_CHARS} characters.")
        start = _start_of(cursor)
        await self._catch_up()
        scored = []
        for place, entry in enumerate(self._newest_first()):
            score = sum(word in entry.words for word in words) if _fits(entry, wanted) else 0
            if score:
                scored.append((-score, place, entry))
        found = [entry for _, _, entry in sorted(scored, key=lambda each: each[:2])]
        rest = start + limit < len(found)
        return SearchPage(
            x402_version=X402_VERSION,
            resources=tuple(_resource(entry) for entry in found[start : start + limit]),
            partial_results=rest,
            pagination=SearchPagination(limit=limit, cursor=_cursor(start + limit) if rest else None),
        )

    def _newest_first(self) -> Sequence[Entry]:
        return list(reversed(self._entries.values()))

    # ---- folding

    async def _catch_up(self) -> None:
        while True:
            query = EventQuery(self._stream.session_id, self._stream.branch_id, after_sequence=self._sequence)
            page = await self._journal.read(query, limit=_PAGE)
            for record in page:
                event = read_finance(record)
                if isinstance(event, ResourceListed):
                    self._fold(event, record.timestamp_us)
                self._sequence = record.sequence
            if len(page) < _PAGE:
                return

    def _fold(self, event: ResourceListed, timestamp_us: int) -> None:
        """The newest entry stands last; the oldest go when there are too many."""
        known = self._entries.pop(event.entry, None)
        accepts = {} if known is None else known.accepts
        key = _terms_key(event.accepted)
        accepts.pop(key, None)
        accepts[key] = event.accepted
        while len(accepts) > MAX_ACCEPTS:
            accepts.pop(next(iter(accepts)))
        self._entries[event.entry] = Entry(listed=event, accepts=accepts, updated_us=timestamp_us)
        while len(self._entries) > self._max_entries:
            self._entries.pop(next(iter(self._entries)))


class CataloguingFacilitator:
    """A Facilitator that lists what it settles, and says so in the extensions of its answers."""

    def __init__(self, inner: Facilitator, catalogue: Catalogue) -> None:
        self._inner = inner
        self.catalogue: Final = catalogue

    async def repeatable(self) -> bool:
        """As the inner one."""
        return await self._inner.repeatable()

    async def verify(self, payload: PaymentPayload, requirements: PaymentRequirements) -> VerifyResponse:
        """As the inner one; a good payment learns whether its declaration will be listed."""
        answer = await self._inner.verify(payload, requirements)
        if not answer.is_valid:
            return answer
        status = _status(self.catalogue.judge(payload), "processing")
        return (
            answer if status is None else msgspec.structs.replace(answer, extensions=_with(answer.extensions, status))
        )

    async def settle(self, payload: PaymentPayload, requirements: PaymentRequirements) -> SettlementResponse:
        """As the inner one; what settled is listed."""
        answer = await self._inner.settle(payload, requirements)
        if not answer.success:
            return answer
        judged = self.catalogue.judge(payload)
        good = "success"
        if isinstance(judged, Listing):
            try:
                await self.catalogue.add(judged, payload.requirements())
            except LifeError:
                _log.exception("a resource could not be listed")  # its payment settled all the same
                good = "processing"
        status = _status(judged, good)
        return (
            answer if status is None else msgspec.structs.replace(answer, extensions=_with(answer.extensions, status))
        )

    async def supported(self) -> SupportedResponse:
        """As the inner one, and the extension."""
        supported = await self._inner.supported()
        return msgspec.structs.replace(supported, extensions=(*supported.extensions, BAZAAR))

    async def aclose(self) -> None:
        """Close the inner one."""
        await self._inner.aclose()


def extension_responses(extensions: JsonObject | None) -> str | None:
    """The value of EXTENSION-RESPONSES: what a facilitator answers to the extensions of a payment, as base64 of JSON; None
    when it answers nothing."""
    told = {name: value for name, value in (extensions or {}).items() if name == BAZAAR}
    return base64.b64encode(msgspec.json.encode(told)).decode("ascii") if told else None


def _status(judged: Listing | str | None, good: str) -> JsonObject | None:
    if judged is None:
        return None
    return {"status": good} if isinstance(judged, Listing) else {"status": "rejected", "rejectedReason": judged}


def _with(extensions: JsonObject | None, status: JsonObject) -> JsonObject:
    return {**(extensions or {}), BAZAAR: status}


def _says_the_same(known: Entry, event: ResourceListed) -> bool:
    paid_before = bytes(known.accepts.get(_terms_key(event.accepted), Raw(b""))) == bytes(event.accepted)
    return paid_before and msgspec.json.encode(known.listed) == msgspec.json.encode(
        msgspec.structs.replace(event, accepted=known.listed.accepted)
    )


def _terms_key(accepted: Raw) -> str:
    terms = decode_requirements(accepted)
    return f"{terms.scheme}|{terms.network}|{terms.asset.lower()}"


def _fits(entry: Entry, wanted: Filter) -> bool:
    listed = entry.listed
    if wanted.type not in (None, listed.medium):
        return False
    if wanted.pay_to is not None and wanted.pay_to.lower() != listed.pay_to.lower():
        return False
    if wanted.extensions not in (None, BAZAAR):
        return False
    if wanted.scheme is None and wanted.network is None:
        return True
    return any(
        wanted.scheme in (None, terms.scheme) and wanted.network in (None, terms.network)
        for terms in map(decode_requirements, entry.accepts.values())
    )


def _resource(entry: Entry) -> Resource:
    listed = entry.listed
    return Resource(
        resource=listed.resource,
        type=listed.medium,
        x402_version=X402_VERSION,
        accepts=tuple(reversed(entry.accepts.values())),
        last_updated=format_timestamp(entry.updated_us),
        description=listed.description,
        mime_type=listed.mime_type,
        service_name=listed.service_name,
        tags=listed.tags or None,
        icon_url=listed.icon_url,
        extensions={BAZAAR: msgspec.json.decode(listed.declaration)},
    )


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInputError(f"limit must be between 1 and {MAX_LIMIT}.")


def _cursor(start: int) -> str:
    return base64.urlsafe_b64encode(str(start).encode()).decode("ascii").rstrip("=")


def _start_of(cursor: str | None) -> int:
    if cursor is None:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        if len(text) > 9 or not text.isdigit():
            raise ValueError(text)
        return int(text)
    except ValueError:
        raise InvalidInputError("This cursor is none of ours.") from None


__all__ = [
    "Catalogue",
    "CataloguingFacilitator",
    "Filter",
    "Pagination",
    "Resource",
    "ResourcePage",
    "SearchPage",
    "SearchPagination",
    "extension_responses",
]
