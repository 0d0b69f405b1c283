"""A project's beginnings: what `life init` makes, and what it finds there already.

    .life/                the data directory, with a .gitignore of its own
    .life/config.toml     the settings, every one of them as a comment
    .life/identity/       the agent's identity
    agents/reviewer.md    an agent as a file, to start from
    .gitignore            of a Git repository: what of .life stays out of it

Nothing that is there is changed, except that missing lines are added to the repository's .gitignore, once. An identity that is there is
tried, not believed: its seed is opened and has to give the DID and wallet that stand beside it.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from life.host.clock import SystemClock, SystemEntropy
from life.host.custody_doctor import examine
from life.host.custody_opening import CustodyContext, ensure_identity
from life.host.data_directory import DataDirectory
from life.host.errors import DataDirectoryError, HostError
from life.host.keys import Prompt, choose_key_source, nobody
from life.host.settings import load_settings

What = Literal["made", "kept", "added", "checked", "found", "hint"]

MODEL_KEYS: Final = (
    ("ANTHROPIC_API_KEY", "anthropic", "anthropic"),
    ("OPENAI_API_KEY", "openai", "openai"),
    ("GEMINI_API_KEY", "gemini", "google.genai"),
    ("GOOGLE_API_KEY", "gemini", "google.genai"),
)
"""Variable, provider, and the package that the provider needs. Only whether a variable is set is looked at."""

GIT_MARK: Final = "# Life: settings and the public identity belong into the repository, nothing else of it"
_AGENT: Final = """\
---
name: reviewer
description: Reads files of the workspace and says what is wrong with them.
max_turns: 12
allowed_tools: [read_file, list_dir, glob, grep]
---
You review what you are pointed at. Read before you judge. Name each problem with its file and line, the worst first, and say what you
would do about it. When there is nothing wrong, say so in one sentence.
"""


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was made, or was there."""

    what: What
    path: str
    says: str = ""


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """What `make_project` did."""

    data_dir: str
    did: str
    wallet: str
    model: str
    steps: tuple[Step, ...]


class FoundModel(NamedTuple):
    """A model that could be used: the variable that is set, its provider, and whether what it needs is installed."""

    variable: str
    provider: str
    is_installed: bool


def found_models(environment: Mapping[str, str]) -> list[FoundModel]:
    """Vendors whose keys are in the environment, in the order of `MODEL_KEYS`. No key is read."""
    found: list[FoundModel] = []
    for variable, provider, package in MODEL_KEYS:
        if environment.get(variable) and all(each.provider != provider for each in found):
            found.append(FoundModel(variable, provider, _is_installed(package)))
    return found


async def make_project(
    root: Path, environment: Mapping[str, str], *, provider: str | None = None, prompt: Prompt = nobody
) -> Project:
    """Make the data directory `root` and what belongs to it, as far as it is missing. `provider` goes into a new config.toml; without it, the
    first vendor whose key is set and whose client is installed. Running it again changes nothing. HostError: an identity is there and does
    not hold."""
    existed = (root / ".gitignore").exists()
    data = DataDirectory.create(root)
    steps = [Step(what="kept" if existed else "made", path=f"{root}/")]
    models = found_models(environment)
    chosen = provider or next((each.provider for each in models if each.is_installed), None)
    steps.append(_config(data, chosen))
    settings = load_settings(data.config, environment)
    keys = CustodyContext(
        settings.custody,
        data.identity,
        lambda: choose_key_source(data.identity, environment, prompt),
        SystemClock(),
        SystemEntropy(),
    )
    identity, is_new = await ensure_identity(keys)
    if not is_new:
        await _check_identity(keys)
    steps.append(Step(what="made" if is_new else "checked", path=f"{data.identity}/", says=identity.name))
    project = data.root.resolve().parent
    steps += [_agents(project), *_git_ignore(project, data.root)]
    steps += [_model(each, settings.model.provider) for each in models]
    return Project(
        data_dir=str(root),
        did=identity.did,
        wallet=identity.wallet.address,
        model=settings.model.provider,
        steps=tuple(steps),
    )


