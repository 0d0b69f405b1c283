"""schemathesis on haimad's OpenAPI document: whatever a client sends, the answer is one of the document, and never a 500."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.host.finance_daemon import KNOWN, open_daemon
from tests.host.serving import serving

schemathesis = pytest.importorskip("schemathesis")

pytestmark = pytest.mark.slow
HEADERS = {**KNOWN, "host": "haimad"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A haimad in a thread of its own, because schemathesis calls from a test that is not async."""
    found: list[str] = []
    ready, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        async with open_daemon() as daemon, serving(daemon.app) as url:
            await daemon.post("/v1/accounts/agent-1/deposits", {"amount_micro_credits": 1_000_000}, key="k")
            found.append(url)
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
    wrong: dict[str, str] = {}
    looked_at = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        looked_at += 1
        try:
            _run(operation.as_strategy(), address)
        except (AssertionError, BaseExceptionGroup) as error:
            wrong[f"{operation.method} {operation.path}"] = "; ".join(str(error).split("\n"))[:600]
    assert not wrong, "\n\n".join(f"{name}: {what}" for name, what in wrong.items())
    assert looked_at > 40


def _run(strategy: Any, address: str) -> None:
    checks = schemathesis.checks

    @settings(
        max_examples=30,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(case: Any) -> None:
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
