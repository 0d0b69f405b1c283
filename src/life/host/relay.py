"""The two ends of Relay composed: a node over the arcand of a data directory, and an owner's client.

    async with open_node(data_dir, identity, journal, custody, address) as node: await node.run()
    async with open_owner(…) as owner: …

The node asks arcand over its HTTP API, as the command line does: its token is sent only to whoever holds the data directory's lock. It is a process of
its own, so it can be killed and started without touching a run.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import httpx2
import msgspec

from life.aios.envelope import decode_record
from life.aios.errors import LifeError, UnavailableError
from life.aios.json import Json
from life.aios.ports.custody import Custody
from life.aios.ports.journal import Journal
from life.aios.record import encode_record
from life.anima.errors import AnimaError
from life.anima.registry import IdentityRegistry
from life.host.access import read_token
from life.host.acting import HEADER as ACTING_FOR
from life.host.clock import SystemClock, SystemEntropy
from life.host.data_directory import DataDirectory
from life.host.spaces_client import agent_client
from life.spaces.relay.carrier import SpacesCarrier
from life.spaces.relay.errors import RelayOutcomeUnknownError, refusal
from life.spaces.relay.log import RelayLog
from life.spaces.relay.node import RelayNode
from life.spaces.relay.operations import (
    OPERATIONS,
    Arguments,
    Decide,
    Doubt,
    FileNamed,
    OpenSession,
    Page,
    QueueNamed,
    RuleNamed,
    RunNamed,
    Say,
    Start,
)
from life.spaces.relay.owner import RelayOwner

_SILENCE_S: Final = 45.0
"""A stream without even a comment for so long is dead; arcand sends one every 15 seconds."""
_DAEMON: Final = "arcand"
_PAGE_BYTES: Final = 8 * 1024 * 1024
_NOT_DONE: Final = frozenset({503, 507})
"""Not available, no room: refusals. Any other failure of the server leaves open what happened before it."""
_JSON: Final = {"content-type": "application/json"}


class _Problem(msgspec.Struct):
    detail: str = "The daemon gave no reason."
    code: str = ""
    next_step: str | None = None


class _EventPage(msgspec.Struct):
    events: list[msgspec.Raw]


class _Call(NamedTuple):
    method: str
    path: str
    query: Mapping[str, str]
    body: Json = None


class ArcandSessions:
    """`life.spaces.relay.ports.Sessions` over the HTTP API of the arcand that works in a data directory."""

    def __init__(self, http: httpx2.AsyncClient, data: DataDirectory) -> None:
        self._http = http
        self._data = data

    async def carry_out(
        self, operation: str, session: str, arguments: Arguments, *, command_id: str, owner: str
    ) -> bytes:
        """See Sessions."""
        call = call_of(operation, session, arguments, command_id=command_id)
        response = await self._request(call, may_have_happened=OPERATIONS[operation].changes, owner=owner)
        if operation == "file":
            return msgspec.json.encode({"content": base64.b64encode(response.content).decode()})
        if operation == "events":
            return _page(response.content)
        return response.content or b"null"

    async def watch(self, session: str, branch: str, after: int) -> AsyncGenerator[bytes, None]:
        """See Sessions."""
        path = f"/sessions/{quote(session, safe='')}/events/stream"
        query = {"branch": branch, "cursor": str(after)}
        address, headers = self._find()
        timeout = httpx2.Timeout(10.0, read=_SILENCE_S)
        try:
            async with self._http.stream(
                "GET", address + path, params=query, headers=headers, timeout=timeout
            ) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise _refusal(response)
                async for line in response.aiter_lines():
                    if line.startswith("data: "):
                        yield encode_record(decode_record(line[6:].encode()))
        except httpx2.TransportError:
            raise _gone() from None
        raise _gone()

    def _find(self) -> tuple[str, dict[str, str]]:
        address = self._data.address_of(_DAEMON)
        if address is None:
            raise _gone()
        return address, {"authorization": f"Bearer {read_token(self._data.token)}"}

    async def _request(self, call: _Call, *, may_have_happened: bool, owner: str) -> httpx2.Response:
        """Ask as the operator for `owner`, whose signature the node has checked: the runtime's journal names them."""
        address, found = self._find()
        headers = {**found, ACTING_FOR: owner}
        content = None if call.body is None else msgspec.json.encode(call.body)
        try:
            response = await self._http.request(
                call.method,
                address + call.path,
                params=dict(call.query),
                content=content,
                headers=headers if content is None else {**headers, **_JSON},
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            raise _gone() from None
        except httpx2.TransportError:
            if not may_have_happened:
                raise _gone() from None
            raise _unknown("went away before it answered") from None
        if response.status_code >= 500 and response.status_code not in _NOT_DONE and may_have_happened:
            raise _unknown(f"answered with status {response.status_code}")
        if response.status_code >= 300:
            raise _refusal(response)
        return response


def call_of(operation: str, session: str, arguments: Arguments, *, command_id: str) -> _Call:
    """The request that an operation means. Every name was checked by `read_arguments`, and is quoted here all the same."""
    base = f"/sessions/{quote(session, safe='')}"
    branch = {"branch": str(getattr(arguments, "branch", "main"))}
    plain = {
        "view": ("GET", "/state"),
        "files": ("GET", "/files"),
        "cancel": ("POST", "/cancel"),
        "resume": ("POST", "/resume"),
        "pause": ("POST", "/pause"),
        "continue": ("POST", "/continue"),
    }.get(operation)
    if plain is not None:
        return _Call(plain[0], base + plain[1], branch)
    if operation == "sessions":
        return _Call("GET", "/sessions", {})
    if operation == "branches":
        return _Call("GET", f"{base}/branches", {})
    match arguments:
        case OpenSession(name=name):
            return _Call("POST", "/sessions", {}, {"session_id": session, "name": name})
        case Page(after=after, limit=limit):
            return _Call("GET", f"{base}/events", {**branch, "from_sequence": str(after + 1), "limit": str(limit)})
        case RunNamed(run_id=run_id):
            return _Call("GET", f"{base}/runs/{_segment(run_id)}", branch)
        case QueueNamed(queue_id=queue_id):
            return _Call("DELETE", f"{base}/queue/{_segment(queue_id)}", branch)
        case FileNamed(path=path):
            return _Call("GET", f"{base}/files/{quote(path)}", branch)
        case Start():
            body: Json = {
                "objective": arguments.objective,
                "wait": False,
                "branch": arguments.branch,
                "limits": arguments.limits,
                "idempotency_key": arguments.key or command_id,
            }
            return _Call("POST", f"{base}/runs", {}, body)
        case Say(message=message, steering=steering):
            return _Call("POST", f"{base}/messages", branch, {"message": message, "steering": steering})
        case Decide():
            decision: dict[str, Json] = {
                "approved": arguments.approved,
                "reason": arguments.reason,
                "scope": arguments.scope,
            }
            if not isinstance(arguments.arguments, msgspec.UnsetType):
                decision["arguments"] = arguments.arguments
            return _Call("POST", f"{base}/approvals/{_segment(arguments.approval_id)}", branch, decision)
        case Doubt(call_id=call_id, decision=said, note=note):
            return _Call("POST", f"{base}/doubts/{_segment(call_id)}", branch, {"decision": said, "note": note})
        case RuleNamed(rule_id=rule_id):
            return _Call("DELETE", f"{base}/rules/{_segment(rule_id)}", branch)
        case _:
            raise UnavailableError(f"The operation {operation} is not the runtime's.")


def _page(content: bytes) -> bytes:
    """As many of a page's events as are carried at once, at least one."""
    try:
        events = msgspec.json.decode(content, type=_EventPage).events
    except msgspec.DecodeError:
        raise UnavailableError("The node's arcand answers in a way that this version does not understand.") from None
    kept, size = events[:1], 0
    for event in events[1:]:
        size += len(event)
        if size > _PAGE_BYTES:
            break
        kept.append(event)
    return b"[" + b",".join(kept) + b"]"


def _segment(text: str) -> str:
    return quote(text, safe="")


def _gone() -> UnavailableError:
    return UnavailableError("No arcand works at the node.", next_step="Start it there with `life up`.")


def _unknown(what: str) -> RelayOutcomeUnknownError:
    return RelayOutcomeUnknownError(
        f"The node's arcand {what}; this may have been carried out.",
        next_step="Look at the session, and say it again if it did not happen.",
    )


def _refusal(response: httpx2.Response) -> LifeError:
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem(f"The daemon answered with status {response.status_code}.")
    return refusal(problem.code, problem.detail, response.status_code, problem.next_step)


class Party(NamedTuple):
    """An identity that takes part in Relay: its folder, keys and journal."""

    data_dir: Path
    agent_id: str
    did: str
    custody: Custody
    journal: Journal


def relay_log(party: Party) -> RelayLog:
    """The party's own relay events."""
    return RelayLog(party.journal, SystemClock(), SystemEntropy(), agent_id=party.agent_id)


@asynccontextmanager
async def open_node(party: Party, address: str | None = None) -> AsyncIterator[RelayNode]:
    """A node, logged in at the spacesd of its data directory or the one named. UnavailableError without an arcand beside it,
    DataDirectoryLockedError while another node serves it."""
    data = DataDirectory(party.data_dir)
    if data.address_of(_DAEMON) is None:
        raise UnavailableError(
            f"No arcand works in {party.data_dir}.", next_step="Start it with `life up`; it runs the sessions."
        )
    limits = httpx2.Limits(max_connections=256)
    with data.lock("relay"):  # two nodes of one identity would answer each other's owners
        async with _open_node(party, data, limits, address) as node:
            yield node


@asynccontextmanager
async def _open_node(
    party: Party, data: DataDirectory, limits: httpx2.Limits, address: str | None
) -> AsyncIterator[RelayNode]:
    clock, entropy = SystemClock(), SystemEntropy()
    async with (
        httpx2.AsyncClient(timeout=60.0, trust_env=False, limits=limits) as http,
        IdentityRegistry.open(party.journal, clock) as registry,
        agent_client(party.custody, party.agent_id, party.data_dir, address) as client,
    ):
        carrier = SpacesCarrier(client, clock)
        await carrier.be_reachable()
        yield RelayNode(
            carrier,
            ArcandSessions(http, data),
            relay_log(party),
            party.custody,
            did=party.did,
            clock=clock,
            entropy=entropy,
            is_trusted=trust_of(registry, clock),
            keys_of=keys_of(registry),
        )


def trust_of(registry: IdentityRegistry, clock: SystemClock) -> Callable[[str], bool]:
    """Whether a key may act, as far as this journal knows: one that it knows nothing of may."""

    def is_trusted(did: str) -> bool:
        try:
            standing = registry.standing(did)
        except AnimaError:
            return False
        now_us = clock.now_us()
        return standing is None or not (
            standing.dead
            or standing.key_state == "revoked"
            or standing.superseded_at_us is not None  # whoever rotated a key away does not act by it
            or not standing.is_active(now_us)
            or registry.is_suspended(standing, now_us)
        )

    return is_trusted


def keys_of(registry: IdentityRegistry) -> Callable[[str], Sequence[str]]:
    """A key and those that it followed by rotation, newest first, as far as this journal knows. Nothing is said of keys that came after it."""

    def keys(did: str) -> Sequence[str]:
        try:
            standing = registry.standing(did)
        except AnimaError:
            return (did,)
        chain = () if standing is None else standing.keys.dids
        return tuple(reversed(chain[: chain.index(did) + 1])) if did in chain else (did,)

    return keys


@asynccontextmanager
async def open_owner(party: Party, node: str, address: str | None = None) -> AsyncIterator[RelayOwner]:
    """A client of a node (its DID), logged in as this identity. RelayOfflineError when the node does not answer."""
    clock, entropy = SystemClock(), SystemEntropy()
    async with agent_client(party.custody, party.agent_id, party.data_dir, address) as client:
        carrier = SpacesCarrier(client, clock)
        async with RelayOwner.attached(
            carrier, node, party.custody, did=party.did, clock=clock, entropy=entropy
        ) as owner:
            yield owner
