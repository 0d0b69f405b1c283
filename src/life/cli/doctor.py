"""`life doctor`"""

from __future__ import annotations

import os
import sys
from contextlib import aclosing
from pathlib import Path

import click
import msgspec

from life.cli.identity_opening import ask_passphrase
from life.cli.run import command_errors, data_dir_option, run
from life.cli.shell.surface import terminal_width
from life.cli.shell.words import wrapped
from life.host.doctor import Checks, Finding, diagnose

_INDENT = 28
_WORDS = {
    "ok": ("ok", "green"),
    "warning": ("note", "yellow"),
    "failed": ("FAIL", "red"),
    "skipped": ("--", None),
    "info": ("", None),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@data_dir_option
@click.option(
    "--network", is_flag=True, help="Also ask the model for one word (it costs as much), and reach for telemetry."
)
@click.option("--quick", is_flag=True, help="Leave out the sandboxes, which take about ten seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@command_errors
def doctor(data_dir: Path, network: bool, quick: bool, as_json: bool) -> None:
    """Try everything this project needs, and say what is wrong.

    Each line was found by using the thing, not by looking for it. Exit status 1 when something failed. Nothing leaves this machine
    without --network.
    """
    findings = run(_examine(data_dir, Checks(network=network, sandbox=not quick), quiet=as_json))
    failed = [finding for finding in findings if finding.result == "failed"]
    if as_json:
        click.echo(msgspec.json.encode({"ok": not failed, "findings": findings}).decode())
    else:
        warnings = sum(finding.result == "warning" for finding in findings)
        skipped = sum(finding.result == "skipped" for finding in findings)
        click.echo(f"\n{len(findings)} checks: {len(failed)} failed, {warnings} to note, {skipped} not made.")
    sys.exit(1 if failed else 0)


async def _examine(data_dir: Path, checks: Checks, *, quiet: bool) -> list[Finding]:
    findings: list[Finding] = []
    async with aclosing(diagnose(data_dir, os.environ, checks, prompt=ask_passphrase)) as found:
        async for finding in found:
            findings.append(finding)
            if not quiet:
                _print(finding)
    return findings


def _print(finding: Finding) -> None:
    word, colour = _WORDS[finding.result]
    room = max(30, terminal_width(sys.stdout) - _INDENT)
    first, *rest = wrapped(finding.says, room)
    click.echo(f"{click.style(f'{word:<4}', fg=colour)}  {finding.check:<20}  {first}")
    step = wrapped(f"→ {finding.next_step}", room) if finding.next_step and finding.result != "ok" else []
    for row in (*rest, *step):
        click.echo(f"{'':<{_INDENT}}{row}")
