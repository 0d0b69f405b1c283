"""For whom the operator's own programs act: Relay's node hands on what an owner elsewhere asked for, and the journal names that owner.

    Life-Acting-For: did:key:zDn…

The header counts beside the daemon's own token and nowhere else. Whoever has that token is the operator, and could say as much as the operator
can; an agent, a user or a page that names somebody is refused, not ignored, so that nobody believes to have passed for somebody.
It gives no right and takes none: who may do what was decided where the owner's signature was checked (life.spaces.relay).
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from life.aios.errors import InvalidInputError
from life.crypto.did import Curve, resolve_did
from life.crypto.errors import CryptoError
from life.host.doors import owner_of
from life.host.errors import ForbiddenError
from life.host.http.authentication import auth_of

HEADER: Final = "life-acting-for"


def acting_for(request: Request) -> str | None:
    """The did:key for whom the operator's token acts; None when the request names nobody. ForbiddenError for anybody else's request that
    names one, InvalidInputError for what is no DID of a key that agents sign with."""
    named = request.headers.getlist(HEADER)
    if not named:
        return None
    if auth_of(request.scope).kind != "operator":
        raise ForbiddenError("Only the daemon's own token acts for somebody else.")
    if len(named) > 1:
        raise InvalidInputError("A request acts for one at most.")
    try:
        key = resolve_did(named[0])
    except CryptoError as error:
        raise InvalidInputError(f"{HEADER} names no did:key: {error}.") from None
    if key.curve is not Curve.P256 or key.did != named[0]:
        raise InvalidInputError(f"{HEADER} names no did:key that agents sign with.")
    return key.did


def actor_of(request: Request) -> str:
    """Who the journal says decided, spoke or stopped: the owner for whom the operator acts, the agent or user, `operator` or `person`."""
    return acting_for(request) or owner_of(request) or auth_of(request.scope).kind
