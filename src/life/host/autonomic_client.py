"""A regulator in another process: `autonomicd`, asked over HTTP (autonomic.md §13).

It answers from the same journal, a moment behind; what it wants on record comes with the profile, and the loop writes it.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import quote, urlsplit

import httpx2
import msgspec

from life.aios.errors import InvalidInputError
from life.aios.events import Custom, Kind
from life.aios.json import JsonObject
from life.aios.ports.regulator import Advice, RunView
from life.aios.state import GatingProfile
from life.autonomic.decisions import AutonomicGatingProfile, EconomicGates
from life.autonomic.errors import RegulatorUnavailableError
from life.autonomic.profile import advice_of

TIMEOUT_S: Final = 2.0
MAX_ANSWER_BYTES: Final = 1_000_000


class _Profile(msgspec.Struct, frozen=True, kw_only=True):
    operational: GatingProfile = GatingProfile()
    economic: EconomicGates = EconomicGates()
    rationale: tuple[str, ...] = ()
    advisory_events: tuple[JsonObject, ...] = ()


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    profile: _Profile
    target_tokens: int | None = None


class HttpRegulator:
    """Asks one daemon. Close it with `aclose`."""

    def __init__(self, url: str, token: str = "", *, client: httpx2.AsyncClient | None = None) -> None:
        """InvalidInputError for an address that is none, or that would carry the token over a network in the clear."""
        self._url = checked_url(url)
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._client = client or httpx2.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def consult(self, view: RunView) -> Advice:
        """The daemon's profile as advice. RegulatorUnavailableError for whatever is no profile."""
        address = f"{self._url}/gating/{quote(view.session_id, safe='')}"
        try:
            answer = await self._client.get(address, params={"branch": view.branch_id}, headers=self._headers)
        except httpx2.HTTPError as error:
            raise RegulatorUnavailableError(f"{self._url} can't be reached: {type(error).__name__}.") from None
        if answer.status_code != 200 or len(answer.content) > MAX_ANSWER_BYTES:
            raise RegulatorUnavailableError(f"{self._url} answered with HTTP {answer.status_code}.")
        try:
            said = msgspec.json.decode(answer.content, type=_Answer)
        except msgspec.DecodeError as error:
            raise RegulatorUnavailableError(f"{self._url} answered with something else: {error}.") from None
        profile = AutonomicGatingProfile(
            operational=said.profile.operational, economic=said.profile.economic, rationale=said.profile.rationale
        )
        events = tuple(event for item in said.profile.advisory_events if (event := _event(item)) is not None)
        return advice_of(profile, target_tokens=said.target_tokens, events=events)


def checked_url(url: str) -> str:
    """The address without its last slash: https, or http on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        local = host == "localhost" or (bool(host) and _is_loopback(host))
    except ValueError:
        raise InvalidInputError(f"{url!r} is no address of an autonomicd.") from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or parts.username:
        raise InvalidInputError(f"{url!r} is no address of an autonomicd.")
    if parts.scheme == "http" and not local:
        raise InvalidInputError(
            f"{url} would carry the token over the network in the clear.",
            next_step="Use https, with a proxy in front of autonomicd.",
        )
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _event(item: JsonObject) -> Kind | None:
    """An advisory event of the wire (`type` holds its short name) as ours."""
    name = item.get("type")
    if not isinstance(name, str) or not name.isalnum():
        return None
    data = {key: value for key, value in item.items() if key != "type"}
    return Custom(event_type=f"autonomic.{name}", data=data)
