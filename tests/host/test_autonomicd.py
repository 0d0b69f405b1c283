"""autonomicd's routes, and the regulator that asks them: through HTTP, over a real journal."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx2
import pytest
from starlette.applications import Starlette

from life.aios import events
from life.aios.errors import InvalidInputError
from life.aios.events import Kind
from life.aios.json import Json
from life.aios.ports.regulator import RunView
from life.aios.record import USER, EventWriter, Stream
from life.aios.state import AgentStateVector, TokenUsage
from life.autonomic.api import AutonomicApi
from life.autonomic.errors import RegulatorUnavailableError
from life.autonomic.guarded import GuardedRegulator
from life.host.access import Access
from life.host.anima_verifier import open_identity_services
from life.host.autonomic import Autonomic, open_autonomic
from life.host.autonomic_client import HttpRegulator
from life.host.autonomicd import autonomicd_app
from life.host.http.problem import EXCEPTION_HANDLERS
from life.host.http.routes import routes
from life.host.settings import AutonomicSettings
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy

TOKEN = "t" * 43
KNOWN = {"authorization": f"Bearer {TOKEN}"}
AGENT = "agent-1"


class Daemon(NamedTuple):
    """The parts that a test looks at."""

    client: httpx2.AsyncClient
    autonomic: Autonomic
    journal: MemoryJournal
    clock: ManualClock

    async def write(self, *kinds: Kind, session: str = "s") -> None:
        """Append events and wait until they are folded in."""
        writer = EventWriter(self.clock, SeededEntropy(), agent_id=AGENT, stream=Stream(session))
        ids = [f"{session}-{(await self.journal.head(Stream(session))).sequence + n}" for n in range(len(kinds))]
        stored = await self.journal.append(
            [writer.event(kind, event_id=one) for kind, one in zip(kinds, ids, strict=True)]
        )
        await self.autonomic.follower.reached(stored[-1].position)

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.client.get(path, headers={**KNOWN, **headers})


@asynccontextmanager
async def opened(**settings: object) -> AsyncIterator[Daemon]:
    clock, entropy = ManualClock(), SeededEntropy("autonomicd")
    chosen = AutonomicSettings(**settings)  # type: ignore[arg-type]
    async with (
        MemoryJournal() as journal,
        open_autonomic(journal, None, chosen, clock=clock, entropy=entropy, agent_id=AGENT) as autonomic,
        open_identity_services(
            journal, clock=clock, directory=None, daemon="autonomicd", environment={}, secret_variables=()
        ) as services,
    ):
        app = autonomicd_app(autonomic, Access(TOKEN, clock, entropy), TOKEN, services, clock, hosts=["autonomicd"])
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="https://autonomicd") as client:
            yield Daemon(client, autonomic, journal, clock)


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    async with opened() as daemon:
        yield daemon


def error(number: int) -> Kind:
    return events.ToolCallCompleted(
        tool_run_id=f"t{number}", call_id=f"c{number}", tool_name="t", result="", duration_ms=1, status="error"
    )


RUN = events.RunStarted(provider="p", max_iterations=9)


async def test_health_and_trust_are_open_and_nothing_else(daemon: Daemon) -> None:
    """401 without the token and with another one; pages of other origins and other hosts get 403."""
    health = (await daemon.client.get("/health")).json()
    assert (health["status"], health["service"], health["following"]) == ("ok", "autonomic", True)
    assert health["telemetry"] == {"sdk": "life-vigil", "otlp_configured": False}
    assert (await daemon.client.get("/trust-score/nobody")).status_code == 200
    for path in (
        "/gating/s",
        "/projection/s",
        "/gating/s/history",
        "/metrics",
        "/stability/s",
        "/eval/s",
        "/eval/sessions",
    ):
        assert (await daemon.client.get(path)).status_code == 401, path
        wrong = {"authorization": "Bearer " + "x" * 43}
        assert (await daemon.client.get(path, headers=wrong)).status_code == 401, path
        assert (await daemon.get(path)).status_code == 200, path
    assert (await daemon.get("/gating/s", origin="http://evil.example")).status_code == 403
    assert (await daemon.client.get("/trust-score/x", headers={"host": "evil.example"})).status_code == 403


async def test_unknown_is_unknown(daemon: Daemon) -> None:
    """Defaults, and an answer that says so; never a certificate."""
    gating = (await daemon.get("/gating/nobody")).json()
    assert gating["found"] is False and gating["rules_fired"] == []
    assert gating["profile"]["operational"]["max_tool_calls_per_tick"] == 10
    assert gating["profile"]["economic"] == {
        "economic_mode": "sovereign",
        "max_tokens_next_turn": None,
        "preferred_model": None,
        "allow_expensive_tools": True,
        "allow_replication": True,
    }
    trust = (await daemon.client.get("/trust-score/nobody")).json()
    assert (trust["tier"], trust["evidence"], trust["found"]) == ("unverified", 0, False)
    assert (await daemon.get("/eval/nobody")).json() == {
        "session_id": "nobody",
        "scores": [],
        "aggregate_quality": None,
    }


async def test_reading_changes_nothing_and_evaluating_publishes_once(daemon: Daemon) -> None:
    """GET is pure; POST puts the decision on record, and the next one finds it there."""
    await daemon.write(RUN, *[error(n) for n in range(5)])
    for _ in range(3):
        gating = (await daemon.get("/gating/s")).json()
        assert gating["rules_fired"] == ["error_rate"] and gating["last_event_seq"] == 6
        assert [event["type"] for event in gating["profile"]["advisory_events"]] == ["GatingDecision"]
    assert (await daemon.journal.head(Stream("s"))).sequence == 6
    posted = (await daemon.client.post("/gating/s/evaluate", headers=KNOWN)).json()
    assert posted["last_event_seq"] == 7
    again = (await daemon.client.post("/gating/s/evaluate", headers=KNOWN)).json()
    assert again["last_event_seq"] == 7 and again["profile"]["advisory_events"] == []
    history = (await daemon.get("/gating/s/history")).json()
    assert [one["type"] for one in history["decisions"]] == ["GatingDecision"]
    assert history["decisions"][0]["data"]["rules_fired"] == ["error_rate"]
    await daemon.client.post("/gating/nobody/evaluate", headers=KNOWN)
    assert (await daemon.journal.head(Stream("nobody"))).sequence == 0


@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1", "9" * 40, "١"])
async def test_a_limit_that_is_none_is_refused(daemon: Daemon, limit: str) -> None:
    """With the stable code."""
    answer = await daemon.get(f"/gating/s/history?limit={limit}")
    assert (answer.status_code, answer.json()["code"]) == (400, "life.invalid_input")


async def test_projection_metrics_and_stability(daemon: Daemon) -> None:
    """The state behind it, the figures for operators, the margins."""
    usage = TokenUsage(prompt_tokens=900, completion_tokens=100, total_tokens=1_000, cost_micro=250)
    await daemon.write(RUN, events.Message(role="assistant", content="x", token_usage=usage))
    projection = (await daemon.get("/projection/s")).json()
    assert projection["found"] and projection["state"]["cognitive"]["total_tokens_used"] == 1_000
    assert projection["state"]["economic"]["lifetime_costs"] == 250
    metrics = await daemon.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "autonomic_projection_events_total 2\n" in metrics.text
    stability = (await daemon.get("/stability/s")).json()
    assert stability["stable"] and stability["smallest"] == min(stability["margins"].values())


async def test_scores_come_in_and_are_read_back(daemon: Daemon) -> None:
    """Into the right session, for sessions that ran; values outside 0 to 1 are refused whole."""
    await daemon.write(RUN)
    body = {"scores": [{"evaluator": "mine", "value": 0.25, "layer": "action", "session_id": "s"}]}
    taken = await daemon.client.post("/eval/scores", json=body, headers=KNOWN)
    assert (taken.status_code, taken.json()) == (201, {"accepted": 1})
    scores = (await daemon.get("/eval/s")).json()
    assert (scores["aggregate_quality"], scores["scores"][0]["label"]) == (0.25, "critical")
    assert (await daemon.get("/eval/sessions")).json() == ["s"]
    quality = (await daemon.get("/projection/s")).json()["state"]["eval"]["aggregate_quality_score"]
    assert quality == pytest.approx(0.7 + 0.3 * 0.25)
    for change in ({"value": 1.5}, {"session_id": "nobody"}, {"layer": "x"}, {"more": 1}):
        bad = {"scores": [{**body["scores"][0], **change}]}
        assert (await daemon.client.post("/eval/scores", json=bad, headers=KNOWN)).status_code == 400


async def test_a_credit_of_the_settings_is_deposited_once() -> None:
    """At the first start; later starts and other amounts change nothing."""
    async with opened(credit_micro=5_000) as daemon:
        assert daemon.autonomic.homeostasis.books(AGENT).economy.balance_micro == 5_000
        clock = daemon.clock
        for credit in (5_000, 9_000):
            async with open_autonomic(
                daemon.journal,
                None,
                AutonomicSettings(credit_micro=credit),
                clock=clock,
                entropy=SeededEntropy(),
                agent_id=AGENT,
            ) as again:
                assert again.homeostasis.books(AGENT).economy.balance_micro == 5_000
        assert await daemon.autonomic.deposit(500, source="test", actor=USER) == 5_500
        for amount in (0, -1, 2**60):
            with pytest.raises(InvalidInputError):
                await daemon.autonomic.deposit(amount, source="test", actor=USER)


async def test_switched_off_it_only_looks() -> None:
    """No regulator for the runtime, and payments follow the settings alone."""
    async with opened(enabled=False, credit_micro=1) as daemon:
        assert daemon.autonomic.regulator is None and daemon.autonomic.mode() == "sovereign"
        assert daemon.autonomic.homeostasis.books(AGENT).economy.balance_micro is None


async def test_what_the_runtimes_daemon_shows_beside_a_session(daemon: Daemon) -> None:
    """The ruling, the context and the cost with the session's own figures; an unknown session is a 404."""
    usage = TokenUsage(prompt_tokens=9_000, completion_tokens=100, total_tokens=9_100, cost_micro=1_500_000)
    window: Json = {"window_tokens": 10_000}
    deposited: Json = {"amount_micro_credits": 4_000_000, "source": "s"}
    await daemon.write(
        events.Custom(event_type="autonomic.CreditDeposited", data=deposited),
        RUN,
        events.Custom(event_type="arcan.context_window", data=window),
        events.Message(role="assistant", content="x", token_usage=usage),
    )
    operations = AutonomicApi(daemon.autonomic, daemon.clock).session_operations()
    app = Starlette(routes=routes(operations), exception_handlers=EXCEPTION_HANDLERS)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://x") as client:
        ruling = (await client.get("/sessions/s/autonomic")).json()
        assert (ruling["ruling"], ruling["target_tokens"], ruling["quality_score"]) == ("compress", 3_500, None)
        context = (await client.get("/sessions/s/context")).json()
        assert (context["tokens_used"], context["pressure_percent"]) == (9_000, 90.0)
        cost = (await client.get("/sessions/s/cost")).json()
        assert (cost["cost_remaining_usd"], cost["lifetime_costs_micro"]) == ("2.500000", 1_500_000)
        for part in ("autonomic", "context", "cost"):
            assert (await client.get(f"/sessions/nobody/{part}")).status_code == 404


