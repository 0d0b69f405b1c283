"""`haima discover`"""

from __future__ import annotations

import json

import click

from life.cli.run import command_errors, run
from life.cli.tables import print_table
from life.haima.x402.discovery import Offering
from life.host.haima_discover import discover as look


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("query", required=False)
@click.option(
    "--facilitator",
    metavar="URL",
    help="Whose catalogue to read (/discovery/resources, /discovery/search).  [default: agentic.market]",
)
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many at most.")
@click.option("--allow-plain-http", is_flag=True, help="Speak plain HTTP with a catalogue on another machine.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")
@command_errors
def discover(query: str | None, facilitator: str | None, limit: int, allow_plain_http: bool, as_json: bool) -> None:
    """Look for paid resources.

    All that are listed, or those that fit QUERY.

    What a catalogue says is a hint. Before anything is paid, the resource itself says what it costs.
    """
    run(_discover(query, facilitator, limit, allow_plain_http=allow_plain_http, as_json=as_json))


async def _discover(
    query: str | None, facilitator: str | None, limit: int, *, allow_plain_http: bool, as_json: bool
) -> None:
    found = await look(query, facilitator=facilitator, limit=limit, allow_plain_http=allow_plain_http)
    if as_json:
        click.echo(json.dumps({"offerings": [_document(each) for each in found]}, indent=2))
        return
    if not found:
        click.echo("Nothing is listed that fits.")
        return
    rows = [
        (each.tool or each.method or each.type, each.url, "; ".join(each.prices), each.description) for each in found
    ]
    print_table(("Call", "Resource", "Price", "What it is"), rows)


def _document(offering: Offering) -> dict[str, object]:
    return {
        "name": offering.name,
        "url": offering.url,
        "type": offering.type,
        "method": offering.method,
        "tool": offering.tool,
        "description": offering.description,
        "prices": list(offering.prices),
        "networks": list(offering.networks),
        "tags": list(offering.tags),
        "updated": offering.updated,
        "source": offering.source,
    }
