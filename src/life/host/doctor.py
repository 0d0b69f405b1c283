"""`life doctor`: everything a project needs, tried by using it, and one sentence for each thing that was found.

Nothing of the project is changed. A check that was not made says so; a finding is never inferred from a file's presence where the thing
itself can be tried. Only with `network` does anything leave this machine.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

import apsw
import msgspec

import life
from life.aios.errors import LifeError
from life.aios.ports.clock import Clock
from life.aios.ports.journal import EventQuery
from life.aios.ports.provider import ChatMessage, ModelProvider, ModelRequest, StopChunk, TextBlock
from life.arcan.providers.opening import ProviderOpener
from life.host.clock import SystemClock, SystemEntropy
from life.host.custody_doctor import examine
from life.host.custody_opening import CustodyContext
from life.host.data_directory import DataDirectory
from life.host.keys import Prompt, choose_key_source, nobody
from life.host.mcp_clients import known_servers, trust_store
from life.host.model_keys import project_model_keys
from life.host.sandboxes import SandboxFinding, sandbox_findings
from life.host.settings import Settings, load_settings
from life.host.skills import skill_roots, trusted_signers
from life.host.system import model_options
from life.host.telemetry import telemetry_findings
from life.lago.journal.sqlite import SqliteJournal
from life.lago.journal.verification import verify_recent
from life.praxis.ripgrep import find_ripgrep
from life.praxis.skills.catalogue import discover
from life.vigil.config import read_config

Result = Literal["ok", "warning", "failed", "skipped", "info"]

_LEAST_FREE_BYTES: Final = 100 * 1024**2
_LITTLE_FREE_BYTES: Final = 1024**3
_CLOCK_TOLERANCE_US: Final = 5_000_000
_EARLIEST_US: Final = 1_735_689_600_000_000
"""2025-01-01: a clock before it was never set."""
_PATIENCE_S: Final = 30.0


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was tried."""

    check: str
    result: Result
    says: str
    next_step: str | None = None


class Checks(NamedTuple):
    """What to try."""

    network: bool = False
    """Ask the model for one word, and reach the address that telemetry goes to."""
    sandbox: bool = True
    """Try what each sandbox promises; takes about ten seconds."""


EVERYTHING_HERE: Final = Checks()


async def diagnose(
    root: Path, environment: Mapping[str, str], checks: Checks = EVERYTHING_HERE, *, prompt: Prompt = nobody
) -> AsyncGenerator[Finding, None]:
    """Try everything, in order; what depends on something that failed is skipped, and says so."""
    clock = SystemClock()
    data = DataDirectory(root)
    yield _versions()
    directory = await asyncio.to_thread(_directory, data)
    yield directory
    try:
        settings = load_settings(data.config, environment)
        yield _ok(
            "settings", f"{data.config} holds." if data.config.exists() else "There is no file; the defaults hold."
        )
    except LifeError as error:
        yield _failed("settings", error)
        return
    yield await asyncio.to_thread(_disk, root)
    yield await _clock(data, settings, clock)
    yield await asyncio.to_thread(_port, data, settings)
    yield await _journal(data, settings)
    if directory.result == "failed":
        yield Finding(check="identity", result="skipped", says="Not tried without a data directory.")
    else:
        async for finding in _identity(data, settings, environment, clock, prompt):
            yield finding
    keys = project_model_keys(data, clock, SystemEntropy(), environment=environment, prompt=prompt)
    yield await _model(settings, keys.environment, clock, network=checks.network)
    if checks.sandbox:
        async for finding in _sandbox(settings, clock):
            yield finding
    else:
        yield Finding(check="sandbox", result="skipped", says="Not tried (--quick).")
    yield await _ripgrep()
    yield await asyncio.to_thread(_mcp, data, settings, environment)
    yield await asyncio.to_thread(_skills, data, settings, environment)
    for finding in await asyncio.to_thread(_telemetry, settings, environment, network=checks.network):
        yield finding


def _versions() -> Finding:
    python = ".".join(map(str, sys.version_info[:3]))
    says = f"Life {life.__version__}, Python {python}, SQLite {apsw.sqlite_lib_version()}."
    if tuple(map(int, apsw.sqlite_lib_version().split("."))) < (3, 51, 3):
        return Finding(
            check="versions",
            result="failed",
            says=f"{says} This SQLite can corrupt a journal.",
            next_step="pip install -U apsw",
        )
    return _ok("versions", says)


