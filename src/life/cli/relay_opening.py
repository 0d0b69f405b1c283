"""How the commands of `life relay` open what they work on: the project's identity with its journal, and a node elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from life.aios.errors import InvalidInputError
from life.cli.identity_opening import opened_identity
from life.cli.run import data_dir_option
from life.host.relay import Party, open_owner, relay_log
from life.spaces.relay.owner import RelayOwner

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")


def relay_options(function: F) -> F:
    """The options of every command: the data directory, and the Spaces server where both sides meet."""
    address = click.option(
        "--address",
        metavar="URL",
        help="The Spaces server, like https://spaces.example.  [default: the one that works in the data directory]",
    )
    return data_dir_option(address(function))


class Attached(NamedTuple):
    """A node, and the client that is attached to it."""

    owner: RelayOwner
    party: Party
    name: str
    """As it was called on the command line."""
    did: str


@asynccontextmanager
async def opened_party(data_dir: Path) -> AsyncIterator[Party]:
    """The project's own identity."""
    async with opened_identity(data_dir, create_journal=True) as opened:
        yield Party(data_dir, opened.identity.agent_id, opened.identity.did, opened.custody, opened.journal)


@asynccontextmanager
async def attached(data_dir: Path, node: str, address: str | None) -> AsyncIterator[Attached]:
    """A link to a node, by the name under which it is known or its DID. RelayOfflineError when it does not answer."""
    async with opened_party(data_dir) as party:
        did, where = await find_node(party, node)
        async with open_owner(party, did, address or where or None) as owner:
            yield Attached(owner, party, node, did)


async def find_node(party: Party, node: str) -> tuple[str, str]:
    """The DID and address of a node."""
    known = (await relay_log(party).sync()).node(node)
    if known is not None:
        return known.did, known.address
    if not node.startswith("did:key:"):
        raise InvalidInputError(
            f"No node is known as {node!r}.", next_step="life relay nodes --add DID --name NAME, or give its DID."
        )
    return node, ""
