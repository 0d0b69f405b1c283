"""`life relay …`: watch and steer the sessions of an agent elsewhere, over Spaces (docs/relay.md)."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click
import msgspec

from life.aios.errors import InvalidInputError, LifeError
from life.cli.relay_opening import attached, json_option, opened_party, relay_options
from life.cli.relay_sessions import RelaySessions
from life.cli.run import command_errors, run
from life.cli.shell.words import printable
from life.cli.spaces_lines import day_and_clock
from life.cli.tables import print_table
from life.host.relay import Party, open_node, open_owner, relay_log
from life.spaces.relay.events import EVERY_SESSION, OPERATOR, RIGHTS, Granted, Right
from life.spaces.relay.log import check_did
from life.spaces.relay.operations import Allow, Nothing, Revoke
from life.spaces.relay.state import Node

_session_option = click.option("--session", metavar="ID", help="For this session only.")
_node_option = click.option("--node", metavar="NODE", help="At a node elsewhere that is yours, by name or DID.")


@click.command()
@relay_options
@json_option
@command_errors
def serve(data_dir: Path, address: str | None, as_json: bool) -> None:
    """Let those who are allowed attach to the sessions of the arcand that works here.

    Until Ctrl-C. Connects out to the Spaces server as this project's agent; no port is opened.
    Example: life relay serve --address https://spaces.example
    """
    run(_serve(data_dir, address, as_json=as_json))


async def _serve(data_dir: Path, address: str | None, *, as_json: bool) -> None:
    async with opened_party(data_dir) as party, open_node(party, address) as node:
        state = await relay_log(party).sync()
        allowed = len({one.did for one in state.grants()})
        if as_json:
            click.echo(msgspec.json.encode({"node": party.did, "allowed": allowed}).decode())
        else:
            click.echo(
                f"This node serves its sessions over Spaces.\n  node     {party.did}\n  allowed  {_count(allowed)}\nCtrl-C stops it."
            )
            if not allowed:
                click.echo("Nobody may attach yet: life relay allow DID", err=True)
        serving = asyncio.ensure_future(node.run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, serving.cancel)
        with suppress(asyncio.CancelledError):
            await serving


def _count(number: int) -> str:
    return "nobody yet" if number == 0 else "1 key" if number == 1 else f"{number} keys"


@click.command()
@relay_options
@click.option("--add", "did", metavar="DID", help="Remember a node.")
@click.option("--name", help="What to call it.")
@click.option("--forget", metavar="NODE", help="Forget a node.")
@json_option
@command_errors
def nodes(
    data_dir: Path, address: str | None, did: str | None, name: str | None, forget: str | None, as_json: bool
) -> None:
    """List the nodes that you know and whether they answer.

    --add and --forget change the list. Example: life relay nodes --add did:key:zDn… --name home --address https://spaces.example
    """
    if (did is None) != (name is None):
        raise InvalidInputError("To remember a node, give --add DID and --name NAME.")
    run(_nodes(data_dir, address, did, name, forget, as_json=as_json))


async def _nodes(
    data_dir: Path, address: str | None, did: str | None, name: str | None, forget: str | None, *, as_json: bool
) -> None:
    async with opened_party(data_dir) as party:
        log = relay_log(party)
        if did is not None and name is not None:
            await log.know(did, name=name, address=address or "")
        if forget is not None:
            await log.forget(forget)
        known = (await log.sync()).nodes()
        found = await asyncio.gather(*(_standing(party, node, address) for node in known))
    rows = [(node, status) for node, status in zip(known, found, strict=True)]
    if as_json:
        click.echo(msgspec.json.encode([{**node._asdict(), "status": status} for node, status in rows]).decode())
        return
    if not rows:
        click.echo("No node is known yet: life relay nodes --add DID --name NAME", err=True)
        return
    print_table(
        ("node", "status", "address", "did"),
        [(node.name, status, node.address or "here", node.did) for node, status in rows],
    )


async def _standing(party: Party, node: Node, address: str | None) -> str:
    """`online` when it answers within ten seconds, as one proves to be it; anything else is `offline`."""
    try:
        async with open_owner(party, node.did, address or node.address or None) as owner:
            await owner.ask("hello", "", Nothing())
    except LifeError:
        return "offline"
    return "online"


@click.command()
@click.argument("node")
@relay_options
@json_option
@command_errors
def sessions(node: str, data_dir: Path, address: str | None, as_json: bool) -> None:
    """List the sessions at a NODE that you may watch.

    NODE is a name, or its DID. Example: life relay sessions home
    """
    run(_sessions(data_dir, node, address, as_json=as_json))


async def _sessions(data_dir: Path, node: str, address: str | None, *, as_json: bool) -> None:
    async with attached(data_dir, node, address) as link:
        found = await RelaySessions(link.owner, node).sessions()
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    print_table(
        ("session", "name", "state", "events", "used"),
        [
            (printable(one.session_id), printable(one.name), one.state, str(one.head), day_and_clock(one.updated_us))
            for one in found
        ],
        right=(3,),
    )


@click.command()
@click.argument("did")
@relay_options
@_session_option
@click.option(
    "--may",
    default="own",
    show_default=True,
    metavar="RIGHTS",
    help="A comma list of watch, steer, approve; or own: all of it, for every session, and allowing others.",
)
@click.option("--name", default="", help="Whose key it is, for the list.")
@_node_option
@json_option
@command_errors
def allow(
    did: str,
    data_dir: Path,
    address: str | None,
    session: str | None,
    may: str,
    name: str,
    node: str | None,
    as_json: bool,
) -> None:
    """Let a key (its DID) attach to this project's sessions.

    With --node: to those of a node of yours. What it had there before is replaced. Example: life relay allow did:key:zDn… --session notes --may watch,approve
    """
    check_did(did)
    run(_allow(data_dir, address, did, session or EVERY_SESSION, _rights(may), name, node, as_json=as_json))


def _rights(text: str) -> tuple[Right, ...]:
    words = {word.strip() for word in text.split(",")}
    found = tuple(right for right in RIGHTS if right in words)
    if len(found) != len(words):
        raise InvalidInputError(f"Rights are some of {', '.join(RIGHTS)}, with commas between them.")
    return found


async def _allow(
    data_dir: Path,
    address: str | None,
    did: str,
    session: str,
    rights: Sequence[Right],
    name: str,
    node: str | None,
    *,
    as_json: bool,
) -> None:
    if node is None:
        async with opened_party(data_dir) as party:
            granted = await relay_log(party).allow(did, session=session, rights=rights, by=OPERATOR, name=name)
    else:
        async with attached(data_dir, node, address) as link:
            wanted = Allow(did=did, session=session, rights=tuple(rights), name=name)
            granted = msgspec.json.decode(await link.owner.ask("allow", "", wanted), type=Granted)
    if as_json:
        click.echo(msgspec.json.encode(granted).decode())
    else:
        click.echo(f"{name or did} may {_words(granted)}.")


def _words(grant: Granted) -> str:
    where = "every session" if grant.session == EVERY_SESSION else f"session {printable(grant.session)}"
    return f"{', '.join(grant.rights)} {where}"


@click.command()
@click.argument("did")
@relay_options
@_session_option
@_node_option
@json_option
@command_errors
def revoke(did: str, data_dir: Path, address: str | None, session: str | None, node: str | None, as_json: bool) -> None:
    """Take back what a key was allowed, and what it allowed others.

    With --session there only. Open links end within a second.
    Example: life relay revoke did:key:zDn…
    """
    check_did(did)
    run(_revoke(data_dir, address, did, session or "", node))
    if as_json:
        click.echo(msgspec.json.encode({"did": did, "session": session, "revoked": True}).decode())
    else:
        click.echo("Revoked.")


async def _revoke(data_dir: Path, address: str | None, did: str, session: str, node: str | None) -> None:
    if node is None:
        async with opened_party(data_dir) as party:
            await relay_log(party).revoke(did, session=session, by=OPERATOR)
        return
    async with attached(data_dir, node, address) as link:
        await link.owner.ask("revoke", "", Revoke(did=did, session=session))


@click.command()
@relay_options
@_node_option
@json_option
@command_errors
def grants(data_dir: Path, address: str | None, node: str | None, as_json: bool) -> None:
    """List who may do what with this project's sessions.

    With --node: with those of a node of yours. Example: life relay grants --node home
    """
    found = run(_grants(data_dir, address, node))
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    print_table(
        ("name", "may", "session", "by", "did"),
        [(printable(one.name), ",".join(one.rights), one.session, _giver(one), one.did) for one in found],
    )


async def _grants(data_dir: Path, address: str | None, node: str | None) -> list[Granted]:
    if node is None:
        async with opened_party(data_dir) as party:
            return (await relay_log(party).sync()).grants()
    async with attached(data_dir, node, address) as link:
        return msgspec.json.decode(await link.owner.ask("grants", "", Nothing()), type=list[Granted])


def _giver(grant: Granted) -> str:
    return grant.by if grant.by == OPERATOR else f"…{grant.by[-8:]}"
