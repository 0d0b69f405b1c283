"""How webhooks leave the house: through the same checked egress as tools, and with secrets from a key of this data directory.

An address must be https; plain http is for hosts that the operator permits in `tools.allow_private_hosts` alone. Names are resolved and
every address is checked when a connection is made, so a name that changes its mind between check and use gains nothing.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2

from life.aios.ports.clock import Entropy
from life.arcan.doors.errors import WebhookTargetError
from life.arcan.doors.webhook_delivery import PostAnswer, SecretOf
from life.host.access import load_or_create_token
from life.praxis.addresses import canonical_host
from life.praxis.egress import EgressClient, EgressPolicy, check_address, private_permit, resolve_with_system
from life.praxis.errors import AddressRefusedError

TIMEOUT_S: Final = 10.0


class CheckedWebhookClient:
    """Posts through checked egress (life.arcan.doors.webhook_delivery.WebhookClient). Close it with `aclose`."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._permit = private_permit(policy)
        self._client = EgressClient(policy)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def check(self, url: str) -> None:
        """See WebhookClient. A name that does not resolve now is accepted: it may tomorrow, and is checked then."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
            httpx2.URL(url)
        except (ValueError, httpx2.InvalidURL):
            raise WebhookTargetError("That is no URL.") from None
        if parts.scheme not in ("https", "http") or not host or parts.username is not None or parts.fragment:
            raise WebhookTargetError("A webhook's URL is https, with a host, without a user and without a fragment.")
        port = port or (443 if parts.scheme == "https" else 80)
        if parts.scheme == "http" and not self._permit(host.lower(), port):
            raise WebhookTargetError(
                "A webhook's URL must be https.",
                next_step="For a host of your own network, permit it by name (tools.allow_private_hosts).",
            )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._refuse_private(host, port)
        except AddressRefusedError as error:
            raise WebhookTargetError(error.message) from None
        except TimeoutError:
            pass

    async def _refuse_private(self, host: str, port: int) -> None:
        """AddressRefusedError when the host has an address that is not posted to."""
        try:
            addresses = [ipaddress.ip_address(host)]
        except ValueError:
            try:
                found = await resolve_with_system(canonical_host(host), port)
                addresses = [ipaddress.ip_address(text) for text in found]
            except (OSError, UnicodeError, ValueError):
                return
        for address in addresses:
            check_address(canonical_host(host), port, address, self._permit)

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> PostAnswer:
        """See WebhookClient. The answer's body is not read."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                async with self._client.stream("POST", url, headers=headers, content=body) as answer:
                    error = "Redirects are not followed." if 300 <= answer.status_code < 400 else ""
                    return PostAnswer(answer.status_code, error)
        except TimeoutError:
            return PostAnswer(0, f"There was no answer within {TIMEOUT_S:g} seconds.")
        except httpx2.HTTPError as error:
            cause = error.__cause__
            words = cause.message if isinstance(cause, AddressRefusedError) else type(error).__name__
            return PostAnswer(0, words)


def load_webhook_secrets(path: Path, entropy: Entropy) -> SecretOf:
    """Secrets of subscriptions, derived from the key in this file (0600), which is made when it is missing. Without the file every
    secret is another: it belongs into a backup."""
    key = load_or_create_token(path, entropy).encode()
    return lambda webhook_id, rotation: hmac.digest(key, f"webhook/{webhook_id}/{rotation}".encode(), "sha256")
