"""Login tokens are good once, over all hubs.

A token is used up by whoever puts the digest of what it says into the bucket `<name>-tokens` first. Its signature is left out: ECDSA's can be
written in two ways that both hold. A hub's own verifier knows only what came to this hub; without the
bucket a token that somebody overheard would be good again at the next door, for its minute.
"""

from __future__ import annotations

from typing import Final

from blake3 import blake3

from life.spaces.engine.nats.leases import Bucket
from life.spaces.engine.nats.link import Link, RefusedError, UnreachableError
from life.spaces.engine.nats.names import Names
from life.spaces.errors import SpacesUnavailableError, TokenReplayedError
from life.spaces.sessions import Login, TokenCheck

KEPT_US: Final = 10 * 60 * 1_000_000
"""Tokens live for a minute; the rest is for clocks that differ."""


class OnceTokens:
    """A TokenCheck (life.spaces.sessions) over another, that asks the servers whether a token was used."""

    def __init__(self, tokens: TokenCheck, link: Link, names: Names, *, replicas: int) -> None:
        self._tokens = tokens
        self.bucket = Bucket(
            link,
            names.tokens,
            names.lease(names.tokens),
            ttl_us=KEPT_US,
            replicas=replicas,
            on_put=lambda _key, _value: None,
            on_delete=lambda _key: None,
        )

    async def check(self, token: str) -> Login:
        """See TokenCheck. SpacesUnavailableError when nobody can say whether it was used."""
        login = await self._tokens.check(token)
        try:
            first = await self.bucket.claim(blake3(_said(token).encode()).hexdigest())
        except (UnreachableError, RefusedError) as error:
            raise SpacesUnavailableError(f"Whether the token was used before can't be known now: {error}.") from None
        if not first:
            raise TokenReplayedError("The token was used before.")
        return login

    async def is_revoked(self, login: Login) -> bool:
        """See TokenCheck."""
        return await self._tokens.is_revoked(login)


def _said(token: str) -> str:
    """A compact token (RFC 7515 §3.1) without its signature; of anything else, all of it."""
    parts = token.split(".")
    return ".".join(parts[:2]) if len(parts) == 3 else token