def _directory(data: DataDirectory) -> Finding:
    """A file is written, synced, read and removed."""
    root = data.root
    if not root.is_dir():
        return Finding(
            check="data directory", result="failed", says=f"{root} is not there.", next_step="life init makes it."
        )
    try:
        with tempfile.TemporaryFile(dir=root) as file:
            file.write(b"life doctor")
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            intact = file.read() == b"life doctor"
    except OSError as error:
        return Finding(check="data directory", result="failed", says=f"{root} can't be written: {error.strerror}.")
    if not intact:
        return Finding(check="data directory", result="failed", says=f"What was written in {root} reads otherwise.")
    mode = root.stat().st_mode & 0o777
    if mode & 0o077:
        return Finding(
            check="data directory",
            result="warning",
            says=f"{root} works, but others may look into it (mode {mode:o}).",
            next_step=f"chmod 700 {root}",
        )
    return _ok("data directory", f"{root.resolve()} can be written and is private.")


def _disk(root: Path) -> Finding:
    place = root if root.exists() else root.resolve().parent
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return Finding(check="disk", result="failed", says=f"Nobody can tell what is free: {error.strerror}.")
    says = f"{free / 1024**3:.1f} GiB are free."
    if free < _LEAST_FREE_BYTES:
        return Finding(check="disk", result="failed", says=says, next_step="Make room: a full disk stops every run.")
    return Finding(check="disk", result="ok" if free >= _LITTLE_FREE_BYTES else "warning", says=says)


async def _clock(data: DataDirectory, settings: Settings, clock: Clock) -> Finding:
    """Against the newest event and against the file system."""
    now_us = clock.now_us()
    if now_us < _EARLIEST_US:
        return Finding(check="clock", result="failed", says="The clock is years behind.", next_step="Set the time.")
    if data.root.is_dir():
        try:
            with tempfile.NamedTemporaryFile(dir=data.root) as file:
                file_us = os.fstat(file.fileno()).st_mtime_ns // 1000
        except OSError:
            file_us = now_us
        if abs(file_us - clock.now_us()) > _CLOCK_TOLERANCE_US:
            return Finding(
                check="clock",
                result="warning",
                says=f"The file system's clock is {(file_us - now_us) / 1e6:+.0f} s off this machine's.",
            )
    newest_us = await _newest_us(data, settings, clock)
    if newest_us is not None and newest_us - now_us > _CLOCK_TOLERANCE_US:
        return Finding(
            check="clock",
            result="warning",
            says=f"The journal's newest event is {(newest_us - now_us) / 1e6:.0f} s in the future.",
            next_step="Check the time; tokens and approvals depend on it.",
        )
    return _ok(
        "clock", "It agrees with the journal and the file system; whether it is right, only the network could tell."
    )


async def _newest_us(data: DataDirectory, settings: Settings, clock: Clock) -> int | None:
    if settings.journal.engine != "sqlite" or not data.journal.exists():
        return None
    try:
        async with SqliteJournal.open(data.journal, clock=clock, verify=False) as journal:
            newest = 0
            for stream in await journal.streams():
                head = (await journal.head(stream)).sequence
                page = await journal.read(EventQuery(*stream, after_sequence=head - 1), limit=1)
                newest = max([newest, *(record.timestamp_us for record in page)])
            return newest or None
    except LifeError:
        return None  # the journal's own check says what is wrong


def _port(data: DataDirectory, settings: Settings) -> Finding:
    """The daemon's port is bound for a moment."""
    host, port = settings.daemon.host, settings.daemon.port
    address = data.address_of("arcand")
    if address is not None:
        return _answers(address)
    if port == 0:
        return _ok("port", "Any free port.")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except OSError as error:
        return Finding(
            check="port",
            result="warning",
            says=f"{host}:{port} can't be used: {error.strerror}. Another program has it.",
            next_step="Start with --port, or set daemon.port.",
        )
    return _ok("port", f"{host}:{port} is free; no daemon works here now.")


