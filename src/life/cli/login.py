"""`life login`"""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from urllib.parse import urlsplit

import click

from life.aios.errors import UnavailableError
from life.cli.run import command_errors, data_dir_option
from life.host.access import read_token
from life.host.data_directory import DataDirectory
from life.host.errors import UnauthorizedError


@click.command()
@data_dir_option
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="The daemon's port.  [default: where the daemon of the data directory listens]",
)
@command_errors
def login(data_dir: Path, port: int | None) -> None:
    """Print a fresh one-time link to the running daemon.

    Without --port the access token is sent only to the daemon that holds the data directory's lock.
    """
    data = DataDirectory(data_dir)
    address = f"http://127.0.0.1:{port}" if port is not None else data.address_of("arcand")
    if address is None:
        raise UnavailableError(
            f"No daemon works in {data_dir}.", next_step="Start one with `life up`, or name its --data-dir."
        )
    status, body = _ask(address, read_token(data.token))
    try:
        path = str(json.loads(body)["path"]) if status == 201 else ""
    except (ValueError, KeyError, TypeError):
        path = ""
    if not path.startswith("/login?code="):
        raise UnauthorizedError(
            f"What answers at {address} is not the daemon of {data_dir}.",
            next_step="Name the daemon's own --data-dir or --port.",
        )
    click.echo(f"{address}{path}")


def _ask(address: str, token: str) -> tuple[int, bytes]:
    """Status and body of the answer; UnavailableError when there is none."""
    where = urlsplit(address)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=5)
    try:
        connection.request("POST", "/login-links", headers={"authorization": f"Bearer {token}"})
        response = connection.getresponse()
        return response.status, response.read(65_536)
    except (OSError, http.client.HTTPException):
        raise UnavailableError(
            f"No daemon answers at {address}.", next_step="Start one with `life up`, or name its --port."
        ) from None
    finally:
        connection.close()