# The regulator over HTTP


def view(session: str = "s") -> RunView:
    return RunView(
        session_id=session,
        branch_id="main",
        agent_id=AGENT,
        run_id="r",
        step=0,
        vector=AgentStateVector(),
        mode="execute",
        gates=None,
        model_tier=None,
        errors=0,
        tool_calls=0,
        prompt_tokens=0,
        completion_tokens=0,
        cost_micro=0,
        worked_ms=0,
    )


async def test_the_client_gives_the_advice_that_the_process_would_give(daemon: Daemon) -> None:
    """The same profile, the same events to be put on record, also for ids that need quoting."""
    await daemon.write(RUN, *[error(n) for n in range(5)], session="s~x+y%41")
    local = await daemon.autonomic.folded.consult(view("s~x+y%41"))
    remote = await HttpRegulator("https://autonomicd", TOKEN, client=daemon.client).consult(view("s~x+y%41"))
    strip = {"events": None, "reason": None}
    for name in local.__struct_fields__:
        if name not in strip:
            assert getattr(remote, name) == getattr(local, name), name
    ours, theirs = local.events[0], remote.events[0]
    assert isinstance(ours, events.Custom) and isinstance(theirs, events.Custom)
    assert ours.event_type == theirs.event_type
    assert json.loads(json.dumps(ours.data)) == theirs.data