def _answers(address: str) -> Finding:
    """Ask the daemon that holds the directory for its health."""
    from http.client import HTTPConnection, HTTPException
    from urllib.parse import urlsplit

    where = urlsplit(address)
    connection = HTTPConnection(where.hostname or "", where.port, timeout=5)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return Finding(
            check="daemon",
            result="failed",
            says=f"A daemon holds the directory, but {address} does not answer: {error}.",
        )
    finally:
        connection.close()
    if status != 200:
        return Finding(check="daemon", result="failed", says=f"The daemon at {address} answers with {status}.")
    return _ok("daemon", f"It answers at {address}.")


async def _journal(data: DataDirectory, settings: Settings) -> Finding:
    if settings.journal.engine == "nats":
        return Finding(
            check="journal", result="skipped", says="It is on NATS: `life journal verify --data-dir …` tries it."
        )
    if not data.journal.exists() or not data.journal.stat().st_size:
        return _ok("journal", "There is none yet; the first start makes it.")
    try:
        verified = await asyncio.to_thread(verify_recent, data.journal)
    except LifeError as error:
        return _failed("journal", error)
    if not verified.events:
        return _ok("journal", "It was closed cleanly; `life journal verify` checks every event.")
    return _ok("journal", f"{verified.events} events in {verified.streams} streams agree with their digests.")


async def _identity(
    data: DataDirectory, settings: Settings, environment: Mapping[str, str], clock: Clock, prompt: Prompt
) -> AsyncIterator[Finding]:
    """The backend signs, and what it signs is verified."""
    if not (data.identity / "soul.json").exists():
        yield Finding(check="identity", result="warning", says="There is none yet.", next_step="life init makes one.")
        return
    context = CustodyContext(
        settings.custody,
        data.identity,
        lambda: choose_key_source(data.identity, environment, prompt),
        clock,
        SystemEntropy(),
    )
    async for found in examine(context, None):
        yield Finding(check=f"identity {found.check}", result=found.result, says=found.says, next_step=found.next_step)


async def _model(settings: Settings, environment: Mapping[str, str], clock: Clock, *, network: bool) -> Finding:
    specification = settings.model.provider
    try:
        opener = ProviderOpener(
            environment=environment, clock=clock, entropy=SystemEntropy(), options=model_options(settings.model)
        )
        provider = opener(specification)
    except LifeError as error:
        return _failed("model", error)
    try:
        if specification.startswith("scripted"):
            return _ok("model", f"{specification}: no model at all; answers follow fixed rules.")
        if not network:
            return Finding(
                check="model",
                result="skipped",
                says=f"{specification} can be opened (its key is set where it needs one); it was not asked.",
                next_step="life doctor --network asks it for one word.",
            )
        return await _asked(provider, specification, clock)
    finally:
        close = getattr(provider, "aclose", None)
        if close is not None:
            await close()


async def _asked(provider: ModelProvider, specification: str, clock: Clock) -> Finding:
    request = ModelRequest(
        messages=(ChatMessage("user", (TextBlock("Answer with the one word: yes"),)),), max_output_tokens=16
    )
    began_us = clock.monotonic_us()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            async for chunk in provider.stream(request):
                if isinstance(chunk, StopChunk):
                    took_ms = (clock.monotonic_us() - began_us) // 1000
                    return _ok("model", f"{chunk.model or specification} answered within {took_ms} ms.")
    except LifeError as error:
        return _failed("model", error)
    except TimeoutError:
        pass
    return Finding(check="model", result="failed", says=f"{specification} gave no whole answer in {_PATIENCE_S:.0f} s.")


async def _sandbox(settings: Settings, clock: Clock) -> AsyncIterator[Finding]:
    """Each backend's promises, tried; the chosen one's failures count."""
    if settings.sandbox.backend == "off":
        yield Finding(check="sandbox", result="warning", says="It is off: the agent has no commands.")
    found = await sandbox_findings(settings.sandbox, clock=clock)
    if settings.sandbox.backend == "auto" and not any(each.chosen for each in found):
        yield Finding(
            check="sandbox",
            result="failed",
            says="Neither bubblewrap nor Landlock works here, so no daemon starts.",
            next_step='Install bubblewrap, or set sandbox.backend = "off".',
        )
    for backend in dict.fromkeys(each.backend for each in found):
        yield _sandbox_finding([each for each in found if each.backend == backend])


