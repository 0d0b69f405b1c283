"""Verifiers find out what they can, and say nothing where they can't."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256

import msgspec
import pytest

from life.aios.errors import InvalidInputError, LifeError, UnavailableError
from life.aios.json import JsonObject
from life.crypto import jws
from life.crypto.did import Curve, encode_did, resolve_did
from life.crypto.p256 import load_private_key
from life.haima.events.tasks import Criterion
from life.haima.outcomes.room import Task
from life.haima.outcomes.verifiers import (
    APPROVAL_TYPE,
    CommandRun,
    DataValidated,
    TestsPassed,
    WebhookConfirmed,
    read_approval,
)
from life.testing.clock import ManualClock

SCHEMA: JsonObject = {"type": "object", "required": ["rows"], "properties": {"rows": {"type": "integer", "minimum": 1}}}


def task(result: str = "{}") -> Task:
    return Task(
        task_id="t1",
        contract_id="c",
        agent_id="a",
        customer_id="b",
        complexity="simple",
        price_micro_credits=1,
        trust_ppm=1,
        sla_deadline_ms=1,
        contracted_at_us=1,
        session_id=None,
        escrowed=False,
        result=result,
        result_digest=sha256(result.encode()).hexdigest(),
    )


async def test_tests_pass_with_the_exit_code_zero() -> None:
    """The operator's command decides; a scope that nobody configured is no failure of the agent."""

    async def run(_task: Task, scope: str) -> CommandRun | None:
        return {"unit": CommandRun(0, "ok\n4 passed\n"), "slow": CommandRun(1, "1 failed")}.get(scope)

    verifier = TestsPassed(run)
    found = await verifier.check(task(), Criterion(type="tests_passed", scope="unit"))
    assert found is not None
    assert (found.passed, found.details) == (True, "exit code 0: 4 passed")
    failed = await verifier.check(task(), Criterion(type="tests_passed", scope="slow"))
    assert failed is not None
    assert not failed.passed
    assert await verifier.check(task(), Criterion(type="tests_passed", scope="unknown")) is None


@pytest.mark.parametrize(
    ("result", "passed"),
    [('{"rows": 3}', True), ('{"rows": 0}', False), ("{}", False), ("rows: 3", False), ("[" * 9999, False)],
)
async def test_a_result_fits_its_schema_or_not(result: str, passed: bool) -> None:
    """Real JSON Schema on the delivered document; what is no JSON does not fit."""
    verifier = DataValidated({"rows": SCHEMA})
    found = await verifier.check(task(result), Criterion(type="data_validated", rule_id="rows"))
    assert found is not None
    assert found.passed is passed
    assert await verifier.check(task(result), Criterion(type="data_validated", rule_id="other")) is None


def test_a_schema_that_is_none_is_refused_at_the_start() -> None:
    """Not when the first task is judged."""
    with pytest.raises(InvalidInputError, match="schema"):
        DataValidated({"bad": {"type": "nothing"}})


class Poster:
    """Answers with what it is given, and keeps what it was sent."""

    def __init__(self, answer: int | LifeError) -> None:
        self.answer = answer
        self.sent: list[tuple[str, Mapping[str, str], bytes]] = []

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        self.sent.append((url, headers, body))
        if isinstance(self.answer, LifeError):
            raise self.answer
        return self.answer


async def test_a_webhook_is_signed_so_that_its_receiver_knows_us() -> None:
    """The receiver can check time and body with the shared secret; a 2xx passes."""
    secret, clock, poster = b"s" * 32, ManualClock(), Poster(204)
    verifier = WebhookConfirmed(poster, secret=secret, clock=clock)
    found = await verifier.check(task(), Criterion(type="webhook_confirmed", url="https://x.example/hook"))
    assert found is not None
    assert found.passed
    ((url, headers, body),) = poster.sent
    assert url == "https://x.example/hook"
    assert msgspec.json.decode(body) == {
        "action": "verify",
        "task_id": "t1",
        "contract_id": "c",
        "result_digest": task().result_digest,
    }
    time, mark = (part.partition("=")[2] for part in headers["life-signature"].split(","))
    assert mark == hmac.new(secret, time.encode() + b"." + body, "sha256").hexdigest()
    assert secret.decode() not in str(poster.sent)


@pytest.mark.parametrize(
    ("answer", "passed"),
    [
        (200, True),
        (302, False),
        (404, False),
        (500, False),
        (503, None),
        (UnavailableError("no answer"), None),
        (InvalidInputError("an address of our own network"), False),
    ],
)
async def test_only_a_2xx_passes_and_trouble_is_asked_again(answer: int | LifeError, passed: bool | None) -> None:
    """A redirect is no yes, a refused address is a no, an outage is nothing."""
    verifier = WebhookConfirmed(Poster(answer), secret=b"s" * 32, clock=ManualClock())
    found = await verifier.check(task(), Criterion(type="webhook_confirmed", url="https://x.example/hook"))
    assert (None if found is None else found.passed) is passed


def test_a_short_secret_is_refused() -> None:
    """It could be guessed."""
    with pytest.raises(InvalidInputError):
        WebhookConfirmed(Poster(200), secret=b"short", clock=ManualClock())


KEY = load_private_key(bytearray(b"\x07" * 32))
DID = resolve_did(encode_did(Curve.P256, KEY.public_key))
NOW_S = 1_795_000_000


def approval(typ: str = APPROVAL_TYPE, **changes: object) -> str:
    claims: dict[str, object] = {
        "task_id": "t1",
        "criterion": 0,
        "passed": True,
        "result_digest": task().result_digest,
        "iat": NOW_S,
    }
    return jws.sign({**claims, **changes}, key=DID, typ=typ, signer=KEY.sign)


def test_a_signed_approval_names_its_signer() -> None:
    """The DID comes from the key that signed, not from anybody's word."""
    did, said = read_approval(approval(), task(), now_s=NOW_S)
    assert did == DID.did
    assert (said.criterion, said.passed) == (0, True)


@pytest.mark.parametrize(
    "token",
    [
        approval(task_id="t2"),
        approval(result_digest="0" * 64),
        approval(iat=NOW_S - 3601),
        approval(iat=NOW_S + 61),
        approval(typ="agent+jwt"),
        approval(passed="yes"),
        approval()[:-4] + "AAAA",
        "no.token.atall",
    ],
)
def test_an_approval_of_something_else_is_refused(token: str) -> None:
    """Another task, another result, another time, another type, or no proper signature."""
    with pytest.raises(InvalidInputError):
        read_approval(token, task(), now_s=NOW_S)