async def test_hibernation_reaches_the_client(daemon: Daemon) -> None:
    """With its reason, so that the run stands still and says why."""
    deposited: Json = {"amount_micro_credits": 1, "source": "s"}
    charged: Json = {"amount_micro_credits": 2, "reason": "r"}
    await daemon.write(
        events.Custom(event_type="autonomic.CreditDeposited", data=deposited),
        events.Custom(event_type="autonomic.CostCharged", data=charged),
    )
    advice = await HttpRegulator("https://autonomicd", TOKEN, client=daemon.client).consult(view())
    assert advice.suspend is not None and advice.suspend.startswith("Hibernate")
    kinds = [event.event_type for event in advice.events if isinstance(event, events.Custom)]
    assert kinds == ["autonomic.EconomicModeChanged", "autonomic.GatingDecision"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "autonomicd",
        "ftp://127.0.0.1/",
        "http://10.0.0.1:3002",
        "http://host.example",
        "http://[::1",
        "http://u@localhost",
    ],
)
def test_a_token_never_travels_in_the_clear(url: str) -> None:
    """Plain http is for this machine alone."""
    with pytest.raises(InvalidInputError):
        HttpRegulator(url, TOKEN)


@pytest.mark.parametrize("token", ["", "x" * 43])
async def test_without_the_right_token_it_says_so(daemon: Daemon, token: str) -> None:
    """It is no silent permission: the guard applies the safe profile."""
    regulator = HttpRegulator("https://autonomicd", token, client=daemon.client)
    with pytest.raises(RegulatorUnavailableError):
        await regulator.consult(view())
    safe = await GuardedRegulator(regulator, daemon.clock).consult(view())
    assert safe.gates is not None and not safe.gates.allow_shell


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b'{"profile": 5}', b"\xff\xfe", b'{"profile": {"economic": {"economic_mode": "rich"}}}']
)
async def test_whatever_is_no_profile_is_refused(answer: bytes) -> None:
    """A daemon of another kind at that address."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=answer))
    async with httpx2.AsyncClient(transport=transport) as client:
        with pytest.raises(RegulatorUnavailableError):
            await HttpRegulator("https://elsewhere", TOKEN, client=client).consult(view())
