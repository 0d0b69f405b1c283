"""Who stands behind a bearer token at the MCP server."""

from __future__ import annotations

from life.anima.user_tokens import UserTokenVerifier
from life.host.anima_verifier import IdentityServices
from life.host.mcp_server import door_keeper, home_of_caller
from life.praxis.mcp.doors import LOCAL_CALLER
from tests.anima.test_user_tokens import SECRET, token, verifier

OWN = "the-daemons-own-token-of-some-length"


def services(users: UserTokenVerifier | None) -> IdentityServices:
    """Services of which the door asks for users' tokens only."""
    return IdentityServices(registry=None, verifier=None, user_tokens=users)  # type: ignore[arg-type]


async def test_the_owner_and_users_with_the_scope_come_in_each_to_their_own() -> None:
    """The daemon's token is the owner; a user needs the scope `mcp` and gets a home of its own; everything else is nobody."""
    keeper = door_keeper(OWN, services(verifier()))
    assert await keeper(OWN) == LOCAL_CALLER
    ann = await keeper(token(sub="ann", scopes=["mcp"]))
    bob = await keeper(token(sub="bob", scopes=["mcp"]))
    assert ann is not None and bob is not None
    assert (ann.owner, bob.owner) == ("ann", "bob")
    assert home_of_caller(ann) != home_of_caller(bob)
    for presented in (
        "",
        OWN + "x",
        token(sub="eve", scopes=["journal:read"]),
        token(sub="eve", scopes=["mcp"], secret=b"x" * len(SECRET)),
        "a.b.c",
    ):
        assert await keeper(presented) is None
    assert await door_keeper(OWN)(token(sub="ann", scopes=["mcp"])) is None
