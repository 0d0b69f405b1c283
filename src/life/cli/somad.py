"""`somad`: the custody oracle, and what its administrator asks of it"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from life.anima.custody.soma.audit import verify_audit
from life.anima.custody.soma.client import DEFAULT_SOCKET, SocketChannel
from life.anima.custody.soma.policy import PolicyFile
from life.anima.custody.soma.protocol import (
    AgentFacts,
    AnyRequest,
    Disable,
    Enable,
    Grant,
    ListAgents,
    Provision,
    Reply,
)
from life.cli.run import command_errors, run
from life.host.errors import SettingsError
from life.host.http.server import run_async
from life.host.somad import (
    DEFAULT_KEY_FILE,
    DEFAULT_POLICY,
    DEFAULT_STORE,
    RemoteListener,
    SomadSettings,
    SomadStarted,
    run_somad,
)

OPERATIONS = (
    "sign_token",
    "sign_message",
    "sign_authorization",
    "sign_permit",
    "sign_transaction",
    "sign_sale_document",
    "sign_cancellation",
    "rotate",
)
_file = click.Path(path_type=Path)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines for people.")


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--socket", type=_file, default=DEFAULT_SOCKET, show_default=True, help="The Unix socket.")
@click.option("--store", type=_file, default=DEFAULT_STORE, show_default=True, help="Keys and audit, mode 0700.")
@click.option("--policy", type=_file, default=DEFAULT_POLICY, show_default=True, help="Who may do what.")
@click.option(
    "--key-file",
    type=_file,
    default=DEFAULT_KEY_FILE,
    show_default=True,
    help="What seals the keys; made when missing.",
)
@click.option("--key-fd", type=click.IntRange(0), help="A file descriptor with those 32 bytes instead.")
@click.option("--remote", help="Serve callers from afar at HOST:PORT or unix:/path.")
@click.option("--tls-certificate", type=_file, help="PEM; needed beyond this machine.")
@click.option("--tls-key", type=_file, help="PEM.")
@click.option("--tls-client-ca", type=_file, help="Only callers with a certificate of this authority (PEM).")
@click.pass_context
@command_errors
def somad(
    context: click.Context,
    socket: Path,
    store: Path,
    policy: Path,
    key_file: Path,
    key_fd: int | None,
    remote: str | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
) -> None:
    """Keep agents' keys in a process of their own, and sign for whoever the policy names.

    Without a command it serves. The commands ask the one that runs, as the user who calls them.
    """
    where = None if remote is None else _listener(remote, tls_certificate, tls_key, tls_client_ca)
    settings = SomadSettings(socket, store, policy, key_file, key_fd, where)
    context.obj = settings
    if context.invoked_subcommand is None:
        run_async(lambda: run_somad(settings, on_ready=_tell))


@somad.command()
@click.argument("agent")
@click.option("--name", help="The agent's name in its soul. Default: AGENT.")
@click.option("--mission", help="One sentence that says what the agent is for.")
@click.option("--chain", help="CAIP-2 chain of its wallet.")
@click.option("--max-per-tx-micro", type=click.IntRange(0), help="Most micro-credits in one payment.")
@click.option("--max-per-session-micro", type=click.IntRange(0), help="Most in the policy's session window.")
@click.option("--max-lifetime-micro", type=click.IntRange(0), help="Most for ever. Default: no limit.")
@_json
@click.pass_obj
@command_errors
def provision(
    settings: SomadSettings,
    agent: str,
    name: str | None,
    mission: str | None,
    chain: str | None,
    max_per_tx_micro: int | None,
    max_per_session_micro: int | None,
    max_lifetime_micro: int | None,
    as_json: bool,
) -> None:
    """Make keys and soul for AGENT, or show those there are."""
    request = Provision(
        agent=agent,
        name=name,
        mission=mission,
        chain=chain,
        max_per_tx_micro=max_per_tx_micro,
        max_per_session_micro=max_per_session_micro,
        max_lifetime_micro=max_lifetime_micro,
    )
    facts = (_ask(settings, request).agents or ())[0]
    if as_json:
        click.echo(msgspec.json.encode({"created": facts.created, **_members(facts)}))
        return
    click.echo(f"Made keys for {agent}." if facts.created else f"{agent} has keys already; nothing was changed.")
    _print(facts)


@somad.command()
@click.argument("agent")
@click.pass_obj
@command_errors
def disable(settings: SomadSettings, agent: str) -> None:
    """Sign nothing for AGENT any more."""
    _ask(settings, Disable(agent=agent))
    click.echo(f"{agent} is disabled.")


@somad.command()
@click.argument("agent")
@click.pass_obj
@command_errors
def enable(settings: SomadSettings, agent: str) -> None:
    """Sign for AGENT again."""
    _ask(settings, Enable(agent=agent))
    click.echo(f"{agent} is enabled.")


@somad.command("list")
@_json
@click.pass_obj
@command_errors
def list_(settings: SomadSettings, as_json: bool) -> None:
    """Show every agent."""
    agents = _ask(settings, ListAgents()).agents or ()
    if as_json:
        click.echo(msgspec.json.encode({"agents": [_members(facts) for facts in agents]}))
        return
    for facts in agents:
        click.echo(f"{facts.agent}{'  (disabled)' if facts.disabled else ''}")
        _print(facts)


@somad.command()
@click.argument("agent")
@click.option("--to", "did", required=True, help="The caller's DID, as `life identity remote-key` prints it.")
@click.option("--operation", "operations", type=click.Choice(OPERATIONS), multiple=True, help="May be repeated.")
@click.option("--lifetime", "lifetime_s", type=click.IntRange(60, 90 * 86_400), default=86_400, show_default=True)
@click.pass_obj
@command_errors
def grant(settings: SomadSettings, agent: str, did: str, operations: tuple[str, ...], lifetime_s: int) -> None:
    """Print a permit for a remote caller to use AGENT; a rule [[allow]] with its DID has to allow it, too."""
    members = {"agent": agent, "did": did, "operations": operations or ("sign_token",), "lifetime_s": lifetime_s}
    request = msgspec.convert({"op": "grant", **members}, Grant)
    reply = _ask(settings, request)
    click.echo(msgspec.json.encode({"oracle": reply.oracle, "agent": agent, "permit": reply.token}))


@somad.command()
@_json
@click.pass_obj
@command_errors
def audit(settings: SomadSettings, as_json: bool) -> None:
    """Verify every record of the audit in --store."""
    summary = verify_audit(settings.store)
    if as_json:
        click.echo(msgspec.json.encode(summary._asdict()))
        return
    click.echo(f"{summary.records} records in {summary.files} files; the chain holds and ends with {summary.chain}.")


@somad.command("check-policy")
@click.pass_obj
@command_errors
def check_policy(settings: SomadSettings) -> None:
    """Say whether the file in --policy can be used."""
    PolicyFile(settings.policy)
    click.echo(f"{settings.policy} can be used.")


def _ask(settings: SomadSettings, request: AnyRequest) -> Reply:
    async def ask() -> Reply:
        channel = SocketChannel(settings.socket)
        try:
            return await channel.ask(request)
        finally:
            await channel.close()

    return run(ask())


def _listener(text: str, certificate: Path | None, key: Path | None, authority: Path | None) -> RemoteListener:
    if text.startswith("unix:/"):
        return RemoteListener(socket_path=Path(text.removeprefix("unix:")))
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise SettingsError("--remote is HOST:PORT or unix:/path.")
    return RemoteListener(host.strip("[]"), int(port), None, certificate, key, authority)


def _members(facts: AgentFacts) -> dict[str, object]:
    members: dict[str, object] = {
        "agent": facts.agent,
        "did": facts.did,
        "wallet": facts.wallet_address,
        "chain": facts.chain,
        "disabled": facts.disabled,
    }
    return members


def _print(facts: AgentFacts) -> None:
    click.echo(f"  {'DID':<8} {facts.did}")
    click.echo(f"  {'Wallet':<8} {facts.wallet_address} on {facts.chain}")


def _tell(started: SomadStarted) -> None:
    click.echo(f"somad listens at {started.socket}")
    click.echo(f"  store      {started.store} ({started.agents} agents)")
    click.echo(f"  policy     {started.policy}")
    if started.remote is not None:
        click.echo(f"  remote     {started.remote}")
    click.echo("Ctrl-C stops it.")
