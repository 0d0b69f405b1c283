"""Settings: flag > environment > file > default.

The file is `config.toml` in the data directory, with the sections below. The environment spells a setting
`LIFE_<SECTION>_<NAME>` (`LIFE_MODEL_PROVIDER=anthropic`, `LIFE_CUSTODY_TPM_MODULE=…`); lists are comma-separated. A setting that nobody knows, in
either place, is an error, so a typing mistake never silently does nothing. Secrets are not settings: API keys come from
the vendors' own variables, the passphrase from `LIFE_PASSPHRASE` or a prompt.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, get_args, get_type_hints

import msgspec

from life.aios.state import EconomicMode
from life.arcan.context.compaction import ContextSettings
from life.host.custody_settings import CustodySettings
from life.host.errors import SettingsError
from life.vigil.config import TelemetrySettings

KNOWN_ELSEWHERE: Final = frozenset({"LIFE_DATA_DIR", "LIFE_PASSPHRASE", "LIFE_KEY_FILE", "LIFE_PROVIDER_API_KEY"})
"""`LIFE_` variables that are read by other parts."""


class DaemonSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a daemon listens."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 3000
    proxy_hosts: tuple[str, ...] = ()
    """Host names under which a proxy with TLS forwards to us; setting one permits binding beyond loopback."""
    journal_writer: Literal["process", "in_loop"] = "process"
    """Where the journal commits: a process of its own stays quick beside a busy loop."""


class TierSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Provider specifications by size; `tier:small` names the first. Empty: there is none."""

    small: str = ""
    standard: str = ""
    large: str = ""


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model thinks, and how long (docs/models.md)."""

    provider: str = "scripted"
    """`scripted[:FILE]`, `anthropic[:MODEL]`, `openai[:MODEL]`, `gemini[:MODEL]`, `ollama[:MODEL]`, `MODEL@URL`, or several
    with commas between them: the next is asked when one can't answer."""
    tiers: TierSettings = TierSettings()
    effort: Literal["", "low", "medium", "high"] = ""
    """How deeply models that can are to think; empty: as they do."""
    prices: tuple[str, ...] = ()
    """Prices of one's own: `MODEL=PROMPT/ANSWER[/CACHED[/CACHE_WRITE]]`, micro-USD per million tokens."""
    requests_per_minute: Annotated[int, msgspec.Meta(ge=1)] | None = None
    tokens_per_minute: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """What a vendor allows, per service; calls wait for their turn."""
    retries: Annotated[int, msgspec.Meta(ge=0, le=20)] = 3
    """How often a call that fails before its answer begins is made again."""
    first_piece_timeout_s: Annotated[int, msgspec.Meta(ge=1)] = 120
    idle_timeout_s: Annotated[int, msgspec.Meta(ge=1)] = 120
    """Between two pieces of an answer."""
    total_timeout_s: Annotated[int, msgspec.Meta(ge=1)] = 1800
    system: str = ""
    """Instructions that every session begins with."""
    max_steps: Annotated[int, msgspec.Meta(ge=1)] = 24
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1)] = 4096


class PaymentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the agent may spend (haima.md §1.4). 1,000,000 micro-credits are 1 USDC."""

    enabled: bool = True
    network: str = "eip155:4020402"
    """CAIP-2. The default is the embedded local ledger with play money."""
    auto_approve_cap_micro: int = 100
    hard_cap_per_tx_micro: int = 1_000_000
    session_spend_cap_micro: int = 10_000_000
    total_spend_cap_micro: int | None = None
    day_cap_micro: int | None = None
    """Per UTC day."""
    rolling_day_cap_micro: int | None = None
    """Per 24 hours, sliding."""
    task_cap_micro: int | None = None
    payee_cap_micro: int | None = None
    host_cap_micro: int | None = None
    allow_hosts: tuple[str, ...] = ()
    """Hosts that may be paid, `.example.org` with everything below it; none named: every host."""
    deny_hosts: tuple[str, ...] = ()
    allow_payees: tuple[str, ...] = ()
    """Addresses that may be paid; none named: every address."""
    deny_payees: tuple[str, ...] = ()
    on_payee_change: Literal["ask", "alarm", "ignore"] = "ask"
    """When a known seller wants its money elsewhere, or at a price that jumped."""
    price_jump_percent: Annotated[int, msgspec.Meta(ge=100)] | None = 300
    approval_lifetime_s: Annotated[int, msgspec.Meta(ge=1, le=30 * 86_400)] = 900
    """How long a question waits for a person."""
    max_tx_per_minute: int = 10
    economic_mode: EconomicMode = "sovereign"


class ToolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What tools may reach, and how many work at a time."""

    allow_private_hosts: tuple[str, ...] = ()
    """`host` or `host:port` patterns on private or loopback addresses that `http_fetch` may use."""
    reads_at_once: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    """How many calls of tools that only read run side by side; 1: one after the other."""


class SandboxSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the tool `bash` runs commands, and how much they may use (docs/sandbox.md)."""

    backend: Literal["auto", "bubblewrap", "landlock", "process", "off"] = "auto"
    """`auto`: bubblewrap, or Landlock where that can't run. `process` is no protection at all; `off` takes the tool away."""
    confirm: bool = True
    """Ask a person before each command, unless a rule of the session covers it."""
    allow_hosts: tuple[str, ...] = ()
    """`host`, `*.host` or `host:port` that commands may reach over HTTP and HTTPS; none named: no network."""
    pass_environment: tuple[str, ...] = ()
    """Variables of our environment that commands get."""
    system_paths: tuple[str, ...] = ()
    """Further directories that commands may read, such as a compiler's below /opt."""
    max_time_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 600
    cpu_time_s: Annotated[int, msgspec.Meta(ge=1)] = 600
    memory_mib: Annotated[int, msgspec.Meta(ge=64)] = 4096
    processes: Annotated[int, msgspec.Meta(ge=16)] = 256
    file_mib: Annotated[int, msgspec.Meta(ge=1)] = 1024
    tmp_mib: Annotated[int, msgspec.Meta(ge=1)] = 256
    """Of the private /tmp."""


class McpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """MCP, both ways (docs/mcp.md)."""

    servers_file: str = ""
    """The `mcpServers` file; empty: `.mcp.json` beside the data directory, `mcp.json` in it, then the user's own."""
    allow: tuple[str, ...] = ()
    """`mcp:<server>:<tool>` patterns of other servers' tools that need no approval."""
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 3100
    proxy_hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    """Foreign pages that may use our server."""
    tools: tuple[str, ...] = ()
    """What our server offers: names, `*` for all; none named: tools that change nothing."""
    ask_client: bool = True
    """Whether approvals may be put to the person at an MCP client (never those of critical risk)."""
    authorization_servers: tuple[str, ...] = ()
    """Named in our protected-resource metadata."""


class SkillSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Skills (docs/skills.md)."""

    dirs: tuple[str, ...] = ()
    """Folders with skills, first wins; none named: `skills` in the data directory, `.life/skills` and `.agents/skills` of the
    project, `~/.agents/skills`."""
    trusted_signers: tuple[str, ...] = ()
    """DIDs whose signed skills are trusted; the agent's own always is."""
    require_trusted: bool = False
    """Use skills of trusted signers only."""


class AutonomicSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What keeps the agent within its means and its limits (docs/autonomic.md). Money is micro-credits: 1,000,000 are 1 USDC."""

    enabled: bool = True
    credit_micro: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """What the agent may spend in all, deposited once at the first start; `life autonomic deposit` adds to it. Unset: it is not
    metered, and only how fast it spends is limited."""
    spend_velocity_micro: Annotated[int, msgspec.Meta(ge=1)] = 500_000
    """In five minutes."""
    budget_left: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.20
    tokens_left: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.10
    error_rate: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.30
    min_outcomes: Annotated[int, msgspec.Meta(ge=1)] = 5
    context_soft: Annotated[float, msgspec.Meta(ge=0.45, le=1)] = 0.60
    prompt_token_micro: Annotated[int, msgspec.Meta(ge=0)] = 3
    completion_token_micro: Annotated[int, msgspec.Meta(ge=0)] = 15
    """What a token costs when nobody knows its model's price."""
    conserving_auto_approve_micro: Annotated[int, msgspec.Meta(ge=0)] | None = None
    hustle_auto_approve_micro: Annotated[int, msgspec.Meta(ge=0)] | None = 0
    """Payments up to this need no person's approval while means are short; unset: as ever."""
    on_failure: Literal["safe", "open", "last_known"] = "safe"
    timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=400)] = 250
    probe_interval_s: Annotated[int, msgspec.Meta(ge=1)] = 300
    """How often means are looked at while sessions hibernate; a deposit is noticed at once."""
    url: str = ""
    """An `autonomicd` to ask instead of deciding here."""
    token_file: str = ""
    """With that daemon's token; empty: the project's own."""


class EvaluationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Scores for finished runs (docs/evaluation.md)."""

    inline: bool = False
    """Heuristics; they cost nothing but their events."""
    judge: str = ""
    """The provider specification of a model that judges finished runs; empty: none."""
    sample_percent: Annotated[int, msgspec.Meta(ge=0, le=100)] = 10
    """How many of the finished runs are judged."""
    judge_budget_micro: Annotated[int, msgspec.Meta(ge=0)] = 50_000
    """The most that judging may cost a session."""


class JournalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the journal is (docs/journal-nats.md)."""

    engine: Literal["sqlite", "nats"] = "sqlite"
    nats_urls: tuple[str, ...] = ()
    """Servers to join; none named: one is started in the data directory."""
    nats_credentials: str = ""
    """A file with `user` and `password`, mode 0600."""
    nats_ca: str = ""
    nats_name: str = "journal"
    nats_replicas: Literal[1, 3, 5] = 3
    nats_accept_unverified: bool = False
    """Open a journal even if it could lose what it acknowledged."""


class SpacesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the agent meets others (docs/spaces.md)."""

    place: str = "auto"
    """`auto`: in arcand's own process (or the spacesd that works in the same directory); `embedded`: there and nowhere else; `off`; or the
    http(s) address of a spacesd to join."""
    tools: Literal["auto", "on", "off"] = "auto"
    """Whether the agent gets the tools `spaces_*`; `auto`: when `place` was named."""
    admit_strangers: bool = False
    """Whether agents whom the journal knows nothing of may enter what arcand serves: their token proves a key, and nothing about
    revocations."""
    house: str = "auto"
    """Who holds money between agents that hire each other (docs/hiring.md): `local`, play money in our own journal; the http(s) address of a
    house; `off`; `auto`, which is `local` on the local ledger and otherwise `off`."""
    work: bool = False
    """Whether a daemon takes hires on: each is a session of its own, which may use files and nothing else."""
    min_price_micro: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Below which a hire is declined."""
    free_hires_per_hour: Annotated[int, msgspec.Meta(ge=0)] = 60
    """How many unpaid hires and questions are taken on in an hour, from everybody together; from one customer a quarter of them."""

    def __post_init__(self) -> None:
        """ValueError for a place that can't be meant."""
        if self.place not in ("auto", "embedded", "off") and not self.url:
            raise ValueError("a place is auto, embedded, off or an http(s) address")

    @property
    def url(self) -> str:
        """The spacesd to join; empty for none."""
        return self.place.rstrip("/") if self.place.startswith(("http://", "https://")) else ""

    @property
    def is_on(self) -> bool:
        """Whether there is a place."""
        return self.place != "off"

    @property
    def hires(self) -> bool:
        """Whether hiring is needed at all: by tools, by a house that is served, or to take hires on."""
        return self.offers_tools or (self.is_on and (self.work or self.house not in ("auto", "off")))

    @property
    def offers_tools(self) -> bool:
        """Whether the agent gets tools for it."""
        return self.is_on and (self.tools == "on" or (self.tools == "auto" and self.place != "auto"))


class A2aSkillSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that the agent does for others, `[[a2a.skills]]`."""

    id: str
    name: str
    description: str
    tags: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    price: str = ""
    """Such as `$0.01`; empty: free."""
    private: bool = False
    """Shown to those who log in, not in the public card."""


class A2aSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Other agents' way in (docs/a2a.md)."""

    enabled: bool = True
    name: str = ""
    """On the card; empty: the agent's own."""
    description: str = ""
    url: str = ""
    """Under which others reach this daemon, `https://agents.example`; empty: the first proxy host, or the address it listens on."""
    organization: str = ""
    organization_url: str = ""
    callers: Literal["granted", "anyone"] = "granted"
    """Who may begin tasks: agents that were granted `a2a:send`; or every agent with a token of its own key, known here or not. What
    their tasks cost in models and tools is ours unless the skills have prices."""
    max_open: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64
    """How many unpaid-for tasks of all callers together may be open."""
    push: bool = True
    """Whether clients may be notified over webhooks."""
    channel: str = "agent-logs"
    """The agent log of the Hub that tasks are told in, by name; empty: none."""
    network: str = ""
    """What priced skills are paid on; empty: the network of `payments`."""
    pay_to: str = ""
    """Who is paid; empty: the agent's own wallet."""
    facilitator: str = ""
    """Who settles: an address, `coinbase-cdp`, or empty for the local ledger."""
    skills: tuple[A2aSkillSettings, ...] = ()
    """In the file only; none: the agent offers to answer and to work on tasks, for nothing."""


class StorageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How contents lie on the disk."""

    encrypt_blobs: bool = False
    """Seal new blobs under a key that follows from the agent's seed. What was sealed stays readable when this is off."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings."""

    daemon: DaemonSettings = DaemonSettings()
    model: ModelSettings = ModelSettings()
    payments: PaymentSettings = PaymentSettings()
    context: ContextSettings = ContextSettings()
    tools: ToolSettings = ToolSettings()
    sandbox: SandboxSettings = SandboxSettings()
    mcp: McpSettings = McpSettings()
    skills: SkillSettings = SkillSettings()
    autonomic: AutonomicSettings = AutonomicSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    journal: JournalSettings = JournalSettings()
    spaces: SpacesSettings = SpacesSettings()
    a2a: A2aSettings = A2aSettings()
    storage: StorageSettings = StorageSettings()
    custody: CustodySettings = CustodySettings()
    telemetry: TelemetrySettings = TelemetrySettings()


class _Name(NamedTuple):
    """Where a setting is: section, perhaps a part of it, and name."""

    path: tuple[str, ...]
    is_list: bool


def load_settings(
    file: Path | None, environment: Mapping[str, str], flags: Mapping[str, str | int | list[str] | None] | None = None
) -> Settings:
    """The settings in force. `flags` are `section.name` → value, None meaning "not given"."""
    values = _from_file(file) if file is not None and file.exists() else {}
    _merge_environment(values, environment)
    for key, value in (flags or {}).items():
        if value is not None:
            _put(values, tuple(key.split(".")), value)
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"A setting can't be right: {error}.") from None


def _from_file(file: Path) -> dict[str, object]:
    try:
        with file.open("rb") as stream:
            values = tomllib.load(stream)
        msgspec.convert(values, Settings)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}.") from None
    except msgspec.ValidationError as error:
        raise SettingsError(f"{file}: {error}.") from None
    except OSError as error:
        raise SettingsError(f"{file} can't be read: {error.strerror}.") from None
    return values


def _merge_environment(values: dict[str, object], environment: Mapping[str, str]) -> None:
    names = _environment_names()
    for variable, text in environment.items():
        if not variable.startswith("LIFE_") or variable in KNOWN_ELSEWHERE:
            continue
        if variable not in names:
            raise SettingsError(
                f"The environment variable {variable} is not a setting of Life.",
                next_step="`life settings` lists them all.",
            )
        path, is_list = names[variable]
        value: object = [part.strip() for part in text.split(",") if part.strip()] if is_list else text
        _put(values, path, value)


def _put(values: dict[str, object], path: tuple[str, ...], value: object) -> None:
    """Set one setting; what stands in the way (a section that is no table) is found by the conversion."""
    for section in path[:-1]:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            return
        values = inner
    values[path[-1]] = value


def _environment_names() -> dict[str, _Name]:
    return {"_".join(("LIFE", *name.path)).upper(): name for name in _names(Settings, ())}


def _names(kind: type[msgspec.Struct], path: tuple[str, ...]) -> Iterator[_Name]:
    for name, hint in get_type_hints(kind).items():
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield from _names(hint, (*path, name))
        elif not _is_table_list(hint):  # tables are written in the file only
            yield _Name((*path, name), hint == tuple[str, ...])


def _is_table_list(hint: object) -> bool:
    return any(isinstance(part, type) and issubclass(part, msgspec.Struct) for part in get_args(hint))


_LOGIN: Final = re.compile(r"//[^/@\s,]*@")
"""The name and password in an address."""


def describe(settings: Settings) -> list[tuple[str, str, str]]:
    """(setting, environment variable, value in force) of every setting, for people: without the logins that addresses may carry."""
    rows = []
    for variable, (path, _) in _environment_names().items():
        value: object = settings
        for name in path:
            value = getattr(value, name)
        text = ", ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
        rows.append((".".join(path), variable, _LOGIN.sub("//…@", text)))
    return rows
