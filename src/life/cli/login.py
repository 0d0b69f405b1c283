"""`life login`"""

from __future__ import annotations

import http.client
import json
from pathlib import Path

import click

from life.aios.errors import UnavailableError
from life.cli.run import command_errors, data_dir_option
from life.host.access import load_or_create_token
from life.host.clock import SystemEntropy
from life.host.data_directory import DataDirectory
from life.host.errors import UnauthorizedError


@click.command()
@data_dir_option
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="The daemon's port.")
@command_errors
def login(data_dir: Path, port: int) -> None:
    """Print a fresh one-time link to the running daemon."""
    token = load_or_create_token(DataDirectory.create(data_dir).token, SystemEntropy())
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/login-links", headers={"authorization": f"Bearer {token}"})
        response = connection.getresponse()
        body = response.read()
    except OSError:
        raise UnavailableError(
            f"No daemon answers on 127.0.0.1:{port}.", next_step="Start one with `life up`, or name its --port."
        ) from None
    finally:
        connection.close()
    if response.status != 201:
        raise UnauthorizedError(
            f"The daemon on port {port} works in another data directory.", next_step="Name that one with --data-dir."
        )
    click.echo(f"http://127.0.0.1:{port}{json.loads(body)['path']}")
