"""What the verifiers of outcomes need of the outside: a runner for configured tests, and a guarded way to webhooks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx2

from life.aios.errors import InvalidInputError, UnavailableError
from life.haima.outcomes.room import Task
from life.haima.outcomes.verifiers import CommandRun, CommandRunner, Post
from life.host.haima_config import TestCommand
from life.praxis.egress import EgressClient, EgressPolicy
from life.praxis.errors import AddressRefusedError

MAX_OUTPUT_BYTES: Final = 64 * 1024
WEBHOOK_TIMEOUT_S: Final = 10.0

_ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR")
"""All that a test command gets of our environment: nothing with a secret in it."""


def command_runner(commands: Mapping[str, TestCommand]) -> CommandRunner:
    """Runs the command that is configured for a scope, in the task's directory, with a clean environment and a time limit."""

    async def run(task: Task, scope: str) -> CommandRun | None:
        configured = commands.get(scope)
        if configured is None:
            return None
        directory = Path(
            configured.directory.replace("{task_id}", _part(task.task_id)).replace(
                "{session_id}", _part(task.session_id or "none")
            )
        )
        if not directory.is_dir():
            return None
        return await _run(configured, directory)

    return run


async def _run(configured: TestCommand, directory: Path) -> CommandRun | None:
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    try:
        process = await asyncio.create_subprocess_exec(
            *configured.command,
            cwd=directory,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError:
        return None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(configured.timeout_secs):
            output = await _tail(process.stdout)
            code = await process.wait()
    except TimeoutError:
        return CommandRun(124, f"it took longer than {configured.timeout_secs} seconds")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the whole group: a test may leave children behind
        with contextlib.suppress(ProcessLookupError):
            await process.wait()
    return CommandRun(code, output)


async def _tail(stream: asyncio.StreamReader) -> str:
    kept = bytearray()
    while chunk := await stream.read(65_536):
        kept += chunk
        del kept[:-MAX_OUTPUT_BYTES]
    return kept.decode(errors="replace")


def _part(text: str) -> str:
    """A task's name as one part of a path; InvalidInputError for one that would lead elsewhere."""
    if text in (".", "..") or "/" in text or "\0" in text:
        raise InvalidInputError("This task id can't be part of a path.")
    return text


def webhook_poster(policy: EgressPolicy) -> tuple[Post, httpx2.AsyncClient]:
    """A way to webhooks that reaches no private address, follows no redirect and waits ten seconds; and the client to close.

    Only HTTPS, except to hosts that the policy permits by name.
    """
    client = EgressClient(policy)

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> int:
        try:
            target = httpx2.URL(url)
        except httpx2.InvalidURL:
            raise InvalidInputError("The webhook's URL can't be right.") from None
        if target.scheme != "https" and not (target.scheme == "http" and policy.allow_private_hosts):
            raise InvalidInputError("A webhook must be reached over HTTPS.")
        if target.userinfo:
            raise InvalidInputError("A webhook's URL has no user in it.")
        try:
            async with client.stream(
                "POST", target, headers=dict(headers), content=body, timeout=WEBHOOK_TIMEOUT_S, follow_redirects=False
            ) as response:
                return response.status_code
        except AddressRefusedError as error:
            raise InvalidInputError(error.message) from None
        except (httpx2.HTTPError, ssl.SSLError) as error:
            raise UnavailableError(f"The webhook gave no answer ({type(error).__name__}).") from None

    return post, client
