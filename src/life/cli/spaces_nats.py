"""`life spaces nats-cluster` and `nats-leaf`: settings for NATS servers that Spaces can be kept on."""

from __future__ import annotations

from pathlib import Path

import click

from life.aios.errors import InvalidInputError
from life.cli.run import command_errors
from life.host.clock import SystemEntropy
from life.host.spaces_nats import CREDENTIALS, ClusterPorts, write_cluster, write_leaf

_PORTS = ClusterPorts()


@click.command("nats-cluster")
@click.argument("hosts", nargs=-1, required=True, metavar="HOST HOST HOST")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("spaces-nats"),
    show_default=True,
    help="Where to write.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/var/lib/spaces-nats"),
    show_default=True,
    help="Where each server keeps its data, on its own machine.",
)
@command_errors
def nats_cluster(hosts: tuple[str, ...], output: Path, data: Path) -> None:
    """Write the settings of three NATS servers that keep Spaces durably.

    One server per host, three hosts or five; three copies of the log, flushed before anything is acknowledged.

    Example: life spaces nats-cluster 10.0.0.1 10.0.0.2 10.0.0.3
    """
    written = write_cluster(output, hosts, SystemEntropy(), data=data)
    for host, path in zip(hosts, written, strict=False):
        click.echo(f"{path}   copy to {host}, then there: mkdir -p {data}/ports && nats-server -c server.conf")
    urls = " ".join(f"--nats-url nats://{host}:{_PORTS.clients}" for host in hosts)
    click.echo(
        f"{output / CREDENTIALS}   copy to every hub, then there: spacesd {urls} --nats-credentials {CREDENTIALS}"
    )
    click.echo(
        "These files hold passwords. Between machines that do not trust their network, add TLS (docs/spaces-nats.md)."
    )


@click.command("nats-leaf")
@click.argument("servers", nargs=-1, required=True, metavar="HOST[:PORT]...")
@click.option(
    "--credentials",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help=f"The hubs' {CREDENTIALS}.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("leaf.conf"),
    show_default=True,
    help="Where to write.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("spaces-leaf"),
    show_default=True,
    help="The leaf's folder for its log and process id.",
)
@click.option("--port", default=4222, show_default=True, help="Where the leaf listens, on this machine only.")
@command_errors
def nats_leaf(servers: tuple[str, ...], credentials: Path, output: Path, data: Path, port: int) -> None:
    """Write the settings of a NATS leaf node for a laptop that joins them.

    It keeps nothing; a hub on the laptop uses it as its server.

    Example: life spaces nats-leaf 10.0.0.1 10.0.0.2 --credentials spaces-credentials.json
    """
    remotes = tuple(_address(server) for server in servers)
    path = write_leaf(output, credentials, remotes, data=data.absolute(), port=port)
    click.echo(f"{path}\nStart it: nats-server -c {path}")
    click.echo(f"Then: spacesd --nats-url nats://127.0.0.1:{port} --nats-credentials {credentials}")


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.partition(":")
    if not host or (port and not port.isdigit()):
        raise InvalidInputError(f"{text} is no HOST or HOST:PORT.")
    return host, int(port or _PORTS.leaves)