def _sandbox_finding(found: list[SandboxFinding]) -> Finding:
    """One line for a backend. What is not chosen is told, and fails nothing."""
    first = found[0]
    check = f"sandbox {first.backend}"
    if not first.chosen and first.result == "unavailable":
        return Finding(check=check, result="info", says=f"Not chosen. {first.says}")
    if first.result == "unavailable":
        return Finding(check=check, result="failed", says=first.says, next_step=first.next_step)
    held = sum(each.result == "enforced" for each in found)
    broken = [each for each in found if each.result == "broken"]
    gaps = ", ".join(each.guarantee or each.area for each in found if each.result == "not_enforced")
    says = f"{held} of {len(found)} guarantees were tried and held"
    says = f"{says}; not enforced: {gaps}." if gaps else f"{says}."
    if not first.chosen:
        return Finding(check=check, result="info", says=f"Not chosen. {says}")
    if broken:
        words = f"{says} Broken: {'; '.join(each.says for each in broken)}"
        return Finding(check=check, result="failed", says=words, next_step=broken[0].next_step)
    return Finding(check=check, result="warning" if gaps else "ok", says=says)


async def _ripgrep() -> Finding:
    path = find_ripgrep()
    if path is None:
        return Finding(
            check="ripgrep",
            result="warning",
            says="It is not installed; searches use our own engine, which is slower.",
            next_step="Install ripgrep.",
        )
    try:
        process = await asyncio.create_subprocess_exec(
            path, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        out, _ = await asyncio.wait_for(process.communicate(), 10)
    except (OSError, TimeoutError) as error:
        return Finding(check="ripgrep", result="warning", says=f"{path} does not run: {error}.")
    if process.returncode:
        return Finding(check="ripgrep", result="warning", says=f"{path} fails with status {process.returncode}.")
    return _ok("ripgrep", f"{out.decode(errors='replace').splitlines()[0]}.")


def _mcp(data: DataDirectory, settings: Settings, environment: Mapping[str, str]) -> Finding:
    try:
        known = known_servers(data, settings.mcp, environment)
        accepted = trust_store(data)
    except LifeError as error:
        return _failed("mcp servers", error)
    if known.problems:
        return Finding(check="mcp servers", result="warning", says="; ".join(known.problems))
    if not known.servers:
        return _ok("mcp servers", "None are configured.")
    waiting = [each.name for each in known.servers if not accepted.is_accepted(each.name, each.entry)]
    says = f"{len(known.servers)} configured, none was started"
    if waiting:
        return Finding(
            check="mcp servers",
            result="warning",
            says=f"{says}; not accepted: {', '.join(waiting)}.",
            next_step="life mcp accept NAME",
        )
    return _ok("mcp servers", f"{says}; `life mcp list --connect` starts them.")


def _skills(data: DataDirectory, settings: Settings, environment: Mapping[str, str]) -> Finding:
    found = discover(
        skill_roots(data, settings.skills, environment),
        trusted_signers=trusted_signers(data, settings.skills),
        require_trusted=settings.skills.require_trusted,
    )
    says = f"{len(found.skills)} can be used"
    if found.problems:
        words = "; ".join(f"{problem.folder}: {problem.reason}" for problem in found.problems)
        return Finding(check="skills", result="warning", says=f"{says}; not used: {words}")
    return _ok("skills", f"{says}.")


def _telemetry(settings: Settings, environment: Mapping[str, str], *, network: bool) -> list[Finding]:
    """What is configured and installed; whether anybody listens is tried only with `network`."""
    found = telemetry_findings(settings.telemetry, environment, network=network)
    findings = [
        Finding(check=each.check, result=each.result, says=each.says, next_step=each.next_step) for each in found
    ]
    is_right = all(each.result != "failed" for each in found)
    if is_right and not network and "otlp" in read_config(settings.telemetry, environment).exporters:
        findings.append(
            Finding(
                check="telemetry otlp",
                result="skipped",
                says="The endpoint was not reached for.",
                next_step="life doctor --network reaches for it.",
            )
        )
    return findings


def _ok(check: str, says: str) -> Finding:
    return Finding(check=check, result="ok", says=says)


def _failed(check: str, error: LifeError) -> Finding:
    return Finding(check=check, result="failed", says=f"{error.message} [{error.code}]", next_step=error.next_step)
