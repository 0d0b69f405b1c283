"""`arcand`, and the same under its friendly name, `life up`."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import click

from life.cli.identity_opening import ask_passphrase
from life.cli.run import command_errors, data_dir_option
from life.host.arcand import Started, run_arcand
from life.host.data_directory import DataDirectory
from life.host.http.server import run_async
from life.host.settings import load_settings
from life.host.spaces_routes import SOCKET_PATH
from life.spaces.a2a.wire import CARD_PATH

F = TypeVar("F", bound=Callable[..., None])


def _options(function: F) -> F:
    for option in reversed(
        (
            data_dir_option,
            click.option("--host", help="Address to listen on.  [default: 127.0.0.1]"),
            click.option(
                "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 picks one.  [default: 3000]"
            ),
            click.option(
                "--proxy-host",
                "proxy_hosts",
                multiple=True,
                help="Name under which a proxy with TLS forwards to this daemon; may be repeated.",
            ),
            click.option(
                "--nats",
                is_flag=True,
                help="Keep the journal on NATS JetStream: the servers of `life settings` (journal.nats_urls), or one started here.",
            ),
            click.option(
                "--spaces",
                metavar="PLACE",
                help="Where the agent meets others: auto, embedded, off, or the address of a spacesd.  [default: auto]",
            ),
            click.option(
                "--provider",
                help="Model: scripted, anthropic[:MODEL], openai[:MODEL], ollama[:MODEL].  [default: scripted]",
            ),
        )
    ):
        function = option(function)
    return function


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@_options
@command_errors
def arcand(
    data_dir: Path,
    host: str | None,
    port: int | None,
    proxy_hosts: tuple[str, ...],
    nats: bool,
    spaces: str | None,
    provider: str | None,
) -> None:
    """Serve the session API, the event stream and the pages of this project."""
    _run(data_dir, host, port, proxy_hosts, nats, spaces, provider, _tell_programs)


@click.command()
@_options
@click.option("--no-browser", is_flag=True, help="Only print the link; do not open it, even at a desktop's terminal.")
@command_errors
def up(
    data_dir: Path,
    host: str | None,
    port: int | None,
    proxy_hosts: tuple[str, ...],
    nats: bool,
    spaces: str | None,
    provider: str | None,
    no_browser: bool,
) -> None:
    """Start everything in one process and print a one-time link."""

    def tell(started: Started) -> None:
        _tell_people(started)
        if not no_browser and _has_desktop():
            # A thread: some browsers' starters come back late.
            threading.Thread(target=webbrowser.open, args=(started.login_link,), daemon=True).start()

    _run(data_dir, host, port, proxy_hosts, nats, spaces, provider, tell)


def _has_desktop() -> bool:
    """Whether somebody sits at a terminal of a desktop. A browser in the terminal itself would take it over."""
    shows = sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return shows and sys.stdout.isatty()


def _run(
    data_dir: Path,
    host: str | None,
    port: int | None,
    proxy_hosts: tuple[str, ...],
    nats: bool,
    spaces: str | None,
    provider: str | None,
    tell: Callable[[Started], None],
) -> None:
    flags = {
        "daemon.host": host,
        "daemon.port": port,
        "daemon.proxy_hosts": list(proxy_hosts) or None,
        "model.provider": provider,
        "journal.engine": "nats" if nats else None,
        "spaces.place": spaces,
    }
    settings = load_settings(DataDirectory(data_dir).config, os.environ, flags)
    run_async(lambda: run_arcand(data_dir, settings, on_ready=tell, prompt=ask_passphrase))


def _tell_people(started: Started) -> None:
    _tell(
        *_identity(started),
        "",
        "Open this link once to log in; it works for ten minutes (`life login` prints a fresh one):",
        "",
        f"    {started.login_link}",
        "",
        "Ctrl-C stops it. Everything is in the journal.",
    )


def _tell_programs(started: Started) -> None:
    _tell(
        *_identity(started),
        f"arcand listens on {started.address}",
        f"  token      {started.system.data.token}   (Authorization: Bearer …)",
        f"  API        {started.address}/openapi.json",
        f"  log in     {started.login_link}   (once, within ten minutes)",
        *_doors(started),
    )


def _tell(*lines: str) -> None:
    """All in one write: whoever reads the first line and closes the pipe does not end the daemon."""
    with suppress(BrokenPipeError):
        click.echo("\n".join(lines))


def _identity(started: Started) -> Iterator[str]:
    system = started.system
    if system.identity_is_new:
        yield f"Made this project's agent identity {system.identity.name} in {system.data.identity}."
    yield f"Agent {system.identity.name} · {system.identity.did}"
    if system.equipment.warning is not None:
        yield system.equipment.warning
    if started.note:
        yield started.note
    if started.recovered:
        yield f"Took up {len(started.recovered)} interrupted run(s): {', '.join(started.recovered)}"


def _doors(started: Started) -> Iterator[str]:
    """How other agents reach this one."""
    if started.system.settings.a2a.enabled:
        yield f"  A2A        {started.address}{CARD_PATH}"
    if started.system.spaces.spaces is not None:
        yield f"  Spaces     {started.address.replace('http', 'ws', 1)}{SOCKET_PATH}"
