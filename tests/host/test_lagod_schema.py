"""schemathesis on lagod's OpenAPI document: whatever a client sends, the answer is one of the document, and never a 500."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.host.lagod_bench import TOKEN, running_lagod

schemathesis = pytest.importorskip("schemathesis")

pytestmark = pytest.mark.slow
HEADERS = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A lagod in a thread of its own, because schemathesis calls from a test that is not async."""
    found: list[str] = []
    ready, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        async with running_lagod(tmp_path_factory.mktemp("lagod"), heartbeat_s=0.2) as daemon:
            await daemon.call("POST", "/v1/sessions", json={"name": "first", "session_id": "s"})
            await daemon.call("PUT", "/v1/sessions/s/files/a", content=b"x")
            found.append(daemon.address)
            ready.set()
            while not stop.is_set():
                await asyncio.sleep(0.05)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(20)
    yield found[0]
    stop.set()
    thread.join(20)


def test_every_answer_is_one_of_the_document(address: str) -> None:
    """All operations, fit and unfit requests: a status that the document names, its media type, its schema."""
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json", headers=HEADERS)
    checks = schemathesis.checks
    looked_at = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        streams = operation.path.endswith("/events") and operation.method == "get"

        strategy = operation.as_strategy()
        _run(strategy, address, streams=streams, checks=checks)
        looked_at += 1
    assert looked_at > 25


def _run(strategy: Any, address: str, *, streams: bool, checks: Any) -> None:
    @settings(
        max_examples=50,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(case: Any) -> None:
        if streams:
            case.query = {**(case.query or {}), "follow": "false"}
        response = case.call(base_url=address, headers=HEADERS, timeout=20)
        case.validate_response(
            response,
            checks=[
                checks.not_a_server_error,
                checks.status_code_conformance,
                checks.content_type_conformance,
                checks.response_schema_conformance,
            ],
            headers=HEADERS,
        )

    one()
