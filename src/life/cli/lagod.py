"""`lagod`"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from life.aios.errors import InvalidInputError
from life.cli.run import command_errors, data_dir_option
from life.host.haimad import parse_bind
from life.host.http.server import run_async
from life.host.lagod import LagodSettings, LagodStarted, run_lagod
from life.host.lagod_engine import EngineName, EngineSettings, NatsSettings
from life.lago.blobs.s3 import Bucket


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@data_dir_option
@click.option(
    "--bind", "address", default="127.0.0.1:8080", show_default=True, help="Address and port; port 0 picks one."
)
@click.option(
    "--engine",
    type=click.Choice(["sqlite", "nats", "memory"]),
    default="sqlite",
    show_default=True,
    help="Where the journal is. `memory` is gone at the end.",
)
@click.option("--policy", type=click.Path(path_type=Path, dir_okay=False), help="policy.toml (docs/lagod.md).")
@click.option(
    "--nats-url",
    "nats_urls",
    multiple=True,
    metavar="URL",
    help="A NATS server; may be repeated. Without, one is started.",
)
@click.option(
    "--nats-credentials",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON with `user`, `password` and perhaps those of a system user; mode 0600.",
)
@click.option("--nats-ca", type=click.Path(path_type=Path, dir_okay=False), help="Certificates for tls:// servers.")
@click.option("--nats-journal", default="journal", show_default=True, help="The journal's name on the servers.")
@click.option("--nats-replicas", type=click.Choice(["1", "3", "5"]), default="3", show_default=True, help="Copies.")
@click.option(
    "--nats-accept-unverified", is_flag=True, help="Open a journal even if it could lose what it acknowledged."
)
@click.option(
    "--s3-endpoint",
    metavar="URL",
    help="Keep blobs in a bucket; the key is in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.",
)
@click.option("--s3-bucket", metavar="NAME", help="The bucket.")
@click.option("--s3-region", default="auto", show_default=True, help="Its region.")
@click.option(
    "--proxy-host",
    "proxy_hosts",
    multiple=True,
    help="Name under which a proxy with TLS forwards here; allows to listen beyond this machine.",
)
@command_errors
def lagod(
    data_dir: Path,
    address: str,
    engine: str,
    policy: Path | None,
    nats_urls: tuple[str, ...],
    nats_credentials: Path | None,
    nats_ca: Path | None,
    nats_journal: str,
    nats_replicas: str,
    nats_accept_unverified: bool,
    s3_endpoint: str | None,
    s3_bucket: str | None,
    s3_region: str,
    proxy_hosts: tuple[str, ...],
) -> None:
    """Serve the journal, blobs and files over HTTP and server-sent events.

    GET /health and GET /health/ready are open. Everything else wants the token (Authorization: Bearer …) from the file that is named at
    the start, or an agent's token with the route's scope; users' tokens are accepted when LAGO_JWT_SECRET or AUTH_SECRET is set.
    """
    if engine != "nats" and (nats_urls or nats_credentials or nats_ca or nats_accept_unverified):
        raise InvalidInputError("The options --nats-… need --engine nats.")
    if (s3_endpoint is None) != (s3_bucket is None):
        raise InvalidInputError("A bucket has an endpoint and a name: give --s3-endpoint and --s3-bucket.")
    bucket = Bucket(s3_endpoint, s3_bucket, s3_region) if s3_endpoint is not None and s3_bucket is not None else None
    host, port = parse_bind(address)
    nats = NatsSettings(nats_urls, nats_credentials, nats_ca, nats_journal, int(nats_replicas), nats_accept_unverified)
    chosen = cast(EngineName, engine)
    settings = LagodSettings(EngineSettings(chosen, None if chosen == "memory" else data_dir, nats, bucket), policy)
    run_async(lambda: run_lagod(settings, host=host, port=port, proxy_hosts=proxy_hosts, on_ready=_tell))


def _tell(started: LagodStarted) -> None:
    lines = [f"lagod listens on {started.address}"]
    if started.root is None:
        lines.append("  journal    IN MEMORY: everything is gone when this stops (--engine sqlite keeps it)")
    else:
        lines.append(f"  journal    {started.root}")
    lines += [f"  DOUBT      {doubt}" for doubt in started.doubts]
    lines += [f"  token      {started.token_file}   (Authorization: Bearer …)", "Ctrl-C stops it."]
    click.echo("\n".join(lines))