def config_text(provider: str | None) -> str:
    """A new config.toml: all that is usually set, as comments with the defaults; `provider` is set."""
    line = f'provider = "{provider}"' if provider else '# provider = "scripted"'
    return _CONFIG.replace("{provider}", line)


def _config(data: DataDirectory, provider: str | None) -> Step:
    if data.config.exists():
        return Step(what="kept", path=str(data.config))
    _write_new(data.config, config_text(provider))
    return Step(what="made", path=str(data.config), says="the settings, with their defaults as comments")


async def _check_identity(keys: CustodyContext) -> None:
    async for finding in examine(keys, None):
        if finding.result == "failed":
            raise HostError(f"The identity does not hold: {finding.says}", next_step=finding.next_step)


def _agents(project: Path) -> Step:
    folder = project / "agents"
    if folder.exists():
        return Step(what="kept", path="agents/")
    try:
        folder.mkdir()
    except OSError as error:
        raise DataDirectoryError(f"{folder} can't be made: {error.strerror}.") from None
    _write_new(folder / "reviewer.md", _AGENT)
    return Step(what="made", path="agents/reviewer.md", says="an agent as a file, to start from")


def _git_ignore(project: Path, root: Path) -> list[Step]:
    """The lines, once, in a Git repository."""
    path = project / ".gitignore"
    if not (project / ".git").exists() and not path.exists():
        return []
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError):
        return [Step(what="hint", path=".gitignore", says=f"It can't be read; {root.name}/ keeps its own.")]
    name = root.name
    if f"/{name}/*" in before.splitlines():
        return [Step(what="kept", path=".gitignore")]
    lines = (
        GIT_MARK,
        f"/{name}/*",
        f"!/{name}/.gitignore",
        f"!/{name}/config.toml",
        f"!/{name}/identity/",
        f"/{name}/identity/*",
        f"!/{name}/identity/soul.json",
    )
    gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(gap + "\n".join(lines) + "\n")
    return [Step(what="added", path=".gitignore", says=f"{len(lines)} lines")]


def _model(found: FoundModel, provider: str) -> Step:
    if not found.is_installed:
        says = f"its client is not installed: pip install 'lifeos[{found.provider}]'"
    elif provider.partition(":")[0] == found.provider:
        says = "this model thinks"
    else:
        says = f'to think with it: provider = "{found.provider}" in config.toml'
    return Step(what="found", path=found.variable, says=says)


def _write_new(path: Path, text: str) -> None:
    """A file that was not there; DataDirectoryError otherwise."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise DataDirectoryError(f"{path} can't be written: {error.strerror}.") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


_CONFIG: Final = """\
# Settings of this project. `life settings` lists every one of them with its variable and its value.
# Flags beat the environment (LIFE_<SECTION>_<NAME>), the environment beats this file. API keys do not belong here:
# they come from the vendors' own variables (ANTHROPIC_API_KEY, OPENAI_API_KEY, …).

[model]
# scripted (no model at all), anthropic[:MODEL], openai[:MODEL], gemini[:MODEL], ollama[:MODEL], MODEL@URL; several with commas
# between them: the next is asked when one can't answer. See docs/models.md.
{provider}
# effort = "medium"              # thinking: low, medium, high
# system = ""                    # instructions that every session begins with
# max_steps = 24                 # model calls of one run
# max_output_tokens = 4096

[payments]
# What the agent may spend; 1,000,000 micro-credits are 1 USDC. The default network is play money on this machine.
# network = "eip155:4020402"
# auto_approve_cap_micro = 100
# hard_cap_per_tx_micro = 1000000
# session_spend_cap_micro = 10000000

[tools]
# Hosts on private or loopback addresses that http_fetch may reach, like "localhost:8000".
# allow_private_hosts = []
# reads_at_once = 8              # calls of tools that only read, side by side; 1: one after the other

[sandbox]
# Where commands run: bubblewrap, landlock, auto (the first that works), process (no protection at all), off (no commands).
# backend = "auto"
# confirm = true                 # ask before each command
# allow_hosts = []               # hosts that commands may reach; none: no network

[daemon]
# host = "127.0.0.1"
# port = 3000
"""
