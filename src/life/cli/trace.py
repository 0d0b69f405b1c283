"""`life trace SESSION`: the spans of a past session, rebuilt from its events; drawn, printed as JSON, or sent on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, cast

import click
from rich.console import Console
from rich.text import Text

import life
from life.aios.ids import MAIN_BRANCH
from life.cli.journal import open_journal
from life.cli.run import command_errors, data_dir_option, run
from life.host.data_directory import DataDirectory
from life.host.settings import load_settings
from life.host.trace import send_spans, session_spans
from life.vigil.config import TelemetryConfig, TelemetrySettings, read_config
from life.vigil.content import Content
from life.vigil.draw import draw
from life.vigil.exporters.json_file import encode_spans
from life.vigil.span import Span, SpanOptions


@click.command()
@click.argument("session_id", metavar="SESSION")
@data_dir_option
@click.option("--run", "run_id", help="Only this run.")
@click.option("--branch", "branch_id", default=MAIN_BRANCH, show_default=True, help="This branch of the session.")
@click.option("--to", "endpoint", metavar="URL", help="Send the spans to an OTLP receiver, like http://127.0.0.1:4318.")
@click.option(
    "--protocol", type=click.Choice(["http", "grpc"]), help="With --to; by default gRPC at port 4317, else HTTP."
)
@click.option(
    "--content", is_flag=True, help="With words, arguments and results (redacted), which are left out otherwise."
)
@click.option("--json", "as_json", is_flag=True, help="OTLP JSON, for programs.")
@command_errors
def trace(
    session_id: str,
    data_dir: Path,
    run_id: str | None,
    branch_id: str,
    endpoint: str | None,
    protocol: str | None,
    content: bool,
    as_json: bool,
) -> None:
    """Show where a session's time went, from its events; or send it to a tracing tool."""
    settings = load_settings(DataDirectory(data_dir).config, os.environ).telemetry
    config = read_config(settings, {**os.environ, "OTEL_SDK_DISABLED": ""})
    spans = run(_spans(data_dir, session_id, run_id, branch_id, config.settings, content=content))
    if endpoint is not None:
        run(_send(spans, endpoint, protocol, config))
        traces = len({span.trace_id for span in spans})
        click.echo(
            f"{len(spans)} spans in {traces} {'trace' if traces == 1 else 'traces'} sent to {endpoint}.", err=as_json
        )
    if as_json:
        resource = {**config.resource, "service.name": config.settings.service_name}
        click.echo(encode_spans(spans, resource, life.__version__).decode())
    elif endpoint is None:
        _show(spans)


async def _spans(
    data_dir: Path, session_id: str, run_id: str | None, branch_id: str, settings: TelemetrySettings, *, content: bool
) -> list[Span]:
    options = SpanOptions(agent_name="life", v1_41=settings.convention == "v1.41")
    words = Content(capture=content, max_chars=settings.capture_max_chars, redact=settings.redact)
    async with open_journal(data_dir) as journal:
        return await session_spans(
            journal, session_id, branch_id=branch_id, run_id=run_id, options=options, content=words
        )


async def _send(spans: list[Span], endpoint: str, protocol: str | None, config: TelemetryConfig) -> None:
    chosen = cast('Literal["http", "grpc"]', protocol or ("grpc" if endpoint.rstrip("/").endswith(":4317") else "http"))
    await send_spans(spans, endpoint, protocol=chosen, environment=os.environ, config=config)


def _show(spans: list[Span]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for found in draw(spans):
        console.print(Text(f"trace {found.trace_id}", style="bold"))
        width = max(len(line.name) for line in found.lines)
        for line in found.lines:
            style = "red" if line.failed else ""
            text = Text(f"{line.name:<{width}}  ", style=style)
            text.append(line.bar, style="red" if line.failed else "cyan")
            text.append(f"  {line.duration:>9}  {line.notes}".rstrip())
            console.print(text)
        console.print()
